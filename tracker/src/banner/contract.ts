// The response of `GET {prefix}/consent` and `POST {prefix}/consent`, and the public
// `window.footfall.consent` API.

export interface ConsentTier {
  name: string;
  title: string;
  text: string;
  /** Always on, without consent. */
  locked: boolean;
  /** Controls nothing today; the choice is recorded all the same. */
  inert: boolean;
  /** Granted now, after opt-out signals and the prompt's version are applied. */
  granted: boolean;
}

export interface ConsentState {
  version: number;
  ui: "granular" | "accept_decline";
  lang: string;
  dir: "ltr" | "rtl";
  texts: Record<TextKey, string>;
  tiers: ConsentTier[];
  /** The stored choice, including one made on an older version of the prompt. */
  choice: { version: number; tiers: string[]; outdated: boolean } | null;
  signal: "gpc" | "dnt" | null;
  ask: boolean;
  policy: { url: string; date: string };
  me: string;
  receipt: string | null;
}

export type TextKey =
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

/** The part of the dialog in which a choice is made: the prompt, or the panel of single tiers. */
export type PromptLayer = "first" | "panel";

/** `window.footfall.consent`. */
export interface ConsentApi {
  /**
   * Whether a tier is granted. While the state is unknown, true for "necessary" only.
   */
  allowed(tier: string): boolean;
  /**
   * Resolves once the state is loaded or loading has failed. Replaced by a new promise when the
   * page returns from the back/forward cache.
   */
  readonly ready: Promise<void>;
  /** Opens the preferences. */
  open(): void;
  /** A copy of the server's response; null while the state is unknown. */
  readonly state: ConsentState | null;
}

declare global {
  interface Footfall {
    consent?: ConsentApi;
  }
  interface Window {
    footfall?: Footfall;
  }
  interface DocumentEventMap {
    consentchange: CustomEvent<{ allowed: string[] }>;
  }
}
