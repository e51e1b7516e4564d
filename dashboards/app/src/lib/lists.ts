// The lists of the dashboard: their place in a report, the names of their rows, and their columns.
import { selectItems, selectTotals, selectBreakdown } from "./report";
import { formatCompact, formatCount, formatDuration, formatMoney, formatPercent } from "./format";
import { shortenLink, valueLabel } from "./labels";
import { isFilteredByValue } from "./publication";
import type { Breakdown, ComparedContent, Item, ItemSeen, Report } from "./schema";
import { NO_VALUE, isFilterable, type FilterDimension } from "./view";

/** A cell's text and its sort value. */
export type ExtraCell = [text: string, measure: number];
export interface ListRow {
  key: string;
  name: string;
  title: string;
  filterable: boolean;
  /** Length of the bar relative to the largest row, 0 to 1. */
  share: number;
  hits: number;
  visitors: number;
  visits: number;
  /** The row's number in both periods; `null` if unknown. */
  comparison: RowComparison | null;
  /** Cells of columns that only this list has. */
  extras: ExtraCell[];
}
export interface RowComparison {
  now: number;
  before: number;
}
export interface ListColumn {
  label: string;
  hint?: string;
  format: (row: ListRow) => string;
  /** The sort value. */
  value: (row: ListRow) => number;
  secondary?: boolean;
  /** Whether the change against the previous period is shown next to the number. */
  compared?: boolean;
  /** For sums of money, which are longer than counts. */
  wide?: boolean;
}
export interface ReportList {
  id: string;
  title: string;
  heading: string;
  /** The table's name in an export. */
  table: string;
  by?: FilterDimension;
  columns: (report: Report) => ListColumn[];
  rows: (report: Report) => ListRow[] | null;
  /** For lists of visitor attributes: the numbers of published and pending visitors. */
  breakdown?: (report: Report) => Breakdown | null;
  /** The text of an empty list. */
  empty: string;
}

const numberColumn = (
  label: string,
  measure: (row: ListRow) => number,
  hint = "",
  secondary = false,
): ListColumn => ({
  label,
  hint,
  format: (row) => formatCompact(measure(row)),
  value: measure,
  secondary,
});
const extraColumn = (label: string, i: number, hint = "", secondary = true): ListColumn => ({
  label,
  hint,
  format: (row) => row.extras[i]?.[0] ?? "–",
  value: (row) => row.extras[i]?.[1] ?? 0,
  secondary,
});
const withComparison = (column: ListColumn): ListColumn => ({ ...column, compared: true });
const VISITORS_COLUMN = numberColumn("Visitors", (row) => row.visitors, "Counted anew each day");
const VISITS_COLUMN = numberColumn("Visits", (row) => row.visits, "", true);
const COMPARED_VISITORS = withComparison(VISITORS_COLUMN);
const FILTERED_COLUMNS = [COMPARED_VISITORS, { ...VISITS_COLUMN, secondary: false }];
const shareCell = (part: number, all: number | null | undefined): ExtraCell =>
  all ? [formatPercent(part / all), part / all] : ["–", 0];
const meanCell = (seconds: number, hits: number): ExtraCell =>
  hits ? [formatDuration(seconds / hits), seconds / hits] : ["–", 0];
const hasHits = (row: Item | ItemSeen): row is Item => "hits" in row;

/** The comparison of a page, link or event: of its hits if those are shown, or of its visitors. */
const compareItem = (row: Item | ItemSeen, isOfHits: boolean): RowComparison | null => {
  if (!row.compared) return null;
  if (!hasHits(row)) {
    const { now, before } = row.compared;
    return { now: now.visitors, before: before.visitors };
  }
  const { now, before } = row.compared as ComparedContent;
  return isOfHits ? { now: now.hits, before: before.hits } : null;
};

const withBarShares = (
  rows: Omit<ListRow, "share">[],
  measure: (row: Omit<ListRow, "share">) => number,
): ListRow[] => {
  const largest = rows.reduce((top, row) => Math.max(top, measure(row)), 0);
  return rows.map((row) => ({ ...row, share: largest ? measure(row) / largest : 0 }));
};

type ExtraCells = (row: Item, all: number | null, report: Report) => ExtraCell[];
const itemRows = (
  report: Report,
  subject: string,
  name: (item: string) => string,
  extras: ExtraCells,
  measure?: (row: Item) => number,
) => {
  const selected = selectItems(report, subject);
  if (!selected) return null;
  const rows = selected.rows.map((row) => ({
    key: row.item,
    name: name(row.item),
    title: valueLabel("item", row.item),
    filterable: isFilterable(row.item),
    hits: hasHits(row) ? (measure ? measure(row) : row.hits) : 0,
    visitors: row.visitors,
    visits: row.visits,
    comparison: compareItem(row, !measure),
    extras: hasHits(row) ? extras(row, selected.hits, report) : [],
  }));
  const isSeen = selected.hits === null;
  return withBarShares(
    isSeen ? rows : rows.filter((row) => row.hits).sort((a, b) => b.hits - a.hits),
    (row) => (isSeen ? row.visitors : row.hits),
  );
};
const unlessFiltered = (columns: ListColumn[]) => (report: Report) =>
  report.filter ? FILTERED_COLUMNS : columns;
const itemName = (item: string) => valueLabel("item", item);

