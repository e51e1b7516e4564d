// The consent banner's entry point: connects the state (consent.ts) and the dialog (dialog.ts) to
// the page.
//
// It stores nothing, contacts no other host, moves the focus only on request, and lets no error
// reach the page.
import {
  isAllowed,
  currentState,
  listenToTabs,
  loadState,
  stopListening,
  whenReady,
} from "./consent";
import type { ConsentApi } from "./contract";
import { FootfallConsent } from "./dialog";
import { FootfallPreferences } from "./preferences";

const DIALOG = "footfall-consent";

const startBanner = (): void => {
  let dialog: FootfallConsent | undefined;

  const restart = async (): Promise<void> => {
    listenToTabs(() => ignoreErrors(restart()));
    dialog?.close();
    await loadState();
    if (currentState()?.ask) showDialog(null);
  };

  const showDialog = (opener: Element | null): void => {
    dialog ??= document.createElement(DIALOG) as FootfallConsent;
    dialog.show(opener);
  };

  const openPreferences = async (opener: Element | null): Promise<void> => {
    await whenReady();
    if (!currentState()) await loadState(); // retries a failed load
    if (currentState()) showDialog(opener);
  };

  const consent: ConsentApi = {
    allowed: isAllowed,
    get ready() {
      return whenReady();
    },
    open: () => ignoreErrors(openPreferences(document.activeElement)),
    get state() {
      return structuredClone(currentState());
    },
  };
  // The tracker or the host page may have created the object already.
  Reflect.set(Object((window.footfall ??= {})), "consent", consent);

  ignoreErrors(restart());
  customElements.define(DIALOG, FootfallConsent);
  customElements.define("footfall-preferences", FootfallPreferences);

  // The composed path, because a control may be in a shadow root, as <footfall-preferences> is.
  document.addEventListener("click", (event) => {
    const control = event
      .composedPath()
      .find((node) => node instanceof Element && node.matches("[data-ff-preferences]"));
    if (!control) return;
    if (currentState()) event.preventDefault(); // without a state, a link is followed
    ignoreErrors(openPreferences(control as Element));
  });

  // Back from the back/forward cache: another page may have changed the choice. Capturing, to run
  // before the host's listeners.
  addEventListener(
    "pageshow",
    (event) => {
      if (event.persisted) ignoreErrors(restart());
    },
    true,
  );
  addEventListener("pagehide", stopListening, true);
};

const ignoreErrors = (work: Promise<void>): void => {
  work.catch(() => {});
};

if (!customElements.get(DIALOG)) startBanner();
