// Mails from one end to the other: signed by the collector, sent by a real SMTP client to a real
// SMTP server, read in Chromium.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "@playwright/test";
import { SMTPClient } from "emailjs";
import { SMTPServer } from "smtp-server";
import { DAY, START, expect, test } from "./collector.js";

const MAIL = `
[mail]
enabled = true
templates = ["welcome"]
zone = "Europe/Berlin"
http_targets = true
`;
const READERS = 20; // clicks of fewer are not told
const SECONDS = 1000;

/** Takes mails on loopback and keeps them as they came. */
const mailbox = async () => {
  const mails = [];
  const server = new SMTPServer({
    disabledCommands: ["AUTH", "STARTTLS"],
    onData: (stream, session, done) => {
      let raw = "";
      stream
        .setEncoding("latin1")
        .on("data", (text) => (raw += text))
        .on("end", () => {
          mails.push({ to: session.envelope.rcptTo.map((to) => to.address), raw });
          done();
        });
    },
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    mails,
    port: server.server.address().port,
    stop: () => new Promise((closed) => server.close(closed)),
  };
};

/** The HTML of a mail as it arrived: the part that says so, out of its base64. */
const html = ({ raw }) => {
  const part = raw.slice(raw.search(/content-type: text\/html/i));
  expect(part).toMatch(/content-transfer-encoding: base64/i);
  const body = part.slice(part.indexOf("\r\n\r\n") + 4);
  return Buffer.from(body.slice(0, body.indexOf("\r\n--")), "base64").toString("utf8");
};

const mint = async (collector, links) => {
  const body = JSON.stringify({
    mails: [{ template: "welcome", batch: DAY, consent: true, links }],
  });
  const answer = await fetch(collector.page("/api/v1/mail/links"), { method: "POST", body });
  expect(answer.status).toBe(201);
  return (await answer.json()).mails[0];
};

/** Sends the mail to as many people, and answers what arrived. */
const send = async (minted, readers) => {
  const box = await mailbox();
  const client = new SMTPClient({ host: "127.0.0.1", port: box.port, ssl: false, tls: false });
  const links = minted.links
    .map(({ link, url }) => `<p><a id="${link}" href="${url}">${link}</a></p>`)
    .join("");
  for (let reader = 0; reader < readers; reader += 1) {
    await client.sendAsync({
      from: "Platform <hello@platform.example>",
      to: `reader-${reader}@people.example`,
      subject: "Welcome",
      text: "Welcome.",
      attachment: [
        {
          data: `<html><body><h1>Welcome</h1>${links}${minted.html}</body></html>`,
          alternative: true,
        },
      ],
    });
  }
  client.smtp.close(true);
  await box.stop();
  return box.mails;
};

const report = async (collector, now) => {
  await collector.flush(now);
  const answer = await fetch(collector.page(`/api/v1/mail?from=${DAY}&to=${DAY}`));
  expect(answer.status).toBe(200);
  return (await answer.json()).templates;
};

/** Opens mails one after the other, each by another program, a minute apart. */
const read = async (browser, mails, dir, each) => {
  for (const [reader, mail] of mails.entries()) {
    const file = join(dir, `${reader}.html`);
    writeFileSync(file, html(mail));
    const context = await browser.newContext({
      userAgent: `Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.${reader}.0`,
      extraHTTPHeaders: { "x-footfall-now": String(START + 60 * SECONDS * (reader + 1)) },
    });
    await context.route(/^https:/, (route) =>
      route.fulfill({ contentType: "text/html", body: "<title>elsewhere</title>" }),
    );
    const page = await context.newPage();
    await page.goto(`file://${file}`, { waitUntil: "load" });
    await each(page);
    await context.close();
  }
};

test("a mail sent over SMTP is the same for everybody and counted once for each who sees its images", async ({
  platform,
  browser,
  launchOptions,
}) => {
  const collector = await platform("", MAIL);
  const minted = await mint(collector, [{ link: "start", url: "https://elsewhere.example/page" }]);
  const mails = await send(minted, READERS);
  expect(new Set(mails.map((mail) => mail.to[0])).size).toBe(READERS);
  expect(new Set(mails.map(html)).size).toBe(1);
  expect(html(mails[0])).toContain(minted.html);

  const dir = mkdtempSync(join(tmpdir(), "footfall-mail-"));
  const blind = await chromium.launch({
    ...launchOptions,
    args: [...launchOptions.args, "--blink-settings=imagesEnabled=false"],
  });
  try {
    await read(browser, mails, dir, async (page) => {
      expect(
        await page
          .locator("img")
          .evaluate((image) => [image.complete, image.naturalWidth, image.alt]),
      ).toEqual([true, 1, ""]);
    });
    const seen = { direct: READERS, proxied: 0, machine: 0 };
    const [first] = await report(collector, START + 3600 * SECONDS);
    expect([first.template, first.opens, first.openers]).toEqual(["welcome", seen, READERS]);
    expect(first.days.map(({ day, opens }) => [day, opens])).toEqual([[DAY, seen]]);

    // Without images the same mails read as well, count nothing, and their links lead on.
    await read(blind, mails, dir, async (page) => {
      await expect(page.getByRole("heading", { name: "Welcome" })).toBeVisible();
      await page.locator("#start").click();
      await expect(page).toHaveTitle("elsewhere");
      expect(page.url()).toBe("https://elsewhere.example/page");
    });
    const [second] = await report(collector, START + 7200 * SECONDS);
    expect([second.opens, second.clicks, second.click_rate]).toEqual([seen, seen, 1]);
    expect(second.links).toEqual([{ link: "start", clicks: seen }]);
  } finally {
    await blind.close();
    rmSync(dir, { recursive: true, force: true });
  }
});

test("a link to a profile brings a visit of the mail's campaign", async ({ platform, page }) => {
  const collector = await platform("", MAIL);
  const minted = await mint(collector, [
    { link: "profile", url: collector.page("/u/demo?tab=shop#top") },
  ]);
  await page.goto(minted.links[0].url);
  expect(page.url()).toBe(
    collector.page("/u/demo?tab=shop&utm_source=mail&utm_campaign=welcome#top"),
  );
  const counted = page.waitForResponse((answer) => answer.url().endsWith("/ff/hit"));
  await page.getByRole("dialog").getByRole("button", { name: "Accept", exact: true }).click();
  await counted;
  await collector.flush();
  expect((await collector.report()).totals.hits).toBe(1);
});
