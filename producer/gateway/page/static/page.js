// The page: wires its parts, draws the summary, and takes what people do.

import { chosenFiles, filesOf, looksLikePhoto } from "./arriving.js";
import { Cards, put } from "./cards.js";
import * as keeping from "./keeping.js";
import { saveAll } from "./saving.js";
import * as service from "./service.js";
import * as settings from "./settings.js";
import { Viewer } from "./viewer.js";
import { count, explain, left, photos as photosText, rate, size } from "./words.js";
import { newId, Work } from "./work.js";

const ASK_MS = { busy: 2_000, idle: 15_000 };
const SPOKEN_EVERY_MS = 15_000;
const SETTINGS = `cutstream settings ${location.pathname}`;

const byId = (id) => document.getElementById(id);
const form = byId("form");

let status = null;
let trouble = null;
let note = "";
let saving = null;
let asking = 0;
let drawing = 0;
let lastSpoken = { at: 0, text: "" };
let keyGiven = null;

const work = new Work({
  photo(photo) {
    cards.draw(photo);
    viewer.draw(photo);
    redraw();
  },
  changed: () => redraw(),
  trouble(failure) {
    if (failure?.code !== trouble?.code) (trouble = failure), redraw();
  },
  needsKey: () => askForKey(),
});
const cards = new Cards(byId("cards"), { open: (photo) => viewer.open(photo), gone: (photo) => work.lose(photo) });
const viewer = new Viewer(() => work.photos, {
  retry: (photo) => start([photo]),
  remove: (photo) => work.remove([photo]),
  closed: (photo) => photo && cards.focus(photo),
});

// -- drawing

/** Draws once a frame, however much changes. */
function redraw() {
  drawing ||= requestAnimationFrame(() => {
    drawing = 0;
    cards.show(work.photos);
    draw();
  });
}

function draw() {
  const total = work.photos.length;
  const [fresh, done, failed] = [work.count("new"), work.count("ok"), work.count("failed")];
  const options = settings.read(form);
  const isOld = (photo) => photo.state === "ok" && JSON.stringify(photo.options) !== JSON.stringify(options);
  byId("drop").classList.toggle("small-drop", total > 0);
  byId("list").hidden = total === 0;
  byId("desk").classList.toggle("has-photos", total > 0);
  const primary = saving ? saving.text : fresh ? `Cut out ${photosText(fresh)}` : done ? (done === 1 ? "Download" : `Download all ${count(done)} as zip`) : "";
  put(byId("go"), primary);
  byId("go").hidden = !primary || (work.open > 0 && !fresh);
  byId("go").disabled = Boolean(saving);
  put(byId("retry"), `Try ${failed} again`);
  byId("retry").hidden = !failed || work.open > 0;
  byId("again").hidden = work.open > 0 || !work.photos.some(isOld);
  byId("stop").hidden = work.open === 0;
  byId("progress").hidden = work.open === 0;
  byId("progress").value = total - fresh ? (done + failed) / (total - fresh) : 0;
  put(byId("progress-text"), progressText(total, fresh, done, failed));
  put(byId("service-text"), serviceText());
  put(byId("kept"), keeping.isKept || !total ? "" : "It has no room to keep them: leave this page open until you have the results.");
  drawTrouble();
  document.title = work.open ? `${done + failed} of ${total - fresh} – cutstream` : "cutstream";
  speak(total, fresh, done, failed);
}

function progressText(total, fresh, done, failed) {
  if (work.open) return [`${count(done)} of ${count(total - fresh)} done`, failed && `${count(failed)} failed`].filter(Boolean).join(", ");
  if (done + failed === 0) return photosText(total);
  return [`${photosText(done)} cut out`, failed && `${count(failed)} failed`, fresh && `${count(fresh)} new`].filter(Boolean).join(", ");
}

function serviceText() {
  if (!status?.authorized) return "";
  const pace = status.photos_per_second;
  const does = pace > 0 && work.open ? `does ${rate(pace)}` : "";
  const has = status.waiting ? `has ${photosText(status.waiting)} in its queue` : "";
  const time = pace > 0 && work.open ? left(Math.max(status.waiting, work.open) / pace) : "";
  return [
    time && `${time[0].toUpperCase()}${time.slice(1)} left.`,
    (has || does) && `The service ${[has, does].filter(Boolean).join(" and ")}.`,
  ].filter(Boolean).join(" ");
}

function drawTrouble() {
  const [code, message] = trouble ? [trouble.code, trouble.message] : status?.problem ? ["unreachable", ""] : [null, ""];
  const { what, todo, detail } = code ? explain({ code, message }) : {};
  const isBusy = work.open > 0 || status?.waiting > 0;
  byId("state").dataset.is = code ? "lost" : status ? "live" : "";
  put(byId("state"), code ? "not available" : !status ? "connecting" : isBusy ? "working" : "ready");
  const isPlain = code === "unreachable" || code === "busy";
  const text = code ? [what, todo, isPlain ? "" : detail].filter(Boolean).join(" ") : note;
  byId("notice").hidden = !text;
  put(byId("notice"), text);
}

