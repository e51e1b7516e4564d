// The consent state of this page. Only the server stores a choice, in a cookie that scripts cannot
// read.
//
// Fails closed: only necessary tiers are allowed until the server has answered. A refusal applies
// to this page at once, whether or not it reaches the server; a grant applies once the server has
// stored it.
import { optOutSignal } from "../signals";
import type { ConsentState, PromptLayer } from "./contract";

const REQUEST_TIMEOUT_MILLIS = 10_000; // a timeout counts as a failed request
const NECESSARY = "necessary";

// The endpoint is resolved against the URL of this script. A module has no `currentScript`, so the
// tag is looked up in the page. Without a tag the URL is invalid and the request fails.
const scriptUrl = (
  (document.currentScript ??
    document.querySelector(
      "script[src*='/consent.js'],script[src^='consent.js']",
    )) as HTMLScriptElement | null
)?.src;

let knownState: ConsentState | null = null;
let announced: string | undefined; // the tiers of the last consentchange event
let loading: Promise<void>;

export const currentState = (): ConsentState | null => knownState;
export const whenReady = (): Promise<void> => loading;
export const isAllowed = (tier: string): boolean => allowedTiers().includes(tier);

const allowedTiers = (): string[] =>
  knownState
    ? knownState.tiers.filter((tier) => tier.granted).map((tier) => tier.name)
    : [NECESSARY];

const dispatchChange = (): void => {
  const now = allowedTiers();
  if (announced === String(now)) return;
  announced = String(now);
  document.dispatchEvent(new CustomEvent("consentchange", { detail: { allowed: now } }));
};

const applyState = (state: ConsentState): void => {
  state.signal ??= optOutSignal();
  if (state.signal) state.ask = false;
  for (const tier of state.tiers)
    tier.granted = tier.locked || (tier.granted === true && !state.signal);
  knownState = state;
  dispatchChange();
};

// `same-origin`: no request goes to another host, wherever the script was loaded from.
const sendRequest = (query: string, init: RequestInit): Promise<Response> =>
  fetch(new URL("consent" + query, scriptUrl), {
    ...init,
    mode: "same-origin",
    credentials: "same-origin",
    cache: "no-store",
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MILLIS),
  });

const readResponse = async (response: Response): Promise<void> => {
  if (!response.ok) throw response.status;
  applyState(await response.json());
};

const fetchState = async (): Promise<void> => {
  knownState = null;
  try {
    await readResponse(
      await sendRequest("?lang=" + encodeURIComponent(document.documentElement.lang), {}),
    );
  } catch {
    // The former state is no longer confirmed. Without an earlier event there is nothing to revoke.
    if (announced) dispatchChange();
  }
};

/** Loads the consent state from the server. Settles on success and on failure; never rejects. */
export const loadState = (): Promise<void> => (loading = fetchState());

/**
 * Sends the visitor's choice. Resolves to true if it was stored, and to false if the prompt had
 * changed and was loaded again. Rejects if the choice was not stored.
 */
export const submitChoice = async (
  tiers: Record<string, boolean>,
  layer: PromptLayer,
): Promise<boolean> => {
  if (!knownState) throw 0;
  for (const tier of knownState.tiers) tier.granted &&= tier.locked || tiers[tier.name] === true;
  dispatchChange();
  const { version, lang, choice } = knownState;
  const grants = Object.values(tiers).includes(true);
  const action = grants ? "grant" : choice?.tiers.length ? "withdraw" : "refuse";
  const response = await sendRequest("", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      version,
      act: action,
      ...(grants && { tiers }),
      lang,
      layer,
      path: location.pathname,
    }),
  });
  if (response.status === 409) {
    await loadState();
    return false;
  }
  await readResponse(response);
  otherTabs?.postMessage(0);
  return true;
};

let otherTabs: BroadcastChannel | null = null; // reaches the other tabs of this origin

/**
 * Calls `onChange` when a choice was stored in another tab. Must be closed on `pagehide`, because
 * an open channel keeps a page out of the back/forward cache.
 */
export const listenToTabs = (onChange: () => void): void => {
  if (otherTabs || !window.BroadcastChannel) return;
  otherTabs = new BroadcastChannel("footfall consent");
  otherTabs.onmessage = onChange;
};

export const stopListening = (): void => {
  otherTabs?.close();
  otherTabs = null;
};
