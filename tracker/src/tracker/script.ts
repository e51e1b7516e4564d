// f.js: the tracker as a script tag. The endpoint is next to the script; attributes are its
// options.
import type { EventFacts, Options } from "../npm";
import { happened } from "./clicks";
import { banner, safely, type Settings } from "./guest";
import { enable } from "./index";
import { put } from "./queue";
import { miss } from "./view";

declare global {
  interface Footfall {
    enable?: (options?: Omit<Options, "endpoint">) => () => void;
    event?: (name: string, facts?: EventFacts) => void;
    missing?: () => void;
    /** For vitals.js and faults.js. Whether it will be sent. */
    send?: (facts: object) => unknown;
  }
}

safely(() => {
  // A module does not know its script, so it searches the page for its tag.
  const script = (document.currentScript ??
    document.querySelector("script[src*='/f.js'],script[src^='f.js']")) as HTMLScriptElement | null;
  if (!script) return console.warn("footfall: no script tag of f.js, nothing is counted");
  const { src, dataset } = script;
  const tag: Settings & { [name: string]: unknown } = {
    endpoint: new URL("hit", src),
    consent: banner,
  };
  for (const name in dataset) tag[name] ??= true;
  if (window.footfall?.enable) return; // loaded twice
  if (!tag.manual) enable(tag);
  // The host's as much as ours: extended, never replaced. Last, because there are objects that
  // cannot be extended.
  Object.assign((window.footfall ??= {}), {
    send: put,
    event: safely(happened),
    missing: safely(miss),
    enable: (more?: Omit<Options, "endpoint">) => enable({ ...tag, ...more }),
  });
})();
