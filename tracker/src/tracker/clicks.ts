// Clicks on links and on elements marked as events.
import type { EventFacts } from "../npm";
import { stripQuery, enqueue } from "./queue";
import { elapsedMillis, recordActivity } from "./pageview";

type LinkElement = HTMLAnchorElement | HTMLAreaElement | SVGAElement;

const FILE_EXTENSION = /\.((doc|ppt|xls)x?|mp[34]|pdf|csv|epub|zip)$/i;

/** Leaves out an amount that the collector would reject; the event is counted all the same. */
export const trackEvent = (name: string, { value, passive, currency }: EventFacts = {}): void => {
  const amount = +value!;
  if (name)
    enqueue({
      kind: "event",
      passive,
      name: name.slice(0, 128),
      ...(amount >= 0 &&
        amount < 1 / 0 &&
        /^[A-Z]{3}$/.test(currency!) && { value: amount, currency }),
    });
};

export const trackClick = (event: MouseEvent): void => {
  const path = event.composedPath() as HTMLElement[]; // includes shadow roots
  const link = path.find((node) => node.matches?.("a,area")) as LinkElement | undefined; // an SVG's, too
  const eventMark = path.find(({ dataset }) => dataset?.ffEvent)?.dataset;
  const name = link && linkTarget(link);
  recordActivity();
  if (event.button > +!!link) return; // the middle button counts for links only
  if (name) enqueue({ kind: "click", name: name.slice(0, 512), engaged: elapsedMillis() });
  if (eventMark)
    trackEvent(eventMark.ffEvent!, { value: eventMark.ffValue, currency: eventMark.ffCurrency });
};

/**
 * A link's `data-ff-link` id, or else its destination if it leads to another host, a file, an app or
 * a mail address (the collector reduces an address to its scheme).
 */
const linkTarget = (link: LinkElement): string | false | undefined => {
  if (link.dataset.ffLink) return link.dataset.ffLink;
  const destination = document.createElement("a"); // parses a URL without throwing
  destination.href = (link.href as SVGAnimatedString).baseVal ?? link.href;
  return (
    /^(?!javascript|data|blob|about)./.test(destination.href) &&
    (destination.host !== location.host ||
      link.matches("[download]") ||
      FILE_EXTENSION.test(destination.pathname)) &&
    stripQuery(destination.href) + contentQuery(destination)
  );
};

/** The query keys that identify a video, app, song or list, for hosts that need them. */
const contentQuery = ({ host, search }: HTMLAnchorElement): string => {
  const keys =
    /(youtube|google|apple|facebook)\.com$/.test(host) && search.match(/\b(v|id|i|list)=[\w.-]+/g);
  return keys ? "?" + keys.join("&") : "";
};
