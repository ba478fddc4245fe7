// How Safelight's browser client reads one job: its stream, its resumption, its polling. Used by safelight.js.

const terminalTypes = new Set(["completed", "error", "cancelled"]);
const streamsPerOrigin = 4;      // of the six connections that a browser opens to an origin over HTTP/1.1
const longestWait = 60_000;      // milliseconds that a refusal may ask to wait; what asks for more, as a day's quota does, is told
export const remembered = "safelight:job:";

// --- Server-sent events, after the WHATWG algorithm ---------------------------------------------------------------------

/** Bytes in, `{event, id, data, retry}` out. Lines may end with LF, CRLF or CR, and be cut anywhere. */
export class EventStreamReader {
  lastEventId = "";
  reconnectionTime = null;         // milliseconds, once the stream has said so
  #decoder = new TextDecoder();
  #line = [];                      // pieces of the unfinished line; joined once, so that megabytes stay linear
  #afterCR = false;
  #block = { event: "", data: [], id: "", retry: null };
  #dispatch;

  constructor(dispatch) { this.#dispatch = dispatch; }

  push(bytes) {
    const text = this.#decoder.decode(bytes, { stream: true });
    if (text === "") return;
    let start = this.#afterCR && text[0] === "\n" ? 1 : 0;
    this.#afterCR = false;
    const ends = /[\r\n]/g;
    ends.lastIndex = start;
    for (let end = ends.exec(text); end; end = ends.exec(text)) {
      this.#line.push(text.slice(start, end.index));
      this.#endLine();
      start = end.index + 1;
      if (end[0] === "\r") {
        if (start === text.length) this.#afterCR = true;
        else if (text[start] === "\n") start += 1;
      }
      ends.lastIndex = start;
    }
    if (start < text.length) this.#line.push(text.slice(start));
  }

  #endLine() {
    const line = this.#line.length === 1 ? this.#line[0] : this.#line.join("");
    this.#line = [];
    if (line === "") return this.#endBlock();
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const rest = colon < 0 ? "" : line.slice(colon + 1);
    const value = rest.startsWith(" ") ? rest.slice(1) : rest;
    if (field === "data") this.#block.data.push(value);
    else if (field === "event") this.#block.event = value;
    else if (field === "id" && !value.includes("\0")) this.#block.id = value;
    else if (field === "retry" && /^[0-9]+$/.test(value)) this.#block.retry = this.reconnectionTime = Number(value);
  }

  #endBlock() {
    const { event, data, id, retry } = this.#block;
    this.#block = { event: "", data: [], id, retry: null };
    this.lastEventId = id;
    if (data.length > 0) this.#dispatch({ event: event || "message", id, data: data.join("\n"), retry });
  }
}

// --- Errors -------------------------------------------------------------------------------------------------------------

/** What went wrong, with the code of docs/errors.md; `connection_lost` where the gateway could not be reached. */
export class SafelightError extends Error {
  constructor(message, fields = {}) {
    super(message);
    this.name = "SafelightError";
    this.code = fields.code ?? "internal";
    this.status = fields.status ?? null;
    this.retryable = fields.retryable ?? false;
    this.billed = fields.billed ?? "no";
    this.retryAfter = fields.retry_after_ms ?? null;
    this.job = fields.job ?? null;
  }

  static async of(response) {
    const text = await response.text().catch(() => "");
    let body = {};
    try { body = JSON.parse(text) ?? {}; } catch { /* then it is a text for people, or nothing */ }
    const error = typeof body.error === "object" && body.error ? body.error : body;
    const message = error.message ?? body.detail ?? (typeof error.error === "string" ? error.error : "");
    const seconds = Number(response.headers.get("retry-after"));
    return new SafelightError(message || `The server answered ${response.status}.`, {
      retryable: response.status === 429 || response.status >= 500, ...error, status: response.status,
      ...(seconds > 0 && { retry_after_ms: seconds * 1000 }),
    });
  }
}

