// What keys do, once: the page listens by this list and shows it.
import { beside } from "./periods";
import { here } from "./view.svelte";

export interface Shortcut {
  key: string;
  says: string;
  act: () => void;
}
const range = (key: string, name: string, says: string): Shortcut => ({
  key,
  says,
  act: () => here.go({ range: name, from: "", to: "" }),
});

const compare = () => {
  const ways = ["previous", "year", "none"];
  here.go({
    compare: ways[(ways.indexOf(here.view.compare) + 1) % ways.length] ?? "previous",
    compare_from: "",
  });
};

export const RANGE_KEYS: Shortcut[] = [
  range("t", "today", "Today"),
  range("y", "yesterday", "Yesterday"),
  range("7", "7d", "7 days"),
  range("2", "28d", "28 days"),
  range("3", "30d", "30 days"),
  range("9", "90d", "90 days"),
  range("m", "month", "This month"),
  range("a", "all", "All time"),
  { key: "c", says: "Compare with the period before, a year earlier, nothing", act: compare },
  { key: "Escape", says: "Show everything again", act: () => here.go({ filter: "" }) },
];

/** The period before and after. `today`: where the site is, as far as it is known. */
export const periodKeys = (today: () => string): Shortcut[] => {
  const go = (way: 1 | -1) => here.go(beside(here.view, today(), way) ?? {});
  return [
    { key: "ArrowLeft", says: "The days before", act: () => go(-1) },
    { key: "ArrowRight", says: "The days after", act: () => go(1) },
  ];
};

/**
 * Nobody who types or holds another key down means a shortcut, and a dialog has keys of its own.
 */
export const listen =
  (shortcuts: Shortcut[]) =>
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
    found.act();
  };
