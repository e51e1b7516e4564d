// A report's answer, told apart: what was asked decides which numbers are in it.
import { money } from "./format";
import type { Breakdown, Item, ItemSeen, Report, Step } from "./schema";

/** Counts of a subject; those that a question has no answer for are missing. */
export interface Totals {
  hits?: number;
  visitors: number;
  visits: number;
  bounces?: number;
  seconds?: number;
  entries?: number;
  exits?: number;
  /** Clicks on all links, where the report is of the whole site. */
  clicks?: number;
}

export const totalsOf = (report: Report): Totals | null => {
  if (!report.totals) return null;
  const link = report.subjects?.link;
  return link && "hits" in link ? { ...report.totals, clicks: link.hits } : report.totals;
};

/** Numbers that may be held against each other: both sides had as much time. */
export interface Sides {
  now: Totals;
  then: Totals;
}
export interface Comparison {
  /** Of what is counted by the hour: hits, visitors and visits of a site. */
  byHour: Sides | null;
  /**
   * Of everything else: bounces and lengths are known when a visit is over, clicks and items by the
   * day.
   */
  byDay: Sides | null;
}

/** A range that is not over is compared up to the last full hour, or by its days that are over. */
export const comparisonOf = (report: Report): Comparison | null => {
  const totals = totalsOf(report);
  if (!report.compared || !totals) return null;
  const { so_far, totals: before } = report.compared;
  if (!so_far) {
    const whole = { now: totals, then: before };
    return { byHour: whole, byDay: whole };
  }
  const { now, before: then, days } = so_far;
  const byDay = days && { now: days.now, then: days.before };
  return { byHour: now && then ? { now, then } : byDay, byDay };
};

/** What all events brought, by currency, the largest number of payments first. */
export const revenueOf = (report: Report): string[] => {
  const by = new Map<string, { minor: number; digits: number; hits: number }>();
  for (const { currency, minor, digits, hits } of report.money ?? []) {
    const sum = by.get(currency) ?? { minor: 0, digits, hits: 0 };
    by.set(currency, { digits, minor: sum.minor + minor, hits: sum.hits + hits });
  }
  return [...by]
    .sort(([, a], [, b]) => b.hits - a.hits)
    .map(([currency, { minor, digits }]) => money(minor, digits, currency));
};

const isNothing = (totals: Totals): boolean => totals.visits === 0 && !totals.hits;
export const isEmpty = (report: Report): boolean => !!report.totals && isNothing(report.totals);
/**
 * Nobody came in these days, and nobody in those they are compared with: there is nothing to draw.
 */
export const isQuiet = (report: Report): boolean =>
  isEmpty(report) && (!report.compared || isNothing(report.compared.totals));

/** Where too few people are measured or read a mail. */
export interface Few {
  fewer_than: number;
}
export const isFew = (found: unknown): found is Few =>
  typeof found === "object" && found !== null && "fewer_than" in found;

export const itemsOf = (
  report: Report,
  subject: string,
): { hits: number | null; rows: (Item | ItemSeen)[] } | null => {
  const items = (
    report.subjects as
      Record<string, { hits?: number; rows: (Item | ItemSeen)[] } | undefined> | undefined
  )?.[subject];
  return items ? { hits: items.hits ?? null, rows: items.rows } : null;
};
export const valuesOf = (report: Report, dimension: string): Breakdown | null =>
  report.dimensions?.[dimension] ?? null;
export type { Step };

/** The collector's clock where it says: the reader's may be set otherwise. */
export const nowOf = ({ compared }: Report): number =>
  compared?.so_far?.until ? Date.parse(compared.so_far.until) : Date.now();
/** Today where the site is. */
export const todayOf = ({ zone, compared }: Report): string =>
  compared?.so_far?.until?.slice(0, 10) ??
  new Intl.DateTimeFormat("en-CA", { timeZone: zone }).format(Date.now());
