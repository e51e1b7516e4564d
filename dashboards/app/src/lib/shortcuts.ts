// Keyboard shortcuts: one list for the event handler and for the help dialog.
import { adjacentPeriod } from "./periods";
import { urlState } from "./urlState.svelte";

export interface KeyboardShortcut {
  key: string;
  label: string;
  run: () => void;
}
const rangeShortcut = (key: string, name: string, label: string): KeyboardShortcut => ({
  key,
  label,
  run: () => urlState.update({ range: name, from: "", to: "" }),
});

const cycleComparison = () => {
  const modes = ["previous", "year", "none"];
  urlState.update({
    compare: modes[(modes.indexOf(urlState.view.compare) + 1) % modes.length] ?? "previous",
    compare_from: "",
  });
};

export const RANGE_SHORTCUTS: KeyboardShortcut[] = [
  rangeShortcut("t", "today", "Today"),
  rangeShortcut("y", "yesterday", "Yesterday"),
  rangeShortcut("7", "7d", "7 days"),
  rangeShortcut("2", "28d", "28 days"),
  rangeShortcut("3", "30d", "30 days"),
  rangeShortcut("9", "90d", "90 days"),
  rangeShortcut("m", "month", "This month"),
  rangeShortcut("a", "all", "All time"),
  {
    key: "c",
    label: "Compare with the period before, a year earlier, nothing",
    run: cycleComparison,
  },
  { key: "Escape", label: "Show everything again", run: () => urlState.update({ filter: "" }) },
];

/** Steps to the previous and next period. `today` is in the site's time zone; empty if unknown. */
export const periodShortcuts = (today: () => string): KeyboardShortcut[] => {
  const stepPeriod = (direction: 1 | -1) =>
    urlState.update(adjacentPeriod(urlState.view, today(), direction) ?? {});
  return [
    { key: "ArrowLeft", label: "The days before", run: () => stepPeriod(-1) },
    { key: "ArrowRight", label: "The days after", run: () => stepPeriod(1) },
  ];
};

/**
 * Ignores keys while the reader types, holds a modifier, or has a dialog open.
 */
export const handleShortcuts =
  (shortcuts: KeyboardShortcut[]) =>
  (event: KeyboardEvent): void => {
    const target = event.target as HTMLElement | null;
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (
      target?.closest("input, select, textarea, dialog, [popover]:popover-open") ||
      document.querySelector("dialog[open]")
    )
      return;
    const found = shortcuts.find(({ key }) => key === event.key);
    if (!found) return;
    event.preventDefault();
    found.run();
  };
