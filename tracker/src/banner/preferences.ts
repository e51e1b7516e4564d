// <footfall-preferences>: a permanent control that opens the preferences, with its text from the
// server. It looks like a link of the host page; `footfall-preferences::part(button)` styles it.
// index.ts handles the click, as for all controls.
import { currentState, whenReady } from "./consent";
import { h, attachStyles } from "./dom";
import css from "./preferences.css";

export class FootfallPreferences extends HTMLElement {
  async connectedCallback(): Promise<void> {
    await whenReady();
    const state = currentState();
    if (!state || this.shadowRoot) return;
    const { lang, dir, texts } = state;
    attachStyles(this, css).append(
      h("button", { part: "button", "data-ff-preferences": "", lang, dir }, texts.preferences),
    );
  }
}
