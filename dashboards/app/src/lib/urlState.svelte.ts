// What is looked at, as the address bar holds it: so a view can be kept, sent and gone back to.
import { isFilterable } from "./labels";

export const RANGES = {
  today: "Today",
  yesterday: "Yesterday",
  "7d": "7 days",
  "28d": "28 days",
  "30d": "30 days",
  "90d": "90 days",
  month: "This month",
  last_month: "Last month",
  "12mo": "12 months",
  year: "This year",
  all: "All time",
} as const;
export const COMPARISONS = {
  previous: "the period before",
  year: "a year earlier",
  none: "nothing",
} as const;
export const INTERVALS = { hour: "Hours", day: "Days", week: "Weeks", month: "Months" } as const;
export const THEMES: Record<string, string> = { "": "as the system", light: "light", dark: "dark" };
/** What a row may be chosen by. */
export const FILTER_DIMENSIONS = [
  "page",
  "link",
  "event",
  "source",
  "country",
  "campaign",
] as const;

export type FilterDimension = (typeof FILTER_DIMENSIONS)[number];
export interface ViewState {
  site: string;
  range: string;
  from: string;
  to: string;
  compare: string;
  compare_from: string;
  interval: string;
  filter: string;
  metric: string;
  /** Which list a panel with several shows. */
  pages: string;
  sources: string;
  tech: string;
  speed: string;
  tab: string;
  /** Light or dark; as the system says without it. */
  theme: string;
}

const DEFAULT_VIEW: ViewState = {
  site: "",
  range: "7d",
  from: "",
  to: "",
  compare: "previous",
  compare_from: "",
  interval: "",
  filter: "",
  metric: "visitors",
  pages: "views",
  sources: "source",
  tech: "device",
  speed: "",
  tab: "sites",
  theme: "",
};
const VIEW_KEYS = Object.keys(DEFAULT_VIEW) as (keyof ViewState)[];

/** What a filter says, in its two parts. */
export const parseFilter = (filter: string): { by: FilterDimension; value: string } | null => {
  const by = FILTER_DIMENSIONS.find((name) => filter.startsWith(`${name}:`));
  return by ? { by, value: filter.slice(by.length + 1) } : null;
};

const isDay = (text: string) => /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text));

export const parseView = (text: string): ViewState => {
  const query = new URLSearchParams(text);
  const view = { ...DEFAULT_VIEW };
  for (const key of VIEW_KEYS) view[key] = query.get(key) || view[key];
  if (!isDay(view.from) || !isDay(view.to)) view.from = view.to = "";
  else if (view.from > view.to) [view.from, view.to] = [view.to, view.from];
  if (!isDay(view.compare_from)) view.compare_from = "";
  if (!(view.range in RANGES)) view.range = DEFAULT_VIEW.range;
  if (!(view.compare in COMPARISONS)) view.compare = DEFAULT_VIEW.compare;
  if (!(view.theme in THEMES)) view.theme = "";
  if (!(view.interval in INTERVALS)) view.interval = "";
  const chosen = parseFilter(view.filter);
  if (!chosen || !isFilterable(chosen.value)) view.filter = "";
  return view;
};

/** Only what differs from what goes without saying. */
export const serializeView = (view: ViewState): string => {
  const query = new URLSearchParams(
    VIEW_KEYS.filter((key) => view[key] !== DEFAULT_VIEW[key]).map((key) => [key, view[key]]),
  );
  const text = query.toString();
  return text && `?${text}`;
};

class UrlState {
  view = $state.raw(parseView(location.search));

  constructor() {
    addEventListener("popstate", () => (this.view = parseView(location.search)));
  }

  update(change: Partial<ViewState>, replace = false): void {
    const view = { ...this.view, ...change };
    const url = location.pathname + serializeView(view);
    if (url === location.pathname + serializeView(this.view)) return;
    history[replace ? "replaceState" : "pushState"](null, "", url);
    this.view = view;
  }
}

export const urlState = new UrlState();
/** A page of the dashboard in the reader's theme, which nothing but the address keeps. */
export const pageUrl = (path: string, query: Record<string, string> = {}): string => {
  const { theme } = urlState.view;
  const text = new URLSearchParams(theme ? { ...query, theme } : query).toString();
  return text ? `${path}?${text}` : path;
};

/** Shows the page in a theme; without one as the system says. */
export const applyTheme = (theme: string): void => {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
};
$effect.root(() => {
  $effect(() => applyTheme(urlState.view.theme));
});

/** The range as the API takes it. */
export const rangeParams = (view: ViewState): URLSearchParams =>
  new URLSearchParams(view.from ? { from: view.from, to: view.to } : { range: view.range });

/** Where the reader's weeks do not begin on Monday: on which day. */
const weekStart = ((): string => {
  const locale = new Intl.Locale(navigator.language) as Intl.Locale & {
    getWeekInfo?: () => { firstDay: number };
    weekInfo?: { firstDay: number };
  };
  const first = (locale.getWeekInfo?.() ?? locale.weekInfo)?.firstDay;
  return first === 7 ? "sunday" : first === 6 ? "saturday" : "";
})();

/** The whole question of a report. */
export const reportParams = (view: ViewState): URLSearchParams => {
  const query = rangeParams(view);
  if (view.compare_from) query.set("compare_from", view.compare_from);
  else query.set("compare", view.range === "all" && !view.from ? "none" : view.compare);
  if (view.interval) query.set("interval", view.interval);
  if (weekStart) query.set("week", weekStart);
  if (view.filter) query.set("filter", view.filter);
  else query.set("with", "clicks,countries");
  return query;
};
