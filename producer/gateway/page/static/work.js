// Photos go out in batches, results come in, and whatever fails for the moment is tried again.
//
// A photo is new, queued, sending, sent, and then ok or failed. A batch is one job of the service. Its id is the job's
// idempotency key and is kept before anything is sent, so a page that is closed at any moment sends no photo twice.

import * as keeping from "./keeping.js";
import * as service from "./service.js";

const FIRST_BYTES = 4e6;
const BATCH_S = 8;  // a service gives a body a minute: a batch of so many seconds has time enough
const MOST_BYTES = 200e6;
const MOST_PHOTOS = 25;
const FEW = 12;  // so few photos go before the work of programs
const FOLLOWED = 2;  // a browser has six connections to a host
const LONGEST_WAIT_S = 30;

export const newId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const alike = (one, other) => JSON.stringify([one.options, one.urgent]) === JSON.stringify([other.options, other.urgent]);

export class Work {
  photos = [];
  limits = { max_photo_bytes: Infinity, max_job_bytes: Infinity, max_job_photos: MOST_PHOTOS };
  #byId = new Map();
  #batches = [];
  #on;
  #running = null;
  #sending = null;
  #followed = new Set();
  #bytes = FIRST_BYTES;
  #mostPhotos = MOST_PHOTOS;

  /** `on` has photo(photo) for a photo that has changed, changed() for anything, trouble(failure or null), needsKey(). */
  constructor(on) {
    this.#on = on;
  }

  /** Takes up what is kept. */
  async load() {
    const { photos, batches } = await keeping.all();
    this.photos = photos;
    this.#byId = new Map(photos.map((photo) => [photo.id, photo]));
    this.#batches = batches;
    for (const batch of batches) batch.doubtful = true;
    this.#on.changed();
  }

  run() {
    this.#running ??= new AbortController();
    this.#send();
    this.#follow();
  }

  /** Stops everything that is under way here, and changes nothing: another window goes on, or this one later. */
  halt() {
    this.#running?.abort();
    this.#running = null;
  }

  count = (...states) => this.photos.filter((photo) => states.includes(photo.state)).length;

  get open() {
    return this.count("queued", "sending", "sent");
  }

  // -- what people do

  /** Adds files, [{file, path}], and returns their photos. */
  async add(files) {
    const photos = files.map(({ file, path }, index) => ({
      id: newId(), at: Date.now() + index / 1e5, name: file.name, path, size: file.size, file, state: "new",
      options: null, urgent: false, batch: null, job: null, number: 0, output: null, facts: null, error: null,
    }));
    this.photos.push(...photos);
    for (const photo of photos) this.#byId.set(photo.id, photo);
    this.#on.changed();
    for (let from = 0; from < photos.length; from += 10) await keeping.add(photos.slice(from, from + 10));
    this.#on.changed();
    return photos;
  }

  /** Has photos done with these fields of a request: all new ones, or those given, which are done anew. */
  async start(options, photos = this.photos.filter((photo) => photo.state === "new")) {
    const ready = photos.filter((photo) => ["new", "ok", "failed"].includes(photo.state));
    const urgent = ready.length + this.open <= FEW;
    for (const photo of ready) {
      this.#change(photo, { state: "queued", options, urgent, batch: null, job: null, number: 0, output: null, facts: null, error: null });
      if (photo.size > this.limits.max_photo_bytes) this.#fail(photo, "file_too_large");
    }
    await keeping.put({ photos: ready });
    this.#send();
  }

