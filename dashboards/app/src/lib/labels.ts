// What values of the API are called on the page.
const SPECIAL_VALUES: Record<string, string> = {
  "(direct)": "Direct",
  "(other)": "Other",
  "(unknown)": "Unknown",
  "(id)": "Not named, looked personal",
  "(none)": "None",
};
const DEVICES: Record<string, string> = {
  desktop: "Desktop",
  phone: "Phone",
  tablet: "Tablet",
  tv: "TV",
};
const CHANNELS: Record<string, string> = {
  direct: "Direct",
  search: "Search",
  social: "Social media",
  messenger: "Messengers",
  "AI assistant": "AI assistants",
  mail: "Mail",
  video: "Video",
  paid: "Paid",
  referral: "Other sites",
  own: "Own pages",
};
export const FILTER_LABELS: Record<string, string> = {
  page: "Page",
  link: "Link",
  event: "Event",
  source: "Source",
  country: "Country",
  campaign: "Campaign",
};
const countries = new Intl.DisplayNames("en", { type: "region", fallback: "code" });
const languages = new Intl.DisplayNames("en", { type: "language", fallback: "code" });

/** The absence of a value is a value too: it is counted like the others. */
export const NO_VALUE = "(none)";

export const valueLabel = (by: string, value: string): string => {
  if (by === "campaign" && value === NO_VALUE) return "No campaign";
  if (value in SPECIAL_VALUES) return SPECIAL_VALUES[value] ?? value;
  try {
    if (by === "country") return countries.of(value) ?? value;
    if (by === "language") return languages.of(value) ?? value;
  } catch {
    // not a code after all: say what is there
  }
  return (
    (by === "device" ? DEVICES[value] : by === "channel" ? CHANNELS[value] : undefined) ?? value
  );
};

/** A rest, or the lack of a value, is nothing to ask for. */
export const isFilterable = (value: string): boolean => value !== "(other)" && value !== NO_VALUE;

const URL_PREFIX = /^https?:\/\/(www\.)?/;
/** A link's target without what every link has; the whole of it is in the row's title. */
export const shortenLink = (item: string): string =>
  URL_PREFIX.test(item) ? item.replace(URL_PREFIX, "").replace(/\/$/, "") : item;

export const DROP_LABELS: Record<string, [reason: string, why: string]> = {
  no_consent: ["Did not agree", "No answer yet, or a no. Nothing is counted before a yes."],
  dnt: ["Do Not Track", "The browser asks not to be tracked. That outweighs a yes."],
  gpc: ["Global Privacy Control", "The browser opts out on behalf of the visitor."],
  objected: ["Objected", "The visitor opted out of counting."],
  not_a_view: ["Not a person", "Robots, previews and pages loaded ahead of time."],
  unknown_site: ["Not from a known page", "Sent from a page or host that is not registered here."],
  limited: ["Too many at once", "Faster than people click; the limits keep floods out."],
};

export const VITAL_LABELS = {
  LCP: ["Loading", "until the largest part is painted"],
  INP: ["Responding", "until the page reacts to a tap or key"],
  CLS: ["Moving about", "how much the page shifts under the reader"],
  FCP: ["First paint", "until anything is painted"],
  TTFB: ["Server", "until the first byte arrives"],
} as const;
export const formatVital = (metric: string, value: number): string =>
  metric === "CLS"
    ? value.toFixed(2)
    : value < 1000
      ? `${Math.round(value)} ms`
      : `${(value / 1000).toFixed(1)} s`;
