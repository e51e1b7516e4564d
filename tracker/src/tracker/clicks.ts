// Clicks on links, and on whatever is marked as an event.
import type { EventFacts } from "../npm";
import { bare, put } from "./queue";
import { elapsed, sign } from "./view";

type Link = HTMLAnchorElement | HTMLAreaElement | SVGAElement;

const FILE = /\.((doc|ppt|xls)x?|mp[34]|pdf|csv|epub|zip)$/i;

/** An amount the collector would refuse is left out, and the event stays. */
export const happened = (name: string, { value, passive, currency }: EventFacts = {}): void => {
  const amount = +value!;
  if (name)
    put({
      kind: "event",
      passive,
      name: name.slice(0, 128),
      ...(amount >= 0 &&
        amount < 1 / 0 &&
        /^[A-Z]{3}$/.test(currency!) && { value: amount, currency }),
    });
};

export const click = (event: MouseEvent): void => {
  const path = event.composedPath() as HTMLElement[]; // through shadow roots
  const link = path.find((node) => node.matches?.("a,area")) as Link | undefined; // an SVG's, too
  const mark = path.find(({ dataset }) => dataset?.ffEvent)?.dataset;
  const name = link && target(link);
  sign();
  if (event.button > +!!link) return; // the middle button does something to links only
  if (name) put({ kind: "click", name: name.slice(0, 512), engaged: elapsed() });
  if (mark) happened(mark.ffEvent!, { value: mark.ffValue, currency: mark.ffCurrency });
};

/**
 * The id a link was given, else where it leads: to another host, a file, an app, or a person (the
 * collector keeps only that it was one).
 */
const target = (link: Link): string | false | undefined => {
  if (link.dataset.ffLink) return link.dataset.ffLink;
  const to = document.createElement("a"); // reads an address without throwing
  to.href = (link.href as SVGAnimatedString).baseVal ?? link.href;
  return (
    /^(?!javascript|data|blob|about)./.test(to.href) &&
    (to.host !== location.host || link.matches("[download]") || FILE.test(to.pathname)) &&
    bare(to.href) + named(to)
  );
};

/** Which video, app, song or list it is, where the query alone says so. */
const named = ({ host, search }: HTMLAnchorElement): string => {
  const keys =
    /(youtube|google|apple|facebook)\.com$/.test(host) && search.match(/\b(v|id|i|list)=[\w.-]+/g);
  return keys ? "?" + keys.join("&") : "";
};
