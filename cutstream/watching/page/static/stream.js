// Server-sent events by fetch. EventSource can send no Authorization header, and does not notice a connection that has
// gone silent.

const SILENT_MS = 8_000;
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 15_000;

/** Opens a stream again and again until it is closed. `on` has a function for each event, and for what happens:
 *  opened(), lost(reason), refused(). Nothing is tried again after refused(). */
export class Stream {
  #address;
  #token;
  #on;
  #aborting = null;
  #timer = 0;
  #wait = FIRST_WAIT_MS;

  constructor(address, token, on) {
    this.#address = address;
    this.#token = token;
    this.#on = on;
  }

  open() {
    this.close();
    this.#aborting = new AbortController();
    this.#run(this.#aborting);
  }

  close() {
    clearTimeout(this.#timer);
    this.#aborting?.abort();
    this.#aborting = null;
  }

  async #run(aborting) {
    let reason = "the worker has ended the connection";
    try {
      const headers = this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
      const answer = await this.#alive(aborting, fetch(this.#address, { headers, signal: aborting.signal, cache: "no-store" }));
      if (answer.status === 401) {
        this.close();
        this.#on.refused();
        return;
      }
      if (answer.ok) {
        this.#on.opened();
        await this.#read(aborting, answer.body.pipeThrough(new TextDecoderStream()).getReader());
      } else {
        reason = (await answer.text()).trim().slice(0, 200) || `status ${answer.status}`;
      }
    } catch (error) {
      reason = error === "silent" ? "nothing has come for some seconds" : "the worker does not answer";
    }
    aborting.abort();
    if (this.#aborting === aborting) {
      this.#on.lost(reason);
      this.#timer = setTimeout(() => this.open(), this.#wait * (0.75 + Math.random() / 2));
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS);
    }
  }

  async #read(aborting, reader) {
    let text = "";
    for (;;) {
      const { value, done } = await this.#alive(aborting, reader.read());
      if (done) return;
      text += value;
      let end;
      while ((end = text.indexOf("\n\n")) >= 0) {
        this.#dispatch(text.slice(0, end));
        text = text.slice(end + 2);
      }
    }
  }

  #dispatch(block) {
    const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2)));
    this.#wait = FIRST_WAIT_MS;
    this.#on[fields.event]?.(JSON.parse(fields.data));
  }

  /** Waits for a promise, but not longer than a stream may be silent. */
  async #alive(aborting, promise) {
    const timer = setTimeout(() => aborting.abort("silent"), SILENT_MS);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }
}
