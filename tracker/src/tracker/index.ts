// The tracker: counts views, clicks, events and the time a page held attention, once the person agreed and no longer than that.
// f.js (script.ts) and the npm package (../npm.ts) are two doors to it. Nothing here touches the page before enable().
import { click } from "./clicks";
import { depart, on, options, safely, stay, type Settings } from "./guest";
import { follow } from "./moves";
import { flush } from "./queue";
import { begin, hide, look, miss } from "./view";

export const enable = (settings: Settings): (() => void) => {
  safely(start)(settings);
  return stop;
};

const start = (given: Settings): void => {
  if (stay) return;
  Object.assign(options, given);
  if (given.missing) miss();
  on(window, { pagehide: hide, click, auxclick: click, online: flush, popstate: look, pageshow: ({ persisted }) => persisted && begin() });
  // On the document, so that who listens on the window has put to it what goes along when the page hides.
  on(document, { consentchange: look, visibilitychange: look, prerenderingchange: look });
  begin();
  follow(); // last: there are pages that let nobody touch their history
};

const stop = safely((): void => {
  depart();
  look(); // it may not: nothing waits any longer
});
