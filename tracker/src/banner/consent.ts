// Which tiers are allowed in this page, by the server's answer. Only the server stores an answer,
// in a cookie that no script can read.
//
// Fail closed: nothing is allowed until the server has answered. In this page a refusal applies at
// once, whether or not it reaches the server; a grant only once the server has stored it.
import { signal } from "../signals";
import type { Answer, Layer } from "./contract";

const PATIENCE = 10_000; // milliseconds; a server that hangs is a server that failed
const NECESSARY = "necessary";

// The endpoint is next to this script. A module does not know its script, so it searches the page
// for its tag. Without a tag the URL is invalid, and the request fails.
const script = (
  (document.currentScript ??
    document.querySelector(
      "script[src*='/consent.js'],script[src^='consent.js']",
    )) as HTMLScriptElement | null
)?.src;

let known: Answer | null = null;
let told: string | undefined; // what the last consentchange said
let ready: Promise<void>;

export const current = (): Answer | null => known;
export const whenReady = (): Promise<void> => ready;
export const allowed = (tier: string): boolean => inForce().includes(tier);

const inForce = (): string[] =>
  known ? known.tiers.filter((tier) => tier.granted).map((tier) => tier.name) : [NECESSARY];

const announce = (): void => {
  const now = inForce();
  if (told === String(now)) return;
  told = String(now);
  document.dispatchEvent(new CustomEvent("consentchange", { detail: { allowed: now } }));
};

const adopt = (answer: Answer): void => {
  answer.signal ??= signal();
  if (answer.signal) answer.ask = false;
  for (const tier of answer.tiers)
    tier.granted = tier.locked || (tier.granted === true && !answer.signal);
  known = answer;
  announce();
};

// same-origin: wherever the script came from, no other host is asked.
const talk = (query: string, init: RequestInit): Promise<Response> =>
  fetch(new URL("consent" + query, script), {
    ...init,
    mode: "same-origin",
    credentials: "same-origin",
    cache: "no-store",
    signal: AbortSignal.timeout(PATIENCE),
  });

const read = async (response: Response): Promise<void> => {
  if (!response.ok) throw response.status;
  adopt(await response.json());
};

const ask = async (): Promise<void> => {
  known = null;
  try {
    await read(await talk("?lang=" + encodeURIComponent(document.documentElement.lang), {}));
  } catch {
    // What was allowed before is no longer known to be. Who was never told anything need not be
    // told now.
    if (told) announce();
  }
};

/** Asks the server what holds. Settles when that is known or will not be; never rejects. */
export const load = (): Promise<void> => (ready = ask());

/**
 * Sends the person's answer. True: stored. False: the question had changed and was fetched again.
 * Rejects: not stored.
 */
export const decide = async (tiers: Record<string, boolean>, layer: Layer): Promise<boolean> => {
  if (!known) throw 0;
  for (const tier of known.tiers) tier.granted &&= tier.locked || tiers[tier.name] === true;
  announce();
  const { version, lang, choice } = known;
  const grants = Object.values(tiers).includes(true);
  const act = grants ? "grant" : choice?.tiers.length ? "withdraw" : "refuse";
  const response = await talk("", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      version,
      act,
      ...(grants && { tiers }),
      lang,
      layer,
      path: location.pathname,
    }),
  });
  if (response.status === 409) {
    await load();
    return false;
  }
  await read(response);
  others?.postMessage(0);
  return true;
};

let others: BroadcastChannel | null = null; // the origin's other tabs

/**
 * Calls back when an answer was stored in another tab. Not while the page is in the browser's
 * cache: a page that listens is not kept.
 */
export const listen = (changed: () => void): void => {
  if (others || !window.BroadcastChannel) return;
  others = new BroadcastChannel("footfall consent");
  others.onmessage = changed;
};

export const unlisten = (): void => {
  others?.close();
  others = null;
};
