// Calls of the gateway. Every address is relative, so that the page works under any path.

import { followEvents } from "./events.js";

const KEY = `cutstream key ${location.pathname}`;

/** A call that failed. `again` tells whether the same call may succeed later, after `wait` seconds if it is known, and
 *  `whole` whether all of its body had been sent: only then may the service have taken it. */
export class Failure extends Error {
  constructor(code, message, { status = 0, again = false, wait = 0, whole = true } = {}) {
    super(message);
    Object.assign(this, { code, status, again, wait, whole });
  }

  get needsKey() {
    return this.status === 401 || this.status === 403;
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

const headers = () => (key.get() ? { "X-Api-Key": key.get() } : {});

export const base = () => new URL(".", location.href).href;

function failureOf(status, text, retryAfter) {
  let error = {};
  try {
    error = JSON.parse(text).errors[0];
  } catch {
    // a proxy's own page
  }
  const busy = status === 429;
  const again = busy || status === 408 || status >= 500;
  const code = busy ? "busy" : status === 404 ? "forgotten" : (error.code ?? (again ? "unreachable" : `status_${status}`));
  const message = [error.title, error.detail].filter(Boolean).join(": ") || `status ${status}`;
  return new Failure(code, message, { status, again, wait: Number(retryAfter) || 0 });
}

async function call(address, options = {}) {
  let answer;
  try {
    answer = await fetch(address, { cache: "no-store", ...options, headers: { ...headers(), ...options.headers } });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Failure("unreachable", "the service does not answer", { again: true });
  }
  if (!answer.ok) throw failureOf(answer.status, await answer.text().catch(() => ""), answer.headers.get("retry-after"));
  return answer;
}

export const status = async () => (await call("status.json")).json();

export const cancel = (job) => call(`v1/jobs/${encodeURIComponent(job)}`, { method: "DELETE" });

/** Returns an output's bytes as a Blob. The header asks the gateway to send them itself: a page may fetch from no other
 *  site, such as a bucket. */
export async function output(photo) {
  const path = ["v1", "jobs", photo.job, "photos", photo.number, photo.output.output].map(encodeURIComponent).join("/");
  try {
    return await (await call(path, { headers: { "X-Requested-With": "page" } })).blob();
  } catch (error) {
    const isGone = error instanceof Failure && (error.status === 404 || error.status === 410);
    throw isGone ? new Failure("gone", error.message, { status: error.status }) : error;
  }
}

/** Follows a job's results until it is done. `on(kind, data, id)` gets each event. */
export const follow = (job, last, on, signal) =>
  followEvents(() => call(`v1/jobs/${encodeURIComponent(job)}/events`,
    { signal, headers: last ? { "Last-Event-ID": String(last) } : {} }), on);

/** Sends files, [{file, name}], and a background picture or null as one job and returns it. The same `id` never makes a second job.
 *  By XMLHttpRequest, which tells how far it is. */
export function submit(id, files, picture, options, urgent, onProgress, signal) {
  const form = new FormData();
  form.append("options", JSON.stringify(options));
  if (picture) form.append("bg_image_file", picture);
  form.append("urgent", String(urgent));
  for (const { file, name } of files) form.append("image_file", file, name);
  let whole = false;
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "v1/jobs");
    for (const [name, value] of Object.entries({ ...headers(), "Idempotency-Key": id })) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => onProgress(event.loaded);
    request.upload.onload = () => { whole = true; };
    request.onerror = () => reject(new Failure("unreachable", "the connection broke off", { again: true, whole }));
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    request.onload = () => {
      if (request.status < 200 || request.status > 299) {
        reject(failureOf(request.status, request.responseText, request.getResponseHeader("Retry-After")));
        return;
      }
      try {
        resolve(JSON.parse(request.responseText));
      } catch {
        reject(new Failure("unreachable", "the answer is not the service's", { again: true }));
      }
    };
    if (signal.aborted) {
      reject(new DOMException("stopped", "AbortError"));
      return;
    }
    signal.addEventListener("abort", () => whole || request.abort());  // what has been sent is waited for
    request.send(form);
  });
}
