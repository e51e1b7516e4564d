// Clicks on links, and on whatever is marked as an event.
import type { EventFacts } from "../npm";
import { bare, put } from "./queue";
import { elapsed } from "./view";

const FILE = /\.((doc|ppt|xls)x?|mp[34]|pdf|csv|epub|zip)$/i;

/** An amount the collector would refuse is left out: it would refuse the whole request with it. */
export const happened = (name: string, { value, passive, currency }: EventFacts = {}): void => {
  const amount = +value!;
  if (name) put({ kind: "event", passive, name: name.slice(0, 128),
    ...(amount >= 0 && /^[A-Z]{3}$/.test(currency!) && { value: amount, currency }) });
};

export const click = (event: MouseEvent): void => {
  const path = event.composedPath() as HTMLElement[]; // through shadow roots
  const link = path.find(({ localName }) => localName === "a") as HTMLAnchorElement | undefined;
  const mark = path.find(({ dataset }) => dataset?.ffEvent)?.dataset;
  const name = link && target(link);
  if (event.button > +!!link) return; // the middle button does something to links only
  if (name) put({ kind: "click", name: name.slice(0, 512), engaged: elapsed() });
  if (mark) happened(mark.ffEvent!, { value: mark.ffValue, currency: mark.ffCurrency });
};

/** The id a link was given, else where it leads: to another host, a file, or a person (the collector keeps only that it was one). */
const target = (link: HTMLAnchorElement): string | false | undefined =>
  link.dataset.ffLink || (/^(tel|mailto|http)/.test(link.href)
    && (link.host !== location.host || link.matches("[download]") || FILE.test(link.pathname)) && bare(link.href));
