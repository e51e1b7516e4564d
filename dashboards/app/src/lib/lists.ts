// Every list the dashboard shows: where it is in a report, how a row is named, what stands in its
// columns.
import { itemsOf, totalsOf, valuesOf } from "./facts";
import { brief, count, duration, money, percent } from "./format";
import { NONE, isChoosable, linkName, named } from "./names";
import { isOfValue } from "./published";
import type { Breakdown, ComparedContent, Item, ItemSeen, Report } from "./schema";
import type { FilterBy } from "./view.svelte";

/** A column as it is said, and what it is sorted by. */
export type Extra = [says: string, measure: number];
export interface Row {
  key: string;
  name: string;
  title: string;
  choosable: boolean;
  /** Of the largest, 0 to 1: the length of the bar. */
  share: number;
  hits: number;
  visitors: number;
  visits: number;
  /** Its number on as many days of both sides; `null` where that is not known. */
  sides: RowSides | null;
  /** More columns of a list's own. */
  more: Extra[];
}
export interface RowSides {
  now: number;
  before: number;
}
export interface Column {
  label: string;
  hint?: string;
  of: (row: Row) => string;
  /** What it is sorted by. */
  value: (row: Row) => number;
  spare?: boolean;
  /** Its change against the days before stands beside the number. */
  compared?: boolean;
  /** Sums of money are longer than counts. */
  wide?: boolean;
}
export interface List {
  id: string;
  title: string;
  heading: string;
  /** What an export calls it. */
  table: string;
  by?: FilterBy;
  columns: (report: Report) => Column[];
  rows: (report: Report) => Row[] | null;
  /** Where rows are of people's attributes: how many are shown, and how many still wait. */
  breakdown?: (report: Report) => Breakdown | null;
  /** Where there is nothing. */
  empty: string;
}

const number = (label: string, of: (row: Row) => number, hint = "", spare = false): Column => ({
  label,
  hint,
  of: (row) => brief(of(row)),
  value: of,
  spare,
});
const extra = (label: string, i: number, hint = "", spare = true): Column => ({
  label,
  hint,
  of: (row) => row.more[i]?.[0] ?? "–",
  value: (row) => row.more[i]?.[1] ?? 0,
  spare,
});
const compared = (column: Column): Column => ({ ...column, compared: true });
const PEOPLE = number("Visitors", (row) => row.visitors, "Counted anew each day");
const VISITS = number("Visits", (row) => row.visits, "", true);
const COMPARED_PEOPLE = compared(PEOPLE);
const SEEN = [COMPARED_PEOPLE, { ...VISITS, spare: false }];
const share = (part: number, all: number | null | undefined): Extra =>
  all ? [percent(part / all), part / all] : ["–", 0];
const each = (seconds: number, hits: number): Extra =>
  hits ? [duration(seconds / hits), seconds / hits] : ["–", 0];
const isWhole = (row: Item | ItemSeen): row is Item => "hits" in row;

/** What is compared of a page, link or event: its hits, as far as those are what is shown. */
const sidesOf = (row: Item | ItemSeen, isOfHits: boolean): RowSides | null => {
  if (!row.compared) return null;
  if (!isWhole(row)) {
    const { now, before } = row.compared;
    return { now: now.visitors, before: before.visitors };
  }
  const { now, before } = row.compared as ComparedContent;
  return isOfHits ? { now: now.hits, before: before.hits } : null;
};

const measured = (rows: Omit<Row, "share">[], by: (row: Omit<Row, "share">) => number): Row[] => {
  const most = rows.reduce((top, row) => Math.max(top, by(row)), 0);
  return rows.map((row) => ({ ...row, share: most ? by(row) / most : 0 }));
};

type Extras = (row: Item, all: number | null, report: Report) => Extra[];
const items = (
  report: Report,
  subject: string,
  name: (item: string) => string,
  extras: Extras,
  by?: (row: Item) => number,
) => {
  const found = itemsOf(report, subject);
  if (!found) return null;
  const rows = found.rows.map((row) => ({
    key: row.item,
    name: name(row.item),
    title: named("item", row.item),
    choosable: isChoosable(row.item),
    hits: isWhole(row) ? (by ? by(row) : row.hits) : 0,
    visitors: row.visitors,
    visits: row.visits,
    sides: sidesOf(row, !by),
    more: isWhole(row) ? extras(row, found.hits, report) : [],
  }));
  const isSeen = found.hits === null;
  return measured(
    isSeen ? rows : rows.filter((row) => row.hits).sort((a, b) => b.hits - a.hits),
    (row) => (isSeen ? row.visitors : row.hits),
  );
};
const unless = (columns: Column[]) => (report: Report) => (report.filter ? SEEN : columns);
const asIs = (item: string) => named("item", item);

