// From facts to requests. Hits of one task, or of a page that hides, are sent together. Failed ones
// are kept in memory and retried under the same ids, as long as the collector is sure to remember
// them. Nothing is ever stored.
import { signal } from "../signals";
import { options, safely, say, stay } from "./guest";

/** Hits that go together, and when they first went. */
type Batch = [hits: string[], sent: number, tried?: true];

const enum Most {
  Chars = 1_500, // of several hits together: less than the collector's 20 hits and 8 KiB
  Age = 100_000, // milliseconds: the collector forgets an id after 120 000
  Address = 2_048,
}

let fresh: string[] = []; // hits that were not sent yet
let failed: Batch[] = [];
let timer: ReturnType<typeof setTimeout> | undefined | void;

/** Whether the person agrees, and no signal says otherwise. If not, nothing waits any longer. */
export const may = (): boolean => {
  const why = signal() ?? (stay && options.consent() === true ? "" : "no consent");
  if (why) {
    fresh = [];
    failed = [];
    say(why);
  }
  return !why;
};

/** An address without its query and fragment. */
export const bare = (url: string, end: RegExp | string = /[?#]/): string =>
  url.split(end)[0]!.slice(0, Most.Address);

/** Whether it will be sent. */
export const put = (facts: object): unknown => {
  if (!may()) return;
  // The id links nothing: each hit has its own. Without TLS there is none, and no consent cookie
  // either. Half a character, of a text that was cut by its length, is removed.
  const text = JSON.stringify({
    url: bare(location.href, "#"),
    ...facts,
    id: crypto.randomUUID().replace(/-/g, ""),
    webdriver: !!navigator.webdriver,
  }).replace(/(\\\\)|\\ud.../g, "$1");
  if ((fresh + text).length > Most.Chars) flush();
  fresh.push(text);
  return (timer ||= setTimeout(flush));
};

/** Sends what waits, now. */
export const flush = safely((): void => {
  timer = clearTimeout(timer!);
  if (!may()) return;
  if (fresh[0]) failed.push([fresh.splice(0), Date.now()]);
  for (const batch of failed.splice(0)) if (Date.now() - batch[1] < Most.Age) post(batch, failed);
});

// What is forgotten while it is under way has nowhere to come back to: `again` is another list by
// then.
const post = async (batch: Batch, again: Batch[]): Promise<unknown> => {
  let wait = 30;
  try {
    const { status, headers } = await fetch(options.endpoint, {
      method: "POST",
      mode: "same-origin",
      keepalive: true,
      body: `[${batch[0]}]`,
    });
    if (status < 500 || batch[2]) return status > 399 && say(status);
    wait = Math.min(wait, +headers.get("retry-after")! || 5);
  } catch {}
  say("retry");
  batch[2] = true;
  again.push(batch);
  clearTimeout(timer!); // who is full is not sent anything new either
  timer = setTimeout(flush, wait * 1000);
};