  /** Calls off what has not come back. What has stays, and the rest is new again. */
  async stop() {
    const queued = this.photos.filter((photo) => photo.state === "queued" && !photo.batch);
    for (const photo of queued) this.#change(photo, { state: "new" });
    await keeping.put({ photos: queued });
    this.#sending?.abort();
    try {
      for (const batch of this.#batches) if (batch.job) await service.cancel(batch.job);
    } catch (error) {
      this.#on.trouble(error);
    }
  }

  /** Notes that a photo's result is no longer there. */
  async lose(photo) {
    this.#fail(photo, "gone");
    await keeping.put({ photos: [photo] });
  }

  /** Forgets photos. Those that are being sent stay. */
  async remove(photos) {
    const gone = new Set(photos.filter((photo) => photo.state !== "sending"));
    this.photos = this.photos.filter((photo) => !gone.has(photo));
    for (const photo of gone) this.#byId.delete(photo.id);
    await keeping.remove({ photos: [...gone] });
    this.#on.changed();
  }

  /** Forgets everything. */
  async clear() {
    this.halt();
    this.photos = [];
    this.#batches = [];
    this.#byId.clear();
    await keeping.clear();
    this.#on.changed();
  }

  // -- out

  async #send() {
    const running = this.#running;
    if (!running || this.#sending) return;
    this.#sending = new AbortController();
    try {
      let batch;
      while (!running.signal.aborted && (batch = this.#unsent() ?? (await this.#newBatch()))) {
        this.#sending = new AbortController();
        running.signal.addEventListener("abort", () => this.#sending?.abort());
        await this.#sendBatch(batch, running);
      }
    } finally {
      this.#sending = null;
    }
  }

  #unsent = () => this.#batches.find((batch) => !batch.job);

  async #newBatch() {
    const queued = this.photos.filter((photo) => photo.state === "queued" && !photo.batch);
    if (!queued.length) return null;
    const chosen = [];
    let bytes = 0;
    for (const photo of queued) {
      if (chosen.length >= Math.min(this.#mostPhotos, this.limits.max_job_photos)) break;
      if (chosen.length && (bytes + photo.size > this.#bytes || !alike(photo, chosen[0]))) break;
      chosen.push(photo);
      bytes += photo.size;
    }
    const batch = {
      id: newId(), at: Date.now(), photos: chosen.map((photo) => photo.id), options: chosen[0].options,
      urgent: chosen[0].urgent, job: null, place: 0, doubtful: false,
    };
    for (const photo of chosen) this.#change(photo, { state: "sending", batch: batch.id, sent: 0 });
    await keeping.put({ photos: chosen, batches: [batch] });
    this.#batches.push(batch);
    return batch;
  }

  async #sendBatch(batch, running) {
    for (let attempt = 0; ; attempt += 1) {
      const photos = batch.photos.map((id) => this.#byId.get(id));
      const files = await this.#read(batch, photos);
      if (!files) return;
      const began = performance.now();
      try {
        const { picture, ...options } = batch.options;
        const background = picture ? await this.#picture(picture) : null;
        const { id } = await service.submit(batch.id, files, background, options, batch.urgent,
          (sent) => this.#progress(photos, sent), this.#sending.signal);
        this.#on.trouble(null);
        const bytes = photos.reduce((sum, photo) => sum + photo.size, 0);
        const most = Math.min(MOST_BYTES, 0.9 * this.limits.max_job_bytes);
        this.#bytes = Math.max(1e6, Math.min(most, (BATCH_S * 1000 * bytes) / (performance.now() - began)));
        batch.job = id;
        photos.forEach((photo, index) => this.#change(photo, { state: "sent", job: id, number: index + 1 }));
        await keeping.put({ photos, batches: [batch] });
        if (this.#sending.signal.aborted || batch.stopping) await service.cancel(id).catch(this.#on.trouble);
        this.#follow();
        return;
      } catch (error) {
        if (running.signal.aborted) return;
        if (error.name === "AbortError") {
          if (!batch.doubtful) return await this.#dissolve(batch, "new");
          batch.stopping = true;  // it may have been taken: that is found out first, and then it is called off
          this.#sending = new AbortController();
          continue;
        }
        if (!(error instanceof service.Failure)) throw error;
        batch.doubtful ||= error.again && error.whole;
        if (!(await this.#afterFailure(batch, photos, error, attempt))) return;
      }
    }
  }

  /** Waits before the next attempt. Returns false if there is none. */
  async #afterFailure(batch, photos, error, attempt) {
    const smaller = photos.length > 1 && !batch.doubtful && (error.status === 413 || (error.again && !error.whole && attempt > 0));
    if (smaller) {
      this.#mostPhotos = Math.max(1, Math.floor(photos.length / 2));
      this.#bytes = Math.max(1e6, this.#bytes / 2);
      await this.#dissolve(batch, "queued");
      return false;
    }
    if (error.needsKey) {
      await this.#on.needsKey();
      return true;
    }
    if (!error.again) {
      for (const photo of photos) this.#fail(photo, error.code, error.message);
      await this.#end(batch, photos);
      return false;
    }
    this.#on.trouble(error);
    await this.#pause(error.wait || 2 ** attempt);
    return true;
  }

  /** Returns the files of a batch, or null if one cannot be read any more: the others then go into another batch. */
  async #read(batch, photos) {
    const files = [];
    for (const photo of photos) {
      const file = photo && (await keeping.file(photo));
      const isReadable = file && (await file.slice(0, 1).arrayBuffer().then(() => true, () => false));
      if (!isReadable) {
        await this.#dissolve(batch, "queued");
        if (photo) this.#fail(photo, "unreadable"), await keeping.put({ photos: [photo] });
        return null;
      }
      files.push({ file, name: photo.path });
    }
    return files;
  }

  async #picture({ id }) {
    const file = await keeping.looseFile(id);
    if (!file) throw new service.Failure("no_picture", "");
    return file;
  }

  #progress(photos, sent) {
    let before = 0;
    for (const photo of photos) {
      const share = Math.max(0, Math.min(1, (sent - before) / Math.max(1, photo.size)));
      before += photo.size;
      if (share !== photo.sent) this.#change(photo, { sent: share });
    }
  }

  async #dissolve(batch, state) {
    const photos = batch.photos.map((id) => this.#byId.get(id)).filter(Boolean);
    for (const photo of photos) this.#change(photo, { state, batch: null });
    await this.#end(batch, photos);
  }

  async #end(batch, photos = []) {
    this.#batches = this.#batches.filter((other) => other !== batch);
    await keeping.put({ photos });
    await keeping.remove({ batches: [batch] });
  }

  // -- in

  #follow() {
    const running = this.#running;
    if (!running) return;
    for (const batch of this.#batches) {
      if (this.#followed.size >= FOLLOWED) return;
      if (!batch.job || this.#followed.has(batch)) continue;
      this.#followed.add(batch);
      this.#followBatch(batch, running).finally(() => {
        this.#followed.delete(batch);
        if (this.#running === running) this.#follow();
      });
    }
  }

  async #followBatch(batch, running) {
    for (let attempt = 0; !running.signal.aborted && this.#batches.includes(batch); attempt += 1) {
      try {
        await service.follow(batch.job, batch.place, async (kind, data, place) => {
          attempt = 0;
          this.#on.trouble(null);
          if (kind === "photo") await this.#take(batch, data, place);
          if (kind === "done") await this.#end(batch);
        }, running.signal);
        if (this.#batches.includes(batch)) await this.#pause(1);
      } catch (error) {
        if (running.signal.aborted) return;
        if (error.status === 404) {
          await this.#forget(batch);
        } else if (error.needsKey) {
          await this.#on.needsKey();
        } else {
          this.#on.trouble(error.code ? error : new service.Failure("unreachable", "the connection broke off"));
          await this.#pause(2 ** attempt);
        }
      }
    }
  }

  async #take(batch, result, place) {
    const photo = this.#byId.get(batch.photos[result.number - 1]);
    batch.place = place;
    if (photo?.batch === batch.id) this.#apply(photo, result);
    await keeping.put({ photos: photo ? [photo] : [], batches: [batch] });
  }

  #apply(photo, result) {
    if (result.status === "ok" && result.outputs.length) {
      const { profile, warnings = [] } = result;
      this.#change(photo, { state: "ok", output: result.outputs[0], facts: { profile, warnings } });
    } else if (result.status === "cancelled") {
      this.#change(photo, { state: "new", batch: null, job: null });
    } else {
      this.#fail(photo, result.error?.code ?? result.status, result.error?.message);
    }
  }

  async #forget(batch) {
    const lost = batch.photos.map((id) => this.#byId.get(id)).filter((photo) => photo?.batch === batch.id && photo.state === "sent");
    for (const photo of lost) this.#fail(photo, "forgotten");
    await this.#end(batch, lost);
  }

  // -- parts of them

  #fail(photo, code, message = "") {
    this.#change(photo, { state: "failed", error: { code, message } });
  }

  #change(photo, fields) {
    Object.assign(photo, fields);
    this.#on.photo(photo);
  }

  #pause(seconds) {
    const signal = this.#running?.signal;
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.min(seconds, LONGEST_WAIT_S) * 1000 * (0.75 + Math.random() / 2));
      for (const stopping of [signal, this.#sending?.signal]) {
        stopping?.addEventListener("abort", () => { clearTimeout(timer); resolve(); });
      }
    });
  }
}
