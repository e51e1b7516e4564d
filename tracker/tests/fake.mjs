// A little fake of the collector's endpoints, and pages that load the scripts from it.
//
// The tests against the real collector are in tests/e2e. This fake exists for what a real server
// cannot be made to do: hang, fail, talk nonsense, change its question between two requests. Like
// the real one it keeps nothing: the answer is in the cookie.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { expect, test as base } from "../../tests/e2e/browser.js";
import { texts } from "./texts.mjs";

export { expect };

export const PRESETS = {
  alllinks: { ui: "granular", tiers: ["necessary", "preferences", "analytics", "embeds"] },
  ally: { ui: "accept_decline", tiers: ["necessary", "preferences", "analytics"] },
  openedlink: { ui: "granular", tiers: ["necessary", "analytics", "marketing"] },
};

const POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'";
const COOKIE = "fake_consent";

const paragraphs = Array.from(
  { length: 30 },
  (_, i) => `<p>Paragraph ${i + 1} of a page that goes on.</p>`,
).join("\n");
const html = (prefix, lang, body) => `<!doctype html>
<html lang="${lang}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>A profile</title>${prefix ? `<script src="${prefix}/consent.js" defer></script>` : ""}</head>
<body>${body}</body></html>`;
const profile = `<main><h1>A profile</h1><p><a id="top" href="/elsewhere">A link of the page</a></p>${paragraphs}</main>
<footer><footfall-preferences></footfall-preferences>
<a id="control" href="/ff/me" data-ff-preferences>My privacy</a></footer>`;

/** What is stored: the version it was given at, and the tiers agreed to. */
const stored = (request, version) => {
  const [, at, tiers] =
    (request.headers.cookie ?? "").match(new RegExp(`${COOKIE}=(\\d+)\\.([a-z+]*)`)) ?? [];
  return at
    ? {
        version: Number(at),
        tiers: tiers.split("+").filter(Boolean),
        outdated: Number(at) !== version,
      }
    : null;
};

const answer = (fake, choice, lang) => {
  const { ui, tiers } = PRESETS[fake.preset];
  const words = texts(lang || "en");
  const inForce = choice && !choice.outdated && !fake.signal ? choice.tiers : [];
  return {
    version: fake.version,
    ui,
    ...words[""],
    texts: words.banner,
    tiers: tiers.map((name) => ({
      name,
      ...words[`tiers.${name}`],
      locked: name === "necessary",
      inert: name === "marketing",
      granted: name === "necessary" || inForce.includes(name),
    })),
    choice,
    signal: fake.signal,
    ask: !fake.signal && (!choice || choice.outdated),
    policy: { url: "/policy", date: "2026-05-01" },
    me: `${fake.prefix}/me`,
    receipt: choice?.tiers.length ? `${fake.prefix}/consent/receipt` : null,
  };
};

const body = async (request) => {
  let text = "";
  for await (const part of request) text += part;
  return JSON.parse(text);
};

/**
 * A request with hits: written down, then answered with what the test laid out, else as the
 * collector does.
 */
const taken = async (fake, request, response) => {
  const hits = await body(request);
  fake.posts.push({ hits, method: request.method, headers: request.headers, at: Date.now() });
  const { status, headers } = fake.hitAnswers.shift() ?? { status: 202, headers: {} };
  if (status === "cut") return request.socket.destroy();
  return response.writeHead(status, headers).end();
};

