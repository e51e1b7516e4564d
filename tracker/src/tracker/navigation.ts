// Navigation within a page (single-page applications).
import { addListeners, activeController } from "./lifecycle";
import { update } from "./pageview";

/**
 * Back and forward fire `popstate` in every browser. Other changes need the Navigation API, or
 * wrapped history methods where it is missing.
 */
export const watchNavigation = (): void => {
  // An element with the id "navigation" is not the Navigation API.
  if (window.navigation?.currentEntry)
    addListeners(window.navigation, { currententrychange: update });
  else
    (["replaceState", "pushState"] as const).forEach((name) => {
      const original = history[name];
      const wrapper = (history[name] = (...args) => {
        original.apply(history, args); // its errors belong to the page
        update();
      });
      activeController!.signal.addEventListener("abort", () => {
        if (history[name] === wrapper) history[name] = original;
      });
    });
};
