// What a page passes to its panels: the report, and the actions that it allows. A share link allows
// no filter and no export.
import type { Report } from "./schema";
import type { FilterDimension } from "./view";

export interface PanelContext {
  /** `null` until it is loaded. */
  report: Report | null;
  onFilter?: ((by: FilterDimension, value: string) => void) | undefined;
  /** Loads the same report with the maximum number of rows. */
  loadAll: () => Promise<Report>;
  exportUrl?: ((table: string, format: "csv" | "json") => string) | undefined;
}
export const MAX_ROWS = 10;
