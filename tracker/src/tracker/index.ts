// The tracker: counts views, clicks, events and attention, from consent until its withdrawal. f.js
// (script.ts) and the npm package (../npm.ts) are its two entry points. Nothing here touches the
// page before enable().
import { click } from "./clicks";
import { depart, on, options, safely, stay, type Settings } from "./guest";
import { follow } from "./moves";
import { flush } from "./queue";
import { begin, hide, look, miss, sign } from "./view";

export const enable = (settings: Settings): (() => void) => {
  safely(start)(settings);
  return stop;
};

const start = (given: Settings): void => {
  if (stay) return;
  Object.assign(options, given);
  if (given.missing) miss();
  on(window, {
    pagehide: hide,
    click,
    auxclick: click,
    online: flush,
    popstate: look,
    // Later: a banner that listens after us forgets only now what it knew, and asks.
    pageshow: ({ persisted }) => persisted && setTimeout(safely(begin)),
  });
  // On the document, so that who listens on the window has put to it what goes along when the page
  // hides.
  on(document, {
    consentchange: look,
    visibilitychange: look,
    prerenderingchange: look,
    pointermove: sign,
    pointerdown: sign,
    keydown: sign,
    scroll: sign,
    timeupdate: sign,
  });
  heard();
  begin();
  follow(); // last: some pages forbid changes to their history
};

/** vitals.js and faults.js hear whether we are here: while we are not they gather nothing. */
const heard = (): unknown =>
  document.dispatchEvent(new CustomEvent("footfall", { detail: !!stay }));

const stop = safely((): void => {
  depart();
  heard();
  look(); // it may not: nothing waits any longer
});
