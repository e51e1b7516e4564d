// Clicks on links, downloads, events. Pages of other hosts are answered here, so that a test talks
// to nobody.
import { expect, hits, open, page, sent, test, told } from "./tracker.mjs";

const LINKS = `<main>
<a id="own" href="/other">a page of ours</a>
<a id="marked" href="/other" data-ff-link="shop">a page of ours, named</a>
<a id="out" href="https://elsewhere.example/album?ref=1#side-b"><b id="inner">elsewhere</b></a>
<a id="mail" href="mailto:mia@mail.example?subject=hi">mail</a>
<a id="script" href="javascript:void 0">nothing</a>
<a id="file" href="/files/Preset.PDF?v=2">a file</a>
<a id="download" href="/files/kit" download>a download</a>
<a id="handle" href="/u/mia.lindt">a handle is no file</a>
<a id="none">no link</a>
<svg width="20" height="20"><a id="svg" href="/other" data-ff-link="drawn"><rect width="20" height="20"/></a></svg>
<button id="buy" data-ff-event="buy" data-ff-value="19.99" data-ff-currency="EUR"><i id="icon">buy</i></button>
<button id="odd" data-ff-event="odd" data-ff-value="free" data-ff-currency="euro">odd</button>
<button id="both" data-ff-event="">nothing</button>
<span id="host"></span>
</main>`;

test.beforeEach(({ fake }) => {
  fake.pages = { "/page": page("", LINKS) };
});

/** A click that leads nowhere, so that many can be made on one page. */
const click = (browserPage, selector, type = "click", button = 0) =>
  browserPage.evaluate(
    ([selector, type, button]) => {
      const stay = (event) => event.preventDefault();
      addEventListener(type, stay, { once: true });
      document
        .querySelector(selector)
        .dispatchEvent(
          new MouseEvent(type, { bubbles: true, composed: true, cancelable: true, button }),
        );
    },
    [selector, type, button],
  );

const names = (fake) =>
  hits(fake)
    .filter(({ kind }) => kind === "click")
    .map(({ name }) => name);

test("links with an id, to elsewhere, to a file, to a person; no others", async ({
  page,
  fake,
}) => {
  await open(page, fake);
  await sent(fake, ["view /page"]);
  for (const id of [
    "own",
    "marked",
    "out",
    "inner",
    "mail",
    "script",
    "file",
    "download",
    "handle",
    "none",
    "svg",
  ])
    await click(page, `#${id}`);
  await expect
    .poll(() => names(fake))
    .toEqual([
      "shop",
      "https://elsewhere.example/album",
      "https://elsewhere.example/album",
      "mailto:mia@mail.example",
      `${fake.url}/files/Preset.PDF`,
      `${fake.url}/files/kit`,
      "drawn",
    ]);
});

test("the middle button follows a link and presses nothing", async ({ page, fake }) => {
  await open(page, fake);
  await sent(fake, ["view /page"]);
  for (const button of [1, 2])
    for (const id of ["marked", "buy"]) await click(page, `#${id}`, "auxclick", button);
  await sent(fake, ["view /page", "click shop"]);
});

test("a page that stops its own clicks, and shadow roots, hide nothing", async ({ page, fake }) => {
  await open(page, fake);
  await sent(fake, ["view /page"]);
  await page.evaluate(() => {
    document.addEventListener("click", (event) => event.stopImmediatePropagation(), true);
    const root = document.querySelector("#host").attachShadow({ mode: "open" });
    root.innerHTML = `<a href="#" data-ff-link="deep"><em>deep</em></a>`;
    root.querySelector("em").click();
  });
  await sent(fake, ["view /page", "click deep"]);
});

test("five clicks on three links say how long after the view they came", async ({
  page,
  fake,
  context,
}) => {
  await context.route("https://elsewhere.example/**", (route) =>
    route.fulfill({ contentType: "text/html", body: "<title>elsewhere</title>" }),
  );
  await page.clock.install({ time: new Date("2026-03-02T10:00:00Z") });
  await open(page, fake);
  await page.evaluate(() => window.footfall.consent.ready);
  await page.clock.pauseAt(new Date("2026-03-02T10:01:00Z"));
  await page.evaluate(() => history.pushState(0, "", "/fresh")); // a view at a moment that is known
  await page.clock.runFor(1500);
  for (const id of ["marked", "out", "marked", "file", "out"]) {
    await click(page, `#${id}`);
    await page.clock.runFor(1000);
  }
  await expect
    .poll(() =>
      hits(fake)
        .filter(({ kind }) => kind === "click")
        .map(({ name, engaged }) => [name.split("/").pop(), engaged]),
    )
    .toEqual([
      ["shop", 1500],
      ["album", 2500],
      ["shop", 3500],
      ["Preset.PDF", 4500],
      ["album", 5500],
    ]);
});

test("an event carries its amount, and never one the collector would refuse", async ({
  page,
  fake,
}) => {
  await open(page, fake);
  await sent(fake, ["view /page"]);
  await click(page, "#icon");
  await click(page, "#odd");
  await click(page, "#both");
  await page.evaluate(() => {
    window.footfall.event("editor: add block");
    window.footfall.event("tick", { passive: true });
    window.footfall.event("tip", { value: 5, currency: "USD" });
    window.footfall.event("refund", { value: -5, currency: "USD" });
    window.footfall.event("points", { value: 5 });
    window.footfall.event("");
    window.footfall.event(undefined);
    window.footfall.event(null);
  });
  const facts = ({ name, value, currency, passive }) => ({ name, value, currency, passive });
  await expect
    .poll(() => hits(fake).slice(1).map(facts))
    .toEqual([
      { name: "buy", value: 19.99, currency: "EUR" },
      { name: "odd" },
      { name: "editor: add block" },
      { name: "tick", passive: true },
      { name: "tip", value: 5, currency: "USD" },
      { name: "refund" },
      { name: "points" },
    ]);
});

test("a click and the view it leads to on the same page are one request", async ({
  page,
  fake,
}) => {
  await open(page, fake);
  await sent(fake, ["view /page"]);
  await page.evaluate(() => {
    const link = document.querySelector("#marked");
    link.onclick = (event) => {
      event.preventDefault();
      history.pushState(0, "", "/shop");
    };
    link.click();
  });
  await sent(fake, ["view /page", "click shop", "leave /page", "view /shop"]);
  expect(fake.posts.length).toBe(2);
  expect(new URL(hits(fake)[1].url).pathname).toBe("/page");
});

test("a click that leaves the page arrives", async ({ page, fake }) => {
  await open(page, fake);
  await sent(fake, ["view /page"]);
  await page.click("#marked");
  await page.waitForURL("**/other");
  await expect.poll(() => told(fake)).toEqual(["view /page", "click shop", "leave /page"]);
});
