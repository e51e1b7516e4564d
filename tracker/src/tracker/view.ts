// Page views, and the time they held attention.
//
// One function checks everything: consent, whether the page is visible, whether it is still the
// same page. All events that can change one of them call it, so no order of events counts a view
// twice or misses one.
import { options, safely } from "./guest";
import { bare, flush, may, put } from "./queue";

const enum Most {
  Engaged = 86_400_000,
  Still = 300_000,
} // a day, and five minutes, in milliseconds

let seen: string; // the page of the last view
let began = 0; // when it began
let since = 0; // attention that was not sent yet began then
let signed = 0; // the last sign of use
let before = 0; // attention that was not sent yet, before a pause without use
let lost: string; // a page that is not there

/**
 * The page we are on: host and path. Slashes at the end or doubled make no other page, as for the
 * collector.
 */
const here = (): string => bare(location.origin + location.pathname.replace(/\/+(?=\/|$)/g, ""));

/** Whole milliseconds since then, or since the view began. */
export const elapsed = (from = began, to = performance.now()): number =>
  Math.min(Most.Engaged, to - from) | 0;

/**
 * The page is in use: movement, typing, scrolling, playback. Attention ends five minutes after the
 * last of it.
 */
export const sign = (): void => {
  const now = performance.now();
  const end = signed + Most.Still;
  if (since && now > end) {
    before += end - since;
    since = now;
  }
  signed = now;
};

export const look = safely((): void => {
  // A prerendered page becomes visible a moment before it is activated.
  if (!may() || document.prerendering || document.hidden) hide();
  else {
    if (seen !== here()) view();
    if (!since) since = signed = performance.now();
  }
});

const leave = (): void => {
  if (since)
    put({
      kind: "leave",
      url: seen,
      engaged: elapsed(since - before, Math.min(performance.now(), signed + Most.Still)),
    });
  since = before = 0;
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
  // Without consent nothing more is loaded. A module is loaded once however often it is imported,
  // and whether it was does not matter here: `look` has nothing to do.
  for (const name of ["faults", "vitals"] as const) {
    if (options[name])
      import(
        /* webpackIgnore: true */ /* @vite-ignore */ new URL(
          name + ".js",
          options.endpoint,
        ) as never
      ).catch(look);
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
