// What is looked at, as the address bar holds it: so a view can be kept, sent and gone back to.
import { isChoosable } from "./names";

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
export const FILTERS = ["page", "link", "event", "source", "country", "campaign"] as const;

export type FilterBy = (typeof FILTERS)[number];
export interface View {
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

const UNSAID: View = {
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
const KEYS = Object.keys(UNSAID) as (keyof View)[];

/** What a filter says, in its two parts. */
export const filterOf = (filter: string): { by: FilterBy; value: string } | null => {
  const by = FILTERS.find((name) => filter.startsWith(`${name}:`));
  return by ? { by, value: filter.slice(by.length + 1) } : null;
};

const isDay = (text: string) => /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text));

export const parse = (search: string): View => {
  const query = new URLSearchParams(search);
  const view = { ...UNSAID };
  for (const key of KEYS) view[key] = query.get(key) || view[key];
  if (!isDay(view.from) || !isDay(view.to)) view.from = view.to = "";
  else if (view.from > view.to) [view.from, view.to] = [view.to, view.from];
  if (!isDay(view.compare_from)) view.compare_from = "";
  if (!(view.range in RANGES)) view.range = UNSAID.range;
  if (!(view.compare in COMPARISONS)) view.compare = UNSAID.compare;
  if (!(view.theme in THEMES)) view.theme = "";
  if (!(view.interval in INTERVALS)) view.interval = "";
  const chosen = filterOf(view.filter);
  if (!chosen || !isChoosable(chosen.value)) view.filter = "";
  return view;
};

/** Only what differs from what goes without saying. */
export const search = (view: View): string => {
  const query = new URLSearchParams(
    KEYS.filter((key) => view[key] !== UNSAID[key]).map((key) => [key, view[key]]),
  );
  const text = query.toString();
  return text && `?${text}`;
};

class Here {
  view = $state.raw(parse(location.search));

  constructor() {
    addEventListener("popstate", () => (this.view = parse(location.search)));
  }

  go(change: Partial<View>, instead = false): void {
    const view = { ...this.view, ...change };
    const url = location.pathname + search(view);
    if (url === location.pathname + search(this.view)) return;
    history[instead ? "replaceState" : "pushState"](null, "", url);
    this.view = view;
  }
}

export const here = new Here();
/** A page of the dashboard in the reader's theme, which nothing but the address keeps. */
export const pageUrl = (path: string, query: Record<string, string> = {}): string => {
  const { theme } = here.view;
  const text = new URLSearchParams(theme ? { ...query, theme } : query).toString();
  return text ? `${path}?${text}` : path;
};

/** Shows the page in a theme; without one as the system says. */
export const paint = (theme: string): void => {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
};
$effect.root(() => {
  $effect(() => paint(here.view.theme));
});

/** The range as the API takes it. */
export const days = (view: View): URLSearchParams =>
  new URLSearchParams(view.from ? { from: view.from, to: view.to } : { range: view.range });

/** Where the reader's weeks do not begin on Monday: on which day. */
const week = ((): string => {
  const locale = new Intl.Locale(navigator.language) as Intl.Locale & {
    getWeekInfo?: () => { firstDay: number };
    weekInfo?: { firstDay: number };
  };
  const first = (locale.getWeekInfo?.() ?? locale.weekInfo)?.firstDay;
  return first === 7 ? "sunday" : first === 6 ? "saturday" : "";
})();

/** The whole question of a report. */
export const question = (view: View): URLSearchParams => {
  const query = days(view);
  if (view.compare_from) query.set("compare_from", view.compare_from);
  else query.set("compare", view.range === "all" && !view.from ? "none" : view.compare);
  if (view.interval) query.set("interval", view.interval);
  if (week) query.set("week", week);
  if (view.filter) query.set("filter", view.filter);
  else query.set("with", "clicks,countries");
  return query;
};
