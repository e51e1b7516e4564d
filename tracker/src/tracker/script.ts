// f.js: the tracker as a script tag. The endpoint is in the script's directory; data attributes are
// the options.
import type { EventFacts, Options } from "../npm";
import { trackEvent } from "./clicks";
import { hasBannerConsent, catchErrors, type TrackerSettings } from "./lifecycle";
import { enableTracker } from "./index";
import { enqueue } from "./queue";
import { markMissing } from "./pageview";

declare global {
  interface Footfall {
    enable?: (options?: Omit<Options, "endpoint">) => () => void;
    event?: (name: string, facts?: EventFacts) => void;
    missing?: () => void;
    /** For vitals.js and faults.js. Returns a truthy value if the hit will be sent. */
    send?: (facts: object) => unknown;
  }
}

catchErrors(() => {
  // A module has no `currentScript`, so the tag is looked up in the page.
  const script = (document.currentScript ??
    document.querySelector("script[src*='/f.js'],script[src^='f.js']")) as HTMLScriptElement | null;
  if (!script) return console.warn("footfall: no script tag of f.js, nothing is counted");
  const { src, dataset } = script;
  const tagSettings: TrackerSettings & { [name: string]: unknown } = {
    endpoint: new URL("hit", src),
    consent: hasBannerConsent,
  };
  for (const name in dataset) tagSettings[name] ??= true;
  if (window.footfall?.enable) return; // the script was loaded twice
  if (!tagSettings.manual) enableTracker(tagSettings);
  // The object is shared with the host page: extended, never replaced. Last, because an object may
  // not be extensible.
  Object.assign((window.footfall ??= {}), {
    send: enqueue,
    event: catchErrors(trackEvent),
    missing: catchErrors(markMissing),
    enable: (overrides?: Omit<Options, "endpoint">) =>
      enableTracker({ ...tagSettings, ...overrides }),
  });
})();
