// What the tests of the tracker share: pages that load it, and what the fake collector was sent.
import { expect, remember, test } from "./fake.mjs";

export { expect, remember, test };
export const GRANTED = "1.analytics";

/** A page with the banner and the tracker; `attributes` are those of its script tag. */
export const page =
  (attributes = "", body = "<main><h1>A page</h1></main>", head = "") =>
  () => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>A page</title>${head}
<script src="/ff/consent.js" defer></script>
<script src="/ff/f.js" defer ${attributes}></script></head><body>${body}</body></html>`;

/** Opens a page of one who agreed. */
export const open = async (browserPage, fake, path = "/page") => {
  await remember(browserPage.context(), fake, GRANTED);
  await browserPage.goto(path);
};

export const arrived = (fake) => fake.posts.flatMap((post) => post.hits);

/**
 * What the collector would count: the same id once. Chromium tells a page that goes away that what
 * is under way has failed, although it arrives, and so it comes again.
 */
export const hits = (fake) => [...new Map(arrived(fake).map((hit) => [hit.id, hit])).values()];

/** Each hit as a word: its kind, and what it was on. */
export const told = (fake) =>
  hits(fake).map(({ kind, url, name, metric }) =>
    [kind, name ?? metric ?? new URL(url).pathname].join(" "),
  );

/** Waits until these were sent, in this order, and no others a while later. */
export const sent = async (fake, expected) => {
  await expect.poll(() => told(fake)).toEqual(expected);
  await new Promise((done) => setTimeout(done, 150));
  expect(told(fake)).toEqual(expected);
};
