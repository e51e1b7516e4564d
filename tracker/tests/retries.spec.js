// What becomes of hits that do not arrive: kept in memory, tried again under the same ids, never
// counted twice, never stored.
import { arrived, expect, GRANTED, hits, open, page, sent, test, told } from "./tracker.mjs";

test.beforeEach(({ fake }) => {
  fake.pages = { "/page": page() };
});

const ids = (post) => post.hits.map(({ id }) => id);
const event = (browserPage, name) =>
  browserPage.evaluate((name) => window.footfall.event(name), name);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

test("what happens in one task goes in one request: JSON, to the page's own origin, kept alive", async ({
  page,
  fake,
}) => {
  await open(page, fake);
  await sent(fake, ["view /page"]);
  await page.evaluate(() => ["a", "b", "c"].forEach((name) => window.footfall.event(name)));
  await sent(fake, ["view /page", "event a", "event b", "event c"]);
  expect(fake.posts.length).toBe(2);
  const { headers, method } = fake.posts[1];
  expect([method, headers["sec-fetch-mode"], headers["sec-fetch-site"], headers.origin]).toEqual([
    "POST",
    "same-origin",
    "same-origin",
    fake.url,
  ]);
  expect(headers.cookie).toBe(`fake_consent=${GRANTED}`);
});

test("no request holds more than 20 hits or 8 KiB, whatever the names are", async ({
  page,
  fake,
}) => {
  await open(page, fake, `/page?${"q".repeat(3000)}`);
  await sent(fake, ["view /page"]);
  await page.evaluate(() => {
    history.pushState(0, "", "/page");
    for (let i = 0; i < 50; i++) window.footfall.event(`${i} ${"語".repeat(i % 2 ? 0 : 600)}`);
    for (let i = 0; i < 25; i++) window.footfall.event(`${i}`);
  });
  await expect.poll(() => hits(fake).length).toBe(76);
  for (const { headers, hits: of } of fake.posts) {
    expect(of.length).toBeLessThanOrEqual(20);
    expect(Number(headers["content-length"])).toBeLessThanOrEqual(8192);
  }
  expect(Math.max(...hits(fake).map(({ url }) => url.length))).toBe(2048);
  expect(
    Math.max(...hits(fake).map(({ name = "" }) => Buffer.byteLength(name))),
  ).toBeLessThanOrEqual(512);
});

test("503 is tried again once, after the time it says, under the same ids", async ({
  page,
  fake,
}) => {
  fake.hitAnswers = [503, 503].map((status) => ({ status, headers: { "retry-after": "1" } }));
  await open(page, fake);
  await expect.poll(() => fake.posts.length).toBe(1);
  await event(page, "while it waits"); // joins it: who is full is not asked more often
  await expect.poll(() => fake.posts.length).toBe(3);
  const [first, again, joined] = fake.posts;
  expect(again.at - first.at).toBeGreaterThanOrEqual(1000);
  expect([ids(again), ids(first)].map(String)).toContain(String(ids(first)));
  expect([again, joined].flatMap((post) => post.hits.map(({ kind }) => kind)).sort()).toEqual([
    "event",
    "view",
  ]);
  await pause(2500);
  // Of the two that came after the wait one met the second 503: the view's is its last, the event's
  // first is tried once more.
  const views = fake.posts.filter(({ hits: of }) => of[0].kind === "view");
  expect(views.length).toBe(2);
  expect(ids(views[0])).toEqual(ids(views[1]));
  expect(hits(fake).length).toBe(2);
});

test("503 and then an answer: counted once", async ({ page, fake }) => {
  fake.hitAnswers = [{ status: 503, headers: { "retry-after": "1" } }];
  await open(page, fake);
  await expect.poll(() => fake.posts.length).toBe(2);
  expect(ids(fake.posts[0])).toEqual(ids(fake.posts[1]));
  await pause(1500);
  expect(fake.posts.length).toBe(2);
});

for (const [what, value, secs] of [
  ["long", "86400", 30],
  ["no number", "Wed, 21 Oct 2026 07:28:00 GMT", 5],
]) {
  test(`a Retry-After that is ${what} is a wait of ${secs} seconds`, async ({ page, fake }) => {
    await page.clock.install();
    fake.hitAnswers = [{ status: 503, headers: { "retry-after": value } }];
    await open(page, fake);
    await expect.poll(() => fake.posts.length).toBe(1);
    await pause(200);
    await page.clock.runFor(secs * 1000 - 1000);
    await pause(200);
    expect(fake.posts.length).toBe(1);
    await page.clock.runFor(1000);
    await expect.poll(() => fake.posts.length).toBe(2);
  });
}

