// The period before or after the one that is shown, as a reader names it: before a month comes a
// month, before seven days seven days.
import { countDays, addDays } from "./format";
import type { ViewState } from "./urlState.svelte";

interface DayPeriod {
  from: string;
  to: string;
}

/** Ranges that end before the period they name is over, as far as they are counted in months. */
const MONTHS_OF_RANGE: Record<string, number> = { month: 1, year: 12, "12mo": 12 };

const isMonthStart = (day: string): boolean => day.endsWith("-01");
const monthsBetween = (from: string, to: string): number =>
  12 * (Number(to.slice(0, 4)) - Number(from.slice(0, 4))) +
  Number(to.slice(5, 7)) -
  Number(from.slice(5, 7));

/** The first of a month, by so many months later. */
const addMonths = (day: string, months: number): string =>
  new Date(Date.UTC(Number(day.slice(0, 4)), Number(day.slice(5, 7)) - 1 + months))
    .toISOString()
    .slice(0, 10);

/** A period of so many months, by `by` months later. */
const shiftMonths = ({ from }: DayPeriod, by: number, months: number): DayPeriod => {
  const first = addMonths(from, by);
  return { from: first, to: addDays(addMonths(first, months), -1) };
};

/** How many whole months a period covers; 0 where it does not consist of whole months. */
const countMonths = ({ from, to }: DayPeriod, range: string): number => {
  if (range in MONTHS_OF_RANGE) return MONTHS_OF_RANGE[range] ?? 0;
  return isMonthStart(from) && isMonthStart(addDays(to, 1))
    ? monthsBetween(from, addDays(to, 1))
    : 0;
};

/** The name of a period of days that is one of the named ones. */
const dayRangeName = ({ from, to }: DayPeriod, today: string): string => {
  if (from === to) return to === today ? "today" : to === addDays(today, -1) ? "yesterday" : "";
  return to === today
    ? ([7, 28, 30, 90]
        .map((days) => `${days}d`)
        .find((name) => from === addDays(today, 1 - parseInt(name, 10))) ?? "")
    : "";
};

/** The name of a period of so many whole months, the last of which need not be over. */
const monthRangeName = ({ from }: DayPeriod, today: string, months: number): string => {
  const thisMonth = `${today.slice(0, 7)}-01`;
  const names: Record<string, string> =
    months === 1
      ? { [thisMonth]: "month", [addMonths(thisMonth, -1)]: "last_month" }
      : months === 12
        ? { [addMonths(thisMonth, -11)]: "12mo", [`${today.slice(0, 4)}-01-01`]: "year" }
        : {};
  return names[from] ?? "";
};

/** The days of a view; `null` where they depend on what was counted. */
const viewPeriod = (view: ViewState, today: string): DayPeriod | null => {
  if (view.from) return { from: view.from, to: view.to };
  const thisMonth = `${today.slice(0, 7)}-01`;
  const days = /^(\d+)d$/.exec(view.range)?.[1];
  if (days) return { from: addDays(today, 1 - Number(days)), to: today };
  const namedPeriods: Record<string, DayPeriod> = {
    today: { from: today, to: today },
    yesterday: { from: addDays(today, -1), to: addDays(today, -1) },
    month: { from: thisMonth, to: today },
    last_month: { from: addMonths(thisMonth, -1), to: addDays(thisMonth, -1) },
    "12mo": { from: addMonths(thisMonth, -11), to: today },
    year: { from: `${today.slice(0, 4)}-01-01`, to: today },
  };
  return namedPeriods[view.range] ?? null;
};

/**
 * The view of the period before (-1) or after (1); `null` where there is none. A period that has a
 * name goes by it, so that it moves on with the days.
 */
export const adjacentPeriod = (
  view: ViewState,
  today: string,
  direction: 1 | -1,
): Partial<ViewState> | null => {
  const period = today ? viewPeriod(view, today) : null;
  if (!period || (direction === 1 && period.to >= today)) return null;

  const months = countMonths(period, view.from ? "" : view.range);
  const days = countDays(period.from, period.to);
  const next = months
    ? shiftMonths(period, direction * months, months)
    : { from: addDays(period.from, direction * days), to: addDays(period.to, direction * days) };
  if (next.to > today && !months) next.from = addDays(today, 1 - days);
  if (next.to > today) next.to = today;

  const range = months ? monthRangeName(next, today, months) : dayRangeName(next, today);
  return range ? { range, from: "", to: "", interval: "" } : { ...next, interval: "" };
};
