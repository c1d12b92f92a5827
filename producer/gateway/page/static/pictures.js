// Thumbnails: made two at a time, and small, so that hundreds of photos never lie in memory at their full size.

const EDGE = 360;
const AT_ONCE = 2;

let running = 0;
const waiting = [];

/** Runs `make` when it is its turn. The newest goes first: it is what people look at. */
export function inTurn(make) {
  return new Promise((resolve, reject) => {
    waiting.push(() => make().then(resolve, reject));
    next();
  });
}

function next() {
  if (running >= AT_ONCE || !waiting.length) return;
  running += 1;
  waiting.pop()().finally(() => {
    running -= 1;
    next();
  });
}

/** Returns a small picture of an image as a Blob. Throws if the browser cannot show it, as with most HEIC. */
export async function thumbnail(blob) {
  const whole = await createImageBitmap(blob, { resizeWidth: EDGE, resizeQuality: "high" });
  const share = Math.min(1, EDGE / whole.height);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [whole.width, whole.height].map((side) => Math.max(1, Math.round(side * share)));
  const pencil = canvas.getContext("2d");
  pencil.drawImage(whole, 0, 0, canvas.width, canvas.height);
  whole.close();
  return encoded(canvas, "image/webp");
}

/** Returns an image as PNG, which is what clipboards take. */
export async function asPng(blob) {
  if (blob.type === "image/png") return blob;
  const whole = await createImageBitmap(blob);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [whole.width, whole.height];
  canvas.getContext("2d").drawImage(whole, 0, 0);
  whole.close();
  return encoded(canvas, "image/png");
}

const encoded = (canvas, type) => new Promise((resolve, reject) => {
  canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no picture"))), type, 0.85);
});
