// <footfall-preferences>: the permanent control for the choice, with its text from the server. It
// looks like a link of the host's own text; `footfall-preferences::part(button)` styles it.
// index.ts handles the click, as for all controls.
import { current, whenReady } from "./consent";
import { h, style } from "./dom";
import css from "./preferences.css";

export class FootfallPreferences extends HTMLElement {
  async connectedCallback(): Promise<void> {
    await whenReady();
    const answer = current();
    if (!answer || this.shadowRoot) return;
    const { lang, dir, texts } = answer;
    style(this, css).append(
      h("button", { part: "button", "data-ff-preferences": "", lang, dir }, texts.preferences),
    );
  }
}
