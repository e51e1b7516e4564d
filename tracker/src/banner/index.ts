// The consent banner: one script, without other work for the host page. This file wires it to the
// page; consent.ts decides what is allowed, dialog.ts what is shown.
//
// It stores nothing, contacts no other host, takes no focus unasked, and lets no error reach the
// page.
import { allowed, current, listen, load, unlisten, whenReady } from "./consent";
import type { Consent } from "./contract";
import { FootfallConsent } from "./dialog";
import { FootfallPreferences } from "./preferences";

const DIALOG = "footfall-consent";

const start = (): void => {
  let dialog: FootfallConsent | undefined;

  const begin = async (): Promise<void> => {
    listen(() => quietly(begin()));
    dialog?.close();
    await load();
    if (current()?.ask) show(null);
  };

  const show = (opener: Element | null): void => {
    dialog ??= document.createElement(DIALOG) as FootfallConsent;
    dialog.show(opener);
  };

  const open = async (opener: Element | null): Promise<void> => {
    await whenReady();
    if (!current()) await load(); // it failed before; the person asks again
    if (current()) show(opener);
  };

  const consent: Consent = {
    allowed,
    get ready() {
      return whenReady();
    },
    open: () => quietly(open(document.activeElement)),
    get state() {
      return structuredClone(current());
    },
  };
  // The tracker, or the host, may have put something there.
  Reflect.set(Object((window.footfall ??= {})), "consent", consent);

  quietly(begin());
  customElements.define(DIALOG, FootfallConsent);
  customElements.define("footfall-preferences", FootfallPreferences);

  // The path, because a control may be in a shadow root, as ours is.
  document.addEventListener("click", (event) => {
    const control = event
      .composedPath()
      .find((node) => node instanceof Element && node.matches("[data-ff-preferences]"));
    if (!control) return;
    if (current()) event.preventDefault(); // a link stays a link where we have nothing to show
    quietly(open(control as Element));
  });

  // Back from the browser's page cache: another page may have changed the answer. Capturing, to run
  // before the host's listeners.
  addEventListener(
    "pageshow",
    (event) => {
      if (event.persisted) quietly(begin());
    },
    true,
  );
  addEventListener("pagehide", unlisten, true);
};

const quietly = (work: Promise<void>): void => {
  work.catch(() => {});
};

if (!customElements.get(DIALOG)) start();
