// What panels stand on: the report, and what may be done with it where they stand. A share link has
// no filter, no export.
import type { Report } from "./schema";
import type { FilterDimension } from "./urlState.svelte";

export interface PanelContext {
  /** `null` until it is there. */
  report: Report | null;
  onFilter?: ((by: FilterDimension, value: string) => void) | undefined;
  /** The same question with as many rows as there may be. */
  loadAll: () => Promise<Report>;
  exportUrl?: ((table: string, format: "csv" | "json") => string) | undefined;
}
export const MAX_ROWS = 10;
