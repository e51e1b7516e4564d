// The headline metrics: how each is computed and formatted, and whether an increase is better.
import type { ReportComparison, ReportTotals } from "./report";
import { formatCompact, formatDuration, formatPercent } from "./format";

export interface HeadlineMetric {
  id: string;
  label: string;
  hint: string;
  compute: (totals: ReportTotals) => number | null;
  format: (value: number) => string;
  /** The change of a percentage is given in percentage points. */
  inPoints?: boolean;
  lessIsBetter?: boolean;
  /** Counted by the hour, so that an unfinished day can be compared up to now. */
  byHour?: boolean;
}

const ratio = (part: number | undefined, all: number | undefined): number | null =>
  part !== undefined && all ? part / all : null;
const orNull = (n: number | undefined): number | null => n ?? null;

const VISITORS: HeadlineMetric = {
  id: "visitors",
  label: "Visitors",
  hint: "Browsers on one address, counted anew each day",
  compute: (t) => t.visitors,
  format: formatCompact,
  byHour: true,
};
const VISITS: HeadlineMetric = {
  id: "visits",
  label: "Visits",
  hint: "Until half an hour passes without anything, or midnight",
  compute: (t) => t.visits,
  format: formatCompact,
  byHour: true,
};
const hitsMetric = (label: string, hint: string): HeadlineMetric => ({
  id: "hits",
  label,
  hint,
  compute: (t) => orNull(t.hits),
  format: formatCompact,
  byHour: true,
});
/** A ratio per visit; null while no visit is finished. */
const visitRatio = (t: ReportTotals, part: number | undefined): number | null =>
  t.bounces || t.seconds ? ratio(part, t.visits) : null;
const BOUNCE_RATE: HeadlineMetric = {
  id: "bounce",
  label: "Bounce rate",
  hint: "Visits of one page without a click",
  compute: (t) => visitRatio(t, t.bounces),
  format: formatPercent,
  inPoints: true,
  lessIsBetter: true,
};
const meanTime = (id: string, label: string, hint: string): HeadlineMetric => ({
  id,
  label,
  hint,
  compute: (t) => ratio(t.seconds, t.hits),
  format: formatDuration,
});

const SITE_METRICS: HeadlineMetric[] = [
  VISITORS,
  VISITS,
  hitsMetric("Page views", "Every page that was looked at"),
  {
    id: "clicks",
    label: "Clicks",
    hint: "On all links of the site",
    compute: (t) => orNull(t.clicks),
    format: formatCompact,
  },
  {
    id: "rate",
    label: "Click rate",
    hint: "Clicks for each page view",
    compute: (t) => ratio(t.clicks, t.hits),
    format: formatPercent,
    inPoints: true,
  },
  BOUNCE_RATE,
  {
    id: "length",
    label: "Visit length",
    hint: "From the first to the last thing a visitor did",
    compute: (t) => visitRatio(t, t.seconds),
    format: formatDuration,
  },
];
const ITEM_METRICS: Record<string, HeadlineMetric[]> = {
  page: [
    VISITORS,
    VISITS,
    hitsMetric("Page views", "Of this page"),
    meanTime("time", "Time on page", "While it had attention"),
    {
      id: "entries",
      label: "Entries",
      hint: "Visits that began here",
      compute: (t) => orNull(t.entries),
      format: formatCompact,
    },
    {
      id: "exits",
      label: "Exits",
      hint: "Visits that ended here",
      compute: (t) => orNull(t.exits),
      format: formatCompact,
    },
  ],
  link: [
    { ...VISITORS, label: "Unique clicks", hint: "Visitors who clicked, counted anew each day" },
    VISITS,
    hitsMetric("Clicks", "On this link"),
    { ...meanTime("time", "Time to click", "From the page view to the click"), lessIsBetter: true },
  ],
  event: [VISITORS, VISITS, hitsMetric("Times", "That it happened")],
};
// With a filter by source, country or campaign: published numbers, not live ones.
const VALUE_METRICS: HeadlineMetric[] = [
  { ...VISITORS, label: "Visitors shown", hint: "Shown in groups, counted anew each day" },
  { ...VISITS, label: "Visits shown", hint: "Of the visitors shown" },
];

export const metricsFor = (by: string | undefined): HeadlineMetric[] =>
  by === undefined ? SITE_METRICS : (ITEM_METRICS[by] ?? VALUE_METRICS);

export interface MetricChange {
  text: string;
  ariaText: string;
  direction: "up" | "down" | "same";
  isBetter: boolean | null;
}

const formatPoints = (n: number) => `${n} ${n === 1 ? "pt" : "pts"}`;

/**
 * The change of a metric against the previous period; null if it cannot be compared. `shown` is the
 * number beside it: it includes the hour that is not over, which is not compared.
 */
export const compareMetric = (
  metric: HeadlineMetric,
  comparison: ReportComparison | null,
  shown: number | null,
): MetricChange | null => {
  const pair = metric.byHour ? comparison?.byHour : comparison?.byDay;
  if (!pair) return null;
  const [now, before] = [metric.compute(pair.now), metric.compute(pair.before)];
  return shown && !now && !before ? null : describeChange(metric, now, before);
};

/** The change of a list's row against the previous period. */
export const compareRow = ({
  now,
  before,
}: {
  now: number;
  before: number;
}): MetricChange | null =>
  now && !before
    ? { text: "new", ariaText: "none before", direction: "up", isBetter: true }
    : now || before
      ? describeChange(VISITORS, now, before)
      : null;

const describeChange = (
  metric: HeadlineMetric,
  now: number | null,
  then: number | null,
): MetricChange | null => {
  if (now === null || then === null || (!then && now && !metric.inPoints)) return null;
  const difference = metric.inPoints ? now - then : then ? (now - then) / then : 0;
  const text = metric.inPoints
    ? formatPoints(Math.round(Math.abs(difference) * 100))
    : formatPercent(Math.abs(difference));
  if (Math.abs(difference) < 0.005)
    return { text: "same", ariaText: "the same as before", direction: "same", isBetter: null };
  const direction = difference > 0 ? "up" : "down";
  const isLevel = metric.inPoints || metric.format === formatDuration;
  const compared = isLevel
    ? difference > 0
      ? "higher"
      : "lower"
    : difference > 0
      ? "more"
      : "less";
  const ariaText = `${text.replace("pt", "point")} ${compared} than before`;
  return { text, ariaText, direction, isBetter: difference > 0 !== !!metric.lessIsBetter };
};
