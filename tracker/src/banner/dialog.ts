// <footfall-consent>: a non-modal sheet at the bottom of the page. render.ts creates its contents.
//
// Closing it records no choice: the prompt returns with the next page view, never on this one.
import { currentState, submitChoice } from "./consent";
import type { ConsentState, PromptLayer } from "./contract";
import css from "./dialog.css";
import { attachStyles } from "./dom";
import { isAllOrNothing, renderDialog, type DialogView } from "./render";

export class FootfallConsent extends HTMLElement {
  private root = attachStyles(this, css);
  private opener: Element | null = null; // the control that opened it; null if it opened automatically
  private shown: DialogView | undefined;

  /**
   * Without an opener, shows the prompt and leaves the focus where it is. With one, shows the
   * preferences.
   */
  show(opener: Element | null): void {
    this.opener = opener;
    this.drawLayer(opener ? "panel" : "first");
  }

  close = (): void => {
    if (!this.isConnected) return;
    this.remove();
    if (this.opener instanceof HTMLElement) this.opener.focus();
  };

  connectedCallback(): void {
    document.addEventListener("keydown", this.closeOnEscape);
  }

  disconnectedCallback(): void {
    document.removeEventListener("keydown", this.closeOnEscape);
  }

  // Not during a request: its result must still be shown.
  private closeOnEscape = (event: KeyboardEvent): void => {
    if (event.key === "Escape" && !event.defaultPrevented && !this.shown?.controls.disabled)
      this.close();
  };

  private drawLayer(layer: PromptLayer, promptChanged = false): void {
    const state = currentState() as ConsentState;
    const openedByUser = layer === "panel" || this.opener !== null;
    const view = (this.shown = renderDialog(
      state,
      { layer, openedByUser, promptChanged },
      {
        choose: () => this.drawLayer("panel"),
        close: this.close,
        send: (tiers, pressedButton) => this.send(state, layer, tiers, pressedButton),
      },
    ));
    this.root.replaceChildren(view.dialog);
    // Before the body, so that it is first in the tab order and does not change what the page's
    // own selectors match (`:first-child`, `* + *`).
    if (!this.isConnected) document.body.before(this);
    if (openedByUser || promptChanged) view.heading.focus();
  }

  private async send(
    state: ConsentState,
    layer: PromptLayer,
    tiers: Record<string, boolean>,
    pressedButton: HTMLElement,
  ): Promise<void> {
    const { controls, alert } = this.shown as DialogView;
    alert.textContent = "";
    controls.disabled = true;
    try {
      if (await submitChoice(tiers, isAllOrNothing(state) ? "first" : layer)) this.close();
      else this.drawLayer(layer, true);
    } catch {
      alert.textContent = state.texts.failed;
      controls.disabled = false;
      pressedButton.focus();
    }
  }
}
