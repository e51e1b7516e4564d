// The npm package as somebody installs it: packed, unpacked into a folder of its own, bundled, and
// counted in a browser.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, GRANTED, hits, remember, sent, test } from "./tracker.mjs";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const APP = `import { enable, event, missing } from "footfall";
enable({ endpoint: "/ff/hit" })(); // as React's StrictMode does: started, stopped, started
const stop: () => void = enable({ endpoint: "/ff/hit", vitals: true, faults: true, debug: false });
event("editor: add block", { passive: true });
Object.assign(window, { stop, event, missing, enable });
`;

/** A folder in which the package is installed as npm does it from a tarball, without a network. */
const installed = () => {
  const folder = mkdtempSync(join(tmpdir(), "footfall-package-"));
  const npm = (...args) =>
    execFileSync("npm", [...args, "--silent", "--offline", "--ignore-scripts"], {
      cwd: folder,
      encoding: "utf8",
    });
  const [{ filename, files }] = JSON.parse(
    execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], {
      cwd: PACKAGE,
      encoding: "utf8",
    }),
  );
  writeFileSync(
    join(folder, "package.json"),
    `{ "name": "app", "private": true, "type": "module" }`,
  );
  npm("install", "--no-audit", "--no-fund", join(folder, filename));
  return {
    folder,
    files: files.map(({ path }) => path).sort(),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
};

test("what is packed is the package and nothing else; installed and bundled it counts", async ({
  page,
  fake,
}) => {
  const app = installed();
  try {
    expect(app.files).toEqual([
      "LICENSE-APACHE",
      "LICENSE-MIT",
      "README.md",
      "dist/consent.js",
      "dist/f.js",
      "dist/faults.js",
      "dist/footfall.d.ts",
      "dist/footfall.js",
      "dist/vitals.js",
      "package.json",
    ]);
    expect(
      readdirSync(join(app.folder, "node_modules")).filter((name) => !name.startsWith(".")),
    ).toEqual(["footfall"]);
    mkdirSync(join(app.folder, "src"));
    writeFileSync(join(app.folder, "src/app.ts"), APP);
    // Its types hold under the strictest compiler; where there is no page, importing and calling it
    // does nothing.
    const bin = (name) => join(PACKAGE, "node_modules/.bin", name);
    execFileSync(
      bin("tsc"),
      [
        "--noEmit",
        "--strict",
        "--exactOptionalPropertyTypes",
        "--skipLibCheck",
        "false",
        "--module",
        "esnext",
        "--moduleResolution",
        "bundler",
        "--lib",
        "es2022,dom",
        "--types",
        "",
        "src/app.ts",
      ],
      { cwd: app.folder },
    );
    expect(
      execFileSync(
        "node",
        [
          "--input-type=module",
          "-e",
          `import { enable, event, missing } from "footfall"; const stop = enable(); event("x"); ` +
            "missing(); stop(); console.log(typeof stop);",
        ],
        { cwd: app.folder, encoding: "utf8" },
      ),
    ).toBe("function\n");
    execFileSync(
      bin("esbuild"),
      ["src/app.ts", "--bundle", "--minify", "--log-level=warning", "--outfile=app.js"],
      { cwd: app.folder },
    );
    const bundle = readFileSync(join(app.folder, "app.js"), "utf8");

    fake.policy = "script-src 'self' 'unsafe-inline'";
    fake.pages["/app"] = () =>
      `<!doctype html><title>App</title><script src="/ff/consent.js" defer></script><body>` +
      `<h1>App</h1><script>${bundle}</script></body>`;
    await remember(page.context(), fake, GRANTED);
    await page.goto("/app");
    await sent(fake, ["view /app"]); // what happened before the answer was known is not counted
    await page.evaluate(() => {
      window.enable({ endpoint: "/ff/hit" });
      window.event("editor: add block");
      history.pushState(0, "", "/app/settings");
      window.missing();
    });
    await sent(fake, [
      "view /app",
      "event editor: add block",
      "leave /app",
      "view /app/settings",
      "fault /app/settings",
    ]);
    await page.evaluate(() => window.stop());
    await page.evaluate(() => window.event("stopped"));
    expect(
      await page.evaluate(() =>
        performance
          .getEntriesByType("resource")
          .map(({ name }) => new URL(name).pathname)
          .filter((path) => path.endsWith("s.js"))
          .sort(),
      ),
    ).toEqual(["/ff/faults.js", "/ff/vitals.js"]);
    expect(hits(fake).length).toBe(5);
  } finally {
    app.remove();
  }
});

test("with the script tag in the page as well, one of them counts", async ({ page, fake }) => {
  const app = installed();
  try {
    writeFileSync(
      join(app.folder, "app.js"),
      `import { enable, event } from "footfall"; enable(); window.event = event;`,
    );
    execFileSync(
      join(PACKAGE, "node_modules/.bin/esbuild"),
      ["app.js", "--bundle", "--log-level=warning", "--outfile=out.js"],
      { cwd: app.folder },
    );
    fake.policy = "script-src 'self' 'unsafe-inline'";
    fake.pages["/app"] = () =>
      `<!doctype html><title>App</title><script src="/ff/consent.js" defer></script><script ` +
      `src="/ff/f.js"></script><body>` +
      `<script>${readFileSync(join(app.folder, "out.js"), "utf8")}</script></body>`;
    await remember(page.context(), fake, GRANTED);
    await page.goto("/app");
    await sent(fake, ["view /app"]);
  } finally {
    app.remove();
  }
});
