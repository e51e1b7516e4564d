// <footfall-consent>: a sheet at the foot of the page, not modal and no wall. What it holds is
// drawn in view.ts.
//
// Closing is no answer: the question comes back with the next page view, never on this one.
import { current, decide } from "./consent";
import type { Answer, Layer } from "./contract";
import css from "./dialog.css";
import { style } from "./dom";
import { bundled, view, type View } from "./view";

export class FootfallConsent extends HTMLElement {
  private root = style(this, css);
  private opener: Element | null = null; // the control that opened it; null if it opened automatically
  private shown: View | undefined;

  /**
   * Without an opener: the question, and the focus stays where it is. With one: the preferences.
   */
  show(opener: Element | null): void {
    this.opener = opener;
    this.draw(opener ? "panel" : "first");
  }

  close = (): void => {
    if (!this.isConnected) return;
    this.remove();
    if (this.opener instanceof HTMLElement) this.opener.focus();
  };

  connectedCallback(): void {
    document.addEventListener("keydown", this.escape);
  }

  disconnectedCallback(): void {
    document.removeEventListener("keydown", this.escape);
  }

  // Not while an answer is under way: whether it was stored must still be said.
  private escape = (event: KeyboardEvent): void => {
    if (event.key === "Escape" && !event.defaultPrevented && !this.shown?.controls.disabled)
      this.close();
  };

  private draw(layer: Layer, changed = false): void {
    const answer = current() as Answer;
    const invited = layer === "panel" || this.opener !== null;
    const drawn = (this.shown = view(
      answer,
      { layer, invited, changed },
      {
        choose: () => this.draw("panel"),
        close: this.close,
        send: (tiers, pressed) => this.send(answer, layer, tiers, pressed),
      },
    ));
    this.root.replaceChildren(drawn.dialog);
    // First in the page: the first stop of the tab key. Not in the body, where selectors count
    // children (`:first-child`, `* + *`).
    if (!this.isConnected) document.body.before(this);
    if (invited || changed) drawn.heading.focus();
  }

  private async send(
    answer: Answer,
    layer: Layer,
    tiers: Record<string, boolean>,
    pressed: HTMLElement,
  ): Promise<void> {
    const { controls, alert } = this.shown as View;
    alert.textContent = "";
    controls.disabled = true;
    try {
      if (await decide(tiers, bundled(answer) ? "first" : layer)) this.close();
      else this.draw(layer, true);
    } catch {
      alert.textContent = answer.texts.failed;
      controls.disabled = false;
      pressed.focus();
    }
  }
}
