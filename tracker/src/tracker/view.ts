// Page views, and the time they held attention.
//
// One function looks at everything: whether it may, whether the page is in sight, whether it is still the same page. Whatever can
// change one of them calls it, so no order of events counts a view twice or misses one.
import { options, safely } from "./guest";
import { bare, flush, may, put } from "./queue";

const enum Most { Engaged = 86_400_000 } // a day, in milliseconds

let seen: string; // the page of the last view
let began = 0; // when it began
let since = 0; // attention that was not sent yet began then
let lost: string; // a page that is not there

/** The page we are on: host and path. */
const here = (): string => bare(location.href);

/** Whole milliseconds since then, or since the view began. */
export const elapsed = (from = began): number => Math.min(Most.Engaged, (performance.now() - from) | 0);

export const look = safely((): void => {
  // A page that was rendered ahead is told to be visible a moment before it may speak for itself.
  if (!may() || document.prerendering || document.hidden) hide();
  else {
    if (seen !== here()) view();
    since ||= performance.now();
  }
});

const leave = (): void => {
  if (since) put({ kind: "leave", url: seen, engaged: elapsed(since) });
  since = 0;
};

export const hide = (): void => {
  leave();
  flush();
};

const view = (): void => {
  leave();
  seen = here();
  put({ kind: "view", referrer: began ? "" : bare(document.referrer) });
  began = performance.now();
  gone();
  // To whoever did not agree nothing more is loaded. A module is loaded once however often it is asked for, and whether it was does
  // not matter here: `look` has nothing to do.
  for (const name of ["faults", "vitals"] as const) {
    if (options[name]) import(/* webpackIgnore: true */ /* @vite-ignore */ new URL(name + ".js", options.endpoint) as never).catch(look);
  }
};

const gone = (): void => {
  if (lost === seen) put({ kind: "fault", fault: "not_found" });
};

/** The page in sight, or about to be, is a 404. */
export const miss = (): void => {
  if (lost !== (lost = here())) gone();
};

export const begin = (): void => {
  seen = "";
  look();
  window.footfall?.consent?.ready?.then(look);
};