export const abortError = () => new DOMException("The job was cancelled.", "AbortError");

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(abortError());
    const stop = () => { clearTimeout(timer); reject(abortError()); };
    const timer = setTimeout(() => { signal?.removeEventListener("abort", stop); resolve(); }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** Doubles up to 30 s, with jitter, so that a crowd does not come back as one. */
const backOff = (failures, first) => Math.min(first * 2 ** (failures - 1), 30_000) * (0.5 + Math.random() / 2);

// --- Stream slots -------------------------------------------------------------------------------------------------------

const localSlots = new Map();

function speaksHTTP2(origin) {
  const entries = globalThis.performance?.getEntries?.() ?? [];
  return entries.some((entry) => ["h2", "h3"].includes(entry.nextHopProtocol) && entry.name.startsWith(origin));
}

/** A place among the streams of this origin, over all tabs; gives the function that frees it, or null where none is free. */
async function takeSlot(origin) {
  if (speaksHTTP2(origin)) return () => {};
  const locks = globalThis.navigator?.locks;
  if (!locks) {
    const taken = localSlots.get(origin) ?? 0;
    if (taken >= streamsPerOrigin) return null;
    localSlots.set(origin, taken + 1);
    return () => localSlots.set(origin, localSlots.get(origin) - 1);
  }
  for (let number = 0; number < streamsPerOrigin; number += 1) {
    const free = await new Promise((resolve) => {
      locks.request(`safelight-stream-${number} ${origin}`, { ifAvailable: true }, (lock) => {
        if (!lock) return resolve(null);
        return new Promise((release) => resolve(release));
      }).catch(() => resolve(null));
    });
    if (free) return free;
  }
  return null;
}

// --- Requests -----------------------------------------------------------------------------------------------------------

const fields = {
  negativePrompt: "negative_prompt", model: "model", n: "n", size: "size", aspectRatio: "aspect_ratio", width: "width",
  height: "height", quality: "quality", outputFormat: "output_format", outputCompression: "output_compression",
  background: "background", style: "style", seed: "seed", partialImages: "partial_images", user: "user",
  metadata: "metadata",
};

/** The options that are part of the request, in camel or in snake case. */
function requestFields(prompt, options) {
  const request = { prompt };
  for (const [camel, snake] of Object.entries(fields)) {
    const value = options[camel] ?? options[snake];
    if (value !== undefined && value !== null) request[snake] = value;
  }
  return request;
}

/** Without a word about streaming, which headers ask for: so a request is the same however it is to be answered. */
function requestBody(prompt, options) {
  const request = requestFields(prompt, options);
  const images = options.images ?? (options.image ? [options.image] : []);
  if (images.length === 0 && !options.mask) return { body: JSON.stringify(request), type: "application/json" };
  const form = new FormData();
  for (const [name, value] of Object.entries(request)) {
    form.append(name, typeof value === "object" ? JSON.stringify(value) : String(value));
  }
  images.forEach((image, index) => form.append("image", image, image.name ?? `image-${index + 1}`));
  if (options.mask) form.append("mask", options.mask, options.mask.name ?? "mask");
  return { body: form, type: null };
}

/** Events of the `progressive` dialect in the words of the unified schema, for paths that frontends know from before. */
function unified(value, state) {
  if (!value || typeof value !== "object" || value.seq !== undefined) return value;
  const index = value.image_index ?? state.images ?? 0;
  switch (value.type) {
    case "progress": return { ...value, type: "stage", stage: value.stage ?? "generating" };
    case "partial_image": return { ...value, image_index: value.image_index ?? 0, stage: "generating" };
    case "error": return { type: "error", error: { code: "upstream_error", ...value } };
    case "image": case "completed": {
      state.images = index + 1;
      const image = { ...value, type: "image", image_index: index, file_size: value.fileSize };
      if (value.type === "image") return image;
      return [image, { ...value, type: "completed", b64_json: undefined, images: [], progress: 100, stage: "completed" }];
    }
    default: return value;
  }
}

// --- One run ------------------------------------------------------------------------------------------------------------

export async function request(settings, url, init = {}) {
  const token = typeof settings.token === "function" ? await settings.token() : settings.token;
  const headers = { ...(token && { authorization: `Bearer ${token}` }), ...settings.headers, ...init.headers };
  return fetch(url, { ...(settings.credentials && { credentials: settings.credentials }), ...init, headers });
}

export class Run {
  #settings;
  #prompt;
  #url;
  #job;
  #base;
  #lastEventId = "";
  #retry = 1000;
  #state = {};
  #ended = false;
  #key = globalThis.crypto?.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`;
  #reading = null;                 // aborts what is being read
  #release = null;
  #isLate = false;                 // cancelled while the answer that names the job is under way

  constructor(settings, prompt, url) {
    this.#settings = settings;
    this.#prompt = prompt;
    this.#url = url;
    this.#job = settings.job ?? null;
    this.#base = /^https?:/.test(url) ? new URL(url).origin : settings.baseURL;
  }

  get #origin() { return this.#base || globalThis.location?.origin || ""; }

  async *events() {
    const signal = this.#settings.signal;
    const cancel = () => this.#cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      if (signal?.aborted) throw abortError();
      this.#release = await takeSlot(this.#origin);
      yield* this.#release ? this.#streamed() : this.#polled();
      if (signal?.aborted) throw abortError();
    } catch (error) {
      if (signal?.aborted) throw abortError();
      if (error.status === 404) this.#forget();
      throw error;
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }

  /** Nobody reads any more. */
  close() {
    if (!this.#isLate) this.#reading?.abort();
    this.#release?.();
    this.#release = null;
  }

  // --- By events

  async *#streamed() {
    let failures = 0;
    let silent = 0;                // streams in a row that brought nothing, as behind a proxy that collects them
    while (!this.#ended) {
      let wasOpened = false;
      try {
        const response = await this.#open("text/event-stream");
        wasOpened = true;
        silent += 1;
        for await (const event of this.#read(response)) {
          silent = 0;
          failures = 0;
          yield event;
        }
        if (this.#ended) return;
        if (!this.#job) throw new SafelightError("The stream ended early.", { code: "connection_lost" });
        failures += 1;             // a stream that ends without its terminal event: the gateway restarts, or somebody cut it
      } catch (error) {
        if (this.#isFinal(error)) throw error;
        // Not even the response's head came: something on the way waits for its end. Asked again it is the same job.
        if (error.name === "AbortError" && !this.#job) return yield* this.#polled();
        failures += 1;
        if (failures > 10) throw error;
        if (error.retryAfter) await pause(error.retryAfter, this.#settings.signal);
      }
      if (wasOpened && silent >= 3 && this.#job) return yield* this.#polled();
      if (!this.#ended) await pause(backOff(failures, this.#retry), this.#settings.signal);
    }
  }

  /** Creates the job, or goes on with it. A repeated creation joins the job that the first one made. */
  async #open(accept) {
    if (this.#settings.signal?.aborted) throw abortError();
    this.#reading = new AbortController();
    let response;
    if (this.#job) {
      const headers = { accept, ...(this.#lastEventId && { "last-event-id": this.#lastEventId }) };
      response = await this.#watched(this.#settings.stallTimeout, `${this.#base}/v1/jobs/${this.#job}/events`, { headers });
      if (response.status === 204) this.#finish();
    } else {
      const { body, type } = requestBody(this.#prompt, this.#settings);
      const headers = {
        accept, "idempotency-key": `"${this.#key}"`, ...(type && { "content-type": type }),
        ...(accept === "application/json" && { prefer: "respond-async" }),
      };
      // An upload may take its time.
      const patience = this.#settings.stallTimeout * (type ? 1 : 5);
      response = await this.#created(this.#watched(patience, this.#url, { method: "POST", body, headers }));
      this.#named(response.headers.get("x-safelight-job-id"));
    }
    if (!response.ok) throw await SafelightError.of(response);
    return response;
  }

  /** A job that was cancelled before it had a name is cancelled as soon as the answer brings that: it may be drawn already. */
  #created(answer) {
    const signal = this.#settings.signal;
    if (!signal) return answer;
    return new Promise((resolve, reject) => {
      const stop = () => {
        this.#isLate = true;
        reject(abortError());
        answer.then((response) => {
          this.#named(response.headers.get("x-safelight-job-id"));
          this.#cancel();
        }, () => {});
      };
      signal.addEventListener("abort", stop, { once: true });
      answer.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
    });
  }

  /** A request that is given up where not even the response's head comes. */
  async #watched(patience, url, init) {
    const reading = this.#reading;
    const watch = setTimeout(() => reading.abort(), patience);
    try {
      return await request(this.#settings, url, { ...init, signal: reading.signal });
    } finally {
      clearTimeout(watch);
    }
  }

  async *#read(response) {
    if (!response.body) return;
    const events = [];
    const parser = new EventStreamReader((event) => events.push(event));
    const reader = response.body.getReader();
    const reading = this.#reading;
    let watch = null;
    try {
      while (true) {
        watch = setTimeout(() => reading.abort(), this.#settings.stallTimeout);
        const { done, value } = await reader.read();
        clearTimeout(watch);
        if (done) return;
        parser.push(value);
        for (const event of events.splice(0)) yield* this.#understood(event, parser);
      }
    } finally {
      clearTimeout(watch);
      reading.abort();
    }
  }

  *#understood({ data, id }, parser) {
    if (data === "[DONE]") return;
    const value = JSON.parse(data);
    if (id) this.#lastEventId = id;
    if (parser.reconnectionTime !== null) this.#retry = Math.max(100, parser.reconnectionTime);
    this.#named(value.job_id);
    for (const event of [unified(value, this.#state)].flat()) {
      if (terminalTypes.has(event.type)) this.#finish();
      yield event;
    }
  }

  // --- By asking

  /** For tabs beyond the first four, and where streams do not come through. */
  async *#polled() {
    const signal = this.#settings.signal;
    let shown = "";
    let preview = 0;
    let failures = 0;
    while (true) {
      try {
        if (!this.#job) await this.#submit();
        this.#reading = new AbortController();
        const response = await this.#watched(this.#settings.stallTimeout, `${this.#base}/v1/jobs/${this.#job}`, {});
        if (!response.ok) throw await SafelightError.of(response);
        const snapshot = await response.json();
        if (snapshot.finished_at) return yield* this.#conclusion();
        const text = `${snapshot.stage} ${snapshot.progress} ${snapshot.queue_position}`;
        if (text !== shown) yield { ...snapshot, type: "stage", images: undefined };
        if (snapshot.stage === "generating" && snapshot.progress > 15 && text !== shown) {
          const image = await this.#preview();
          if (image) yield { type: "partial_image", job_id: this.#job, stage: snapshot.stage, progress: snapshot.progress,
            image_index: 0, partial_image_index: preview++, ...image };
        }
        shown = text;
        failures = 0;
      } catch (error) {
        if (this.#isFinal(error)) throw error;
        failures += 1;
        if (failures > 10) throw error;
        await pause(error.retryAfter ?? backOff(failures, this.#retry), signal);
      }
      await pause(this.#settings.pollInterval * (0.9 + Math.random() / 5), signal);
    }
  }

  /** The job's id from the snapshot, or from the head where a route answers with a stream all the same. */
  async #submit() {
    const response = await this.#open("application/json");
    if ((response.headers.get("content-type") ?? "").includes("json")) this.#named((await response.json()).job_id);
    this.#reading.abort();
    if (!this.#job) throw new SafelightError("The server named no job.", { code: "connection_lost", status: response.status });
  }

  /** A job that is over tells its events at once, so this takes a connection for a moment only. */
  async *#conclusion() {
    this.#lastEventId = "";
    for (let failures = 1; !this.#ended; failures += 1) {
      try {
        for await (const event of this.#read(await this.#open("text/event-stream"))) {
          if (event.type !== "stage" && event.type !== "partial_image") yield event;
        }
        if (!this.#ended) throw new SafelightError("The stream ended early.", { code: "connection_lost" });
      } catch (error) {
        if (this.#isFinal(error) || failures > 5) throw error;
        await pause(backOff(failures, this.#retry), this.#settings.signal);
      }
    }
  }

  async #preview() {
    const response = await request(this.#settings, `${this.#base}/v1/jobs/${this.#job}/previews/0`);
    if (!response.ok) return null;
    const bytes = new Uint8Array(await response.arrayBuffer());
    let text = "";
    for (let at = 0; at < bytes.length; at += 32_768) text += String.fromCharCode(...bytes.subarray(at, at + 32_768));
    return { b64_json: btoa(text), output_format: (response.headers.get("content-type") ?? "image/png").slice(6) };
  }

  // --- Ends

  /** A refusal is final, and so is a wait that nobody waits for; a connection that broke, a busy or a restarting gateway is not. */
  #isFinal(error) {
    if (this.#settings.signal?.aborted) return true;
    if (error instanceof SyntaxError) return true;
    return error instanceof SafelightError && error.status !== null && (!error.retryable || error.retryAfter > longestWait);
  }

  #named(job) {
    if (!job || this.#job === job) return;
    this.#job = job;
    if (!this.#settings.remember) return;
    const entry = { job, prompt: this.#prompt, path: this.#url, at: Date.now() };
    try { globalThis.sessionStorage?.setItem(remembered + job, JSON.stringify(entry)); } catch { /* full, or not allowed */ }
  }

  #finish() {
    this.#ended = true;
    this.#forget();
  }

  #forget() {
    try { globalThis.sessionStorage?.removeItem(remembered + this.#job); } catch { /* not allowed */ }
  }

  #cancel() {
    if (!this.#job) return;
    if (!this.#ended) {
      request(this.#settings, `${this.#base}/v1/jobs/${this.#job}`, { method: "DELETE", keepalive: true }).catch(() => {});
      this.#finish();
    }
    this.#reading?.abort();
  }
}
