/*! web-vitals, Copyright Google LLC, Apache-2.0 */
// vitals.js: Core Web Vitals of the page, measured by the web-vitals library.
import { onCLS, onFCP, onINP, onLCP, onTTFB, type Metric } from "web-vitals";
import { stripQuery, isFirstLoad, createReporter } from "./reporter";

// The largest values that the collector accepts.
const MAX_MILLIS = 600_000;
const MAX_LAYOUT_SHIFT = 100; // without a unit

if (isFirstLoad("vitals")) {
  // The URL the document was loaded with, whatever its own navigation did since. A page restored
  // from the back/forward cache is measured anew under its URL at that time.
  let url = stripQuery(performance.getEntriesByType("navigation")[0]?.name ?? location.href);
  addEventListener(
    "pageshow",
    ({ persisted }) => {
      if (persisted) url = stripQuery(location.href);
    },
    true,
  );

  const report = createReporter(false);
  const reportMetric = ({ name, value }: Metric): void =>
    report({
      kind: "vital",
      url,
      metric: name,
      value: Math.min(value, name === "CLS" ? MAX_LAYOUT_SHIFT : MAX_MILLIS),
    });
  for (const observe of [onCLS, onFCP, onINP, onLCP, onTTFB]) observe(reportMetric);
}
