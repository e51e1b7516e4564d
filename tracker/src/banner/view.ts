// The contents of the dialog, drawn from the server's answer: the prompt, or the single tiers.
//
// The buttons for yes and no come from the same function and differ only in their text.
import type { Answer, Layer, Tier } from "./contract";
import { h } from "./dom";

export interface Look {
  layer: Layer;
  /** The person opened it. It then has a way out of its own, and says what is stored. */
  invited: boolean;
  /** The question was replaced by another while it was being answered. */
  changed: boolean;
}

export interface Acts {
  choose(): void;
  close(): void;
  send(tiers: Record<string, boolean>, pressed: HTMLElement): void;
}

export interface View {
  dialog: HTMLElement;
  /** Contains all controls: disabling it disables them. */
  controls: HTMLFieldSetElement;
  heading: HTMLElement;
  alert: HTMLElement;
}

export const view = (answer: Answer, look: Look, acts: Acts): View => {
  const { texts, lang, dir, signal } = answer;
  const single = look.layer === "panel" && !bundled(answer);
  const switches = new Map<string, HTMLInputElement>();

  const heading = h(
    "h2",
    { id: "title", tabindex: "-1" },
    single ? texts.preferences : texts.title,
  );
  const alert = h("p", { role: "alert" });
  const says = notice(answer, look);
  const controls = h(
    "fieldset",
    { role: "none" },
    h("header", {}, heading, look.invited && button(texts.close, acts.close, "plain")),
    h("p", { id: "body" }, signal ? texts.signal : texts.body),
    says && h("p", {}, h("b", {}, says)),
    h(
      "ul",
      {},
      ...(single
        ? answer.tiers.map((tier) => choosable(answer, tier, switches))
        : optional(answer).map(named)),
    ),
    links(answer, look),
    alert,
    answers(answer, single, switches, acts),
  );
  const dialog = h(
    "section",
    {
      role: "dialog",
      "aria-labelledby": "title",
      "aria-describedby": "body",
      class: look.layer,
      lang,
      dir,
    },
    controls,
  );
  return { dialog, controls, heading, alert };
};

/** All or nothing: there are no single tiers to choose among. */
export const bundled = (answer: Answer): boolean => answer.ui === "accept_decline";

const optional = (answer: Answer): Tier[] => answer.tiers.filter((tier) => !tier.locked);

const agreed = (answer: Answer): string[] => answer.choice?.tiers ?? [];

const button = (text: string, press: (pressed: HTMLElement) => void, look = ""): HTMLElement => {
  const element = h("button", { class: look }, text);
  element.onclick = () => press(element);
  return element;
};

const notice = (answer: Answer, { changed }: Look): string | false => {
  const { choice, signal, texts } = answer;
  if (signal) return false;
  if (changed || choice?.outdated) return texts.outdated;
  return (
    bundled(answer) && !!choice && (choice.tiers.length ? texts.chosen_accept : texts.chosen_reject)
  );
};

/** A tier as the question names it, with what it does: who is to answer has to know. */
const named = ({ title, text }: Tier): HTMLElement =>
  h("li", {}, h("b", {}, title), h("p", {}, text));

/** A tier with its switch: off, unless the person turned it on before. */
const choosable = (
  answer: Answer,
  tier: Tier,
  switches: Map<string, HTMLInputElement>,
): HTMLElement => {
  const { texts, signal } = answer;
  const id = `tier-${tier.name}`;
  const input = h("input", { type: "checkbox", role: "switch", "aria-describedby": id });
  input.checked = tier.locked || (!signal && agreed(answer).includes(tier.name));
  input.disabled = tier.locked || !!signal;
  switches.set(tier.name, input);
  return h(
    "li",
    {},
    h("label", {}, h("b", {}, tier.title), input),
    h("p", { id }, tier.text, tier.locked && ` ${texts.necessary_always}.`),
  );
};

const links = ({ texts, policy, me, receipt }: Answer, { invited }: Look): HTMLElement => {
  const link = (href: string | null, ...says: (Node | string | false)[]): HTMLElement | false =>
    !!href && h("a", { href }, ...says);
  return h(
    "nav",
    {},
    link(policy.url, texts.policy, " ", h("time", { dir: "ltr" }, policy.date)),
    invited && link(me, texts.me),
    invited && link(receipt, texts.receipt),
  );
};

const answers = (
  answer: Answer,
  single: boolean,
  switches: Map<string, HTMLInputElement>,
  acts: Acts,
): HTMLElement => {
  const { texts, signal } = answer;
  const all = bundled(answer);
  const send = (text: string, wants: (name: string) => boolean): HTMLElement =>
    button(text, (pressed) =>
      acts.send(
        Object.fromEntries(optional(answer).map(({ name }) => [name, wants(name)])),
        pressed,
      ),
    );
  const no = send(all ? texts.decline : texts.reject, () => false);
  const yes = send(all ? texts.accept_all : texts.accept, () => true);
  // A signal has answered already. What is left to say is no to what was agreed to before.
  if (signal) return h("div", { class: "answers" }, agreed(answer).length > 0 && no);
  if (all) return h("div", { class: "answers" }, no, yes);
  const middle = single
    ? send(texts.save, (name) => switches.get(name)?.checked === true)
    : button(texts.choose, acts.choose);
  return h("div", { class: "answers three" }, no, middle, yes);
};
