// Page views and their attention time.
//
// `update` checks everything: consent, visibility, and whether the page is still the same. All
// events that can change one of them call it, so that no order of events counts a view twice or
// misses one.
import { settings, catchErrors } from "./lifecycle";
import { stripQuery, flushQueue, canSend, enqueue } from "./queue";

const enum AttentionLimit {
  Total = 86_400_000,
  Idle = 300_000,
} // a day, and five minutes, in milliseconds

// Times are those of `performance.now()`, in milliseconds.
let viewedPage: string; // the page of the last view
let viewStart = 0;
let attentionStart = 0; // start of the attention that was not sent yet; 0 while there is none
let lastActivity = 0;
let attentionBefore = 0; // unsent attention before the last idle period
let missingPage: string; // the page that was marked as a 404

/**
 * The current page: origin and path. Trailing and repeated slashes are removed, as in the
 * collector.
 */
const currentPage = (): string =>
  stripQuery(location.origin + location.pathname.replace(/\/+(?=\/|$)/g, ""));

/** Whole milliseconds between two times; by default since the view began. */
export const elapsedMillis = (from = viewStart, to = performance.now()): number =>
  Math.min(AttentionLimit.Total, to - from) | 0;

/**
 * Called on movement, typing, scrolling and playback. Attention ends five minutes after the last
 * activity.
 */
export const recordActivity = (): void => {
  const now = performance.now();
  const end = lastActivity + AttentionLimit.Idle;
  if (attentionStart && now > end) {
    attentionBefore += end - attentionStart;
    attentionStart = now;
  }
  lastActivity = now;
};

export const update = catchErrors((): void => {
  // A prerendered page becomes visible shortly before it is activated.
  if (!canSend() || document.prerendering || document.hidden) endPage();
  else {
    if (viewedPage !== currentPage()) startView();
    if (!attentionStart) attentionStart = lastActivity = performance.now();
  }
});

const endAttention = (): void => {
  if (attentionStart)
    enqueue({
      kind: "leave",
      url: viewedPage,
      engaged: elapsedMillis(
        attentionStart - attentionBefore,
        Math.min(performance.now(), lastActivity + AttentionLimit.Idle),
      ),
    });
  attentionStart = attentionBefore = 0;
};

export const endPage = (): void => {
  endAttention();
  flushQueue();
};

const startView = (): void => {
  endAttention();
  viewedPage = currentPage();
  enqueue({ kind: "view", referrer: viewStart ? "" : stripQuery(document.referrer) });
  viewStart = performance.now();
  reportMissing();
  // Only here, so that without consent nothing more is loaded. A module is loaded once however often
  // it is imported, and a failure is ignored: `update` then has nothing to do.
  for (const name of ["faults", "vitals"] as const) {
    if (settings[name])
      import(
        /* webpackIgnore: true */ /* @vite-ignore */ new URL(
          name + ".js",
          settings.endpoint,
        ) as never
      ).catch(update);
  }
};

const reportMissing = (): void => {
  if (missingPage === viewedPage) enqueue({ kind: "fault", fault: "not_found" });
};

/** Marks the current page, whose view may not be counted yet, as a 404. */
export const markMissing = (): void => {
  if (missingPage !== (missingPage = currentPage())) reportMissing();
};

export const restart = (): void => {
  viewedPage = "";
  update();
  window.footfall?.consent?.ready?.then(update);
};
