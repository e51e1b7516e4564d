// Renders the contents of the dialog from the consent state: the prompt, or the single tiers.
//
// The accept and reject buttons come from the same function and differ only in their text.
import type { ConsentState, PromptLayer, ConsentTier } from "./contract";
import { h } from "./dom";

export interface RenderOptions {
  layer: PromptLayer;
  /** The visitor opened it. It then has a close button and shows what is stored. */
  openedByUser: boolean;
  /** A new version of the prompt replaced the one that the visitor had answered. */
  promptChanged: boolean;
}

export interface DialogActions {
  choose(): void;
  close(): void;
  send(tiers: Record<string, boolean>, pressedButton: HTMLElement): void;
}

export interface DialogView {
  dialog: HTMLElement;
  /** Contains all controls; disabling it disables them. */
  controls: HTMLFieldSetElement;
  heading: HTMLElement;
  alert: HTMLElement;
}

export const renderDialog = (
  state: ConsentState,
  options: RenderOptions,
  actions: DialogActions,
): DialogView => {
  const { texts, lang, dir, signal } = state;
  const showsTiers = options.layer === "panel" && !isAllOrNothing(state);
  const switches = new Map<string, HTMLInputElement>();

  const heading = h(
    "h2",
    { id: "title", tabindex: "-1" },
    showsTiers ? texts.preferences : texts.title,
  );
  const alert = h("p", { role: "alert" });
  const notice = noticeText(state, options);
  const controls = h(
    "fieldset",
    { role: "none" },
    h(
      "header",
      {},
      heading,
      options.openedByUser && createButton(texts.close, actions.close, "link-button"),
    ),
    h("p", { id: "body" }, signal ? texts.signal : texts.body),
    notice && h("p", {}, h("b", {}, notice)),
    h(
      "ul",
      {},
      ...(showsTiers
        ? state.tiers.map((tier) => renderTierSwitch(state, tier, switches))
        : optionalTiers(state).map(renderTier)),
    ),
    renderLinks(state, options),
    alert,
    renderButtons(state, showsTiers, switches, actions),
  );
  const dialog = h(
    "section",
    {
      role: "dialog",
      "aria-labelledby": "title",
      "aria-describedby": "body",
      class: options.layer,
      lang,
      dir,
    },
    controls,
  );
  return { dialog, controls, heading, alert };
};

/** Whether the prompt offers only all tiers or none, without single tiers. */
export const isAllOrNothing = (state: ConsentState): boolean => state.ui === "accept_decline";

const optionalTiers = (state: ConsentState): ConsentTier[] =>
  state.tiers.filter((tier) => !tier.locked);

const grantedTiers = (state: ConsentState): string[] => state.choice?.tiers ?? [];

const createButton = (
  text: string,
  onPress: (pressedButton: HTMLElement) => void,
  cssClass = "",
): HTMLElement => {
  const element = h("button", { class: cssClass }, text);
  element.onclick = () => onPress(element);
  return element;
};

const noticeText = (state: ConsentState, { promptChanged }: RenderOptions): string | false => {
  const { choice, signal, texts } = state;
  if (signal) return false;
  if (promptChanged || choice?.outdated) return texts.outdated;
  return (
    isAllOrNothing(state) &&
    !!choice &&
    (choice.tiers.length ? texts.chosen_accept : texts.chosen_reject)
  );
};

/** A tier's name and description, shown in the prompt. */
const renderTier = ({ title, text }: ConsentTier): HTMLElement =>
  h("li", {}, h("b", {}, title), h("p", {}, text));

/** A tier with its switch: off, unless the visitor granted it before. */
const renderTierSwitch = (
  state: ConsentState,
  tier: ConsentTier,
  switches: Map<string, HTMLInputElement>,
): HTMLElement => {
  const { texts, signal } = state;
  const id = `tier-${tier.name}`;
  const input = h("input", { type: "checkbox", role: "switch", "aria-describedby": id });
  input.checked = tier.locked || (!signal && grantedTiers(state).includes(tier.name));
  input.disabled = tier.locked || !!signal;
  switches.set(tier.name, input);
  return h(
    "li",
    {},
    h("label", {}, h("b", {}, tier.title), input),
    h("p", { id }, tier.text, tier.locked && ` ${texts.necessary_always}.`),
  );
};

const renderLinks = (
  { texts, policy, me, receipt }: ConsentState,
  { openedByUser }: RenderOptions,
): HTMLElement => {
  const link = (href: string | null, ...children: (Node | string | false)[]): HTMLElement | false =>
    !!href && h("a", { href }, ...children);
  return h(
    "nav",
    {},
    link(policy.url, texts.policy, " ", h("time", { dir: "ltr" }, policy.date)),
    openedByUser && link(me, texts.me),
    openedByUser && link(receipt, texts.receipt),
  );
};

const renderButtons = (
  state: ConsentState,
  showsTiers: boolean,
  switches: Map<string, HTMLInputElement>,
  actions: DialogActions,
): HTMLElement => {
  const { texts, signal } = state;
  const allOrNothing = isAllOrNothing(state);
  const sendButton = (text: string, isWanted: (name: string) => boolean): HTMLElement =>
    createButton(text, (pressedButton) =>
      actions.send(
        Object.fromEntries(optionalTiers(state).map(({ name }) => [name, isWanted(name)])),
        pressedButton,
      ),
    );
  const rejectButton = sendButton(allOrNothing ? texts.decline : texts.reject, () => false);
  const acceptButton = sendButton(allOrNothing ? texts.accept_all : texts.accept, () => true);
  // With an opt-out signal, the only choice left is to withdraw an earlier grant.
  if (signal) return h("div", { class: "buttons" }, grantedTiers(state).length > 0 && rejectButton);
  if (allOrNothing) return h("div", { class: "buttons" }, rejectButton, acceptButton);
  const middleButton = showsTiers
    ? sendButton(texts.save, (name) => switches.get(name)?.checked === true)
    : createButton(texts.choose, actions.choose);
  return h("div", { class: "buttons three-buttons" }, rejectButton, middleButton, acceptButton);
};
