// What a browser says for its person, whatever was chosen in the page. A signal counts even where a proxy took the header away.

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
  navigator.globalPrivacyControl === true ? "gpc" : /^1/.test((navigator.doNotTrack || window.doNotTrack)!) ? "dnt" : null;
