// Downloads, zip files and the clipboard.

import { asPng } from "./pictures.js";
import { output } from "./service.js";

const MOST_BYTES = 2e9;  // a zip without its 64-bit form has at most 4 GB; old programs read 2 GB
const MOST_FILES = 65_000;
const KEEP_MS = 60_000;
const ATTEMPTS = 3;
const ENDINGS = { "image/png": "png", "image/webp": "webp", "image/jpeg": "jpg", "application/zip": "zip" };

/** Hands a file to the browser's downloads. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), KEEP_MS);
}

export async function copyImage(photo) {
  const png = output(photo).then(asPng);
  await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
}

export const canCopy = () => Boolean(navigator.clipboard?.write && globalThis.ClipboardItem);

/** Returns a path for a photo's cutout that every system can unpack, inside of the folder where it is unpacked. */
export function pathOf(photo) {
  const parts = photo.path.split(/[/\\]/).map(cleaned).filter(Boolean);
  const name = (parts.pop() ?? "photo").replace(/\.[a-z0-9]{1,5}$/i, "") || "photo";
  return [...parts, `${name}.${ENDINGS[photo.output.media_type] ?? "bin"}`].join("/");
}

export const fileName = (photo) => pathOf(photo).split("/").pop();

function cleaned(part) {
  const text = part.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069<>:"|?*]/g, "_").replace(/[. ]+$/, "").trim();
  const short = [...text].slice(0, 100).join("");
  return /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(short) ? `_${short}` : short;
}

/** Downloads all photos as one zip, or several if they are very large. `on` has file(number), which is told how far it
 *  is, and missing(photo, failure) for a result that cannot be had: the others are saved without it. */
export async function saveAll(photos, on) {
  const taken = new Set();
  let zip = new Zip();
  let number = 0;
  const hand = (last) => {
    number += 1;
    save(zip.finish(), last && number === 1 ? "cutouts.zip" : `cutouts-${number}.zip`);
    zip = new Zip();
  };
  for (const [index, photo] of photos.entries()) {
    const blob = await fetched(photo).catch((failure) => {
      if (failure.code !== "gone" && failure.code !== "result_unreadable") throw failure;
      on.missing(photo, failure);
    });
    on.file(index + 1);
    if (!blob) continue;
    if (zip.count && (zip.size + blob.size > MOST_BYTES || zip.count >= MOST_FILES)) hand(false);
    await zip.add(unique(pathOf(photo), taken), blob);
  }
  if (zip.count) hand(true);
}

/** Returns a result's bytes, after some attempts if need be. */
async function fetched(photo) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await output(photo);
    } catch (error) {
      if (!error.again || attempt === ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000 * (error.wait || 2 ** attempt)));
    }
  }
}

function unique(path, taken) {
  const [, stem, ending] = /^(.*?)(\.[^./]*)?$/s.exec(path);
  let free = path;
  for (let number = 2; taken.has(free.toLowerCase()); number += 1) free = `${stem} (${number})${ending ?? ""}`;
  taken.add(free.toLowerCase());
  return free;
}

/** A zip whose files are stored as they are: pictures are compressed already. Its parts stay Blobs, which browsers keep
 *  on disk when they are many. */
class Zip {
  #parts = [];
  #directory = [];
  size = 0;
  count = 0;

  async add(name, blob) {
    const path = new TextEncoder().encode(name);
    const fields = [20, 0x0800, 0, ...stamp(new Date()), await crc32(blob), blob.size, blob.size, path.length, 0];
    const local = header(0x04034b50, "HHHHHIIIHH", fields);
    this.#directory.push(header(0x02014b50, "HHHHHHIIIHHHHHII", [20, ...fields, 0, 0, 0, 0, this.size]), path);
    this.#parts.push(local, path, blob);
    this.size += local.length + path.length + blob.size;
    this.count += 1;
  }

  finish() {
    const length = this.#directory.reduce((sum, part) => sum + part.length, 0);
    const end = header(0x06054b50, "HHHHIIH", [0, 0, this.count, this.count, length, this.size, 0]);
    return new Blob([...this.#parts, ...this.#directory, end], { type: "application/zip" });
  }
}

function header(signature, layout, values) {
  const bytes = new Uint8Array(4 + [...layout].reduce((sum, letter) => sum + (letter === "H" ? 2 : 4), 0));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, signature, true);
  let place = 4;
  values.forEach((value, index) => {
    layout[index] === "H" ? view.setUint16(place, value, true) : view.setUint32(place, value, true);
    place += layout[index] === "H" ? 2 : 4;
  });
  return bytes;
}

const stamp = (date) => [
  (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1),
  ((date.getFullYear() - 1980) << 9) | ((date.getMonth() + 1) << 5) | date.getDate(),
];

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit += 1) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte;
});

async function crc32(blob) {
  let crc = 0xffffffff;
  const reader = blob.stream().getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return (crc ^ 0xffffffff) >>> 0;
    for (const byte of value) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  }
}
