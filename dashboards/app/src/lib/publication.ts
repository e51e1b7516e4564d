// Visitor attributes are published in groups, after the end of the day. These texts say until when
// they are published and what is pending. Totals and content are exact and live.
import { createOnce, formatFullDay, pluralize } from "./format";
import type { Breakdown, Report } from "./schema";

/** The dimensions named in the line above the lists, in that order. */
const DIMENSION_NAMES = { source: "sources", country: "countries", device: "devices" } as const;
const listFormat = createOnce(() => new Intl.ListFormat("en-GB"));

/**
 * Whether a report is filtered by source, country or campaign, so that all its numbers are
 * published ones.
 */
export const isFilteredByValue = (report: Report): boolean =>
  !!report.filter && ["source", "country", "campaign"].includes(report.filter.by);

/**
 * "Friday, 27 November" or "14:00 today"; empty if all or none of the range is published.
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
  const text = until && names.length ? `${listFormat().format(names)} up to ${until}` : "";
  return text.charAt(0).toUpperCase() + text.slice(1);
};

/** Whether all visitors came on days that are not published yet. */
const isUnpublished = (report: Report): boolean => {
  const { through, hour } = report.attributes;
  if (hour) return false;
  if (!through || through < report.from) return true;
  // Weeks and months can contain both published and unpublished days.
  if (report.interval !== "day" && report.interval !== "hour") return false;
  return (
    report.series?.every(({ at, visitors }) => !visitors || at.slice(0, 10) > through) ?? false
  );
};

export interface PendingVisitors {
  visitors: number;
  explanation: string;
  /** Shown instead of a list that has no rows yet. */
  placeholder: string;
}

/** Visitors who are counted but not yet shown in a list. */
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

/** A note for a list with more visitors than the range: groups can include earlier visitors. */
export const earlierVisitorsNote = (report: Report, { published }: Breakdown): string => {
  const more = published - (report.totals?.visitors ?? published);
  return more > 0 ? `Includes at least ${pluralize(more, "visitor")} of earlier days.` : "";
};
