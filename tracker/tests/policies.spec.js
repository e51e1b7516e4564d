// Under strict content security policies, and in pages where something is broken: it counts where
// it can, and no error reaches the page. That nothing is thrown, refused by the policy or sent to
// another host is checked after every test, in fake.mjs.
import { expect, GRANTED, hits, open, page, remember, sent, test } from "./tracker.mjs";

const EVERYTHING = "data-vitals data-faults data-debug";
const loaded = (browserPage) =>
  browserPage.evaluate(() =>
    performance
      .getEntriesByType("resource")
      .map(({ name }) => new URL(name).pathname)
      .filter((path) => path.endsWith(".js"))
      .sort(),
  );

test("script-src 'self' and connect-src 'self' are enough", async ({ page, fake }) => {
  fake.policy = "default-src 'none'; script-src 'self'; connect-src 'self'";
  fake.pages = { "/page": whole };
  await open(page, fake);
  await expect
    .poll(() => loaded(page))
    .toEqual(["/ff/consent.js", "/ff/f.js", "/ff/faults.js", "/ff/vitals.js"]);
  await sent(fake, ["view /page"]);
});

for (const [what, policy] of [
  ["nonces", "script-src 'nonce-abc'"],
  ["nonces and strict-dynamic", "script-src 'nonce-abc' 'strict-dynamic'"],
  ["trusted types", "script-src 'self' 'nonce-abc'; require-trusted-types-for 'script'"],
]) {
  test(`works under ${what}`, async ({ page, fake }) => {
    fake.policy = `default-src 'none'; connect-src 'self'; base-uri 'none'; ${policy}`;
    fake.pages = { "/page": () => whole().replaceAll("<script ", `<script nonce="abc" `) };
    await open(page, fake);
    await expect
      .poll(() => loaded(page))
      .toEqual(["/ff/consent.js", "/ff/f.js", "/ff/faults.js", "/ff/vitals.js"]);
    await sent(fake, ["view /page"]);
    await page.goto("/elsewhere");
    await expect.poll(() => hits(fake).some(({ kind }) => kind === "vital")).toBe(true);
  });
}

const BROKEN = {
  "a fetch that throws": [
    () => {
      const own = window.fetch;
      window.fetch = (url, ...rest) => {
        if (String(url).endsWith("/hit")) throw new Error("no");
        return own(url, ...rest);
      };
    },
    [],
  ],
  "a fetch that rejects": [
    () => {
      const own = window.fetch;
      window.fetch = (url, ...rest) =>
        String(url).endsWith("/hit") ? Promise.reject(new Error("no")) : own(url, ...rest);
    },
    [],
  ],
  "a frozen navigator, history and location": [
    () => {
      for (const object of [navigator, history]) Object.freeze(object);
    },
    ["view /page"],
  ],
  "a frozen history, and no Navigation API": [
    () => {
      Object.defineProperty(window, "navigation", { value: undefined });
      Object.freeze(history);
    },
    ["view /page"],
  ],
  "no crypto": [() => Object.defineProperty(window, "crypto", { value: undefined }), []],
  "a navigator that throws": [
    () => {
      for (const key of ["doNotTrack", "globalPrivacyControl", "webdriver"])
        Object.defineProperty(Navigator.prototype, key, {
          get: () => {
            throw new Error("no");
          },
        });
    },
    [],
  ],
  "no console": [
    () => {
      window.console = undefined;
    },
    ["view /page"],
  ],
  "no performance clock": [
    () => {
      performance.now = () => {
        throw new Error("no");
      };
    },
    [],
  ],
};

