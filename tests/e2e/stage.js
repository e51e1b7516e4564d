// A small creator's two weeks, counted once for all tests that only look at them.
import { expect, start, test as base } from "./collector.js";
import { CONFIG, crowd } from "./crowd.js";

export { expect };
export const test = base.extend({
  /** The crowd takes longer than a look at it. */
  stage: [
    async ({}, use) => {
      const collector = await start("", CONFIG);
      try {
        await crowd(collector);
        await crowd(collector, { name: "harm", days: 1, harm: true });
        // Names of new sites are kept within a second.
        const known = async () =>
          (await (await fetch(collector.page("/api/v1/sites"))).json()).rows.map(
            ({ site }) => site,
          );
        await expect.poll(known).toEqual(["demo", "harm"]);
        await use(collector);
      } finally {
        await collector.stop();
      }
    },
    { scope: "worker", timeout: 300_000 },
  ],
  collector: async ({ stage }, use) => use(stage),
});
