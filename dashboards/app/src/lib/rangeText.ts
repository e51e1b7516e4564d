// The range and the comparison in words, for the summary.
import { countDays, formatShortDay, formatSpan } from "./format";
import type { Report } from "./schema";
import type { ViewState } from "./view";

const RANGE_TEXTS: Record<string, string> = {
  today: "so far today",
  yesterday: "yesterday",
  month: "so far this month",
  year: "so far this year",
  all: "in all",
  last_month: "last month",
  "12mo": "in the last 12 months",
};
const PREVIOUS_TEXTS: Record<string, string> = {
  yesterday: "the day before",
  month: "at this point last month",
  year: "at this point last year",
};

export const rangeText = (view: ViewState, report: Report | null): string => {
  if (!report) return "";
  if (view.from)
    return report.from === report.to
      ? `on ${formatShortDay(report.from)}`
      : `from ${formatSpan(report.from, report.to).replace(" – ", " to ")}`;
  return RANGE_TEXTS[view.range] ?? `in the last ${countDays(report.from, report.to)} days`;
};

export const comparisonText = (view: ViewState, report: Report | null): string => {
  const compared = report?.compared;
  if (!report || !compared) return "before";
  if (view.compare_from)
    return `from ${formatSpan(compared.from, compared.to).replace(" – ", " to ")}`;
  if (view.compare === "year") return "a year earlier";
  const days = countDays(report.from, report.to);
  const until = compared.so_far?.until;
  if (days === 1 && until) {
    const dayBefore = view.range === "today" && !view.from ? "yesterday" : "the day before";
    return `${dayBefore} until ${until.slice(11, 16)}`;
  }
  return (
    (!view.from && PREVIOUS_TEXTS[view.range]) ||
    (days === 1 ? "the day before" : `in the ${days} days before`)
  );
};

/** The days of a report and of its comparison, with the time of day if they include today. */
export const spanText = ({ from, to, compared }: Report): string => {
  if (!compared) return formatSpan(from, to);
  const until = compared.so_far?.until;
  const both = until ? `, both until ${until.slice(11, 16)}` : "";
  return `${formatSpan(from, to)}, against ${formatSpan(compared.from, compared.to, to)}${both}`;
};
