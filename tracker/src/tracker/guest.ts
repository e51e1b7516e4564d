// The host page decides whether and how the tracker runs. It never throws into the page, and one
// call removes everything it installed.
import type { Options } from "../npm";

export interface Settings extends Omit<Options, "consent" | "endpoint"> {
  consent: () => unknown;
  /** Where hits are sent. The other scripts are next to it. */
  endpoint: URL;
}

export const options = {} as Settings & { [said: string]: unknown };

/** While we are here: since something was listened to. */
export let stay: AbortController | null;

export const depart = (): void => {
  stay!.abort();
  stay = null;
};

/**
 * The same, but what goes wrong in it stays in it. Whatever the page or the browser calls goes
 * through this.
 */
export const safely =
  <A extends unknown[], R>(act: (...args: A) => R) =>
  (...args: A): R | undefined => {
    try {
      return act(...args);
    } catch {}
  };

/**
 * Listens for as long as we are here. Capturing: a page that stops its own events stops none of
 * ours.
 */
export const on = (target: EventTarget, acts: Record<string, (event: any) => unknown>): void => {
  stay ??= new AbortController();
  for (const type in acts)
    target.addEventListener(type, safely(acts[type]!) as EventListener, {
      capture: true,
      signal: stay.signal,
    });
};

/** What the banner says; without a banner, no. */
export const banner = (): unknown => window.footfall?.consent?.allowed("analytics");

/** Says why nothing was sent, each reason once. */
export const say = (why: string | number): void => {
  if (options.debug && !options[why]) console.log("footfall:", (options[why] = why));
};
