// Attributes of people are published in groups, when a day is over: up to when they are, and what
// still waits, in words. Totals and content are exact and live; only what is said here may be
// behind them.
import { fullDay, plural } from "./format";
import type { Breakdown, Report } from "./schema";

/** What the line above the lists names, in the order it stands there. */
const NAMED = { source: "sources", country: "countries", device: "devices" } as const;
const list = new Intl.ListFormat("en-GB");

/**
 * Whether all numbers of a report are of one source, country or campaign, and therefore published
 * ones.
 */
export const isOfValue = (report: Report): boolean =>
  !!report.filter && ["source", "country", "campaign"].includes(report.filter.by);

/**
 * "Friday, 27 November", "14:00 today"; nothing where the whole range is published, or none of it.
 */
export const asOf = (report: Report): string => {
  const { through, hour } = report.attributes;
  if (hour) return `${hour.slice(11, 16)} today`;
  return through && through >= report.from && through < report.to
    ? fullDay(through, report.to)
    : "";
};

/** The line above the lists. */
export const asOfLine = (report: Report): string => {
  const until = asOf(report);
  if (isOfValue(report))
    return (
      `Visitors shown${until && ` up to ${until}`}, ` +
      `in groups of at least ${report.k}: numbers need not add up.`
    );
  const named = Object.entries(NAMED)
    .filter(([dimension]) => report.dimensions?.[dimension])
    .map(([, name]) => name);
  const text = until && named.length ? `${list.format(named)} up to ${until}` : "";
  return text.charAt(0).toUpperCase() + text.slice(1);
};

/** Whether all who came did so on a day that is not published yet. */
const isOpen = (report: Report): boolean => {
  const { through, hour } = report.attributes;
  if (hour) return false;
  if (!through || through < report.from) return true;
  // Weeks and months hold days of both kinds.
  if (report.interval !== "day" && report.interval !== "hour") return false;
  return (
    report.series?.every(({ at, visitors }) => !visitors || at.slice(0, 10) > through) ?? false
  );
};

export interface Waiting {
  visitors: number;
  why: string;
  /** Said instead of a list, where there is none yet. */
  soon: string;
}

/** Who is counted and not shown in a list. */
export const waitingOf = (report: Report, { pending, published }: Breakdown): Waiting | null => {
  if (!pending) return null;
  const until = asOf(report);
  const when = report.attributes.hour
    ? "after the day, or on a busy page the hour, is over"
    : "after the day is over";
  return {
    visitors: pending,
    why:
      `Values are shown in groups of at least ${report.k} visitors, ` +
      `${when}${until && `: so far up to ${until}`}.`,
    soon:
      published || !isOpen(report)
        ? ""
        : report.from === report.to
          ? "Shown after the day is over."
          : "Shown after the first day is over.",
  };
};

/** A list of more visitors than came in these days: groups can hold some who came before. */
export const earlierIn = (report: Report, { published }: Breakdown): string => {
  const more = published - (report.totals?.visitors ?? published);
  return more > 0 ? `Includes at least ${plural(more, "visitor")} of earlier days.` : "";
};
