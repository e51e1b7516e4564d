// Selectors of a report. Which numbers a report contains depends on its parameters.
import { formatMoney } from "./format";
import type { Breakdown, Item, ItemSeen, Report, Step } from "./schema";

/** Counts of a subject; counts that the report does not contain are missing. */
export interface ReportTotals {
  hits?: number;
  visitors: number;
  visits: number;
  bounces?: number;
  seconds?: number;
  entries?: number;
  exits?: number;
  /** Clicks on all links; only in a report of the whole site. */
  clicks?: number;
}

export const selectTotals = (report: Report): ReportTotals | null => {
  if (!report.totals) return null;
  const link = report.subjects?.link;
  return link && "hits" in link ? { ...report.totals, clicks: link.hits } : report.totals;
};

/** Comparable totals: both periods have the same length. */
export interface TotalsPair {
  now: ReportTotals;
  before: ReportTotals;
}
export interface ReportComparison {
  /** For counts by the hour: hits, visitors and visits of a site. */
  byHour: TotalsPair | null;
  /**
   * For all other counts: bounces and lengths are known after the visit, clicks and items by the
   * day.
   */
  byDay: TotalsPair | null;
}

/** An unfinished range is compared up to the last full hour, or by its finished days. */
export const selectComparison = (report: Report): ReportComparison | null => {
  const totals = selectTotals(report);
  if (!report.compared || !totals) return null;
  const { so_far, totals: before } = report.compared;
  if (!so_far) {
    const whole = { now: totals, before };
    return { byHour: whole, byDay: whole };
  }
  const { now, before: then, days } = so_far;
  const byDay = days && { now: days.now, before: days.before };
  return { byHour: now && then ? { now, before: then } : byDay, byDay };
};

/** The sum of all events' amounts by currency, the currency with the most payments first. */
export const sumRevenue = (report: Report): string[] => {
  const sums = new Map<string, { minor: number; digits: number; hits: number }>();
  for (const { currency, minor, digits, hits } of report.money ?? []) {
    const sum = sums.get(currency) ?? { minor: 0, digits, hits: 0 };
    sums.set(currency, { digits, minor: sum.minor + minor, hits: sum.hits + hits });
  }
  return [...sums]
    .sort(([, a], [, b]) => b.hits - a.hits)
    .map(([currency, { minor, digits }]) => formatMoney(minor, digits, currency));
};

const hasNoVisits = (totals: ReportTotals): boolean => totals.visits === 0 && !totals.hits;
export const isEmptyReport = (report: Report): boolean =>
  !!report.totals && hasNoVisits(report.totals);
/**
 * Whether there were no visits in the range, and none in the range it is compared with.
 */
export const hasNothingToDraw = (report: Report): boolean =>
  isEmptyReport(report) && (!report.compared || hasNoVisits(report.compared.totals));

/** A value suppressed because it has too few measurements. */
export interface BelowThreshold {
  fewer_than: number;
}
export const isBelowThreshold = (value: unknown): value is BelowThreshold =>
  typeof value === "object" && value !== null && "fewer_than" in value;

export const selectItems = (
  report: Report,
  subject: string,
): { hits: number | null; rows: (Item | ItemSeen)[] } | null => {
  const items = (
    report.subjects as
      Record<string, { hits?: number; rows: (Item | ItemSeen)[] } | undefined> | undefined
  )?.[subject];
  return items ? { hits: items.hits ?? null, rows: items.rows } : null;
};
export const selectBreakdown = (report: Report, dimension: string): Breakdown | null =>
  report.dimensions?.[dimension] ?? null;
export type { Step };

/** The collector's time if the report has it, because the browser's clock may be wrong. */
export const getCurrentTime = ({ compared }: Report): number =>
  compared?.so_far?.until ? Date.parse(compared.so_far.until) : Date.now();
/** Today in the site's time zone. */
export const getSiteToday = ({ zone, compared }: Report): string =>
  compared?.so_far?.until?.slice(0, 10) ??
  new Intl.DateTimeFormat("en-CA", { timeZone: zone }).format(Date.now());
