// The queue of hits. Hits of one task, or of a page that is hidden, are sent in one request. Failed
// batches are kept in memory and retried under the same ids, while the collector is certain to
// recognize duplicates. Nothing is ever stored.
import { optOutSignal } from "../signals";
import { settings, catchErrors, logReason, activeController } from "./lifecycle";

/** Hits of one request, and when they were first sent (milliseconds since the epoch). */
type HitBatch = [hits: string[], sent: number, retried?: true];

const enum QueueLimit {
  BatchChars = 1_500, // of several hits; below the collector's limits of 20 hits and 8 KiB
  BatchAge = 100_000, // milliseconds; the collector forgets an id after 120 000
  UrlChars = 2_048,
}

let unsent: string[] = [];
let retries: HitBatch[] = [];
let timer: ReturnType<typeof setTimeout> | undefined | void;

/** Whether the visitor consents and no opt-out signal is set. If not, clears the queue. */
export const canSend = (): boolean => {
  const reason =
    optOutSignal() ?? (activeController && settings.consent() === true ? "" : "no consent");
  if (reason) {
    unsent = [];
    retries = [];
    logReason(reason);
  }
  return !reason;
};

/** A URL without its query and fragment. */
export const stripQuery = (url: string, end: RegExp | string = /[?#]/): string =>
  url.split(end)[0]!.slice(0, QueueLimit.UrlChars);

/** Returns a truthy value if the hit will be sent. */
export const enqueue = (fields: object): unknown => {
  if (!canSend()) return;
  // The id links nothing: each hit has its own. Without TLS there is no `randomUUID`, and no consent
  // cookie either. A lone surrogate, left where a text was cut to its maximum length, is removed.
  const hit = JSON.stringify({
    url: stripQuery(location.href, "#"),
    ...fields,
    id: crypto.randomUUID().replace(/-/g, ""),
    webdriver: !!navigator.webdriver,
  }).replace(/(\\\\)|\\ud.../g, "$1");
  if ((unsent + hit).length > QueueLimit.BatchChars) flushQueue();
  unsent.push(hit);
  return (timer ||= setTimeout(flushQueue));
};

/** Sends all queued hits now. */
export const flushQueue = catchErrors((): void => {
  timer = clearTimeout(timer!);
  if (!canSend()) return;
  if (unsent[0]) retries.push([unsent.splice(0), Date.now()]);
  for (const batch of retries.splice(0))
    if (Date.now() - batch[1] < QueueLimit.BatchAge) postBatch(batch, retries);
});

// If the queue is cleared during a request, a failed batch is dropped: `retryList` is no longer the
// current list then.
const postBatch = async (batch: HitBatch, retryList: HitBatch[]): Promise<unknown> => {
  let delaySecs = 30;
  try {
    const { status, headers } = await fetch(settings.endpoint, {
      method: "POST",
      mode: "same-origin",
      keepalive: true,
      body: `[${batch[0]}]`,
    });
    if (status < 500 || batch[2]) return status > 399 && logReason(status);
    delaySecs = Math.min(delaySecs, +headers.get("retry-after")! || 5);
  } catch {}
  logReason("retry");
  batch[2] = true;
  retryList.push(batch);
  clearTimeout(timer!); // an overloaded collector gets no new hits either
  timer = setTimeout(flushQueue, delaySecs * 1000);
};
