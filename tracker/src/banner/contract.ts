// What the server answers to `GET {prefix}/consent` and `POST {prefix}/consent`, word for word.

export interface Tier {
  name: string;
  title: string;
  text: string;
  /** Always on: consent is not asked for it. */
  locked: boolean;
  /** Nothing depends on it today; the answer is recorded all the same. */
  inert: boolean;
  /** In force now, signals and version considered. */
  granted: boolean;
}

export interface Answer {
  version: number;
  ui: "granular" | "accept_decline";
  lang: string;
  dir: "ltr" | "rtl";
  texts: Record<Text, string>;
  tiers: Tier[];
  /** What is stored, even when it was given to an older version of the question. */
  choice: { version: number; tiers: string[]; outdated: boolean } | null;
  signal: "gpc" | "dnt" | null;
  ask: boolean;
  policy: { url: string; date: string };
  me: string;
  receipt: string | null;
}

export type Text =
  | "title"
  | "body"
  | "accept"
  | "reject"
  | "accept_all"
  | "decline"
  | "choose"
  | "save"
  | "close"
  | "preferences"
  | "signal"
  | "policy"
  | "me"
  | "receipt"
  | "failed"
  | "chosen_accept"
  | "chosen_reject"
  | "outdated"
  | "necessary_always";

/** Where an answer was given: on the question itself, or among the single tiers. */
export type Layer = "first" | "panel";

/** `window.footfall.consent`. */
export interface Consent {
  /**
   * Whether the host may do what the tier stands for. False while nothing is known, but for
   * "necessary".
   */
  allowed(tier: string): boolean;
  /**
   * The server has answered, or will not. Another promise after a return from the browser's page
   * cache.
   */
  readonly ready: Promise<void>;
  /** Shows the preferences. */
  open(): void;
  /** A copy of what the server said; null while nothing is known. */
  readonly state: Answer | null;
}

declare global {
  interface Footfall {
    consent?: Consent;
  }
  interface Window {
    footfall?: Footfall;
  }
  interface DocumentEventMap {
    consentchange: CustomEvent<{ allowed: string[] }>;
  }
}
