// Attributes of people are published in groups, when a day is over: up to when they are, and what
// still waits, in words. Totals and content are exact and live; only what is said here may be
// behind them.
import { formatFullDay, pluralize } from "./format";
import type { Breakdown, Report } from "./schema";

/** What the line above the lists names, in the order it stands there. */
const DIMENSION_NAMES = { source: "sources", country: "countries", device: "devices" } as const;
const LIST_FORMAT = new Intl.ListFormat("en-GB");

/**
 * Whether all numbers of a report are of one source, country or campaign, and therefore published
 * ones.
 */
export const isFilteredByValue = (report: Report): boolean =>
  !!report.filter && ["source", "country", "campaign"].includes(report.filter.by);

/**
 * "Friday, 27 November", "14:00 today"; nothing where the whole range is published, or none of it.
 */
export const publishedUntil = (report: Report): string => {
  const { through, hour } = report.attributes;
  if (hour) return `${hour.slice(11, 16)} today`;
  return through && through >= report.from && through < report.to
    ? formatFullDay(through, report.to)
    : "";
};

/** The line above the lists. */
export const publicationLine = (report: Report): string => {
  const until = publishedUntil(report);
  if (isFilteredByValue(report))
    return (
      `Visitors shown${until && ` up to ${until}`}, ` +
      `in groups of at least ${report.k}: numbers need not add up.`
    );
  const names = Object.entries(DIMENSION_NAMES)
    .filter(([dimension]) => report.dimensions?.[dimension])
    .map(([, name]) => name);
  const text = until && names.length ? `${LIST_FORMAT.format(names)} up to ${until}` : "";
  return text.charAt(0).toUpperCase() + text.slice(1);
};

/** Whether all who came did so on a day that is not published yet. */
const isUnpublished = (report: Report): boolean => {
  const { through, hour } = report.attributes;
  if (hour) return false;
  if (!through || through < report.from) return true;
  // Weeks and months hold days of both kinds.
  if (report.interval !== "day" && report.interval !== "hour") return false;
  return (
    report.series?.every(({ at, visitors }) => !visitors || at.slice(0, 10) > through) ?? false
  );
};

export interface PendingVisitors {
  visitors: number;
  explanation: string;
  /** Said instead of a list, where there is none yet. */
  placeholder: string;
}

/** Who is counted and not shown in a list. */
export const selectPending = (
  report: Report,
  { pending, published }: Breakdown,
): PendingVisitors | null => {
  if (!pending) return null;
  const until = publishedUntil(report);
  const when = report.attributes.hour
    ? "after the day, or on a busy page the hour, is over"
    : "after the day is over";
  return {
    visitors: pending,
    explanation:
      `Values are shown in groups of at least ${report.k} visitors, ` +
      `${when}${until && `: so far up to ${until}`}.`,
    placeholder:
      published || !isUnpublished(report)
        ? ""
        : report.from === report.to
          ? "Shown after the day is over."
          : "Shown after the first day is over.",
  };
};

/** A list of more visitors than came in these days: groups can hold some who came before. */
export const earlierVisitorsNote = (report: Report, { published }: Breakdown): string => {
  const more = published - (report.totals?.visitors ?? published);
  return more > 0 ? `Includes at least ${pluralize(more, "visitor")} of earlier days.` : "";
};