/** Tells a screen reader how it goes, not often. */
function speak(total, fresh, done, failed) {
  const text = total === 0 ? "" : work.open ? `${progressText(total, fresh, done, failed)}.` : done + failed ? `Finished: ${progressText(total, fresh, done, failed)}.` : "";
  const isDue = Date.now() - lastSpoken.at > SPOKEN_EVERY_MS || (text.startsWith("Finished") && !lastSpoken.text.startsWith("Finished"));
  if (!text || text === lastSpoken.text || !isDue) return;
  lastSpoken = { at: Date.now(), text };
  byId("spoken").textContent = text;
}

// -- what people do

async function take(files) {
  const photos = files.filter(({ file }) => looksLikePhoto(file));
  const others = files.filter(({ file }) => !looksLikePhoto(file) && !file.name.startsWith("."));
  const names = named(others.map(({ file }) => file.name));
  note = others.length ? `Left out, because ${others.length === 1 ? "it is no photo" : "they are no photos"}: ${names}` : "";
  if (photos.length) {
    await work.add(photos);
    draw();  // a button that is still hidden takes no focus
    byId("go").focus({ preventScroll: true });
  }
  redraw();
}

const named = (names) => names.slice(0, 3).join(", ") + (names.length > 3 ? ", …" : "");

async function start(photos) {
  const options = settings.read(form);
  const problem = settings.problem(options);
  note = problem;
  if (problem) {
    byId("settings").open = true;
    byId("choose-picture").focus();
    redraw();
    return;
  }
  await work.start(options, photos);
  work.run();
  ask();
}

async function download() {
  const done = work.photos.filter((photo) => photo.state === "ok");
  if (done.length === 1) {
    viewer.open(done[0]);
    byId("save").click();
    return;
  }
  const missing = [];
  saving = { text: "Collecting…" };
  redraw();
  try {
    await saveAll(done, {
      file(number) {
        saving.text = `Collecting ${count(number)} of ${count(done.length)}`;
        redraw();
      },
      missing(photo, failure) {
        missing.push(photo.name);
        if (failure.code === "gone") work.lose(photo);
      },
    });
    trouble = null;
    note = missing.length ? `Left out of the zip, because the service could not send them: ${named(missing)}` : "";
  } catch (error) {
    trouble = error instanceof service.Failure ? error : new service.Failure("unreachable", "");
  } finally {
    saving = null;
    redraw();
  }
}

byId("go").addEventListener("click", () => (work.count("new") ? start() : download()));
byId("retry").addEventListener("click", () => start(work.photos.filter((photo) => photo.state === "failed")));
byId("again").addEventListener("click", () => start(work.photos.filter((photo) => photo.state === "ok")));
byId("stop").addEventListener("click", () => work.stop());
byId("clear").addEventListener("click", async () => {
  if (work.open && !confirm("Photos are still being cut out. Clear the list all the same?")) return;
  await work.stop();
  await work.clear();
  trouble = null;
  note = "";
  settings.choosePicture(null);
  onSettings();
  work.run();
  byId("choose").focus();
});
for (const [button, input] of [["choose", "files"], ["add", "files"], ["choose-folder", "folder"]]) {
  byId(button).addEventListener("click", () => byId(input).click());
}
for (const id of ["files", "folder"]) {
  byId(id).addEventListener("change", async () => {
    const files = chosenFiles(byId(id));
    byId(id).value = "";
    await take(files);
  });
}
byId("choose-folder").hidden = !("webkitdirectory" in byId("folder"));
addEventListener("paste", async (event) => {
  if (event.target.closest?.("input, textarea")) return;
  const files = await filesOf(event.clipboardData);
  if (files.length) take(files);
});
let over = 0;
addEventListener("dragenter", () => { over += 1; document.body.classList.add("dragging"); });
addEventListener("dragleave", () => { over -= 1; if (over <= 0) endDrag(); });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", async (event) => {
  event.preventDefault();
  endDrag();
  take(await filesOf(event.dataTransfer));
});
function endDrag() {
  over = 0;
  document.body.classList.remove("dragging");
}
addEventListener("beforeunload", (event) => {
  if (work.open && !keeping.isKept) event.preventDefault();
});

// -- settings

