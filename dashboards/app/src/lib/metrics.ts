// The headline numbers: what each is made of, how it is said, and whether more of it is better.
import type { Comparison, Totals } from "./facts";
import { brief, duration, percent } from "./format";

export interface Metric {
  id: string;
  label: string;
  hint: string;
  of: (totals: Totals) => number | null;
  say: (value: number) => string;
  /** A share changes by points, not by a share of itself. */
  points?: boolean;
  lessIsBetter?: boolean;
  /** Counted by the hour, so that a day that is not over can be compared up to now. */
  byHour?: boolean;
}

const ratio = (part: number | undefined, all: number | undefined): number | null =>
  part !== undefined && all ? part / all : null;
const known = (n: number | undefined): number | null => n ?? null;

const visitors: Metric = {
  id: "visitors",
  label: "Visitors",
  hint: "Browsers on one address, counted anew each day",
  of: (t) => t.visitors,
  say: brief,
  byHour: true,
};
const visits: Metric = {
  id: "visits",
  label: "Visits",
  hint: "Until half an hour passes without anything, or midnight",
  of: (t) => t.visits,
  say: brief,
  byHour: true,
};
const hits = (label: string, hint: string): Metric => ({
  id: "hits",
  label,
  hint,
  of: (t) => known(t.hits),
  say: brief,
  byHour: true,
});
/** While no visit is over, nothing is known of how visits end. */
const ended = (t: Totals, part: number | undefined): number | null =>
  t.bounces || t.seconds ? ratio(part, t.visits) : null;
const bounce: Metric = {
  id: "bounce",
  label: "Bounce rate",
  hint: "Visits of one page without a click",
  of: (t) => ended(t, t.bounces),
  say: percent,
  points: true,
  lessIsBetter: true,
};
const each = (id: string, label: string, hint: string): Metric => ({
  id,
  label,
  hint,
  of: (t) => ratio(t.seconds, t.hits),
  say: duration,
});

const SITE: Metric[] = [
  visitors,
  visits,
  hits("Page views", "Every page that was looked at"),
  {
    id: "clicks",
    label: "Clicks",
    hint: "On all links of the site",
    of: (t) => known(t.clicks),
    say: brief,
  },
  {
    id: "rate",
    label: "Click rate",
    hint: "Clicks for each page view",
    of: (t) => ratio(t.clicks, t.hits),
    say: percent,
    points: true,
  },
  bounce,
  {
    id: "length",
    label: "Visit length",
    hint: "From the first to the last thing a visitor did",
    of: (t) => ended(t, t.seconds),
    say: duration,
  },
];
const ITEM: Record<string, Metric[]> = {
  page: [
    visitors,
    visits,
    hits("Page views", "Of this page"),
    each("time", "Time on page", "While it had attention"),
    {
      id: "entries",
      label: "Entries",
      hint: "Visits that began here",
      of: (t) => known(t.entries),
      say: brief,
    },
    {
      id: "exits",
      label: "Exits",
      hint: "Visits that ended here",
      of: (t) => known(t.exits),
      say: brief,
    },
  ],
  link: [
    { ...visitors, label: "Unique clicks", hint: "Visitors who clicked, counted anew each day" },
    visits,
    hits("Clicks", "On this link"),
    { ...each("time", "Time to click", "From the page view to the click"), lessIsBetter: true },
  ],
  event: [visitors, visits, hits("Times", "That it happened")],
};
// Of one source, country or campaign: published numbers, not live ones.
const VALUE: Metric[] = [
  { ...visitors, label: "Visitors shown", hint: "Shown in groups, counted anew each day" },
  { ...visits, label: "Visits shown", hint: "Of the visitors shown" },
];

export const metricsOf = (by: string | undefined): Metric[] =>
  by === undefined ? SITE : (ITEM[by] ?? VALUE);

export interface Change {
  text: string;
  spoken: string;
  way: "up" | "down" | "same";
  better: boolean | null;
}

const points = (n: number) => `${n} ${n === 1 ? "pt" : "pts"}`;

/** How a metric stands against the days before; nothing where that cannot be said. */
export const changeOf = (metric: Metric, comparison: Comparison | null): Change | null => {
  const sides = metric.byHour ? comparison?.byHour : comparison?.byDay;
  return sides ? change(metric, metric.of(sides.now), metric.of(sides.then)) : null;
};

/** How a row of a list stands against as many days before. */
export const rowChange = ({ now, before }: { now: number; before: number }): Change | null =>
  now && !before
    ? { text: "new", spoken: "none before", way: "up", better: true }
    : now || before
      ? change(visitors, now, before)
      : null;

const change = (metric: Metric, now: number | null, then: number | null): Change | null => {
  if (now === null || then === null || (!then && now && !metric.points)) return null;
  const by = metric.points ? now - then : then ? (now - then) / then : 0;
  const text = metric.points ? points(Math.round(Math.abs(by) * 100)) : percent(Math.abs(by));
  if (Math.abs(by) < 0.005)
    return { text: "same", spoken: "the same as before", way: "same", better: null };
  const way = by > 0 ? "up" : "down";
  const isLevel = metric.points || metric.say === duration;
  const compared = isLevel ? (by > 0 ? "higher" : "lower") : by > 0 ? "more" : "less";
  const spoken = `${text.replace("pt", "point")} ${compared} than before`;
  return { text, spoken, way, better: by > 0 !== !!metric.lessIsBetter };
};