const serve = (fake) => async (request, response) => {
  const url = new URL(request.url, "http://fake");
  const send = (status, type, text, headers = {}) =>
    response.writeHead(status, { "content-type": type, ...headers }).end(text);
  const json = (status, value, headers = {}) =>
    send(
      status,
      status < 300 ? "application/json" : "application/problem+json",
      JSON.stringify(value),
      { "cache-control": "no-store", ...headers },
    );

  const [, script] = url.pathname.match(/\/(consent|f|vitals|faults)\.js$/) ?? [];
  if (script && url.pathname.startsWith(fake.prefix))
    return send(
      200,
      "text/javascript",
      readFileSync(new URL(`../dist/${script}.js`, import.meta.url)),
    );
  if (url.pathname === `${fake.prefix}/hit`) return taken(fake, request, response);
  if (url.pathname !== `${fake.prefix}/consent`) {
    const page =
      url.pathname === "/"
        ? html(fake.prefix, fake.lang, profile)
        : html("", "en", "<main><h1>Elsewhere</h1></main>");
    return send(200, "text/html", fake.pages[url.pathname]?.() ?? page, {
      "content-security-policy": fake.policy,
    });
  }

  fake.requests.push(`${request.method} ${url.pathname}${url.search}`);
  const trouble = fake.trouble[request.method];
  if (trouble === "hang") return undefined;
  if (trouble === "nonsense") return send(200, "text/html", "<p>Welcome to the hotel's network");
  if (trouble === "empty") return json(200, {});
  if (trouble === "fail")
    return json(500, { title: "Broken", detail: "on purpose", code: "broken" });
  if (request.method === "GET")
    return json(200, answer(fake, stored(request, fake.version), url.searchParams.get("lang")));

  const act = await body(request);
  fake.acts.push(act);
  if (act.version !== fake.version)
    return json(409, {
      title: "Old version",
      detail: "the question has changed",
      code: "old_version",
    });
  const tiers = Object.entries(act.tiers ?? {})
    .filter(([, yes]) => yes)
    .map(([name]) => name);
  const cookie =
    `${COOKIE}=${fake.version}.${tiers.join("+")}; Path=/; Max-Age=31536000; HttpOnly; ` +
    "SameSite=Lax";
  const choice = { version: fake.version, tiers, outdated: false };
  return json(
    200,
    { ...answer(fake, choice, act.lang), receipt_record: tiers.length ? {} : null },
    { "set-cookie": cookie },
  );
};

export const test = base.extend({
  /**
   * Change it before a page asks: preset, lang, version, signal, prefix,
   * trouble = { GET or POST: hang, fail, nonsense, empty }. pages: what is served where;
   * hitAnswers: what the next requests with hits are answered, { status, headers } or { status: "cut" }.
   */
  fake: async ({}, use) => {
    const fake = {
      preset: "alllinks",
      lang: "en",
      version: 1,
      signal: null,
      prefix: "/ff",
      policy: POLICY,
      pages: {},
      trouble: {},
      requests: [],
      acts: [],
      posts: [],
      hitAnswers: [],
    };
    const server = createServer(serve(fake));
    await new Promise((done) => server.listen(0, "127.0.0.1", done));
    fake.url = `http://127.0.0.1:${server.address().port}`;
    await use(fake);
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  },
  baseURL: async ({ fake }, use) => use(fake.url),
  // Every test: nothing thrown into the page, nothing its policy refuses, no word to another host.
  // A test that fails prints the requests that did.
  page: async ({ page, fake }, use, info) => {
    const complaints = [];
    const failures = [];
    const hosts = new Set();
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("console", (message) => {
      const expected = message.text().startsWith("Failed to load resource"); // the fake's own failures
      if (message.type() === "error" && !expected) complaints.push(message.text());
    });
    page.on("request", (request) => hosts.add(new URL(request.url()).origin));
    page.on("requestfailed", (request) =>
      failures.push(`${request.method()} ${request.url()}: ${request.failure()?.errorText}`),
    );
    await page.addInitScript(() => {
      window.changes = [];
      document.addEventListener("consentchange", (event) =>
        window.changes.push(event.detail.allowed),
      );
      window.rejections = [];
      addEventListener("unhandledrejection", (event) =>
        window.rejections.push(String(event.reason)),
      );
    });
    await use(page);
    if (info.status !== info.expectedStatus) console.log(failures.join("\n"));
    expect(complaints).toEqual([]);
    expect(await page.evaluate(() => window.rejections)).toEqual([]);
    expect([...hosts]).toEqual([fake.url]);
  },
});

/** What the visitor's browser remembers: "<version>.<tiers agreed to>". */
export const remembered = async (context) =>
  (await context.cookies()).map(({ name, value }) => `${name}=${value}`);

export const remember = (context, fake, value) =>
  context.addCookies([{ name: COOKIE, value, url: fake.url, httpOnly: true }]);

export const dialog = (page) => page.getByRole("dialog");
export const press = (page, name) =>
  dialog(page).getByRole("button", { name, exact: true }).click();
export const settled = (page) => page.evaluate(() => window.footfall.consent.ready);
export const allowed = (page) =>
  page.evaluate(() =>
    ["necessary", "preferences", "analytics", "embeds", "marketing"].filter((tier) =>
      window.footfall.consent.allowed(tier),
    ),
  );
export const changes = (page) => page.evaluate(() => window.changes);

/** Opens the profile and waits for the server's answer. */
export const visit = async (page) => {
  await page.goto("/");
  await settled(page);
};
