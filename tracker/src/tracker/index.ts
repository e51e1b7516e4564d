// The tracker: counts views, clicks, events and attention, from consent until its withdrawal. f.js
// (script.ts) and the npm package (../npm.ts) are its two entry points. Nothing here touches the
// page before `enableTracker`.
import { trackClick } from "./clicks";
import {
  teardown,
  addListeners,
  settings,
  catchErrors,
  activeController,
  type TrackerSettings,
} from "./lifecycle";
import { watchNavigation } from "./navigation";
import { flushQueue } from "./queue";
import { restart, endPage, update, markMissing, recordActivity } from "./pageview";

export const enableTracker = (given: TrackerSettings): (() => void) => {
  catchErrors(startTracker)(given);
  return stopTracker;
};

const startTracker = (given: TrackerSettings): void => {
  if (activeController) return;
  Object.assign(settings, given);
  if (given.missing) markMissing();
  addListeners(window, {
    pagehide: endPage,
    click: trackClick,
    auxclick: trackClick,
    online: flushQueue,
    popstate: update,
    // Deferred: a banner whose listener was added after this one resets its state first.
    pageshow: ({ persisted }) => persisted && setTimeout(catchErrors(restart)),
  });
  // On the document, so that capturing listeners on the window have enqueued their measurements
  // before the page is hidden.
  addListeners(document, {
    consentchange: update,
    visibilitychange: update,
    prerenderingchange: update,
    pointermove: recordActivity,
    pointerdown: recordActivity,
    keydown: recordActivity,
    scroll: recordActivity,
    timeupdate: recordActivity,
  });
  announceState();
  restart();
  watchNavigation(); // last: some pages forbid changes to their history
};

/** Tells vitals.js and faults.js whether the tracker runs; they collect nothing while it does not. */
const announceState = (): unknown =>
  document.dispatchEvent(new CustomEvent("footfall", { detail: !!activeController }));

const stopTracker = catchErrors((): void => {
  teardown();
  announceState();
  update(); // without permission to send, this clears the queue
});
