// Says what was chosen and offers to change it. Without this script the form is simply always there.
(() => {
  "use strict";
  const { cookie, version } = document.querySelector("script[data-cookie]").dataset;
  const form = document.getElementById("choice-form");
  const said = document.getElementById("choice-said");
  const change = document.getElementById("choice-change");

  const signal = () => {
    if (navigator.globalPrivacyControl === true) return "Global Privacy Control";
    return String(navigator.doNotTrack || window.doNotTrack || "").startsWith("1") ? "Do Not Track" : null;
  };
  const stored = () => {
    const pair = document.cookie.split("; ").find((c) => c.startsWith(cookie + "="));
    const [at, tiers] = pair ? pair.slice(cookie.length + 1).split(".") : [];
    if (at !== version) return null; // no answer yet, or one to another version of the question
    return (tiers || "").split("+").includes("analytics") ? "accept" : "reject";
  };
  const say = (text) => {
    form.hidden = true;
    said.hidden = false;
    said.textContent = text;
  };

  const sent = signal();
  const chosen = stored();
  if (sent) {
    say(`Your browser sends ${sent}. Nothing is counted, and you need not choose.`);
  } else if (chosen) {
    say(chosen === "accept" ? "You accepted: your visits are counted in daily totals." : "You rejected: nothing is counted.");
    change.hidden = false;
    change.addEventListener("click", () => {
      change.hidden = true;
      form.hidden = false;
      form.querySelector("button").focus();
    });
  }
})();
