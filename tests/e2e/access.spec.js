// Who may see what, as a browser does it: its cookies, its rules about other sites, its frames.
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { violations } from "./browser.js";
import { DAY, START, expect, test } from "./collector.js";

const SECRET = "a secret of thirty-two characters";
const BEARER = { authorization: "Bearer operator-operator" };
// Two names of this machine are two sites to a browser.
const CONFIG = `
[report]
token = "operator-operator"
[platform]
token_algorithm = "HS256"
token_key = "${SECRET}"
`;
const NEXT_DAY = START + 86_400_000;

const token = (claims) => {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const header = part({ alg: "HS256", typ: "JWT" });
  const payload = part({ iss: "platform", aud: "footfall", exp: START / 1000 + 60, ...claims });
  const signed = `${header}.${payload}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
};

/** Pages on `http://localhost`, while `work` runs. */
const elsewhere = async (pages, work) => {
  const server = createServer((request, answer) =>
    answer.setHeader("content-type", "text/html").end(pages[request.url] ?? ""),
  );
  await new Promise((done) => server.listen(0, "localhost", done));
  try {
    await work(`http://localhost:${server.address().port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
};

/** A request the page makes by itself: its status and JSON. */
const ask = (page, path, options = {}) =>
  page.evaluate(
    async ([path, options]) => {
      const answer = await fetch(path, options);
      return { status: answer.status, body: await answer.json().catch(() => null) };
    },
    [path, options],
  );

/** As the operator, without a browser. */
const operate = async (collector, method, path, body, now = START) => {
  const headers = { ...BEARER, "x-footfall-now": String(now) };
  const answer = await fetch(collector.page(path), {
    method,
    headers,
    body: body && JSON.stringify(body),
  });
  expect(answer.ok, `${method} ${path}: ${answer.status}`).toBe(true);
  return answer.status === 204 ? null : answer.json();
};

test("the platform's own page hands a creator over, and no other page acts in their name", async ({
  page,
  context,
  platform,
}) => {
  const collector = await platform("", CONFIG);
  await collector.flush();
  // A share link is of published days.
  await collector.publish();
  const form = `<form method="post" action="${collector.url}/handover"><input type="hidden" name="token"
    value="${token({ sites: ["demo"], jti: "one" })}"><button>Statistics</button></form>`;
  await elsewhere({ "/": form, "/evil": "<p>Evil</p>" }, async (other) => {
    await page.goto(other);
    await page.getByRole("button", { name: "Statistics" }).click();
    await page.waitForURL(`${collector.url}/?site=demo`);
    await expect(page.getByRole("heading", { name: "Nothing here yet" })).toBeVisible();
    const [cookie] = await context.cookies(collector.url);
    expect(cookie).toMatchObject({
      name: "__Host-footfall",
      httpOnly: true,
      secure: true,
      sameSite: "Lax",
      path: "/",
      expires: -1,
    });
    expect(await page.evaluate(() => document.cookie)).toBe("");
    const session = (await ask(page, "/api/v1/session")).body;
    expect(session).toMatchObject({ role: "creator", sites: ["demo"] });
    expect((await ask(page, "/api/v1/sites/tom/report")).status).toBe(404);

    const share = {
      method: "POST",
      body: JSON.stringify({ from: "2026-02-01", to: "2026-02-02" }),
    };
    const attack = await context.newPage();
    await attack.goto(`${other}/evil`);
    const forged = { ...share, mode: "no-cors", credentials: "include" };
    await attack.evaluate(
      ([url, options]) => fetch(url, options),
      [`${collector.url}/api/v1/sites/demo/shares`, forged],
    );
    expect((await ask(page, "/api/v1/sites/demo/shares")).body).toEqual({ rows: [] });

    expect((await ask(page, "/api/v1/sites/demo/shares", share)).body.code).toBe("bad_csrf");
    const headers = { "x-csrf-token": session.csrf };
    expect((await ask(page, "/api/v1/sites/demo/shares", { ...share, headers })).status).toBe(201);
    expect((await ask(page, "/api/v1/session", { method: "DELETE", headers })).status).toBe(204);
    expect(await context.cookies(collector.url)).toEqual([]);
    expect((await ask(page, "/api/v1/session")).body.role).toBe(null);
  });
});

test("a share link shows its days to a stranger, after its password, and nothing to filter by", async ({
  page,
  platform,
}) => {
  const collector = await platform("", CONFIG);
  const view = { kind: "view", url: `${collector.page("/u/demo")}` };
  const agent = await page.evaluate(() => navigator.userAgent);
  for (let n = 0; n < 3; n += 1)
    await collector.hit(view, { origin: collector.page(""), "user-agent": agent });
  await collector.flush(NEXT_DAY);
  await collector.publish();
  const link = { from: DAY, to: DAY, password: "between us two" };
  const { url } = await operate(collector, "POST", "/api/v1/sites/demo/shares", link, NEXT_DAY);

  await page.goto(collector.url + url);
  await expect(page.getByRole("heading", { name: "Password required" })).toBeVisible();
  expect(await violations(page)).toEqual([]);
  await page.getByLabel("Password").fill("a guess of mine");
  await page.getByRole("button", { name: "Show" }).click();
  await expect(page.getByText("Wrong password.")).toBeVisible();
  await page.getByLabel("Password").fill("between us two");
  await page.getByRole("button", { name: "Show" }).click();
  await expect(page.getByRole("heading", { name: "demo" })).toBeVisible();
  await expect(page.locator(".date-range")).toHaveText("Mon, 2 Mar 2026");
  await expect(page.locator(".metric").filter({ hasText: "Page views" }).locator("b")).toHaveText(
    "3",
  );
  await expect(
    page.locator("#sources").getByRole("button", { name: "Not yet shown" }),
  ).toBeVisible();
  await expect(page.getByLabel("Range")).toHaveCount(0);
  await expect(page.locator("table button:not([aria-expanded]), a[download]")).toHaveCount(0);
  expect(await violations(page)).toEqual([]);

  const [{ id }] = (await operate(collector, "GET", "/api/v1/sites/demo/shares")).rows;
  await operate(collector, "DELETE", `/api/v1/sites/demo/shares/${id}`);
  await page.reload();
  await expect(
    page.getByRole("heading", { name: "This link has expired or been revoked" }),
  ).toBeVisible();
});

test("a share link shows in a frame of the site's own origins only", async ({ page, platform }) => {
  const collector = await platform("", CONFIG);
  await collector.flush(NEXT_DAY);
  await collector.publish();
  const { url } = await operate(
    collector,
    "POST",
    "/api/v1/sites/demo/shares",
    { from: DAY, to: DAY },
    NEXT_DAY,
  );
  const frame =
    `<title>mia</title><iframe src="${collector.url}${url}?embed=1" width="600" ` +
    `height="400"></iframe>`;
  await elsewhere({ "/": frame }, async (other) => {
    const heading = page.frameLocator("iframe").getByRole("heading", { name: "Nothing here yet" });
    const put = (embed) =>
      operate(collector, "PUT", "/api/v1/sites/demo", { hosts: [], zone: "Europe/Berlin", embed });
    await put([other]);
    await page.goto(other);
    await expect(heading).toBeVisible();
    await put(["https://somewhere.example"]);
    const refused = page.waitForEvent("console", (message) =>
      message.text().includes("frame-ancestors"),
    );
    await page.goto(other);
    await refused;
    await expect(heading).toHaveCount(0);
  });
});
