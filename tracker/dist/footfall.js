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
  for (const type in acts) target2.addEventListener(type, safely(acts[type]), { capture: true, signal: stay.signal });
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
  const text = JSON.stringify({ url: bare(location.href, "#"), ...facts, id: crypto.randomUUID().replace(/-/g, ""), webdriver: !!navigator.webdriver });
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
var lost;
var here = () => bare(location.href);
var elapsed = (from = began) => Math.min(864e5 /* Engaged */, performance.now() - from | 0);
var look = safely(() => {
  if (!may() || document.prerendering || document.hidden) hide();
  else {
    if (seen !== here()) view();
    since ||= performance.now();
  }
});
var leave = () => {
  if (since) put({ kind: "leave", url: seen, engaged: elapsed(since) });
  since = 0;
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
    if (options[name]) import(
      /* webpackIgnore: true */
      /* @vite-ignore */
      new URL(name + ".js", options.endpoint)
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
  if (name) put({
    kind: "event",
    passive,
    name: name.slice(0, 128),
    ...amount >= 0 && /^[A-Z]{3}$/.test(currency) && { value: amount, currency }
  });
};
var click = (event2) => {
  const path = event2.composedPath();
  const link = path.find(({ localName }) => localName === "a");
  const mark = path.find(({ dataset }) => dataset?.ffEvent)?.dataset;
  const name = link && target(link);
  if (event2.button > +!!link) return;
  if (name) put({ kind: "click", name: name.slice(0, 512), engaged: elapsed() });
  if (mark) happened(mark.ffEvent, { value: mark.ffValue, currency: mark.ffCurrency });
};
var target = (link) => link.dataset.ffLink || /^(tel|mailto|http)/.test(link.href) && (link.host !== location.host || link.matches("[download]") || FILE.test(link.pathname)) && bare(link.href);

// src/tracker/moves.ts
var follow = () => {
  if (window.navigation?.currentEntry) on(window.navigation, { currententrychange: look });
  else ["replaceState", "pushState"].forEach((name) => {
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
  on(window, { pagehide: hide, click, auxclick: click, online: flush, popstate: look, pageshow: ({ persisted }) => persisted && begin() });
  on(document, { consentchange: look, visibilitychange: look, prerenderingchange: look });
  begin();
  follow();
};
var stop = safely(() => {
  depart();
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