export const LINKS: ReportList = {
  id: "links",
  title: "Links",
  heading: "Link",
  table: "link",
  by: "link",
  empty: "No link was clicked in these days.",
  columns: unlessFiltered([
    withComparison(numberColumn("Clicks", (row) => row.hits)),
    extraColumn("Share", 0, "Of all clicks"),
    numberColumn(
      "Unique clicks",
      (row) => row.visitors,
      "Visitors who clicked, counted anew each day",
      true,
    ),
    extraColumn("Rate", 1, "Visits with a click on it, of all visits", false),
    extraColumn("After", 2, "Mean time from the page view to the click"),
  ]),
  rows: (report) =>
    itemRows(
      report,
      "link",
      (item) => shortenLink(valueLabel("item", item)),
      (row, all) => [
        shareCell(row.hits, all),
        shareCell(row.visits, selectTotals(report)?.visits),
        meanCell(row.seconds, row.hits),
      ],
    ),
};

const pageList = (
  id: string,
  title: string,
  columns: ListColumn[],
  measure?: (row: Item) => number,
): ReportList => ({
  id,
  title,
  heading: "Page",
  table: "page",
  by: "page",
  columns: unlessFiltered(columns),
  empty: "No page was viewed in these days.",
  // With a filter by value, the pages seen are known, but not entries and exits.
  rows: (report) =>
    measure && report.filter
      ? null
      : itemRows(
          report,
          "page",
          itemName,
          (row) => [meanCell(row.seconds, row.hits), shareCell(row.bounces, row.visits)],
          measure,
        ),
});
export const PAGES: ReportList[] = [
  pageList("views", "Pages", [
    withComparison(numberColumn("Views", (row) => row.hits)),
    VISITORS_COLUMN,
    extraColumn("Time", 0, "Mean time it had attention"),
  ]),
  pageList(
    "entries",
    "Entries",
    [
      numberColumn("Entries", (row) => row.hits, "Visits that began here"),
      { ...VISITS_COLUMN, hint: "Visits that saw it" },
      extraColumn("Bounced", 1),
    ],
    (row) => row.entries,
  ),
  pageList(
    "exits",
    "Exits",
    [
      numberColumn("Exits", (row) => row.hits, "Visits that ended here"),
      { ...VISITS_COLUMN, hint: "Visits that saw it" },
    ],
    (row) => row.exits,
  ),
];

const moneyCell = (report: Report, event: string): ExtraCell => {
  const rows = (report.money ?? []).filter((row) => row.event === event);
  const text = rows.map(
    (row) =>
      formatMoney(row.minor, row.digits, row.currency) +
      (row.over ? ` (${row.over} over the bound)` : ""),
  );
  return [text.join(" + "), rows[0]?.minor ?? 0];
};
export const EVENTS: ReportList = {
  id: "events",
  title: "Events",
  heading: "Event",
  table: "event",
  by: "event",
  empty: "No event was sent in these days.",
  columns: (report) =>
    report.filter
      ? FILTERED_COLUMNS
      : [
          withComparison(numberColumn("Times", (row) => row.hits)),
          { ...VISITORS_COLUMN, secondary: true },
          ...(report.money?.length
            ? [{ ...extraColumn("Money", 0, "Sum of the amounts", false), wide: true }]
            : []),
        ],
  rows: (report) => itemRows(report, "event", itemName, (row) => [moneyCell(report, row.item)]),
};

const valueTitle = (id: string, value: string) =>
  id === "campaign" && value === NO_VALUE
    ? "Came by a link without utm_campaign"
    : valueLabel(id, value);
const valueList = (
  id: string,
  title: string,
  heading: string,
  empty: string,
  filterBy?: FilterDimension,
): ReportList => ({
  id,
  title,
  heading,
  table: id,
  ...(filterBy ? { by: filterBy } : {}),
  empty,
  columns: () => [COMPARED_VISITORS, extraColumn("Share", 0, "Of the visitors shown", false)],
  breakdown: (report) => selectBreakdown(report, id),
  rows: (report) => {
    const selected = selectBreakdown(report, id);
    if (!selected) return null;
    const rows = selected.rows.map((row) => ({
      key: row.value,
      name: valueLabel(id, row.value),
      title: valueTitle(id, row.value),
      filterable: isFilterable(row.value),
      hits: 0,
      visitors: row.visitors,
      visits: row.visits,
      comparison: row.compared
        ? { now: row.compared.now.visitors, before: row.compared.before.visitors }
        : null,
      extras: [shareCell(row.visitors, selected.published)],
    }));
    // Most visitors have no campaign: that row comes last, and the bars are relative to the others.
    return withBarShares(
      rows.sort((a, b) => Number(a.key === NO_VALUE) - Number(b.key === NO_VALUE)),
      (row) => (row.key === NO_VALUE ? 0 : row.visitors),
    );
  },
});
export const CHANNELS = valueList("channel", "Channels", "Channel", "No visitors in these days.");
export const SOURCES: ReportList[] = [
  valueList("source", "Sources", "Source", "No visitors in these days.", "source"),
  valueList(
    "campaign",
    "Campaigns",
    "Campaign",
    "No link with utm_campaign was followed in these days.",
    "campaign",
  ),
];
export const COUNTRIES = valueList(
  "country",
  "Countries",
  "Country",
  "No visitors in these days.",
  "country",
);
export const TECH: ReportList[] = [
  valueList("device", "Devices", "Device", "No visitors in these days."),
  valueList("browser", "Browsers", "Browser", "No visitors in these days."),
  valueList("os", "Systems", "System", "No visitors in these days."),
  valueList("language", "Languages", "Language", "No visitors in these days."),
];

/** With a filter by source, country or campaign, an empty list may still be pending. */
export const emptyText = (list: ReportList, report: Report): string =>
  isFilteredByValue(report) ? "Nothing shown yet in these days." : list.empty;
export const belowThresholdText = (k: number) =>
  `Fewer than ${formatCount(k)} visitors: not shown.`;
