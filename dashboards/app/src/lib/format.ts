// Numbers and days as people read them. English throughout, as the page is.
const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (n: number): string => whole.format(n);
/** Six digits and more take too much room for what they tell. */
export const brief = (n: number): string => (n < 100_000 ? whole.format(n) : short.format(n));
export const percent = (share: number): string => {
  const value = share * 100;
  // 5.04 and 5 are the same, whichever way they came about.
  return `${value > 0 && value < 9.95 ? Number(value.toFixed(1)) : Math.round(value)}%`;
};
export const duration = (seconds: number): string => {
  const s = Math.round(seconds);
  if (s < 60) return `${s}s`;
  return s < 3600
    ? `${Math.floor(s / 60)}m ${s % 60}s`
    : `${Math.floor(s / 3600)}h ${Math.floor((s % 3600) / 60)}m`;
};
export const bytes = (n: number): string => {
  const power = n < 1024 ? 0 : n < 1024 ** 2 ? 1 : n < 1024 ** 3 ? 2 : 3;
  const value = n / 1024 ** power;
  return `${value.toFixed(power && value < 10 ? 1 : 0)} ${["bytes", "KB", "MB", "GB"][power]}`;
};
export const money = (minor: number, digits: number, currency: string): string =>
  new Intl.NumberFormat("en", {
    style: "currency",
    currency,
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(minor / 10 ** digits);
export const plural = (n: number, one: string, many = `${one}s`): string =>
  `${count(n)} ${n === 1 ? one : many}`;

const DAY = 86_400_000;
const format = (options: Intl.DateTimeFormatOptions) => {
  const formatter = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
  return (day: string) => formatter.format(new Date(day.slice(0, 10)));
};
export const shortDay = format({ day: "numeric", month: "short" });
export const longDay = format({
  weekday: "short",
  day: "numeric",
  month: "short",
  year: "numeric",
});
const weekday = format({ weekday: "long" });
const dayAndMonth = format({ day: "numeric", month: "long" });
const plainDay = format({ day: "numeric", month: "short", year: "numeric" });
const monthOf = format({ month: "long", year: "numeric" });
const shortMonth = format({ month: "short" });

export const shift = (day: string, by: number): string =>
  new Date(Date.parse(day) + by * DAY).toISOString().slice(0, 10);
export const daysIn = (from: string, to: string): number =>
  Math.round((Date.parse(to) - Date.parse(from)) / DAY) + 1;
/** "Friday, 27 November", with the year where it is not that of `beside`. */
export const fullDay = (day: string, beside: string): string =>
  `${weekday(day)}, ${dayAndMonth(day)}` +
  (day.slice(0, 4) === beside.slice(0, 4) ? "" : ` ${day.slice(0, 4)}`);
/** `beside`: a day whose year is said already. */
export const span = (from: string, to: string, beside = ""): string => {
  const year = (day: string) => day.slice(0, 4);
  if (from === to) return longDay(from);
  const last = year(to) === year(beside) && year(from) === year(to) ? shortDay(to) : plainDay(to);
  return `${year(from) === year(to) ? shortDay(from) : plainDay(from)} – ${last}`;
};

/** A step of a series: an hour, a day, a week's Monday or a month's first. */
export const step = (at: string, interval: string): string => {
  if (interval === "hour") return `${longDay(at)}, ${at.slice(11, 16)}`;
  if (interval === "week") return `Week of ${longDay(at).replace(/^\w+, /, "")}`;
  return interval === "month" ? monthOf(at) : longDay(at);
};
/** The same, below an axis. */
export const tick = (at: string, interval: string, days = 1): string =>
  interval === "hour"
    ? days > 1 && at.slice(11, 16) === "00:00"
      ? shortDay(at)
      : at.slice(11, 16)
    : interval === "month"
      ? shortMonth(at)
      : shortDay(at);
