// faults.js: script errors by class, script of this origin, and line. Never a message or a stack,
// because those can contain anything.
import { stripQuery, isFirstLoad, createReporter } from "./reporter";

const MAX_FAULTS = 10; // per page view; each distinct fault is reported once
const MAX_NAME_CHARS = 128;

if (isFirstLoad("faults")) {
  const report = createReporter(true);
  let url = "";
  let reported = new Set<string>();

  const reportFault = (error: unknown, file = "", line = 0): void => {
    const { origin } = location;
    const source = file.startsWith(`${origin}/`) ? stripQuery(file.slice(origin.length)) : "";
    const fields = {
      kind: "fault",
      fault: "script",
      name: String(error?.constructor?.name || "Error").slice(0, MAX_NAME_CHARS),
      source,
      ...(source && line && { line }),
    };
    const key = JSON.stringify(fields);
    const page = stripQuery(location.href);
    if (page !== url) [url, reported] = [page, new Set()];
    if (reported.size >= MAX_FAULTS || reported.has(key)) return;
    reported.add(key);
    report({ ...fields, url });
  };

  // An error without a file comes from another host's script, without any details.
  const reportSafely = (...fields: Parameters<typeof reportFault>): void => {
    try {
      reportFault(...fields);
    } catch {} // an error in this handler would be reported again
  };
  addEventListener("error", ({ error, filename, lineno }) => {
    if (filename) reportSafely(error, filename, lineno);
  });
  addEventListener("unhandledrejection", ({ reason }) => reportSafely(reason));
  addEventListener(
    "pageshow",
    ({ persisted }) => {
      if (persisted) reported = new Set();
    },
    true,
  );
}
