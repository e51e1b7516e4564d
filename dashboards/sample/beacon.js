// Counts a page view, clicks on marked links, and how long the page held attention: one POST each, to the page's own origin.
//
// Nothing is sent unless the collector said that the visitor agreed (the consent script knows); from the moment they agree it counts, and
// from the moment they do not it stops. The server checks all of it again. Nothing is stored in the browser. The random id of a hit is
// new for each hit: it lets a retry count once and ties nothing together.
(() => {
  "use strict";
  const { hit } = document.currentScript.dataset;
  const MOST_URL = 2048; // the server's limit, in bytes
  const MOST_ENGAGED = 86400000; // a day, in milliseconds

  const allowed = () => window.footfall?.consent?.allowed("analytics") === true;

  const id = () =>
    Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

  const page = () => {
    const whole = location.origin + location.pathname + location.search;
    return whole.length <= MOST_URL ? whole : location.origin + location.pathname;
  };

  // keepalive: the request outlives the page. The answer says nothing, and a page must not notice when counting fails.
  const send = (facts) => {
    if (!allowed()) return false;
    const body = { url: page(), id: id(), ...facts };
    if (navigator.webdriver) body.webdriver = true;
    fetch(hit, { method: "POST", keepalive: true, mode: "same-origin", credentials: "same-origin",
      headers: { "content-type": "application/json" }, body: JSON.stringify(body) }).catch(() => {});
    return true;
  };

  let viewed = 0; // when this view began
  let held = 0; // milliseconds in sight before `since`
  let since = null; // when the page last came into sight; null while it is hidden
  let left = true; // nothing to report: no view was sent, or its leave was

  const watch = () => {
    const now = performance.now();
    if (since !== null) held += now - since;
    since = document.visibilityState === "visible" ? now : null;
  };
  const whole = (millis) => Math.min(MOST_ENGAGED, Math.max(0, Math.round(millis)));

  const view = () => {
    viewed = performance.now();
    held = 0;
    since = null;
    watch();
    const from = document.referrer.split(/[?#]/)[0];
    left = !send({ kind: "view", ...(from && from.length <= MOST_URL ? { referrer: from } : {}) });
  };

  const click = (event) => {
    if (event.type === "auxclick" && event.button !== 1) return;
    const link = event.target instanceof Element && event.target.closest("a[data-ff-link]");
    if (link) send({ kind: "click", name: link.dataset.ffLink, engaged: whole(performance.now() - viewed) });
  };

  const leave = () => {
    if (left) return;
    left = true;
    watch();
    send({ kind: "leave", engaged: whole(held) });
  };

  addEventListener("click", click, true);
  addEventListener("auxclick", click, true);
  addEventListener("visibilitychange", watch);
  addEventListener("pagehide", leave);
  // One view for each time the page is shown, as soon as it may be counted.
  let counted = false;
  const begin = () => {
    if (counted || document.prerendering || !allowed()) return;
    counted = true;
    view();
  };
  document.addEventListener("consentchange", begin);
  document.addEventListener("prerenderingchange", begin, { once: true });
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    counted = false; // back from the browser's page cache: seen again
    window.footfall?.consent?.ready.then(begin);
  });
  window.footfall?.consent?.ready.then(begin);
})();
