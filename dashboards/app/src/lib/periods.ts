// The periods before and after the one shown, of the same kind: a month before a month, seven days
// before seven days.
import { countDays, addDays } from "./format";
import type { ViewState } from "./view";

interface DayPeriod {
  from: string;
  to: string;
}

/** The lengths of named ranges in months. These ranges may end before their last month does. */
const MONTHS_OF_RANGE: Record<string, number> = { month: 1, year: 12, "12mo": 12 };

const isMonthStart = (day: string): boolean => day.endsWith("-01");
const monthsBetween = (from: string, to: string): number =>
  12 * (Number(to.slice(0, 4)) - Number(from.slice(0, 4))) +
  Number(to.slice(5, 7)) -
  Number(from.slice(5, 7));

/** The first day of the month that is `months` months later. */
const addMonths = (day: string, months: number): string =>
  new Date(Date.UTC(Number(day.slice(0, 4)), Number(day.slice(5, 7)) - 1 + months))
    .toISOString()
    .slice(0, 10);

/** A period of `months` months, `by` months later. */
const shiftMonths = ({ from }: DayPeriod, by: number, months: number): DayPeriod => {
  const first = addMonths(from, by);
  return { from: first, to: addDays(addMonths(first, months), -1) };
};

/** The number of months of a period; 0 if it does not consist of whole months. */
const countMonths = ({ from, to }: DayPeriod, range: string): number => {
  if (range in MONTHS_OF_RANGE) return MONTHS_OF_RANGE[range] ?? 0;
  return isMonthStart(from) && isMonthStart(addDays(to, 1))
    ? monthsBetween(from, addDays(to, 1))
    : 0;
};

/** The range name of a period of days; empty if it has none. */
const dayRangeName = ({ from, to }: DayPeriod, today: string): string => {
  if (from === to) return to === today ? "today" : to === addDays(today, -1) ? "yesterday" : "";
  return to === today
    ? ([7, 28, 30, 90]
        .map((days) => `${days}d`)
        .find((name) => from === addDays(today, 1 - parseInt(name, 10))) ?? "")
    : "";
};

/** The range name of a period of whole months, whose last month may be unfinished. */
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

/** The days of a view; `null` for all time. */
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
 * The view of the previous (-1) or next (1) period; `null` if there is none. A period that has a
 * range name uses it, so that the view stays current on later days.
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
