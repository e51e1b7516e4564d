// How fast the page was, and what went wrong in it: only for one who agreed, only what the
// collector knows to count.
import { expect, hits, open, page, sent, test } from "./tracker.mjs";

const of = (fake, kind) => hits(fake).filter((hit) => hit.kind === kind);
const metrics = (fake) =>
  of(fake, "vital")
    .map(({ metric }) => metric)
    .sort();
const scripts = (browserPage) =>
  browserPage.evaluate(() =>
    performance
      .getEntriesByType("resource")
      .map(({ name }) => new URL(name).pathname)
      .filter((path) => path.endsWith(".js"))
      .sort(),
  );
const PAGE =
  "<main><h1>A page with a heading</h1><p>And a text of some length, so that something " +
  "is painted.</p><button>press</button></main>";

test("the speed of a page goes with its end, in one request at most beside the leave's", async ({
  page,
  fake,
}) => {
  fake.pages = { "/page": vitals };
  await open(page, fake, "/page?token=secret");
  await expect.poll(() => scripts(page)).toContain("/ff/vitals.js");
  await page.waitForTimeout(300);
  await page.evaluate(() =>
    document.querySelector("button").addEventListener("click", () => {
      // slow enough to be measured
      for (const until = performance.now() + 120; performance.now() < until;);
    }),
  );
  await page.getByRole("button").click();
  await page.waitForTimeout(300);
  await page.evaluate(() => history.pushState(0, "", "/app"));
  await page.waitForTimeout(300);
  expect(metrics(fake)).toEqual([]);
  await page.goto("/elsewhere");
  await expect.poll(() => metrics(fake)).toEqual(["CLS", "FCP", "INP", "LCP", "TTFB"]);
  for (const { url, value, metric } of of(fake, "vital")) {
    expect(url, metric).toBe(`${fake.url}/page`); // the document's, without its query
    expect(value, metric).toBeGreaterThanOrEqual(0);
    expect(value, metric).toBeLessThan(60_000);
  }
  expect(Object.keys(of(fake, "vital")[0]).sort()).toEqual([
    "id",
    "kind",
    "metric",
    "url",
    "value",
    "webdriver",
  ]);
  expect(fake.posts.filter((post) => post.hits.some(({ kind }) => kind === "vital")).length).toBe(
    1,
  );
});

test("whoever did not agree loads nothing more, and is not measured", async ({ page, fake }) => {
  fake.pages = { "/page": both };
  await page.goto("/page");
  await page.evaluate(() => window.footfall.consent.ready);
  await page.waitForTimeout(300);
  expect(await scripts(page)).toEqual(["/ff/consent.js", "/ff/f.js"]);
  await page.getByRole("button", { name: "Accept", exact: true }).click();
  await expect
    .poll(() => scripts(page))
    .toEqual(["/ff/consent.js", "/ff/f.js", "/ff/faults.js", "/ff/vitals.js"]);
});

for (const [order, head] of [
  ["before", true],
  ["after", false],
]) {
  test(`vitals.js and faults.js may be loaded ${order} the tracker, and twice`, async ({
    page,
    fake,
  }) => {
    const tags = `<script src="/ff/vitals.js"></script><script src="/ff/faults.js"></script>`;
    fake.pages = {
      "/page": pageOf("data-vitals data-faults", head ? PAGE : PAGE + tags, head ? tags : ""),
    };
    await open(page, fake);
    await expect.poll(() => scripts(page)).toContain("/ff/faults.js");
    await page.waitForTimeout(300);
    await page.evaluate(() =>
      setTimeout(() =>
        dispatchEvent(
          new ErrorEvent("error", {
            error: new TypeError("x"),
            filename: `${location.origin}/app.js`,
            lineno: 3,
          }),
        ),
      ),
    );
    await page.waitForTimeout(100);
    await page.goto("/elsewhere");
    await expect.poll(() => metrics(fake)).toEqual(["CLS", "FCP", "LCP", "TTFB"]);
    expect(of(fake, "fault").length).toBe(1);
  });
}

/** An error as the browser tells of it, without one in the page: that would fail the test. */
const breaks = (browserPage, ...errors) =>
  browserPage.evaluate((errors) => {
    const classes = { TypeError, RangeError, HttpError: class HttpError extends Error {} };
    for (const [name, filename, lineno] of errors) {
      dispatchEvent(
        new ErrorEvent("error", {
          error: name ? new classes[name]("ann@mail.example did it") : null,
          filename,
          lineno,
        }),
      );
    }
  }, errors);

test("an error is a class, a script of ours and a line: each once a view, ten a view, and no message", async ({
  page,
  fake,
}) => {
  fake.pages = { "/page": faults };
  await open(page, fake);
  await expect.poll(() => scripts(page)).toContain("/ff/faults.js");
  await page.waitForTimeout(100);
  const own = `${fake.url}/app.js?v=secret`;
  await breaks(
    page,
    ["TypeError", own, 12],
    ["TypeError", own, 12],
    ["HttpError", "https://cdn.example/x.js", 7],
    ["RangeError", `${fake.url}.evil.example/x.js`, 7],
    [null, own, 1],
    [null, "", 0],
  );
  const facts = ({ name, source, line }) => [name, source, line];
  await expect
    .poll(() => of(fake, "fault").map(facts))
    .toEqual([
      ["TypeError", "/app.js", 12],
      ["HttpError", "", undefined],
      ["RangeError", "", undefined],
      ["Error", "/app.js", 1],
    ]);
  await page.evaluate(() => {
    for (const reason of [new DOMException("ann", "AbortError"), "a text", undefined]) {
      dispatchEvent(
        new PromiseRejectionEvent("unhandledrejection", { promise: Promise.resolve(), reason }),
      );
    }
    window.rejections.length = 0; // the test's own
  });
  await expect
    .poll(() => of(fake, "fault").slice(4).map(facts))
    .toEqual([
      ["DOMException", "", undefined],
      ["String", "", undefined],
      ["Error", "", undefined],
    ]);
  await breaks(page, ...Array.from({ length: 20 }, (_, line) => ["TypeError", own, 100 + line]));
  await page.waitForTimeout(200);
  expect(of(fake, "fault").length).toBe(10);
  await page.evaluate(() => history.pushState(0, "", "/second"));
  await breaks(page, ["TypeError", own, 12]);
  await expect.poll(() => of(fake, "fault").length).toBe(11);
  expect(of(fake, "fault").at(-1).url).toBe(`${fake.url}/second`);
  expect(JSON.stringify(fake.posts.map((post) => post.hits))).not.toContain("ann");
  expect(JSON.stringify(fake.posts.map((post) => post.hits))).not.toContain("secret");
});

test("an element that cannot be loaded is no script error", async ({ page, fake }) => {
  fake.pages = { "/page": faults };
  fake.policy += "; img-src 'self'";
  await open(page, fake);
  await expect.poll(() => scripts(page)).toContain("/ff/faults.js");
  await page.evaluate(() => {
    const image = document.createElement("img");
    image.src = "/broken";
    document.body.append(image);
    return new Promise((done) => {
      image.onerror = image.onload = done;
    });
  });
  await sent(fake, ["view /page"]);
});

const pageOf = page;
const vitals = pageOf("data-vitals", PAGE);
const faults = pageOf("data-faults", PAGE);
const both = pageOf("data-vitals data-faults", PAGE);
