// The host page decides whether and how the tracker runs. The tracker never throws into the page,
// and one call removes everything it installed.
import type { Options } from "../npm";

export interface TrackerSettings extends Omit<Options, "consent" | "endpoint"> {
  consent: () => unknown;
  /** Where hits are sent. The other scripts are in the same directory. */
  endpoint: URL;
}

export const settings = {} as TrackerSettings & { [reason: string]: unknown };

/** Aborting it removes all listeners. Null while the tracker is stopped. */
export let activeController: AbortController | null;

export const teardown = (): void => {
  activeController!.abort();
  activeController = null;
};

/**
 * Wraps a function so that its errors are discarded. Everything that the page or the browser calls
 * is wrapped.
 */
export const catchErrors =
  <A extends unknown[], R>(callback: (...args: A) => R) =>
  (...args: A): R | undefined => {
    try {
      return callback(...args);
    } catch {}
  };

/**
 * Adds listeners until `teardown`. They capture, so that a page that stops the propagation of its
 * events does not hide them from the tracker.
 */
export const addListeners = (
  target: EventTarget,
  handlers: Record<string, (event: any) => unknown>,
): void => {
  activeController ??= new AbortController();
  for (const type in handlers)
    target.addEventListener(type, catchErrors(handlers[type]!) as EventListener, {
      capture: true,
      signal: activeController.signal,
    });
};

/** The banner's state; without a banner, no consent. */
export const hasBannerConsent = (): unknown => window.footfall?.consent?.allowed("analytics");

/** With `debug`, logs why nothing was sent, each reason once. */
export const logReason = (reason: string | number): void => {
  if (settings.debug && !settings[reason]) console.log("footfall:", (settings[reason] = reason));
};
