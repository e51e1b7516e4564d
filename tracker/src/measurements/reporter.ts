// Hands measurements to the tracker, which decides whether they may be sent. Those made before the
// visitor's choice, or before the tracker has loaded, are kept in memory.
const MAX_PENDING = 20;

declare global {
  interface DocumentEventMap {
    /** Whether the tracker is running. */
    footfall: CustomEvent<boolean>;
  }
}

export type MeasurementFields = Record<string, unknown>;

/** Whether this is the first time that the page loads this script. */
export const isFirstLoad = (script: string): boolean => {
  const mark = Symbol.for(`footfall ${script}`);
  return !Reflect.has(window, mark) && Reflect.set(window, mark, true);
};

/**
 * Returns a function that reports a measurement: immediately, or when the page is hidden, so that
 * it goes into the request that the tracker sends then.
 */
export const createReporter = (immediate: boolean): ((fields: MeasurementFields) => void) => {
  let pending: MeasurementFields[] = [];
  let hadConsent = false;
  let isStopped = false; // the tracker was stopped

  const trySend = (fields: MeasurementFields): unknown => {
    try {
      return window.footfall?.send?.(fields);
    } catch {
      return false;
    }
  };
  const sendPending = (): void => {
    pending = pending.filter((fields) => !trySend(fields));
  };

  document.addEventListener("consentchange", ({ detail }) => {
    const hasConsent = !!detail?.allowed?.includes("analytics");
    if (hadConsent && !hasConsent) pending = []; // consent was withdrawn
    hadConsent = hasConsent;
    if (immediate) sendPending();
  });
  document.addEventListener("footfall", ({ detail }) => {
    isStopped = !detail;
    if (isStopped) pending = [];
  });
  // Capturing, to run before the tracker sends. A measurement made later in this event is sent
  // immediately, because the page is hidden by then.
  addEventListener(
    "visibilitychange",
    () => {
      if (document.hidden) sendPending();
    },
    true,
  );
  addEventListener(
    "pageshow",
    ({ persisted }) => {
      if (persisted) pending = [];
    },
    true,
  );

  return (fields) => {
    if (isStopped) return;
    if (pending.push(fields) > MAX_PENDING) pending.shift();
    if (immediate || document.hidden) sendPending();
  };
};

/** A URL without its query and fragment. */
export const stripQuery = (url: string): string => url.split(/[?#]/)[0]!.slice(0, 2048);
