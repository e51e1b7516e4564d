// A page that changes its path without being loaded anew.
import { on, stay } from "./guest";
import { look } from "./view";

/**
 * Back and forward within the page are `popstate`, wherever this is; the rest is not told to
 * everybody.
 */
export const follow = (): void => {
  // An element named "navigation" is no Navigation API.
  if (window.navigation?.currentEntry) on(window.navigation, { currententrychange: look });
  else
    (["replaceState", "pushState"] as const).forEach((name) => {
      const original = history[name];
      const ours = (history[name] = (...args) => {
        original.apply(history, args); // what this throws is the page's own
        look();
      });
      stay!.signal.addEventListener("abort", () => {
        if (history[name] === ours) history[name] = original;
      });
    });
};
