// Files that people drop, paste or choose, with folders where the browser can.

const PICTURES = /\.(jpe?g|jfif|png|webp|heic|heif|avif|tiff?|gif|bmp|jp2|j2k)$/i;

export const looksLikePhoto = (file) => file.type.startsWith("image/") && file.type !== "image/svg+xml" || PICTURES.test(file.name);

/** Returns [{file, path}] of what was dropped or pasted. Must be called before the event has ended. */
export async function filesOf(transfer) {
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.() ?? null);
  const plain = [...transfer.files];
  if (!entries.some((entry) => entry?.isDirectory)) return plain.map((file) => ({ file, path: file.name }));
  const found = [];
  for (const entry of entries) if (entry) await walk(entry, "", found);
  return found;
}

/** Returns [{file, path}] of a file input. */
export const chosenFiles = (input) => [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));

async function walk(entry, folder, found) {
  const path = folder + entry.name;
  if (entry.isFile) {
    const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
    if (file) found.push({ file, path });
    return;
  }
  const reader = entry.createReader();
  for (;;) {  // a browser lists a hundred at a time
    const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (!some.length) return;
    for (const child of some) await walk(child, `${path}/`, found);
  }
}
