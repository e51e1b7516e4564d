// The view state as a query string. Without the framework, because start.ts needs it before that is
// loaded.
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
/** The dimensions that a view can be filtered by. */
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
  /** The selected tabs of panels with several lists. */
  pages: string;
  sources: string;
  tech: string;
  speed: string;
  tab: string;
  /** `light`, `dark`, or empty for the system's theme. */
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

/** The value that means "none"; counted like the others. */
export const NO_VALUE = "(none)";
/** The remainder and a missing value cannot be filtered by. */
export const isFilterable = (value: string): boolean => value !== "(other)" && value !== NO_VALUE;

/** Splits a filter into its dimension and value. */
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

/** The query string, without default values. */
export const serializeView = (view: ViewState): string => {
  const query = new URLSearchParams(
    VIEW_KEYS.filter((key) => view[key] !== DEFAULT_VIEW[key]).map((key) => [key, view[key]]),
  );
  const text = query.toString();
  return text && `?${text}`;
};