test("offline it is kept, and goes when the browser is online again, under the same ids", async ({
  page,
  fake,
  context,
}) => {
  await open(page, fake);
  await sent(fake, ["view /page"]);
  await context.setOffline(true);
  await event(page, "in a tunnel");
  await pause(500);
  await event(page, "still in it");
  await pause(500);
  expect(told(fake)).toEqual(["view /page"]);
  await context.setOffline(false);
  await expect
    .poll(() => told(fake).slice(1).sort())
    .toEqual(["event in a tunnel", "event still in it"]);
  await pause(500);
  expect(hits(fake).length).toBe(3);
});

test("a connection that breaks after the collector read it: the same ids again", async ({
  page,
  fake,
}) => {
  await page.clock.install();
  await open(page, fake);
  await page.evaluate(() => window.footfall.consent.ready);
  await page.clock.runFor(100);
  await expect.poll(() => fake.posts.length).toBe(1);
  fake.hitAnswers = [{ status: "cut" }];
  await event(page, "cut");
  await page.clock.runFor(100);
  await expect.poll(() => fake.posts.length).toBeGreaterThanOrEqual(2);
  await pause(300);
  await page.clock.runFor(31_000);
  await expect
    .poll(() => arrived(fake).filter(({ name }) => name === "cut").length)
    .toBeGreaterThanOrEqual(2);
  expect(told(fake)).toEqual(["view /page", "event cut"]);
});

test("what is older than 100 seconds is dropped: the collector may have forgotten its id", async ({
  page,
  fake,
  context,
}) => {
  await page.clock.install();
  await open(page, fake);
  await page.evaluate(() => window.footfall.consent.ready);
  await page.clock.runFor(100);
  await sent(fake, ["view /page"]);
  await context.setOffline(true);
  await event(page, "too late");
  await page.clock.runFor(100);
  await pause(300);
  await page.clock.fastForward(101_000);
  await pause(300);
  await context.setOffline(false);
  await page.evaluate(() => window.dispatchEvent(new Event("online")));
  await page.clock.runFor(40_000);
  await pause(300);
  await sent(fake, ["view /page"]);
});

test("when the page hides while hits wait, they go then", async ({ page, fake }) => {
  fake.hitAnswers = [{ status: 503, headers: { "retry-after": "20" } }];
  await open(page, fake);
  await expect.poll(() => fake.posts.length).toBe(1);
  await pause(200);
  await page.goto("/elsewhere");
  await expect
    .poll(() =>
      arrived(fake)
        .slice(1)
        .map(({ kind }) => kind)
        .sort(),
    )
    .toEqual(["leave", "view"]);
  expect(told(fake)).toEqual(["view /page", "leave /page"]);
});

test("an answer that says no is final", async ({ page, fake }) => {
  fake.pages["/page"] = debug;
  fake.hitAnswers = [{ status: 413, headers: {} }];
  const said = [];
  page.on(
    "console",
    (message) => message.text().startsWith("footfall:") && said.push(message.text()),
  );
  await open(page, fake);
  await expect.poll(() => fake.posts.length).toBe(1);
  await pause(300);
  await page.evaluate(() => window.dispatchEvent(new Event("online")));
  await pause(300);
  expect(fake.posts.length).toBe(1);
  // Whether it had to wait for the banner's answer first depends on which of the two scripts was
  // quicker.
  expect(said.filter((line) => line !== "footfall: no consent")).toEqual(["footfall: 413"]);
});

test("debug says why, once for each reason", async ({ page, fake }) => {
  fake.pages["/page"] = debug;
  const said = [];
  page.on(
    "console",
    (message) => message.text().startsWith("footfall:") && said.push(message.text()),
  );
  await page.goto("/page");
  await page.evaluate(() => window.footfall.consent.ready);
  await event(page, "a");
  await event(page, "b");
  expect(said).toEqual(["footfall: no consent"]);
  await page.addInitScript(() =>
    Object.defineProperty(Navigator.prototype, "globalPrivacyControl", { get: () => true }),
  );
  await page.reload();
  await page.evaluate(() => window.footfall.consent.ready);
  expect(said).toEqual(["footfall: no consent", "footfall: gpc"]);
});

test("nothing is stored, whatever happens", async ({ page, fake, context }) => {
  fake.hitAnswers = [{ status: 503, headers: { "retry-after": "1" } }];
  await open(page, fake);
  await context.setOffline(true);
  await event(page, "kept in memory");
  await pause(300);
  const kept = await page.evaluate(async () => [
    document.cookie,
    localStorage.length,
    sessionStorage.length,
    (await indexedDB.databases()).length,
    (await caches.keys()).length,
    (await navigator.serviceWorker.getRegistrations()).length,
  ]);
  expect(kept).toEqual(["", 0, 0, 0, 0, 0]);
  expect((await context.cookies()).map(({ name }) => name)).toEqual(["fake_consent"]);
  await context.setOffline(false);
});

const debug = page("data-debug");