export const LINKS: List = {
  id: "links",
  title: "Links",
  heading: "Link",
  table: "link",
  by: "link",
  empty: "No link was clicked in these days.",
  columns: unless([
    compared(number("Clicks", (row) => row.hits)),
    extra("Share", 0, "Of all clicks"),
    number(
      "Unique clicks",
      (row) => row.visitors,
      "Visitors who clicked, counted anew each day",
      true,
    ),
    extra("Rate", 1, "Visits with a click on it, of all visits", false),
    extra("After", 2, "Mean time from the page view to the click"),
  ]),
  rows: (report) =>
    items(
      report,
      "link",
      (item) => linkName(named("item", item)),
      (row, all) => [
        share(row.hits, all),
        share(row.visits, totalsOf(report)?.visits),
        each(row.seconds, row.hits),
      ],
    ),
};

const page = (id: string, title: string, columns: Column[], by?: (row: Item) => number): List => ({
  id,
  title,
  heading: "Page",
  table: "page",
  by: "page",
  columns: unless(columns),
  empty: "No page was viewed in these days.",
  // Which pages a value's visitors saw is known, not where they came in or left.
  rows: (report) =>
    by && report.filter
      ? null
      : items(
          report,
          "page",
          asIs,
          (row) => [each(row.seconds, row.hits), share(row.bounces, row.visits)],
          by,
        ),
});
export const PAGES: List[] = [
  page("views", "Pages", [
    compared(number("Views", (row) => row.hits)),
    PEOPLE,
    extra("Time", 0, "Mean time it had attention"),
  ]),
  page(
    "entries",
    "Entries",
    [
      number("Entries", (row) => row.hits, "Visits that began here"),
      { ...VISITS, hint: "Visits that saw it" },
      extra("Bounced", 1),
    ],
    (row) => row.entries,
  ),
  page(
    "exits",
    "Exits",
    [
      number("Exits", (row) => row.hits, "Visits that ended here"),
      { ...VISITS, hint: "Visits that saw it" },
    ],
    (row) => row.exits,
  ),
];

const earned = (report: Report, event: string): Extra => {
  const rows = (report.money ?? []).filter((row) => row.event === event);
  const says = rows.map(
    (row) =>
      money(row.minor, row.digits, row.currency) +
      (row.over ? ` (${row.over} over the bound)` : ""),
  );
  return [says.join(" + "), rows[0]?.minor ?? 0];
};
export const EVENTS: List = {
  id: "events",
  title: "Events",
  heading: "Event",
  table: "event",
  by: "event",
  empty: "No event was sent in these days.",
  columns: (report) =>
    report.filter
      ? SEEN
      : [
          compared(number("Times", (row) => row.hits)),
          { ...PEOPLE, spare: true },
          ...(report.money?.length
            ? [{ ...extra("Money", 0, "Sum of the amounts", false), wide: true }]
            : []),
        ],
  rows: (report) => items(report, "event", asIs, (row) => [earned(report, row.item)]),
};

const titled = (id: string, value: string) =>
  id === "campaign" && value === NONE ? "Came by a link without utm_campaign" : named(id, value);
const values = (
  id: string,
  title: string,
  heading: string,
  empty: string,
  by?: FilterBy,
): List => ({
  id,
  title,
  heading,
  table: id,
  ...(by ? { by } : {}),
  empty,
  columns: () => [COMPARED_PEOPLE, extra("Share", 0, "Of the visitors shown", false)],
  breakdown: (report) => valuesOf(report, id),
  rows: (report) => {
    const found = valuesOf(report, id);
    if (!found) return null;
    const rows = found.rows.map((row) => ({
      key: row.value,
      name: named(id, row.value),
      title: titled(id, row.value),
      choosable: isChoosable(row.value),
      hits: 0,
      visitors: row.visitors,
      visits: row.visits,
      sides: row.compared
        ? { now: row.compared.now.visitors, before: row.compared.before.visitors }
        : null,
      more: [share(row.visitors, found.published)],
    }));
    // Those without a campaign are most, and say nothing about campaigns: last, and no measure for
    // the others.
    return measured(
      rows.sort((a, b) => Number(a.key === NONE) - Number(b.key === NONE)),
      (row) => (row.key === NONE ? 0 : row.visitors),
    );
  },
});
export const CHANNELS = values("channel", "Channels", "Channel", "Nobody came in these days.");
export const SOURCES: List[] = [
  values("source", "Sources", "Source", "Nobody came in these days.", "source"),
  values(
    "campaign",
    "Campaigns",
    "Campaign",
    "No link with utm_campaign was followed in these days.",
    "campaign",
  ),
];
export const COUNTRIES = values(
  "country",
  "Countries",
  "Country",
  "Nobody came in these days.",
  "country",
);
export const TECH: List[] = [
  values("device", "Devices", "Device", "Nobody came in these days."),
  values("browser", "Browsers", "Browser", "Nobody came in these days."),
  values("os", "Systems", "System", "Nobody came in these days."),
  values("language", "Languages", "Language", "Nobody came in these days."),
];

/** In a view of one source, country or campaign, what is not there may only not be shown yet. */
export const emptyOf = (list: List, report: Report): string =>
  isOfValue(report) ? "Nothing shown yet in these days." : list.empty;
export const tooFew = (k: number) => `Fewer than ${count(k)} visitors: not shown.`;
