// Paths of the API. Without the framework, because start.ts needs them before that is loaded.
import type { ViewState } from "./view";

/** A template tag that escapes the values in a path or query. */
export const apiPath = (parts: TemplateStringsArray, ...values: string[]): string =>
  parts.reduce((path, part, i) => path + encodeURIComponent(values[i - 1] ?? "") + part);

/** The range as parameters of the API. */
export const rangeParams = (view: ViewState): URLSearchParams =>
  new URLSearchParams(view.from ? { from: view.from, to: view.to } : { range: view.range });

/** The first day of the week in the reader's locale; empty for Monday. */
const weekStart = ((): string => {
  const locale = new Intl.Locale(navigator.language) as Intl.Locale & {
    getWeekInfo?: () => { firstDay: number };
    weekInfo?: { firstDay: number };
  };
  const first = (locale.getWeekInfo?.() ?? locale.weekInfo)?.firstDay;
  return first === 7 ? "sunday" : first === 6 ? "saturday" : "";
})();

/** All parameters of a report. */
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

/** The path of the report of a view; empty without a site. */
export const reportPath = (view: ViewState): string =>
  view.site && `${apiPath`/api/v1/sites/${view.site}/report`}?${reportParams(view)}`;
