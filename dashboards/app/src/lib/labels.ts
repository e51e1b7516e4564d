// Labels of the API's values.
import { createOnce } from "./format";
import { NO_VALUE } from "./view";

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
const createNames = (type: "region" | "language") =>
  createOnce(() => new Intl.DisplayNames("en", { type, fallback: "code" }));
const countries = createNames("region");
const languages = createNames("language");

export const valueLabel = (by: string, value: string): string => {
  if (by === "campaign" && value === NO_VALUE) return "No campaign";
  if (value in SPECIAL_VALUES) return SPECIAL_VALUES[value] ?? value;
  try {
    if (by === "country") return countries().of(value) ?? value;
    if (by === "language") return languages().of(value) ?? value;
  } catch {
    // Not a valid code: shown as it is.
  }
  return (
    (by === "device" ? DEVICES[value] : by === "channel" ? CHANNELS[value] : undefined) ?? value
  );
};

const URL_PREFIX = /^https?:\/\/(www\.)?/;
/** A link's target without scheme and `www.`; the row's title has the whole URL. */
export const shortenLink = (item: string): string =>
  URL_PREFIX.test(item) ? item.replace(URL_PREFIX, "").replace(/\/$/, "") : item;

export const DROP_LABELS: Record<string, [reason: string, why: string]> = {
  no_consent: [
    "No consent",
    "No choice yet, or consent refused. Nothing is counted without consent.",
  ],
  dnt: ["Do Not Track", "The browser asks not to be tracked, which overrides consent."],
  gpc: ["Global Privacy Control", "The browser opts out on behalf of the visitor."],
  objected: ["Objected", "The visitor opted out of counting."],
  not_a_view: ["Not a page view", "Bots, previews and prerendered pages."],
  unknown_site: ["Not from a known page", "Sent from a page or host that is not registered here."],
  limited: ["Rate limited", "More requests than the rate limits allow."],
};

export const VITAL_LABELS = {
  LCP: ["Loading", "until the largest part is painted"],
  INP: ["Responsiveness", "until the page reacts to a tap or key"],
  CLS: ["Layout shift", "how much the page shifts under the reader"],
  FCP: ["First paint", "until anything is painted"],
  TTFB: ["Server", "until the first byte arrives"],
} as const;
export const formatVital = (metric: string, value: number): string =>
  metric === "CLS"
    ? value.toFixed(2)
    : value < 1000
      ? `${Math.round(value)} ms`
      : `${(value / 1000).toFixed(1)} s`;
