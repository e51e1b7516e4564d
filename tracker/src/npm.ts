// The npm package `footfall`: the tracker of f.js, started by a call instead of a script tag. The
// package's public types are defined here. Without a page (server-side rendering) it does nothing.
import { trackEvent } from "./tracker/clicks";
import { hasBannerConsent, catchErrors } from "./tracker/lifecycle";
import { enableTracker } from "./tracker/index";
import { enqueue } from "./tracker/queue";
import { markMissing } from "./tracker/pageview";

export interface Options {
  /** The endpoint for hits, on the page's own origin: `/u/mia/ff/hit`. Default: `/ff/hit`. */
  endpoint?: string;
  /**
   * Whether the visitor consented, for a host with its own consent platform. The collector still
   * requires its own consent cookie.
   */
  consent?: () => boolean;
  /** Measures Core Web Vitals: loads `vitals.js` from the endpoint's directory. */
  vitals?: boolean;
  /** Counts script errors: loads `faults.js` from the endpoint's directory. */
  faults?: boolean;
  /** Whether this page is a 404. */
  missing?: boolean;
  /** Logs to the console why nothing was sent, once for each reason. */
  debug?: boolean;
}

export interface EventFacts {
  /** An amount in major units, such as 19.99. Ignored without a currency. */
  value?: number | string | undefined;
  /** An ISO 4217 code in capital letters, such as EUR. */
  currency?: string | undefined;
  /** The event needed no action by the visitor, so that the visit can still be a bounce. */
  passive?: boolean | undefined;
}

/**
 * Starts the tracker, which counts only with consent. A second call has no effect. The returned
 * function stops the tracker and discards hits that were not sent yet.
 */
export const enable = (options: Options = {}): (() => void) =>
  catchErrors(startPackage)(options) ?? (() => {});

/** Counts a custom event: `event("editor: add block")`. Names must not identify a person. */
export const event = (name: string, facts?: EventFacts): void =>
  catchErrors(trackEvent)(name, facts);

/** Marks the current page as a 404. */
export const missing = (): void => catchErrors(markMissing)();

const startPackage = ({ endpoint = "/ff/hit", ...options }: Options): (() => void) => {
  // The script tag is in the page, too: one tracker is enough.
  if (window.footfall?.enable) return window.footfall.enable(options);
  catchErrors(() => Object.assign((window.footfall ??= {}), { send: enqueue }))();
  return enableTracker({
    consent: hasBannerConsent,
    ...options,
    endpoint: new URL(endpoint, location.href),
  });
};
