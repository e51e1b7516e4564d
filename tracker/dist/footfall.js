// src/signals.ts
var optOutSignal = () => navigator.globalPrivacyControl === true ? "gpc" : /^1/.test(navigator.doNotTrack || window.doNotTrack) ? "dnt" : null;

// src/tracker/lifecycle.ts
var settings = {};
var activeController;
var teardown = () => {
  activeController.abort();
  activeController = null;
};
var catchErrors = (callback) => (...args) => {
  try {
    return callback(...args);
  } catch {
  }
};
var addListeners = (target, handlers) => {
  activeController ??= new AbortController();
  for (const type in handlers)
    target.addEventListener(type, catchErrors(handlers[type]), {
      capture: true,
      signal: activeController.signal
    });
};
var hasBannerConsent = () => window.footfall?.consent?.allowed("analytics");
var logReason = (reason) => {
  if (settings.debug && !settings[reason]) console.log("footfall:", settings[reason] = reason);
};

// src/tracker/queue.ts
var unsent = [];
var retries = [];
var timer;
var canSend = () => {
  const reason = optOutSignal() ?? (activeController && settings.consent() === true ? "" : "no consent");
  if (reason) {
    unsent = [];
    retries = [];
    logReason(reason);
  }
  return !reason;
};
var stripQuery = (url, end = /[?#]/) => url.split(end)[0].slice(0, 2048 /* UrlChars */);
var enqueue = (fields) => {
  if (!canSend()) return;
  const hit = JSON.stringify({
    url: stripQuery(location.href, "#"),
    ...fields,
    id: crypto.randomUUID().replace(/-/g, ""),
    webdriver: !!navigator.webdriver
  }).replace(/(\\\\)|\\ud.../g, "$1");
  if ((unsent + hit).length > 1500 /* BatchChars */) flushQueue();
  unsent.push(hit);
  return timer ||= setTimeout(flushQueue);
};
var flushQueue = catchErrors(() => {
  timer = clearTimeout(timer);
  if (!canSend()) return;
  if (unsent[0]) retries.push([unsent.splice(0), Date.now()]);
  for (const batch of retries.splice(0))
    if (Date.now() - batch[1] < 1e5 /* BatchAge */) postBatch(batch, retries);
});
var postBatch = async (batch, retryList) => {
  let delaySecs = 30;
  try {
    const { status, headers } = await fetch(settings.endpoint, {
      method: "POST",
      mode: "same-origin",
      keepalive: true,
      body: `[${batch[0]}]`
    });
    if (status < 500 || batch[2]) return status > 399 && logReason(status);
    delaySecs = Math.min(delaySecs, +headers.get("retry-after") || 5);
  } catch {
  }
  logReason("retry");
  batch[2] = true;
  retryList.push(batch);
  clearTimeout(timer);
  timer = setTimeout(flushQueue, delaySecs * 1e3);
};

// src/tracker/pageview.ts
var viewedPage;
var viewStart = 0;
var attentionStart = 0;
var lastActivity = 0;
var attentionBefore = 0;
var missingPage;
var currentPage = () => stripQuery(location.origin + location.pathname.replace(/\/+(?=\/|$)/g, ""));
var elapsedMillis = (from = viewStart, to = performance.now()) => Math.min(864e5 /* Total */, to - from) | 0;
var recordActivity = () => {
  const now = performance.now();
  const end = lastActivity + 3e5 /* Idle */;
  if (attentionStart && now > end) {
    attentionBefore += end - attentionStart;
    attentionStart = now;
  }
  lastActivity = now;
};
var update = catchErrors(() => {
  if (!canSend() || document.prerendering || document.hidden) endPage();
  else {
    if (viewedPage !== currentPage()) startView();
    if (!attentionStart) attentionStart = lastActivity = performance.now();
  }
});
var endAttention = () => {
  if (attentionStart)
    enqueue({
      kind: "leave",
      url: viewedPage,
      engaged: elapsedMillis(
        attentionStart - attentionBefore,
        Math.min(performance.now(), lastActivity + 3e5 /* Idle */)
      )
    });
  attentionStart = attentionBefore = 0;
};
var endPage = () => {
  endAttention();
  flushQueue();
};
var startView = () => {
  endAttention();
  viewedPage = currentPage();
  enqueue({ kind: "view", referrer: viewStart ? "" : stripQuery(document.referrer) });
  viewStart = performance.now();
  reportMissing();
  for (const name of ["faults", "vitals"]) {
    if (settings[name])
      import(
        /* webpackIgnore: true */
        /* @vite-ignore */
        new URL(
          name + ".js",
          settings.endpoint
        )
      ).catch(update);
  }
};
var reportMissing = () => {
  if (missingPage === viewedPage) enqueue({ kind: "fault", fault: "not_found" });
};
var markMissing = () => {
  if (missingPage !== (missingPage = currentPage())) reportMissing();
};
var restart = () => {
  viewedPage = "";
  update();
  window.footfall?.consent?.ready?.then(update);
};

// src/tracker/clicks.ts
var FILE_EXTENSION = /\.((doc|ppt|xls)x?|mp[34]|pdf|csv|epub|zip)$/i;
var trackEvent = (name, { value, passive, currency } = {}) => {
  const amount = +value;
  if (name)
    enqueue({
      kind: "event",
      passive,
      name: name.slice(0, 128),
      ...amount >= 0 && amount < 1 / 0 && /^[A-Z]{3}$/.test(currency) && { value: amount, currency }
    });
};
var trackClick = (event2) => {
  const path = event2.composedPath();
  const link = path.find((node) => node.matches?.("a,area"));
  const eventMark = path.find(({ dataset }) => dataset?.ffEvent)?.dataset;
  const name = link && linkTarget(link);
  recordActivity();
  if (event2.button > +!!link) return;
  if (name) enqueue({ kind: "click", name: name.slice(0, 512), engaged: elapsedMillis() });
  if (eventMark)
    trackEvent(eventMark.ffEvent, { value: eventMark.ffValue, currency: eventMark.ffCurrency });
};
var linkTarget = (link) => {
  if (link.dataset.ffLink) return link.dataset.ffLink;
  const destination = document.createElement("a");
  destination.href = link.href.baseVal ?? link.href;
  return /^(?!javascript|data|blob|about)./.test(destination.href) && (destination.host !== location.host || link.matches("[download]") || FILE_EXTENSION.test(destination.pathname)) && stripQuery(destination.href) + contentQuery(destination);
};
var contentQuery = ({ host, search }) => {
  const keys = /(youtube|google|apple|facebook)\.com$/.test(host) && search.match(/\b(v|id|i|list)=[\w.-]+/g);
  return keys ? "?" + keys.join("&") : "";
};

// src/tracker/navigation.ts
var watchNavigation = () => {
  if (window.navigation?.currentEntry)
    addListeners(window.navigation, { currententrychange: update });
  else
    ["replaceState", "pushState"].forEach((name) => {
      const original = history[name];
      const wrapper = history[name] = (...args) => {
        original.apply(history, args);
        update();
      };
      activeController.signal.addEventListener("abort", () => {
        if (history[name] === wrapper) history[name] = original;
      });
    });
};

// src/tracker/index.ts
var enableTracker = (given) => {
  catchErrors(startTracker)(given);
  return stopTracker;
};
var startTracker = (given) => {
  if (activeController) return;
  Object.assign(settings, given);
  if (given.missing) markMissing();
  addListeners(window, {
    pagehide: endPage,
    click: trackClick,
    auxclick: trackClick,
    online: flushQueue,
    popstate: update,
    // Deferred: a banner whose listener was added after this one resets its state first.
    pageshow: ({ persisted }) => persisted && setTimeout(catchErrors(restart))
  });
  addListeners(document, {
    consentchange: update,
    visibilitychange: update,
    prerenderingchange: update,
    pointermove: recordActivity,
    pointerdown: recordActivity,
    keydown: recordActivity,
    scroll: recordActivity,
    timeupdate: recordActivity
  });
  announceState();
  restart();
  watchNavigation();
};
var announceState = () => document.dispatchEvent(new CustomEvent("footfall", { detail: !!activeController }));
var stopTracker = catchErrors(() => {
  teardown();
  announceState();
  update();
});

// src/npm.ts
var enable = (options = {}) => catchErrors(startPackage)(options) ?? (() => {
});
var event = (name, facts) => catchErrors(trackEvent)(name, facts);
var missing = () => catchErrors(markMissing)();
var startPackage = ({ endpoint = "/ff/hit", ...options }) => {
  if (window.footfall?.enable) return window.footfall.enable(options);
  catchErrors(() => Object.assign(window.footfall ??= {}, { send: enqueue }))();
  return enableTracker({
    consent: hasBannerConsent,
    ...options,
    endpoint: new URL(endpoint, location.href)
  });
};
export {
  enable,
  event,
  missing
};