function onSettings() {
  settings.fold(form);
  const fields = settings.read(form);
  sessionStorage.setItem(SETTINGS, JSON.stringify(fields));
  put(byId("json"), JSON.stringify({ image: "https://example.org/photo.jpg", ...settings.shared(fields) }, null, 2));
  put(byId("picture-name"), settings.picture?.name ?? "");
  byId("no-picture").hidden = !settings.picture;
  byId("by-address").hidden = Boolean(settings.picture);
  put(byId("curl"), settings.curl(service.base(), fields, status?.needs_key));
  const extra = settings.extraNames();
  byId("extra").hidden = !extra.length;
  put(byId("extra"), `Also set, by the link that you followed: ${extra.join(", ")}.`);
  redraw();
}

/** Takes settings from the address, which then leave it, or those of this window. */
function takeSettings() {
  const linked = settings.fromLink(location.hash) && settings.shared(settings.fromLink(location.hash));
  if (linked) history.replaceState(null, "", location.pathname + location.search);
  const known = linked ?? JSON.parse(sessionStorage.getItem(SETTINGS) ?? "{}");
  settings.show(form, known);
  onSettings();
}

async function copyText(button, text) {
  const name = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    put(button, "Copied");
  } catch {
    prompt("Copy this:", text);  // browsers copy by themselves on https and on loopback only
  }
  setTimeout(() => put(button, name), 2000);
}

form.addEventListener("input", onSettings);
byId("choose-picture").addEventListener("click", () => byId("picture").click());
byId("picture").addEventListener("change", async (event) => {
  event.stopPropagation();
  const [file] = byId("picture").files;
  if (!file) return;
  const id = newId();
  settings.choosePicture({ id, name: file.name });
  await keeping.addFile(id, file);
  byId("picture").value = "";
  onSettings();
});
byId("no-picture").addEventListener("click", () => {
  settings.choosePicture(null);
  onSettings();
  byId("choose-picture").focus();
});
form.addEventListener("submit", (event) => event.preventDefault());
byId("share").addEventListener("click", () => copyText(byId("share"), settings.link(service.base(), settings.read(form))));
byId("copy-curl").addEventListener("click", () => copyText(byId("copy-curl"), byId("curl").textContent));
byId("reset").addEventListener("click", () => { settings.show(form, {}); onSettings(); });
addEventListener("hashchange", () => location.hash.startsWith("#settings=") && takeSettings());

// -- the service

async function ask() {
  clearTimeout(asking);
  try {
    status = await service.status();
    if (!status.authorized) askForKey();
    else onStatus();
    if (trouble?.code === "unreachable" && !work.open) trouble = null;
  } catch (error) {
    trouble = error instanceof service.Failure ? error : new service.Failure("unreachable", "");
  }
  redraw();
  const pause = work.open || trouble ? ASK_MS.busy : ASK_MS.idle;
  if (!document.hidden) asking = setTimeout(ask, pause);
}

function onStatus() {
  work.limits = status;
  if (byId("desk").hidden) {
    byId("desk").hidden = false;
    drawProfiles();
    byId("links").hidden = !status.live_page;
    if (status.live_page) byId("live").href = status.live_page;
    takeSettings();
    put(byId("accepted"), `JPEG, PNG, WebP, HEIC and others, up to ${size(status.max_photo_bytes)} each.`);
    put(byId("release"), `cutstream ${status.release}`);
  }
}

function drawProfiles() {
  const select = byId("profile");
  const names = status.has_auto ? ["auto", ...status.profiles] : status.profiles;
  select.options[0].text = `Usual (${status.default_profile})`;
  for (const name of names) if (name !== status.default_profile) select.add(new Option(name === "auto" ? "Best for the time there is" : name, name));
}

/** Shows the field for the key, and returns when one has been given that is right. */
function askForKey() {
  const wasGiven = service.key.get() !== null;
  service.key.forget();
  if (byId("login").hidden) {
    byId("login").hidden = false;
    put(byId("key-wrong"), wasGiven ? "The service does not know this key." : "");
    byId("key").focus();
  }
  if (!keyGiven) {
    let give;
    keyGiven = new Promise((resolve) => { give = resolve; });
    keyGiven.give = give;
  }
  return keyGiven;
}

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  service.key.set(byId("key").value.trim());
  byId("key").value = "";
  byId("login").hidden = true;
  await ask();
  if (!status?.authorized) return;
  keyGiven?.give();
  keyGiven = null;
  work.run();
});

// -- one window at a time

const windows = new BroadcastChannel(`cutstream ${location.pathname}`);
windows.onmessage = () => {
  if (!keeping.isKept) return;
  work.halt();
  clearTimeout(asking);
  byId("elsewhere").hidden = false;
  byId("desk").inert = true;
};

async function takeOver() {
  windows.postMessage("here");
  byId("elsewhere").hidden = true;
  byId("desk").inert = false;
  await work.load();
  await ask();
  work.run();
}

byId("here").addEventListener("click", takeOver);
document.addEventListener("visibilitychange", () => !document.hidden && byId("elsewhere").hidden && ask());

if (innerWidth < 960) byId("settings").open = false;
await keeping.open();
await takeOver();
