// Debian's Chromium drives everything: Playwright's own download of a browser is not used. Each test
// talks to a collector of its worker on a port of its own, so two workers disturb each other in
// nothing but time.
import { execFileSync } from "node:child_process";
import { defineConfig } from "@playwright/test";

const chromium = () => {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const found = "command -v chromium || command -v chromium-browser || command -v google-chrome";
  return execFileSync("sh", ["-c", found], { encoding: "utf8" }).trim();
};

// The flags keep Chromium from talking to anybody but the page. AutomationControlled would set
// navigator.webdriver, and an automated browser is not counted.
const args = [
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-blink-features=AutomationControlled",
];
// Headless Chromium names itself a robot, which is not counted either. Said twice, because what a
// page sends while it goes away carries the browser's own name and not the one Playwright gave the
// page.
const AGENT =
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
args.push(`--user-agent=${AGENT}`);
if (process.getuid?.() === 0) args.push("--no-sandbox");

export default defineConfig({
  projects: [
    { name: "collector", testDir: ".", testIgnore: "bench/**" },
    { name: "page", testDir: "../../tracker/tests" },
  ],
  outputDir: "../../test-results/e2e",
  workers: 2,
  // Playwright holds each request of the browser, which then loses one of a page that goes away, once
  // in some hundred runs of all tests. What fails twice fails; the list names what failed once.
  retries: 1,
  timeout: 180_000,
  // Longer than the 30 s after which the tracker repeats a request that failed: a browser fails one
  // for reasons of the machine too, such as a changed network.
  expect: { timeout: 40_000 },
  reporter: [["list"], ["json", { outputFile: "../../test-results/e2e.json" }]],
  use: {
    browserName: "chromium",
    launchOptions: { executablePath: chromium(), args },
    userAgent: AGENT,
    viewport: { width: 1280, height: 900 },
    locale: "en-GB",
  },
});
