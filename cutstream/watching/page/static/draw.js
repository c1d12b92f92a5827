// The page's parts. Whatever comes from the worker becomes text, never HTML.

import { UNKNOWN, clock, count, fullTime, megabytes, rate, seconds } from "./format.js";

const PHOTOS = 12;
const FAILURES = 20;
const WORKER_COLUMNS = ["Photos a second", "In flight", "Lag", "Pixels in memory", "Device"];

export const byId = (id) => document.getElementById(id);

/** Makes an element with attributes, classes by `class`, and children, of which strings are text. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function makeTime(seconds_) {
  const date = new Date(seconds_ * 1000);
  return make("time", { datetime: date.toISOString(), title: fullTime(date) }, clock(date));
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function drawNumbers(view) {
  const { ok = 0, failed = 0, ...others } = view.statuses;
  const texts = {
    rate: rate(view.rate),
    lag: count(view.waiting),
    later: view.retry_lag ? `and ${count(view.retry_lag)} retried later` : "",
    drain: seconds(view.drain_s),
    p50: seconds(view.latency_s.p50),
    p95: seconds(view.latency_s.p95),
    p99: seconds(view.latency_s.p99),
    oldest: seconds(view.oldest_s),
    done: count(ok),
    failed: count(failed),
    others: Object.entries(others).map(([name, number]) => `${count(number)} ${name}`).join(", ") || "0",
  };
  for (const [id, text] of Object.entries(texts)) put(byId(id), text);
  byId("later").hidden = !view.retry_lag;
  byId("failed").classList.toggle("bad", failed > 0);
  const working = view.stages.some((stage) => stage.waiting + stage.working + stage.retrying > 0);
  byId("empty").hidden = working || view.lag > 0 || Object.keys(view.statuses).length > 0;
}

export function drawStages(view) {
  const body = byId("stages");
  const window_ = view.workers.reduce((sum, worker) => sum + worker.window, 0);
  const most = Math.max(1, window_ / 2, ...view.stages.map((stage) => stage.waiting + stage.working + stage.retrying));
  view.stages.forEach((stage, number) => {
    const row = body.rows[number] ?? body.appendChild(stageRow(stage.name));
    const states = [stage.waiting, stage.working, stage.retrying];
    const photos = states.reduce((sum, state) => sum + state, 0);
    const is = stage.name === view.bottleneck;
    row.classList.toggle("bottleneck", is);
    put(row.cells[1], seconds(stage.seconds));
    states.forEach((state, column) => put(row.cells[2 + column], state ? count(state) : ""));
    for (const name of ["working", "waiting", "retrying"]) {
      row.querySelector(`.${name}`).style.width = `${(100 * stage[name]) / Math.max(1, photos)}%`;
    }
    row.querySelector(".track").style.width = `${(70 * photos) / most}%`;
    put(row.querySelector(".count"), photos ? count(photos) : "");
    put(row.querySelector(".tag"), is ? "bottleneck" : "");
  });
}

function stageRow(name) {
  const parts = ["working", "waiting", "retrying"].map((state) => make("span", { class: `${state} moving` }));
  const flow = make("div", { class: "flow" },
    make("div", { class: "track moving", "aria-hidden": "true" }, ...parts),
    make("span", { class: "count" }), make("span", { class: "tag" }));
  return make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "number" }),
    ...[0, 1, 2].map(() => make("td", { class: "number detail" })), make("td", {}, flow));
}

export function drawWorkers(view) {
  const rows = view.workers.map((worker) => {
    const numbers = worker.away ? ["", "", "", ""]
      : [rate(worker.rate), `${count(worker.in_flight)} of ${count(worker.window)}`, count(worker.lag), megabytes(worker.memory_bytes)];
    const color = worker.well ? "good" : worker.away || worker.halted ? "bad" : "warn";
    const cell = (text, kind, number) => make("td", { role: "cell", class: kind, "data-name": WORKER_COLUMNS[number] }, text);
    return make("tr", { role: "row" }, make("th", { scope: "row", role: "rowheader" }, worker.address),
      make("td", { role: "cell", class: `state-of ${color}` }, worker.state),
      ...numbers.map((text, number) => cell(text, "number", number)), cell(worker.away ? "" : worker.device, "device", 4));
  });
  byId("workers").replaceChildren(...rows);
}

export function drawCodes(view) {
  const codes = Object.entries(view.codes);
  byId("codes").replaceChildren(...codes.map(([code, number]) => make("span", {}, `${count(number)} `, make("code", {}, code))));
  byId("no-failures").hidden = codes.length > 0 || byId("failures").children.length > 0;
}

/** Shows a photo in the place of the oldest: nothing else moves. */
export function drawPhoto(photo) {
  const list = byId("photos");
  const name = make("bdi", { class: "clipped" }, photo.id);
  const facts = [
    [makeTime(photo.at_s), `, in ${seconds(photo.seconds)}`],
    [`${photo.profile}, ${photo.width}\u00a0×\u00a0${photo.height}`],
  ];
  const item = make("li", { class: "newest", "data-at": photo.at_s }, make("figure", {},
    make("div", { class: "pair" },
      make("img", { src: photo.photo, alt: "Photo", width: 160, height: 160 }),
      make("img", { src: photo.cutout, alt: "Cutout", width: 160, height: 160, class: "checkerboard" })),
    make("figcaption", {}, name, ...facts.map((parts) => make("span", { class: "facts" }, ...parts)))));
  for (const other of list.children) other.classList.remove("newest");
  if (list.children.length < PHOTOS) {
    list.append(item);
  } else {
    const ages = [...list.children].map((child) => Number(child.dataset.at));
    list.replaceChild(item, list.children[ages.indexOf(Math.min(...ages))]);
  }
  byId("no-photos").hidden = true;
}

