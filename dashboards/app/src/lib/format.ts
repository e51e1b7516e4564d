// Formats numbers and days for display, in English.

/** Creates a value when it is first needed: formatters are slow to create. */
export const createOnce = <T>(create: () => T): (() => T) => {
  let value: T | undefined;
  return () => (value ??= create());
};
const wholeNumbers = createOnce(() => new Intl.NumberFormat("en"));
const compactNumbers = createOnce(
  () => new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }),
);

export const formatCount = (n: number): string => wholeNumbers().format(n);
/** Numbers of six digits and more in compact notation. */
export const formatCompact = (n: number): string =>
  n < 100_000 ? formatCount(n) : compactNumbers().format(n);
export const formatPercent = (share: number): string => {
  const value = share * 100;
  // 5.04 is shown as 5, without a trailing zero.
  return `${value > 0 && value < 9.95 ? Number(value.toFixed(1)) : Math.round(value)}%`;
};
export const formatDuration = (seconds: number): string => {
  const s = Math.round(seconds);
  if (s < 60) return `${s}s`;
  return s < 3600
    ? `${Math.floor(s / 60)}m ${s % 60}s`
    : `${Math.floor(s / 3600)}h ${Math.floor((s % 3600) / 60)}m`;
};
export const formatBytes = (n: number): string => {
  const power = n < 1024 ? 0 : n < 1024 ** 2 ? 1 : n < 1024 ** 3 ? 2 : 3;
  const value = n / 1024 ** power;
  return `${value.toFixed(power && value < 10 ? 1 : 0)} ${["bytes", "KB", "MB", "GB"][power]}`;
};
export const formatMoney = (minor: number, digits: number, currency: string): string =>
  new Intl.NumberFormat("en", {
    style: "currency",
    currency,
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(minor / 10 ** digits);
export const pluralize = (n: number, one: string, many = `${one}s`): string =>
  `${formatCount(n)} ${n === 1 ? one : many}`;

const DAY_MILLIS = 86_400_000;
const createDayFormat = (options: Intl.DateTimeFormatOptions) => {
  const formatter = createOnce(
    () => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options }),
  );
  return (day: string) => formatter().format(new Date(day.slice(0, 10)));
};
export const formatShortDay = createDayFormat({ day: "numeric", month: "short" });
export const formatLongDay = createDayFormat({
  weekday: "short",
  day: "numeric",
  month: "short",
  year: "numeric",
});
const formatWeekday = createDayFormat({ weekday: "long" });
const formatDayAndMonth = createDayFormat({ day: "numeric", month: "long" });
const formatPlainDay = createDayFormat({ day: "numeric", month: "short", year: "numeric" });
const formatMonth = createDayFormat({ month: "long", year: "numeric" });
const formatShortMonth = createDayFormat({ month: "short" });

export const addDays = (day: string, by: number): string =>
  new Date(Date.parse(day) + by * DAY_MILLIS).toISOString().slice(0, 10);
export const countDays = (from: string, to: string): number =>
  Math.round((Date.parse(to) - Date.parse(from)) / DAY_MILLIS) + 1;
/** "Friday, 27 November", with the year if it differs from that of `reference`. */
export const formatFullDay = (day: string, reference: string): string =>
  `${formatWeekday(day)}, ${formatDayAndMonth(day)}` +
  (day.slice(0, 4) === reference.slice(0, 4) ? "" : ` ${day.slice(0, 4)}`);
/** A range of days. `reference` is a day whose year is shown already. */
export const formatSpan = (from: string, to: string, reference = ""): string => {
  const year = (day: string) => day.slice(0, 4);
  if (from === to) return formatLongDay(from);
  const last =
    year(to) === year(reference) && year(from) === year(to)
      ? formatShortDay(to)
      : formatPlainDay(to);
  return `${year(from) === year(to) ? formatShortDay(from) : formatPlainDay(from)} – ${last}`;
};

/** A step of a series: an hour, a day, a week (its Monday) or a month (its first day). */
export const formatStep = (at: string, interval: string): string => {
  if (interval === "hour") return `${formatLongDay(at)}, ${at.slice(11, 16)}`;
  if (interval === "week") return `Week of ${formatLongDay(at).replace(/^\w+, /, "")}`;
  return interval === "month" ? formatMonth(at) : formatLongDay(at);
};
/** A step of a series, as a tick label. */
export const formatTick = (at: string, interval: string, days = 1): string =>
  interval === "hour"
    ? days > 1 && at.slice(11, 16) === "00:00"
      ? formatShortDay(at)
      : at.slice(11, 16)
    : interval === "month"
      ? formatShortMonth(at)
      : formatShortDay(at);
