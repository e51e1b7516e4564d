// faults.js: script errors by class, own script and line. Never a message or a stack, because those
// can contain anything.
import { bare, first, handOver } from "./waiting";

const MOST = 10; // of a page view, each once
const MOST_NAME = 128;

if (first("faults")) {
  const tell = handOver(true);
  let url = "";
  let known = new Set<string>();

  const fault = (error: unknown, file = "", line = 0): void => {
    const { origin } = location;
    const source = file.startsWith(`${origin}/`) ? bare(file.slice(origin.length)) : "";
    const facts = {
      kind: "fault",
      fault: "script",
      name: String(error?.constructor?.name || "Error").slice(0, MOST_NAME),
      source,
      ...(source && line && { line }),
    };
    const key = JSON.stringify(facts);
    const page = bare(location.href);
    if (page !== url) [url, known] = [page, new Set()];
    if (known.size >= MOST || known.has(key)) return;
    known.add(key);
    tell({ ...facts, url });
  };

  // An error without a file is one of another host's script: nothing is known about it.
  const safely = (...facts: Parameters<typeof fault>): void => {
    try {
      fault(...facts);
    } catch {} // an error in here would be the next one to be told
  };
  addEventListener("error", ({ error, filename, lineno }) => {
    if (filename) safely(error, filename, lineno);
  });
  addEventListener("unhandledrejection", ({ reason }) => safely(reason));
  addEventListener(
    "pageshow",
    ({ persisted }) => {
      if (persisted) known = new Set();
    },
    true,
  );
}