/** Shows a failure first. Those of the same code, stage and message are one entry, with their number and the last id. */
export function drawFailure(failure) {
  const list = byId("failures");
  const kind = JSON.stringify([failure.code, failure.stage, failure.message]);
  const same = [...list.children].find((child) => child.dataset.kind === kind);
  const times = Number(same?.dataset.times ?? 0) + 1;
  same?.remove();
  const command = make("code", {}, failure.command);
  const copy = make("button", { type: "button", "aria-label": `Copy the command ${failure.command}` }, "Copy");
  copy.addEventListener("click", () => copyText(failure.command, copy));
  list.prepend(make("li", { "data-kind": kind, "data-times": times },
    make("div", { class: "head" },
      make("span", { class: "muted number" }, makeTime(failure.at_s)),
      make("span", { class: "code" }, failure.code),
      make("span", { class: "muted" }, `in ${failure.stage}`),
      ...(times > 1 ? [make("span", {}, `${count(times)} times, last:`)] : []),
      make("bdi", { class: "clipped" }, failure.id)),
    ...(failure.message ? [make("p", {}, make("bdi", {}, failure.message))] : []),
    make("div", { class: "command" }, command, copy)));
  while (list.children.length > FAILURES) list.lastElementChild.remove();
  byId("no-failures").hidden = true;
}

async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(button.previousElementSibling);
    button.textContent = "Selected";  // browsers copy by themselves on https and on loopback only
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2_000);
}

export function clearLists() {
  byId("photos").replaceChildren();
  byId("failures").replaceChildren();
  byId("no-photos").hidden = false;
}

/** Returns what a person would want to be told of, in a sentence. */
export function summary(view) {
  const away = view.workers.filter((worker) => !worker.well).map((worker) => `worker ${worker.address} ${worker.state}`);
  const parts = [`${rate(view.rate)} photos a second`, `${count(view.waiting)} waiting`, `${count(view.statuses.failed ?? 0)} failed`];
  if (view.bottleneck) parts.push(`bottleneck ${view.bottleneck}`);
  return [...parts, ...away].join(", ").replaceAll(UNKNOWN, "unknown");
}
