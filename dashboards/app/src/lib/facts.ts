// A report's answer, told apart: what was asked decides which numbers are in it.
import type { Breakdown, Compared, Item, ItemSeen, Report, Step } from "./schema";

/** Counts of a subject; those that a question has no answer for are missing. */
export interface Totals {
  hits?: number; visitors: number; visits: number; bounces?: number; seconds?: number; entries?: number; exits?: number;
  /** Clicks on all links, where the report is of the whole site. */
  clicks?: number;
}

export const totalsOf = (report: Report): Totals | null => {
  if (!report.totals) return null;
  const link = report.subjects?.link;
  return link && "hits" in link ? { ...report.totals, clicks: link.hits } : report.totals;
};
/** `clicks`: a comparison does not bring them; they are asked for apart. */
export const before = (compared: Compared | null, clicks?: number): Totals | null =>
  compared?.totals ? { ...compared.totals, ...(clicks === undefined ? {} : { clicks }) } : null;

export const isEmpty = (report: Report): boolean => {
  const totals = report.totals;
  return !!totals && totals.visits === 0 && !("hits" in totals && totals.hits);
};

/** Where too few people are measured or read a mail. */
export interface Few { fewer_than: number }
export const isFew = (found: unknown): found is Few => typeof found === "object" && found !== null && "fewer_than" in found;

export const itemsOf = (report: Report, subject: string): { hits: number | null; rows: (Item | ItemSeen)[] } | null => {
  const items = (report.subjects as Record<string, { hits?: number; rows: (Item | ItemSeen)[] } | undefined> | undefined)?.[subject];
  return items ? { hits: items.hits ?? null, rows: items.rows } : null;
};
export const valuesOf = (report: Report, dimension: string): Breakdown | null => report.dimensions?.[dimension] ?? null;
export type { Step };
