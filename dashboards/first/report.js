// The first report page: reads the report API of one site, or of a share link, and draws it.
//
// The address bar holds the whole view (site, from, to, filter, limit), so a view can be kept, sent and gone back to. Whatever
// comes from the API was once sent by a stranger: it is only ever set as text. A token, where the collector asks for one, stays
// in this page's memory.
(() => {
  "use strict";
  const SUBJECTS = {
    page: { title: "Pages", hits: "Views" },
    link: { title: "Links", hits: "Clicks" },
    event: { title: "Events", hits: "Times" },
  };
  const DIMENSIONS = {
    source: { title: "Sources", filters: true },
    country: { title: "Countries", filters: true },
    campaign: { title: "Campaigns", filters: true },
    device: { title: "Devices" },
    browser: { title: "Browsers" },
    os: { title: "Systems" },
    language: { title: "Languages" },
  };
  const SINGULAR = { page: "Page", link: "Link", event: "Event", source: "Source", country: "Country", campaign: "Campaign" };
  const SAID = { "(direct)": "Direct", "(other)": "Other", "(unknown)": "Unknown" };
  const LIMITS = [10, 100, 1000];

  const $ = (id) => document.getElementById(id);
  const number = new Intl.NumberFormat("en");
  const countries = new Intl.DisplayNames("en", { type: "region", fallback: "code" });
  const languages = new Intl.DisplayNames("en", { type: "language", fallback: "code" });

  const share = location.pathname.match(/^\/share\/([\w-]+)$/)?.[1];

  let zone; // the site's, known from the first answer on
  let metric = "visitors";
  let token = "";
  let shown = null; // the last answer drawn
  let running = null;

  // --- small helpers -------------------------------------------------------------------------------------------------

  const el = (name, set = {}, ...children) => {
    const node = Object.assign(document.createElement(name), set);
    node.append(...children);
    return node;
  };
  const svg = (name, attributes = {}, ...children) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
  const duration = (seconds) => {
    const s = Math.round(seconds);
    if (s < 60) return `${s}s`;
    return s < 3600 ? `${Math.floor(s / 60)}m ${s % 60}s` : `${Math.floor(s / 3600)}h ${Math.floor((s % 3600) / 60)}m`;
  };
  const ratio = (part, all, say) => (all > 0 ? say(part / all) : "–");
  const percent = (share) => `${Math.round(share * 100)}%`;

  const named = (by, value) => {
    if (value in SAID) return SAID[value];
    try {
      if (by === "country") return countries.of(value);
      if (by === "language") return languages.of(value);
    } catch {
      // not a code after all: say what is there
    }
    return by === "device" ? value.charAt(0).toUpperCase() + value.slice(1) : value;
  };

  // --- days ----------------------------------------------------------------------------------------------------------

  const today = () => new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short" }).format(new Date());
  const shift = (day, by) => new Date(Date.parse(day) + by * 86400000).toISOString().slice(0, 10);
  const days = (view) => Math.round((Date.parse(view.to) - Date.parse(view.from)) / 86400000) + 1;
  const sayDay = (day, options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options }).format(new Date(day));
  const longDay = (day) => sayDay(day, { weekday: "short", day: "numeric", month: "short", year: "numeric" });

  // --- the view in the address bar -----------------------------------------------------------------------------------

  const isDay = (text) => /^\d{4}-\d{2}-\d{2}$/.test(text || "") && !Number.isNaN(Date.parse(text));
  const readView = () => {
    const query = new URLSearchParams(location.search);
    const fixed = isDay(query.get("from")) && isDay(query.get("to"));
    const to = fixed ? query.get("to") : today();
    const from = fixed ? query.get("from") : shift(to, -6);
    const limit = LIMITS.includes(Number(query.get("limit"))) ? Number(query.get("limit")) : LIMITS[0];
    const ends = from <= to ? { from, to } : { from: to, to: from };
    return { site: query.get("site") || "", ...ends, fixed, filter: query.get("filter") || "", limit };
  };
  const go = (change) => {
    const query = new URLSearchParams(location.search);
    for (const [key, value] of Object.entries(change)) value ? query.set(key, value) : query.delete(key);
    history.pushState(null, "", `?${query}`);
    load();
  };

  // --- asking --------------------------------------------------------------------------------------------------------

  const ask = async (view, signal) => {
    const query = new URLSearchParams({ from: view.from, to: view.to, limit: view.limit });
    if (view.filter) query.set("filter", view.filter);
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    const of = share ? `/api/v1/shares/${share}/report` : `/api/v1/sites/${encodeURIComponent(view.site)}/report?${query}`;
    const answer = await fetch(of, { signal, headers });
    if (answer.ok) return answer.json();
    const problem = await answer.json().catch(() => ({}));
    throw Object.assign(new Error(problem.detail || problem.title || ""), { status: answer.status, code: problem.code });
  };

  const unlock = async (password) => {
    const answer = await fetch(`/api/v1/shares/${share}/unlock`, { method: "POST", body: JSON.stringify({ password }) });
    const text = answer.status === 429 ? "Too many tries. Wait a minute." : "That was not the password of this link.";
    answer.ok ? load() : notice("A password is needed", text, { input: "password", bad: true });
  };

  const load = async () => {
    const view = readView();
    running?.abort();
    running = new AbortController();
    const { signal } = running;
    head(view);
    if (!view.site && !share) return notice("Which site?", "The name of a profile or site this collector counts.", { input: "site" });
    $("report").ariaBusy = "true";
    if (!shown) notice("Loading", "Asking the collector.");
    try {
      let data = await ask(view, signal);
      zone = data.zone;
      const now = readView(); // "today" may be another day in the site's zone
      if (share) Object.assign(now, { site: data.site, from: data.from, to: data.to, filter: "" });
      else if (!view.fixed && now.to !== view.to) data = await ask(now, signal);
      head(now);
      draw(data, now);
    } catch (error) {
      if (error.name === "AbortError") return;
      fail(error, view);
    }
    $("report").ariaBusy = "false";
  };

  const fail = (error, view) => {
    if (error.code === "password_needed") {
      return notice("A password is needed", "Whoever made this link knows it.", { input: "password" });
    }
    if (share && error.status === 404) return notice("This link is over", "It expired, was taken back, or never was one.", { bad: true });
    if (error.status === 401 || error.status === 403) {
      const text = "This collector shows reports to holders of its token. The token is kept until this page is closed.";
      return notice("A token is needed", text, { input: "token", bad: token !== "" });
    }
    if (error.status === 404) return notice("Unknown site", `No site here is called “${view.site}”.`, { input: "site", bad: true });
    const text = error.status ? error.message || "It gave no reason." : "The collector did not answer. It may be starting or stopped.";
    notice(error.status ? `The collector answered ${error.status}` : "No answer", text, { again: true, bad: true });
  };

  // --- drawing -------------------------------------------------------------------------------------------------------

  const head = (view) => {
    document.title = view.site ? `${view.site} - Footfall` : "Footfall";
    $("site").textContent = view.site || "Report";
    const asked = view.site !== "";
    $("span").textContent = asked ? (view.from === view.to ? longDay(view.to) : `${longDay(view.from)} to ${longDay(view.to)}`) : "";
    document.querySelector(".ranges").hidden = !asked || Boolean(share);
    for (const button of document.querySelectorAll("[data-days]")) {
      button.ariaPressed = String(view.to === today() && days(view) === Number(button.dataset.days));
    }
    Object.assign($("range").elements.from, { value: view.from });
    Object.assign($("range").elements.to, { value: view.to });
    const [by, value] = split(view.filter);
    $("filter").hidden = !by;
    $("filter-says").textContent = by ? `${SINGULAR[by] || by}: ${named(by, value)}` : "";
  };

  const split = (filter) => {
    const at = filter.indexOf(":");
    return at < 0 ? ["", ""] : [filter.slice(0, at), filter.slice(at + 1)];
  };

  /** A state without numbers: loading, empty, too few, failed, or a question to the reader. */
  const notice = (title, text, { input = "", again = false, bad = false } = {}) => {
    $("notice").hidden = false;
    $("notice").classList.toggle("bad", bad);
    $("notice-title").textContent = title;
    $("notice-text").textContent = text;
    $("again").hidden = !again;
    $("ask").hidden = !input;
    $("ask").dataset.input = input;
    $("ask-label").textContent = { token: "Token", password: "Password" }[input] || "Site";
    Object.assign($("ask-input"), { type: input === "site" ? "text" : "password", value: "" });
    $("numbers").hidden = true;
    $("report").ariaBusy = String(title === "Loading");
    shown = null;
  };

  const draw = (data, view) => {
    $("k-says").textContent = `Sources, countries and the like under ${data.k} visitors are shown together as Other.`;
    $("zone-says").textContent = `Days and hours in ${data.zone}.`;
    if (data.fewer_than) {
      return notice(`Fewer than ${data.fewer_than} visitors`, "Too few to show apart. A longer range may hold enough.");
    }
    if (Object.values(data.totals).every((n) => n === 0)) {
      const text = view.filter ? "Nothing of it was counted in this range." : "Nothing was counted. Only visitors who agreed are.";
      return notice("Nothing here yet", `${text} New counts appear within half a minute; load this page again to see them.`);
    }
    $("notice").hidden = true;
    $("numbers").hidden = false;
    shown = data;
    const [by] = split(view.filter);
    if (!(metric in data.totals)) metric = "visitors";
    drawTotals(data, by);
    drawSeries();
    drawLists(data, view);
  };

  /** The headline numbers of what is shown. Those that have a series choose what the bars show. */
  const headlines = ({ totals: t }, by) => {
    const people = [["Visitors", number.format(t.visitors), "visitors"], ["Visits", number.format(t.visits), "visits"]];
    if (by in DIMENSIONS) return people;
    const hits = [SUBJECTS[by]?.hits || "Page views", number.format(t.hits), "hits"];
    const each = (label) => [label, ratio(t.seconds, t.hits, duration)];
    if (by === "page") return [...people, hits, each("Attention per view"), ["Left from here", number.format(t.exits)]];
    if (by === "link") return [...people, hits, each("From view to click")];
    if (by === "event") return [...people, hits];
    return [...people, hits, ["Bounce rate", ratio(t.bounces, t.visits, percent)], ["Time per visit", ratio(t.seconds, t.visits, duration)]];
  };

  const drawTotals = (data, by) => {
    const tiles = headlines(data, by).map(([label, value, key]) => {
      const inside = [el("span", { textContent: label }), el("b", { textContent: value })];
      if (!key || !data.series) return el("div", { className: "total" }, ...inside);
      const tile = el("button", { type: "button", className: "total", ariaPressed: String(metric === key) }, ...inside);
      tile.addEventListener("click", () => {
        metric = key;
        for (const other of tile.parentNode.querySelectorAll("button")) other.ariaPressed = String(other === tile);
        drawSeries();
      });
      return tile;
    });
    $("totals").replaceChildren(...tiles);
  };

  /** Bars of the chosen number: hours of a single day, else days. */
  const series = (data) => {
    if (data.interval === "hour") {
      return data.series.map((h) => ({ short: h.at.slice(11, 16), long: h.at.slice(0, 16).replace("T", " "), n: h[metric] }));
    }
    return data.series.map((d) => ({ short: sayDay(d.at, { day: "numeric", month: "short" }), long: longDay(d.at), n: d[metric] }));
  };

  const drawSeries = () => {
    $("series").hidden = !shown?.series;
    if (!shown?.series) return;
    const label = $("totals").querySelector('[aria-pressed="true"] span')?.textContent || "Visitors";
    const points = series(shown);
    $("series-h").textContent = `${label} by ${shown.interval}`;
    $("readout").textContent = "";
    $("chart").replaceChildren(chart(points, label, $("chart").clientWidth || 640));
    $("series-table").replaceChildren(
      el("thead", {}, el("tr", {}, el("th", { scope: "col", textContent: "When" }), el("th", { scope: "col", textContent: label }))),
      el("tbody", {}, ...points.map((p) =>
        el("tr", {}, el("th", { scope: "row", textContent: p.long }), el("td", { textContent: number.format(p.n) })))),
    );
  };

  /** The next round number at or above the greatest, so that the scale has whole steps. */
  const ceiling = (most) => {
    const unit = 10 ** Math.floor(Math.log10(Math.max(2, most)));
    return [1, 2, 4, 6, 8, 10].map((m) => m * unit).find((n) => n >= most && n % 2 === 0) || 10 * unit;
  };

  const chart = (points, label, width) => {
    const [height, left, top, foot] = [190, 44, 8, 22];
    const most = ceiling(Math.max(...points.map((p) => p.n)));
    const room = height - top - foot;
    const slot = (width - left) / points.length;
    const y = (n) => top + room * (1 - n / most);
    const every = Math.ceil(56 / slot);
    const total = points.reduce((sum, p) => sum + p.n, 0);
    const high = points.reduce((a, b) => (b.n > a.n ? b : a));
    const says = `${label}: ${number.format(total)} in all, most ${number.format(high.n)} on ${high.long}.`;
    const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": says });
    for (const n of [0, most / 2, most]) {
      const text = svg("text", { x: left - 8, y: y(n) + 4, "text-anchor": "end" }, number.format(n));
      picture.append(svg("line", { x1: left, x2: width, y1: y(n), y2: y(n) }), text);
    }
    points.forEach((point, i) => {
      const x = left + i * slot;
      const wide = Math.min(48, Math.max(1, slot * 0.72));
      const group = svg("g", {}, svg("rect", { class: "slot", x, y: top, width: slot, height: room }));
      const box = { x: x + (slot - wide) / 2, y: y(point.n), width: wide, height: top + room - y(point.n), rx: Math.min(3, wide / 3) };
      if (point.n > 0) group.append(svg("rect", { class: "bar", ...box }));
      group.addEventListener("pointerenter", () => ($("readout").textContent = `${point.long}: ${number.format(point.n)}`));
      if (i % every === 0) {
        group.append(svg("text", { x: x + slot / 2, y: height - 4, "text-anchor": "middle" }, point.short));
      }
      picture.append(group);
    });
    return picture;
  };

  const drawLists = (data, view) => {
    const byAttribute = split(view.filter)[0] in DIMENSIONS;
    const subjects = Object.entries(SUBJECTS).filter(([by]) => data.subjects[by]).map(([by, { title, hits }]) =>
      list(by, title, "item", byAttribute ? [["visitors", "Visitors"], ["visits", "Visits"]] : [["hits", hits], ["visitors", "Visitors"]],
        data.subjects[by], view, !byAttribute && !share));
    const dimensions = Object.entries(DIMENSIONS).filter(([by]) => data.dimensions[by]).map(([by, { title, filters }]) =>
      list(by, title, "value", [["visitors", "Visitors"], ["visits", "Visits"]], data.dimensions[by], view, filters && !view.filter && !share));
    $("lists").replaceChildren(...subjects, ...dimensions);
  };

  /** One top list. A row that can filter is a button; bars compare the first column. */
  const list = (by, title, key, columns, { rows, fewer_than: few }, view, filters) => {
    const card = el("section", { className: "card" }, el("div", { className: "card-head" }, el("h2", { textContent: title })));
    if (few) card.append(el("p", { className: "none", textContent: `Fewer than ${few} visitors: not shown.` }));
    else if (rows.length === 0) card.append(el("p", { className: "none", textContent: "None in this range." }));
    if (few || rows.length === 0) return card;
    const most = Math.max(1, ...rows.map((row) => row[columns[0][0]]));
    const lines = rows.map((row) => {
      const text = named(by, row[key]);
      const share = el("span", { className: "share" });
      share.style.width = `${(100 * row[columns[0][0]]) / most}%`;
      const item = el(filters && row[key] !== "(other)" ? "button" : "span", { className: "item", textContent: text, title: text });
      if (item instanceof HTMLButtonElement) {
        item.type = "button";
        item.addEventListener("click", () => go({ filter: `${by}:${row[key]}` }));
      }
      const counts = columns.map(([column]) => el("td", { textContent: number.format(row[column]) }));
      return el("tr", {}, el("th", { scope: "row" }, share, item), ...counts);
    });
    const heads = ["", ...columns.map(([, label]) => label)].map((label, i) =>
      el("th", { scope: "col" }, i === 0 ? el("span", { className: "unseen", textContent: SINGULAR[by] || title }) : label));
    const widths = el("colgroup", {}, el("col"), ...columns.map(() => el("col", { className: "count" })));
    card.append(el("table", {}, widths, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...lines)));
    const next = LIMITS.find((n) => n > view.limit);
    if (next && !share && rows.filter((row) => row[key] !== "(other)").length >= view.limit) {
      const more = el("button", { type: "button", className: "more", textContent: "Show more", ariaLabel: `Show more: ${title}` });
      more.addEventListener("click", () => go({ limit: String(next) }));
      card.append(more);
    }
    return card;
  };

  // --- what the reader can do ----------------------------------------------------------------------------------------

  for (const button of document.querySelectorAll("[data-days]")) {
    button.addEventListener("click", () => go({ from: shift(today(), 1 - Number(button.dataset.days)), to: today() }));
  }
  $("range").addEventListener("submit", (event) => {
    event.preventDefault();
    $("dates").open = false;
    const { from, to } = event.target.elements;
    go({ from: from.value, to: to.value });
  });
  $("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    const said = $("ask-input").value.trim();
    if (event.target.dataset.input === "site") return go({ site: said, filter: "" });
    if (event.target.dataset.input === "password") return unlock(said);
    token = said;
    load();
  });
  $("filter-off").addEventListener("click", () => go({ filter: "" }));
  $("again").addEventListener("click", load);
  addEventListener("popstate", load);
  let drawn = 0; // only a new width is a reason to draw again: the chart's own height changes too
  new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width !== drawn) drawSeries();
    drawn = contentRect.width;
  }).observe($("chart"));
  load();
})();
