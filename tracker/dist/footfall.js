// src/signals.ts
var signal = () => navigator.globalPrivacyControl === true ? "gpc" : /^1/.test(navigator.doNotTrack || window.doNotTrack) ? "dnt" : null;

// src/tracker/guest.ts
var options = {};
var stay;
var depart = () => {
  stay.abort();
  stay = null;
};
var safely = (act) => (...args) => {
  try {
    return act(...args);
  } catch {
  }
};
var on = (target2, acts) => {
  stay ??= new AbortController();
  for (const type in acts)
    target2.addEventListener(type, safely(acts[type]), {
      capture: true,
      signal: stay.signal
    });
};
var banner = () => window.footfall?.consent?.allowed("analytics");
var say = (why) => {
  if (options.debug && !options[why]) console.log("footfall:", options[why] = why);
};

// src/tracker/queue.ts
var fresh = [];
var failed = [];
var timer;
var may = () => {
  const why = signal() ?? (stay && options.consent() === true ? "" : "no consent");
  if (why) {
    fresh = [];
    failed = [];
    say(why);
  }
  return !why;
};
var bare = (url, end = /[?#]/) => url.split(end)[0].slice(0, 2048 /* Address */);
var put = (facts) => {
  if (!may()) return;
  const text = JSON.stringify({
    url: bare(location.href, "#"),
    ...facts,
    id: crypto.randomUUID().replace(/-/g, ""),
    webdriver: !!navigator.webdriver
  }).replace(/(\\\\)|\\ud.../g, "$1");
  if ((fresh + text).length > 1500 /* Chars */) flush();
  fresh.push(text);
  return timer ||= setTimeout(flush);
};
var flush = safely(() => {
  timer = clearTimeout(timer);
  if (!may()) return;
  if (fresh[0]) failed.push([fresh.splice(0), Date.now()]);
  for (const batch of failed.splice(0)) if (Date.now() - batch[1] < 1e5 /* Age */) post(batch, failed);
});
var post = async (batch, again) => {
  let wait = 30;
  try {
    const { status, headers } = await fetch(options.endpoint, {
      method: "POST",
      mode: "same-origin",
      keepalive: true,
      body: `[${batch[0]}]`
    });
    if (status < 500 || batch[2]) return status > 399 && say(status);
    wait = Math.min(wait, +headers.get("retry-after") || 5);
  } catch {
  }
  say("retry");
  batch[2] = true;
  again.push(batch);
  clearTimeout(timer);
  timer = setTimeout(flush, wait * 1e3);
};

// src/tracker/view.ts
var seen;
var began = 0;
var since = 0;
var signed = 0;
var before = 0;
var lost;
var here = () => bare(location.origin + location.pathname.replace(/\/+(?=\/|$)/g, ""));
var elapsed = (from = began, to = performance.now()) => Math.min(864e5 /* Engaged */, to - from) | 0;
var sign = () => {
  const now = performance.now();
  const end = signed + 3e5 /* Still */;
  if (since && now > end) {
    before += end - since;
    since = now;
  }
  signed = now;
};
var look = safely(() => {
  if (!may() || document.prerendering || document.hidden) hide();
  else {
    if (seen !== here()) view();
    if (!since) since = signed = performance.now();
  }
});
var leave = () => {
  if (since)
    put({
      kind: "leave",
      url: seen,
      engaged: elapsed(since - before, Math.min(performance.now(), signed + 3e5 /* Still */))
    });
  since = before = 0;
};
var hide = () => {
  leave();
  flush();
};
var view = () => {
  leave();
  seen = here();
  put({ kind: "view", referrer: began ? "" : bare(document.referrer) });
  began = performance.now();
  gone();
  for (const name of ["faults", "vitals"]) {
    if (options[name])
      import(
        /* webpackIgnore: true */
        /* @vite-ignore */
        new URL(
          name + ".js",
          options.endpoint
        )
      ).catch(look);
  }
};
var gone = () => {
  if (lost === seen) put({ kind: "fault", fault: "not_found" });
};
var miss = () => {
  if (lost !== (lost = here())) gone();
};
var begin = () => {
  seen = "";
  look();
  window.footfall?.consent?.ready?.then(look);
};

// src/tracker/clicks.ts
var FILE = /\.((doc|ppt|xls)x?|mp[34]|pdf|csv|epub|zip)$/i;
var happened = (name, { value, passive, currency } = {}) => {
  const amount = +value;
  if (name)
    put({
      kind: "event",
      passive,
      name: name.slice(0, 128),
      ...amount >= 0 && amount < 1 / 0 && /^[A-Z]{3}$/.test(currency) && { value: amount, currency }
    });
};
var click = (event2) => {
  const path = event2.composedPath();
  const link = path.find((node) => node.matches?.("a,area"));
  const mark = path.find(({ dataset }) => dataset?.ffEvent)?.dataset;
  const name = link && target(link);
  sign();
  if (event2.button > +!!link) return;
  if (name) put({ kind: "click", name: name.slice(0, 512), engaged: elapsed() });
  if (mark) happened(mark.ffEvent, { value: mark.ffValue, currency: mark.ffCurrency });
};
var target = (link) => {
  if (link.dataset.ffLink) return link.dataset.ffLink;
  const to = document.createElement("a");
  to.href = link.href.baseVal ?? link.href;
  return /^(?!javascript|data|blob|about)./.test(to.href) && (to.host !== location.host || link.matches("[download]") || FILE.test(to.pathname)) && bare(to.href) + named(to);
};
var named = ({ host, search }) => {
  const keys = /(youtube|google|apple|facebook)\.com$/.test(host) && search.match(/\b(v|id|i|list)=[\w.-]+/g);
  return keys ? "?" + keys.join("&") : "";
};

// src/tracker/moves.ts
var follow = () => {
  if (window.navigation?.currentEntry) on(window.navigation, { currententrychange: look });
  else
    ["replaceState", "pushState"].forEach((name) => {
      const original = history[name];
      const ours = history[name] = (...args) => {
        original.apply(history, args);
        look();
      };
      stay.signal.addEventListener("abort", () => {
        if (history[name] === ours) history[name] = original;
      });
    });
};

// src/tracker/index.ts
var enable = (settings) => {
  safely(start)(settings);
  return stop;
};
var start = (given) => {
  if (stay) return;
  Object.assign(options, given);
  if (given.missing) miss();
  on(window, {
    pagehide: hide,
    click,
    auxclick: click,
    online: flush,
    popstate: look,
    // Later: a banner that listens after us forgets only now what it knew, and asks.
    pageshow: ({ persisted }) => persisted && setTimeout(safely(begin))
  });
  on(document, {
    consentchange: look,
    visibilitychange: look,
    prerenderingchange: look,
    pointermove: sign,
    pointerdown: sign,
    keydown: sign,
    scroll: sign,
    timeupdate: sign
  });
  heard();
  begin();
  follow();
};
var heard = () => document.dispatchEvent(new CustomEvent("footfall", { detail: !!stay }));
var stop = safely(() => {
  depart();
  heard();
  look();
});

// src/npm.ts
var enable2 = (options2 = {}) => safely(start2)(options2) ?? (() => {
});
var event = (name, facts) => safely(happened)(name, facts);
var missing = () => safely(miss)();
var start2 = ({ endpoint = "/ff/hit", ...options2 }) => {
  if (window.footfall?.enable) return window.footfall.enable(options2);
  safely(() => Object.assign(window.footfall ??= {}, { send: put }))();
  return enable({ consent: banner, ...options2, endpoint: new URL(endpoint, location.href) });
};
export {
  enable2 as enable,
  event,
  missing
};
