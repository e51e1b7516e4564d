// The npm package `footfall`: the tracker of f.js, started by a call instead of a script tag. Its
// types are part of the interface and defined here. Without a page (server rendering) it does
// nothing.
import { happened } from "./tracker/clicks";
import { banner, safely } from "./tracker/guest";
import { enable as begin } from "./tracker/index";
import { put } from "./tracker/queue";
import { miss } from "./tracker/view";

export interface Options {
  /** Where hits go, on the page's own origin: `/u/mia/ff/hit`. `/ff/hit` if left out. */
  endpoint?: string;
  /**
   * Answers for a host with a consent platform of its own. The collector looks for its own cookie
   * all the same.
   */
  consent?: () => boolean;
  /** Measures how fast the page was: loads `vitals.js` from beside the endpoint. */
  vitals?: boolean;
  /** Counts script errors: loads `faults.js` from beside the endpoint. */
  faults?: boolean;
  /** This page is a 404. */
  missing?: boolean;
  /** Says in the console, once for each reason, why nothing was sent. */
  debug?: boolean;
}

export interface EventFacts {
  /** An amount in major units: 19.99. It counts together with its currency. */
  value?: number | string | undefined;
  /** Three capital letters (ISO 4217): EUR. */
  currency?: string | undefined;
  /** The visitor did nothing for it: it does not end a bounce. */
  passive?: boolean | undefined;
}

/**
 * Counts from now on, whenever it may. A second call changes nothing. What it gives back stops it
 * and forgets what waits.
 */
export const enable = (options: Options = {}): (() => void) => safely(start)(options) ?? (() => {});

/** Counts that something happened: `event("editor: add block")`. A name says what, never who. */
export const event = (name: string, facts?: EventFacts): void => safely(happened)(name, facts);

/** Says that the page in sight is a 404. */
export const missing = (): void => safely(miss)();

const start = ({ endpoint = "/ff/hit", ...options }: Options): (() => void) => {
  // The script tag is here, too: one of us is enough.
  if (window.footfall?.enable) return window.footfall.enable(options);
  safely(() => Object.assign((window.footfall ??= {}), { send: put }))();
  return begin({ consent: banner, ...options, endpoint: new URL(endpoint, location.href) });
};
