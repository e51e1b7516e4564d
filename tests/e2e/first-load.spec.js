// What travels when a creator opens the last seven days: every byte and every request, headers,
// answers and stream included.
import { expect, test } from "./stage.js";

const MOST_BYTES = 90 * 1024;
const MOST_REQUESTS = 10;

test("the first load of a week costs at most 90 KB and ten requests", async ({
  browser,
  collector,
}) => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  const cdp = await context.newCDPSession(page);
  await cdp.send("Network.enable");
  const bytes = new Map();
  const paths = new Map();
  const add = ({ requestId }, n) => bytes.set(requestId, (bytes.get(requestId) ?? 0) + n);
  cdp.on("Network.requestWillBeSent", (sent) =>
    paths.set(sent.requestId, new URL(sent.request.url).pathname),
  );
  cdp.on("Network.responseReceived", (got) => add(got, got.response.encodedDataLength));
  cdp.on("Network.dataReceived", (got) => add(got, got.encodedDataLength));
  // The whole of it, where it came to an end.
  cdp.on("Network.loadingFinished", (got) => bytes.set(got.requestId, got.encodedDataLength));

  await page.goto(`${collector.url}/?site=demo&range=7d`);
  await expect(page.locator("canvas")).toBeVisible();
  for (const name of ["Speed", "Faults", "Not counted"])
    await expect(
      page.getByRole("table", { name: name === "Speed" ? "Speed by page" : name }),
    ).toBeVisible();
  await expect(page.locator(".live")).toHaveText(/now/);
  await page.waitForTimeout(500);

  const sent = [...paths].map(([id, path]) => `${path} ${bytes.get(id) ?? 0}`);
  const sum = [...bytes.values()].reduce((all, n) => all + n, 0);
  console.log(`first_load_bytes=${sum}\nfirst_load_requests=${paths.size}`);
  expect(paths.size, sent.join("\n")).toBeLessThanOrEqual(MOST_REQUESTS);
  expect(sum, sent.join("\n")).toBeLessThanOrEqual(MOST_BYTES);
  // It is what was to be measured: the numbers, compressed.
  const report = [...paths].find(([, path]) => path.endsWith("/report"));
  expect(bytes.get(report[0])).toBeLessThan(
    (
      await (
        await fetch(collector.page("/api/v1/sites/demo/report?range=7d&compare=previous"))
      ).text()
    ).length / 2,
  );
  await context.close();
});
