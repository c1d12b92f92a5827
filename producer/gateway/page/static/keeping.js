// Photos and batches in the browser's own database, under the page's path. Without one, such as in some private windows,
// the page works from memory, and says that it must stay open.

const NAME = `cutstream ${location.pathname}`;

let database = null;

export let isKept = false;

export async function open() {
  try {
    database = await new Promise((resolve, reject) => {
      const request = indexedDB.open(NAME, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore("photos", { keyPath: "id" });
        request.result.createObjectStore("files");  // by a photo's id: a photo changes often, its file never
        request.result.createObjectStore("batches", { keyPath: "id" });
      };
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    isKept = true;
  } catch {
    isKept = false;
  }
}

/** Returns everything that is kept: {photos, batches}. */
export async function all() {
  if (!database) return { photos: [], batches: [] };
  const read = (store) => answered(database.transaction(store).objectStore(store).getAll());
  const [photos, batches] = [await read("photos"), await read("batches")];
  return { photos: photos.sort((one, other) => one.at - other.at), batches: batches.sort((one, other) => one.at - other.at) };
}

/** Keeps new photos with their files. If the browser has no room, the page goes on from memory. */
export const add = (photos) => change((stores) => {
  for (const photo of photos) {
    stores("photos").put(lasting(photo));
    stores("files").put(photo.file, photo.id);
  }
});

/** Keeps what has changed of photos and batches, all of it or nothing. */
export const put = ({ photos = [], batches = [] }) => change((stores) => {
  for (const photo of photos) stores("photos").put(lasting(photo));
  for (const batch of batches) stores("batches").put(batch);
});

export const remove = ({ photos = [], batches = [] }) => change((stores) => {
  for (const photo of photos) for (const store of ["photos", "files"]) stores(store).delete(photo.id);
  for (const batch of batches) stores("batches").delete(batch.id);
});

export const clear = () => change((stores) => {
  for (const store of ["photos", "files", "batches"]) stores(store).clear();
});

/** Returns a photo's file, or null if it is not there. */
export async function file(photo) {
  if (photo.file) return photo.file;
  if (!database) return null;
  return (await answered(database.transaction("files").objectStore("files").get(photo.id)).catch(() => null)) ?? null;
}

/** Keeps a file that belongs to no photo: a background picture. */
export function addFile(id, file) {
  loose.set(id, file);
  return change((stores) => stores("files").put(file, id));
}

const loose = new Map();

export const looseFile = async (id) => loose.get(id) ?? file({ id });

async function change(work) {
  if (!database) return;
  try {
    const transaction = database.transaction(["photos", "files", "batches"], "readwrite");
    work((name) => transaction.objectStore(name));
    await new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  } catch {
    isKept = false;  // what is kept already stays readable, and later changes may find room again
  }
}

/** Leaves out what is for the moment only, and the file, which is kept apart. */
const lasting = ({ sent, file, ...kept }) => kept;

const answered = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});
