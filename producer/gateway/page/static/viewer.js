// One photo, large: before and after with a slider, or side by side where they have different shapes.

import { make, put, statusOf } from "./cards.js";
import * as keeping from "./keeping.js";
import { canCopy, copyImage, fileName, save } from "./saving.js";
import { output } from "./service.js";
import { explain } from "./words.js";

const byId = (id) => document.getElementById(id);

export class Viewer {
  #dialog = byId("viewer");
  #photo = null;
  #list = () => [];
  #shown = "";

  /** `on` has retry(photo), remove(photo) and closed(photo). `list()` returns all photos. */
  constructor(list, on) {
    this.#list = list;
    byId("viewer-close").addEventListener("click", () => this.#dialog.close());
    byId("previous").addEventListener("click", () => this.#step(-1));
    byId("next").addEventListener("click", () => this.#step(1));
    byId("save").addEventListener("click", () => this.#do("save", async (photo) => save(await output(photo), fileName(photo))));
    byId("copy").addEventListener("click", () => this.#do("copy", copyImage, "Copied"));
    byId("viewer-retry").addEventListener("click", () => on.retry(this.#photo));
    byId("remove").addEventListener("click", () => {
      const photo = this.#photo;
      this.#dialog.close();
      on.remove(photo);
    });
    byId("split").addEventListener("input", () => this.#split());
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
    this.#dialog.addEventListener("close", () => {
      const photo = this.#photo;
      this.#photo = null;
      this.#empty();
      on.closed(photo);
    });
  }

  open(photo) {
    this.#photo = photo;
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#empty();
    this.draw(photo);
  }

  /** Brings the dialog up to date, if it shows this photo. */
  draw(photo) {
    if (photo !== this.#photo) return;
    const isDone = photo.state === "ok";
    put(byId("viewer-title"), photo.path);
    this.#say(photo);
    for (const id of ["save", "copy"]) byId(id).hidden = !isDone;
    byId("copy").hidden ||= !canCopy() || !photo.output?.media_type.startsWith("image/");
    byId("viewer-retry").hidden = photo.state !== "failed";
    byId("remove").hidden = photo.state === "sending";
    byId("previous").disabled = byId("next").disabled = this.#list().length < 2;
    const wanted = `${photo.id} ${isDone ? photo.job : ""}`;
    if (wanted !== this.#shown) {
      this.#shown = wanted;
      this.#load(photo, isDone);
    }
  }

  #say(photo) {
    const text = byId("viewer-text");
    if (photo.state !== "failed") {
      const facts = [statusOf(photo), photo.facts?.profile && `profile ${photo.facts.profile}`, ...(photo.facts?.warnings ?? []).map((one) => one.message)];
      text.className = "muted";
      put(text, facts.filter(Boolean).join(", "));
      return;
    }
    const { what, todo, detail } = explain(photo.error);
    text.className = "notice bad";
    text.replaceChildren(make("strong", {}, what), ` ${todo}`, ...(detail ? [make("span", { class: "muted small detail" }, make("bdi", {}, detail))] : []));
  }

  async #load(photo, isDone) {
    const stillShown = () => this.#photo === photo;
    const images = [this.#image(byId("before"), () => keeping.file(photo), stillShown)];
    if (isDone) images.push(this.#image(byId("after"), () => output(photo), stillShown));
    const [hasBefore, hasAfter = false] = await Promise.all(images);
    if (!stillShown()) return;
    byId("before").alt = hasBefore ? "The photo" : "";
    byId("after").alt = hasAfter ? "Its cutout" : "";
    const shape = (image) => image.naturalWidth / image.naturalHeight;
    const isApart = hasBefore && hasAfter && Math.abs(shape(byId("before")) / shape(byId("after")) - 1) > 0.02;
    const compare = byId("compare");
    compare.style.setProperty("--shape", isApart ? shape(byId("before")) + shape(byId("after")) : shape(byId(hasBefore ? "before" : "after")) || 3);
    compare.dataset.shows = isApart ? "apart" : hasBefore && hasAfter ? "both" : hasAfter ? "after" : hasBefore ? "before" : "none";
    this.#split();
    if (!hasBefore && !hasAfter && photo.state !== "failed") put(byId("viewer-text"), "The browser cannot show this file. The service may well read it.");
  }

  async #image(image, read, stillShown) {
    try {
      const blob = await read();
      if (!blob || !stillShown()) return false;
      URL.revokeObjectURL(image.src);
      image.src = URL.createObjectURL(blob);
      await image.decode();
      return true;
    } catch {
      return false;
    }
  }

  #empty() {
    for (const image of [byId("before"), byId("after")]) {
      URL.revokeObjectURL(image.src);
      image.removeAttribute("src");
      image.alt = "";
    }
    byId("compare").dataset.shows = "none";
    byId("split").value = 50;
    this.#shown = "";
  }

  #split() {
    byId("compare").style.setProperty("--split", `${byId("split").value}%`);
  }

  #step(by) {
    const list = this.#list();
    this.open(list[(list.indexOf(this.#photo) + by + list.length) % list.length]);
  }

  async #do(id, work, done = "") {
    const button = byId(id);
    const name = button.textContent;
    button.disabled = true;
    try {
      await work(this.#photo);
      if (done) put(button, done);
    } catch (error) {
      const { what, todo } = explain({ code: error.code ?? "unreachable" });
      put(byId("viewer-text"), id === "copy" && !error.code ? "The browser did not let the page copy. Download it instead." : `${what} ${todo}`);
    } finally {
      button.disabled = false;
      setTimeout(() => put(button, name), 2000);
    }
  }
}
