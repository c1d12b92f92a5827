// The live page: opens the stream, and draws what comes.

import { byId, clearLists, drawCodes, drawFailure, drawNumbers, drawPhoto, drawStages, drawWorkers, summary } from "./draw.js";
import { clock, count, rate } from "./format.js";
import { Stream } from "./stream.js";

const SPOKEN_EVERY_MS = 30_000;
const KEY = `cutstream token ${location.pathname}`;

let stream = null;
let lastSeen = null;
let lastSpoken = 0;
let spokenAs = "";
let paused = false;

function say(is, text) {
  const state = byId("state");
  state.dataset.is = is;
  if (state.textContent !== text) state.textContent = text;
  byId("main").classList.toggle("old", is === "lost");
}

function speak(view) {
  const alarm = [view.bottleneck, view.statuses.failed, ...view.workers.map((worker) => worker.state)].join();
  if (alarm !== spokenAs && Date.now() - lastSpoken > SPOKEN_EVERY_MS) {
    byId("spoken").textContent = summary(view);
    [lastSpoken, spokenAs] = [Date.now(), alarm];
  }
}

const on = {
  opened() {
    byId("main").classList.remove("locked");
    clearLists();
  },
  hello({ photos, release, gateway }) {
    byId("links").hidden = !gateway;
    if (gateway) byId("gateway").href = gateway;
    byId("release").textContent = `cutstream ${release}`;
    byId("no-photos").textContent = photos ? "None yet." : "Photos are not shown here: CUTSTREAM_PAGE__PHOTOS decides.";
  },
  view(view) {
    lastSeen = new Date();
    say(view.trouble ? "trouble" : "live", view.trouble || "live");
    drawNumbers(view);
    drawStages(view);
    drawWorkers(view);
    drawCodes(view);
    speak(view);
    const trouble = view.trouble ? `${view.trouble}, ` : "";
    document.title = `${trouble}${rate(view.rate)}/s, ${count(view.waiting)} waiting – cutstream live`;
  },
  photo: drawPhoto,
  failure: drawFailure,
  lost(reason) {
    const seen = lastSeen ? `last seen ${clock(lastSeen)}` : "not seen yet";
    say("lost", `connection lost, ${seen}: ${reason}`);
    document.title = "connection lost – cutstream live";
  },
  refused() {
    sessionStorage.removeItem(KEY);
    say("lost", "a token is needed");
    byId("login").hidden = false;
    byId("main").classList.add("locked");
    byId("token").focus();
  },
};

function start(token) {
  stream?.close();
  stream = new Stream("events", token, on);
  stream.open();
}

/** Takes the token out of the address, so that nobody reads it there, and keeps it for this window. */
function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    sessionStorage.setItem(KEY, token);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem(KEY);
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, byId("token").value.trim());
  byId("token").value = "";
  byId("login").hidden = true;
  start(sessionStorage.getItem(KEY));
});

byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  if (paused) {
    stream?.close();
    say("paused", `paused at ${clock(new Date())}`);
  } else {
    say("connecting", "connecting");
    stream?.open();
  }
});

addEventListener("hashchange", () => {
  if (location.hash.startsWith("#token=")) start(takeToken());
});
// A window that nobody sees costs nothing.
document.addEventListener("visibilitychange", () => {
  if (paused || byId("login").hidden === false) return;
  document.hidden ? stream?.close() : stream?.open();
});

start(takeToken());
