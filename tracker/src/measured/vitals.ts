/*! web-vitals, Copyright Google LLC, Apache-2.0 */
// vitals.js: how fast the page was, as the web-vitals library measures it.
import { onCLS, onFCP, onINP, onLCP, onTTFB, type Metric } from "web-vitals";
import { bare, first, handOver } from "./waiting";

const MOST = 600_000; // milliseconds, and of layout shift, which has no unit, 100: what the collector takes
const MOST_SHIFT = 100;

if (first("vitals")) {
  // Of the document, wherever its own navigation has led since; brought back, it is measured anew
  // as what it is then.
  let url = bare(performance.getEntriesByType("navigation")[0]?.name ?? location.href);
  addEventListener(
    "pageshow",
    ({ persisted }) => {
      if (persisted) url = bare(location.href);
    },
    true,
  );

  const tell = handOver(false);
  const measured = ({ name, value }: Metric): void =>
    tell({
      kind: "vital",
      url,
      metric: name,
      value: Math.min(value, name === "CLS" ? MOST_SHIFT : MOST),
    });
  for (const measure of [onCLS, onFCP, onINP, onLCP, onTTFB]) measure(measured);
}
