// Pages of the kinds on which hits were lost or counted wrongly.
import { expect, hits, open, page as pageOf, sent, test, told } from "./tracker.mjs";

/** A click that leads nowhere. */
const click = (browserPage, selector) =>
  browserPage.evaluate((selector) => {
    addEventListener("click", (event) => event.preventDefault(), { once: true });
    document
      .querySelector(selector)
      .dispatchEvent(new MouseEvent("click", { bubbles: true, composed: true, cancelable: true }));
  }, selector);

const names = (fake) =>
  hits(fake)
    .filter(({ kind }) => kind === "click")
    .map(({ name }) => name);

/** How long the last page left was attended to, in whole seconds. */
const engaged = (fake) =>
  hits(fake)
    .filter(({ kind }) => kind === "leave")
    .map((hit) => Math.round(hit.engaged / 1000));

test("links in drawings, of image maps and into apps are links", async ({ page, fake }) => {
  const links = [
    "spotify:track:1",
    "whatsapp://send?text=x",
    "sms:+491",
    "tg://resolve?domain=x",
    "geo:52.5,13.4",
  ];
  fake.pages["/page"] = pageOf(
    "",
    `<svg width="9" height="9"><a id="svg" href="https://shop.example/svg?a=1"><rect width="9" height="9"/></a>
    <a id="xlink" xlink:href="https://shop.example/old" xmlns:xlink="http://www.w3.org/1999/xlink">
    <rect width="9" height="9"/></a></svg>
    <map name="m"><area id="area" shape="rect" coords="0,0,9,9" href="https://shop.example/area"></map>
    <img usemap="#m" alt="">
    <svg><a id="within" href="/other"><rect width="9" height="9"/></a></svg>
    ${links.map((href, n) => `<a id="app${n}" href="${href}">app</a>`).join("")}
    <a id="data" href="data:text/plain,x">data</a><a id="bad" href="https://[">bad</a>`,
  );
  await open(page, fake);
  await sent(fake, ["view /page"]);
  for (const id of ["svg", "xlink", "area", "within", ...links.map((_, n) => `app${n}`), "data"])
    await click(page, `#${id}`);
  await expect
    .poll(() => names(fake))
    .toEqual([
      "https://shop.example/svg",
      "https://shop.example/old",
      "https://shop.example/area",
      "spotify:track:1",
      "whatsapp://send",
      "sms:+491",
      "tg://resolve",
      "geo:52.5,13.4",
    ]);
});

test("of a query only what names a video, an app, a song or a list is sent", async ({
  page,
  fake,
}) => {
  const links = [
    "https://www.youtube.com/watch?si=secret&v=aaaaaaaaaaa&list=PL1",
    "https://play.google.com/store/apps/details?id=org.example.app&hl=de",
    "https://music.apple.com/de/album/x/1?i=2&app=music",
    "https://www.youtube.com/@mia?x=1",
    "https://shop.example/?id=ann",
  ];
  fake.pages["/page"] = pageOf(
    "",
    links.map((href, n) => `<a id="l${n}" href="${href}">x</a>`).join(""),
  );
  await open(page, fake);
  await sent(fake, ["view /page"]);
  for (const n of links.keys()) await click(page, `#l${n}`);
  await expect
    .poll(() => names(fake))
    .toEqual([
      "https://www.youtube.com/watch?v=aaaaaaaaaaa&list=PL1",
      "https://play.google.com/store/apps/details?id=org.example.app",
      "https://music.apple.com/de/album/x/1?i=2",
      "https://www.youtube.com/@mia",
      "https://shop.example/",
    ]);
});

test("a text cut through a character costs no hit beside it", async ({ page, fake }) => {
  await open(page, fake, "/");
  fake.pages["/page"] = pageOf();
  await page.goto("/page");
  await expect.poll(() => told(fake)).toContain("view /page");
  await page.evaluate(() => {
    window.footfall.event("share " + "🎉🎉".slice(0, 3));
    window.footfall.event("x".repeat(127) + "🎉 and more");
    window.footfall.event(String.raw`a\ud83c"b`);
    history.pushState(null, "", "/spa/thanks");
  });
  await expect.poll(() => told(fake)).toContain("view /spa/thanks");
  expect(
    hits(fake)
      .filter(({ kind }) => kind === "event")
      .map(({ name }) => name),
  ).toEqual(["share 🎉", "x".repeat(127), String.raw`a\ud83c"b`]);
});

test("as a module it counts as it does as a script", async ({ page, fake }) => {
  fake.pages["/page"] =
    () => `<!doctype html><html lang="en"><meta charset="utf-8"><title>A page</title>
    <script type="module" src="/ff/consent.js"></script><script type="module" src="/ff/f.js"></script><h1>A page</h1>`;
  await open(page, fake);
  await sent(fake, ["view /page"]);
});