for (const [what, [breaking, expected]] of Object.entries(BROKEN)) {
  test(`${what}: no error reaches the page`, async ({ page, fake }) => {
    await page.addInitScript(breaking);
    fake.pages = {
      "/page": pageOf(
        "data-faults",
        `<main><a id="out" href="/other" data-ff-link="x">x</a></main>`,
      ),
    };
    await open(page, fake);
    await page.evaluate(() => window.footfall.consent.ready);
    if (expected.length) await expect.poll(() => fake.posts.length).toBeGreaterThan(0);
    await page.evaluate(() => {
      window.footfall.event({
        toString() {
          throw new Error("no");
        },
      });
      window.footfall.event("fine", {
        get value() {
          throw new Error("no");
        },
      });
      window.footfall.event("fine", null);
      window.footfall.missing();
      const link = document.querySelector("#out");
      link.onclick = (event) => event.preventDefault();
      link.click();
      try {
        history.pushState(0, "", "/page?x");
      } catch {
        /* the page's own */
      }
      dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
      document.dispatchEvent(new CustomEvent("consentchange", { detail: {} }));
      dispatchEvent(new Event("online"));
    });
    await page.waitForTimeout(300);
    expect(
      hits(fake)
        .slice(0, expected.length)
        .map(({ kind, url }) => `${kind} ${new URL(url).pathname}`),
    ).toEqual(expected);
  });
}

test("cookies and storage that are blocked: nobody can have agreed, and no error reaches the page", async ({
  page,
  fake,
  context,
}) => {
  await page.addInitScript(() => {
    const blocked = {
      get() {
        throw new DOMException("blocked", "SecurityError");
      },
    };
    Object.defineProperty(Document.prototype, "cookie", blocked);
    for (const storage of ["localStorage", "sessionStorage", "indexedDB", "caches"])
      Object.defineProperty(window, storage, blocked);
  });
  fake.pages = { "/page": whole };
  await page.goto("/page");
  await page.getByRole("button", { name: "Accept", exact: true }).click();
  await expect.poll(() => fake.acts.length).toBe(1);
  await context.clearCookies(); // as if the browser had not kept it
  await page.goto("/page");
  await page.evaluate(() => window.footfall.consent.ready);
  fake.posts.length = 0;
  await sent(fake, []);
});

for (const [what, define] of [
  ["a frozen object", () => (window.footfall = Object.freeze({ mine: 1 }))],
  ["a text", () => (window.footfall = "mine")],
]) {
  test(`where the host has ${what} under our name, it stays, and nothing is sent`, async ({
    page,
    fake,
  }) => {
    await page.addInitScript(define);
    fake.pages = { "/page": whole };
    await remember(page.context(), fake, GRANTED);
    await page.goto("/page");
    await page.waitForTimeout(300);
    expect(await page.evaluate(() => window.footfall.mine ?? window.footfall)).toBe(
      what === "a text" ? "mine" : 1,
    );
    await sent(fake, []);
  });
}

test("what the host has under our name is extended", async ({ page, fake }) => {
  await page.addInitScript(() => (window.footfall = { mine: 1 }));
  fake.pages = { "/page": whole };
  await open(page, fake);
  await sent(fake, ["view /page"]);
  expect(await page.evaluate(() => Object.keys(window.footfall).sort())).toEqual([
    "consent",
    "enable",
    "event",
    "mine",
    "missing",
    "send",
  ]);
});

test("attributes that make no sense change nothing", async ({ page, fake }) => {
  fake.pages = {
    "/page": pageOf(
      `data-endpoint="https://elsewhere.example" data-consent="yes" data-__proto__="x" data-a.b="c"`,
      `<main><a href="/other" data-ff-link="${"x".repeat(3000)}">x</a><button ` +
        `data-ff-event="${"é".repeat(3000)}" data-ff-value="1e999" ` +
        `data-ff-currency="EUR">y</button></main>`,
    ),
  };
  await open(page, fake);
  await sent(fake, ["view /page"]);
  await page.evaluate(() => document.querySelector("button").click());
  await expect.poll(() => hits(fake).length).toBe(2);
  expect(Buffer.byteLength(hits(fake)[1].name)).toBeLessThanOrEqual(512);
});

const pageOf = page;
const whole = pageOf(EVERYTHING);
