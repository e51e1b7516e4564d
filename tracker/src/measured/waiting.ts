// Measurements of a page go to the tracker, which knows whether they may be sent. Some exist before
// the visitor has answered, or before the tracker has loaded: up to 20 wait here, in memory.
const MOST = 20;

declare global {
  interface DocumentEventMap {
    /** Whether the tracker is here. */
    footfall: CustomEvent<boolean>;
  }
}

export type Facts = Record<string, unknown>;

/** Whether this script is in the page for the first time. */
export const first = (script: string): boolean => {
  const mark = Symbol.for(`footfall ${script}`);
  return !Reflect.has(window, mark) && Reflect.set(window, mark, true);
};

/**
 * Gives the way to hand a fact over: at once, or when the page hides, together with what the
 * tracker sends then.
 */
export const handOver = (atOnce: boolean): ((facts: Facts) => void) => {
  let waiting: Facts[] = [];
  let agreed = false;
  let gone = false; // the tracker was stopped

  const taken = (facts: Facts): unknown => {
    try {
      return window.footfall?.send?.(facts);
    } catch {
      return false;
    }
  };
  const tell = (): void => {
    waiting = waiting.filter((facts) => !taken(facts));
  };

  document.addEventListener("consentchange", ({ detail }) => {
    const agrees = !!detail?.allowed?.includes("analytics");
    if (agreed && !agrees) waiting = []; // they changed their mind
    agreed = agrees;
    if (atOnce) tell();
  });
  document.addEventListener("footfall", ({ detail }) => {
    gone = !detail;
    if (gone) waiting = [];
  });
  // Capturing, so before the tracker sends; and what is measured only then follows before it, too.
  addEventListener(
    "visibilitychange",
    () => {
      if (document.hidden) tell();
    },
    true,
  );
  addEventListener(
    "pageshow",
    ({ persisted }) => {
      if (persisted) waiting = [];
    },
    true,
  );

  return (facts) => {
    if (gone) return;
    if (waiting.push(facts) > MOST) waiting.shift();
    if (atOnce || document.hidden) tell();
  };
};

/** A page without its query and fragment. */
export const bare = (url: string): string => url.split(/[?#]/)[0]!.slice(0, 2048);
