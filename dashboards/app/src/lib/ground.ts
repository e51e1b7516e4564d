// What panels stand on: the report, and what may be done with it where they stand. A share link has
// no filter, no export.
import type { Report } from "./schema";
import type { FilterBy } from "./view.svelte";

export interface Ground {
  /** `null` until it is there. */
  report: Report | null;
  pick?: ((by: FilterBy, value: string) => void) | undefined;
  /** The same question with as many rows as there may be. */
  full: () => Promise<Report>;
  exported?: ((table: string, format: "csv" | "json") => string) | undefined;
}
export const SHOWN = 10;
