// Server-sent events by fetch. EventSource can send no key, and does not notice a connection that has gone silent.

const SILENT_MS = 40_000;  // the gateway says something every 15 seconds

/** Reads one stream to its end. `open()` returns the answer; `on(kind, data, id)` gets each event. Throws if it breaks. */
export async function followEvents(open, on) {
  const reader = (await open()).body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await unlessSilent(reader.read());
      if (done) return;
      text += value;
      let end;
      while ((end = text.indexOf("\n\n")) >= 0) {
        await dispatch(text.slice(0, end), on);
        text = text.slice(end + 2);
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

async function dispatch(block, on) {
  const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2)));
  if (fields.event) await on(fields.event, JSON.parse(fields.data), Number(fields.id));
}

function unlessSilent(promise) {
  let timer;
  const silence = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("nothing has come for a while")), SILENT_MS);
  });
  return Promise.race([promise, silence]).finally(() => clearTimeout(timer));
}
