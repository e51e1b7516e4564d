// Opt-out signals of the browser. They override a choice made in the page, and apply even if a
// proxy removed the header.

declare global {
  interface Window {
    /** The property of old Safari versions. */
    readonly doNotTrack?: string | null;
  }
  interface Navigator {
    readonly globalPrivacyControl?: boolean;
  }
}

export const optOutSignal = (): "gpc" | "dnt" | null =>
  navigator.globalPrivacyControl === true
    ? "gpc"
    : /^1/.test((navigator.doNotTrack || window.doNotTrack)!)
      ? "dnt"
      : null;