test("a page that adds a slash to its address is viewed once", async ({ page, fake }) => {
  fake.pages["/u/w3"] = pageOf();
  await open(page, fake, "/u/w3");
  await page.evaluate(() => window.footfall.consent.ready);
  for (const path of ["/u/w3/", "/u//w3", "/u/w3"])
    await page.evaluate((path) => history.replaceState(null, "", path), path);
  await page.evaluate(() => history.pushState(null, "", "/u/w4/"));
  await sent(fake, ["view /u/w3", "leave /u/w3", "view /u/w4/"]);
});

test("attention ends five minutes after the last sign of somebody", async ({ page, fake }) => {
  fake.pages["/page"] = pageOf();
  await page.clock.install({ time: new Date("2026-03-02T10:00:00Z") });
  await open(page, fake);
  await page.evaluate(() => window.footfall.consent.ready);
  await page.clock.pauseAt(new Date("2026-03-02T10:01:00Z"));
  const after = async (seconds, act) => {
    await page.clock.runFor(seconds * 1000);
    await page.evaluate(act);
  };
  const move = (path) => page.evaluate((path) => history.pushState(0, "", path), path);
  await move("/left-alone"); // five hours of nobody
  await after(18_000, () => {});
  await move("/read"); // a sign each four minutes, then nobody for an hour, then one more
  for (const type of ["pointermove", "keydown", "scroll", "timeupdate"]) {
    await page.clock.runFor(240_000);
    await page.evaluate(
      (type) => document.body.dispatchEvent(new Event(type, { bubbles: type !== "timeupdate" })),
      type,
    );
  }
  await after(3600, () => document.body.dispatchEvent(new Event("pointerdown", { bubbles: true })));
  await page.clock.runFor(10_000);
  await move("/end");
  await page.clock.runFor(26 * 86_400_000); // longer than 31 bits of milliseconds
  await move("/after");
  await page.clock.runFor(1);
  await expect.poll(() => engaged(fake).slice(-3)).toEqual([300, 4 * 240 + 300 + 10, 300]);
});

test("an amount without end is left out", async ({ page, fake }) => {
  fake.pages["/page"] = pageOf();
  await open(page, fake);
  await sent(fake, ["view /page"]);
  await page.evaluate(() => {
    window.footfall.event("a", { value: Infinity, currency: "EUR" });
    window.footfall.event("b", { value: 9.1e12, currency: "EUR" });
  });
  await expect
    .poll(() =>
      hits(fake)
        .slice(1)
        .map(({ name, value }) => [name, value]),
    )
    .toEqual([
      ["a", undefined],
      ["b", 9.1e12],
    ]);
});

test("stopped, faults.js gathers nothing, and forgets what waited", async ({ page, fake }) => {
  fake.pages["/page"] = pageOf("data-faults data-manual");
  await open(page, fake);
  await page.evaluate(() => window.footfall.consent.ready);
  await page.evaluate(() => {
    window.stop = window.footfall.enable();
  });
  await sent(fake, ["view /page"]);
  const broken = (name) =>
    page.evaluate((name) => {
      const error = new { [name]: class extends Error {} }[name]();
      dispatchEvent(
        new ErrorEvent("error", { error, filename: `${location.origin}/app.js`, lineno: 1 }),
      );
    }, name);
  await expect
    .poll(() => page.evaluate(() => Reflect.has(window, Symbol.for("footfall faults"))))
    .toBe(true);
  await broken("Before");
  await expect.poll(() => told(fake)).toEqual(["view /page", "fault Before"]);
  await page.evaluate(() => window.stop());
  await broken("Between");
  await page.evaluate(() => {
    window.stop = window.footfall.enable();
  });
  await broken("After");
  await expect
    .poll(() => told(fake).filter((word) => word.startsWith("fault")))
    .toEqual(["fault Before", "fault After"]);
});

test("a withdrawal in one tab is obeyed in the other", async ({ page, context, fake }) => {
  fake.pages["/page"] = pageOf();
  await open(page, fake);
  await sent(fake, ["view /page"]);
  const other = await context.newPage();
  await other.goto("/page");
  await other.evaluate(() => window.footfall.consent.ready);
  await expect.poll(() => hits(fake).length).toBe(2);
  await other.evaluate(() => window.footfall.consent.open());
  await other.getByRole("button", { name: "Reject", exact: true }).click();
  await expect
    .poll(() => page.evaluate(() => window.footfall.consent.allowed("analytics")))
    .toBe(false);
  const before = fake.posts.length;
  await page.evaluate(() => window.footfall.event("with a no"));
  await page.waitForTimeout(100);
  expect(fake.posts.length).toBe(before);
});
