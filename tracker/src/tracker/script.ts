// f.js: the tracker as a script tag. The endpoint lies beside the script; attributes are its options.
import type { Options } from "../npm";
import { banner, safely, type Settings } from "./guest";
import { enable, event, missing } from "./index";
import { put } from "./queue";

declare global {
  interface Footfall {
    enable?: (options?: Omit<Options, "endpoint">) => () => void;
    event?: typeof event;
    missing?: typeof missing;
    /** For vitals.js and faults.js. Whether it will be sent. */
    send?: (facts: object) => unknown;
  }
}

safely(() => {
  const { src, dataset } = document.currentScript as HTMLScriptElement;
  const tag: Settings & { [name: string]: unknown } = { endpoint: new URL("hit", src), consent: banner };
  for (const name in dataset) tag[name] ??= true;
  if (window.footfall?.enable) return; // loaded twice
  if (!tag.manual) enable(tag);
  // The host's as much as ours: extended, never replaced. Last, because there are objects that cannot be extended.
  Object.assign((window.footfall ??= {}), { enable: (more?: Omit<Options, "endpoint">) => enable({ ...tag, ...more }), event, missing, send: put });
})();
