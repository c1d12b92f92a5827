// The grid: a card for each photo. Its thumbnails are made when it comes near the window.

import * as keeping from "./keeping.js";
import { inTurn, thumbnail } from "./pictures.js";
import { output } from "./service.js";
import { explain, size } from "./words.js";

/** Makes an element with attributes, and children, of which strings are text. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export class Cards {
  #list;
  #on;
  #cards = new Map();
  #near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const card = this.#cards.get(entry.target.dataset.id);
      if (card) card.isNear = entry.isIntersecting, this.#picture(card);
    }
  }, { rootMargin: "400px" });

  /** `on` has open(photo), to show it large, and gone(photo) for one whose result is no longer there. */
  constructor(list, on) {
    this.#list = list;
    this.#on = on;
  }

  /** Shows these photos, in this order. */
  show(photos) {
    const wanted = new Map(photos.map((photo) => [photo.id, photo]));
    for (const [id, card] of this.#cards) if (wanted.get(id) !== card.photo) this.#remove(id, card);
    for (const photo of photos) {
      if (this.#cards.has(photo.id)) continue;
      const card = this.#make(photo);
      this.#cards.set(photo.id, card);
      this.#list.append(card.item);
      this.#near.observe(card.item);
      this.draw(photo);
    }
  }

  /** Brings a photo's card up to date. */
  draw(photo) {
    const card = this.#cards.get(photo.id);
    if (!card) return;
    card.item.dataset.state = photo.state;
    put(card.status, statusOf(photo));
    card.bar.style.setProperty("--done", photo.state === "sending" ? photo.sent ?? 0 : 1);
    if (photo.state !== "ok" && card.made) this.#forgetResult(card);
    this.#picture(card);
  }

  focus = (photo) => this.#cards.get(photo.id)?.button.focus();

  #make(photo) {
    const before = make("img", { class: "before", alt: "" });
    const after = make("img", { class: "after", alt: "" });
    const missing = make("span", { class: "missing muted small" });
    const bar = make("span", { class: "meter", "aria-hidden": "true" });
    const status = make("span", { class: "status" });
    const pair = make("span", { class: "pair" }, before, after, missing, bar);
    const button = make("button", { type: "button", class: "card" }, pair, make("bdi", { class: "name" }, photo.name), status);
    button.addEventListener("click", () => this.#on.open(photo));
    button.addEventListener("pointermove", (event) => {
      const box = pair.getBoundingClientRect();
      pair.style.setProperty("--split", `${(100 * (event.clientX - box.left)) / box.width}%`);
    });
    const item = make("li", { "data-id": photo.id }, button);
    return { photo, item, button, before, after, missing, bar, status, isNear: false, shown: false, made: "" };
  }

  #picture(card) {
    const { photo } = card;
    if (!card.isNear) return;
    if (!card.shown) {
      card.shown = true;
      this.#load(card, card.before, () => keeping.file(photo), () => {
        put(card.missing, "No preview: the browser cannot show this file");
      });
    }
    const wanted = photo.state === "ok" ? `${photo.job}/${photo.number}` : "";
    if (wanted && card.made !== wanted) {
      card.made = wanted;
      this.#load(card, card.after, () => (card.made === wanted ? output(photo) : null), (error) => {
        if (error.code === "gone") this.#on.gone(photo);
        else put(card.missing, "The result cannot be shown now");
      });
    }
  }

  async #load(card, image, read, onFailure) {
    try {
      const small = await inTurn(async () => {
        const blob = await read();
        return blob && thumbnail(blob);
      });
      if (!small || !this.#cards.has(card.photo.id)) return;
      URL.revokeObjectURL(image.src);
      image.src = URL.createObjectURL(small);
      await image.decode().catch(() => {});
      card.item.classList.add(image === card.after ? "has-after" : "has-before");
      put(card.missing, "");
    } catch (error) {
      onFailure(error);
    }
  }

  #forgetResult(card) {
    URL.revokeObjectURL(card.after.src);
    card.after.removeAttribute("src");
    card.item.classList.remove("has-after");
    card.made = "";
  }

  #remove(id, card) {
    this.#near.unobserve(card.item);
    for (const image of [card.before, card.after]) URL.revokeObjectURL(image.src);
    card.item.remove();
    this.#cards.delete(id);
  }
}

/** Says where a photo is, in a few words. */
export function statusOf(photo) {
  switch (photo.state) {
    case "new": return size(photo.size);
    case "queued": return "Waiting";
    case "sending": return photo.sent >= 1 ? "Sent" : `Sending, ${Math.round(100 * (photo.sent ?? 0))}\u00a0%`;
    case "sent": return "Being cut out";
    case "ok": return `${photo.output.width}\u00a0×\u00a0${photo.output.height}, ${size(photo.output.bytes)}`;
    default: return explain(photo.error).what;
  }
}
