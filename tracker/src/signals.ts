// Opt-out signals of the browser, whatever was chosen in the page. They apply even if a proxy
// removed the header.

declare global {
  interface Window {
    /** Where Safari had it. */
    readonly doNotTrack?: string | null;
  }
  interface Navigator {
    readonly globalPrivacyControl?: boolean;
  }
}

export const signal = (): "gpc" | "dnt" | null =>
  navigator.globalPrivacyControl === true
    ? "gpc"
    : /^1/.test((navigator.doNotTrack || window.doNotTrack)!)
      ? "dnt"
      : null;
