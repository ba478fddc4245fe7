// Safelight's browser client: ES modules without dependencies. Documented in docs/browser-client.md, typed in safelight.d.ts.

import { abortError, EventStreamReader, remembered, request, Run, SafelightError } from "./safelight-run.js";

export { EventStreamReader, SafelightError };

// --- Previews by prompt -------------------------------------------------------------------------------------------------

/** The newest picture of a prompt, so that asking again shows something at once. Bounded; the oldest go first. */
class PictureCache {
  #entries = new Map();
  #size = 0;

  static key(prompt, { size, aspectRatio, model, style, seed } = {}) {
    return JSON.stringify([prompt, size, aspectRatio, model, style, seed]);
  }

  get(key) { return this.#entries.get(key) ?? null; }

  set(key, image) {
    this.#remove(key);
    this.#entries.set(key, image);
    this.#size += image.length;
    while (this.#entries.size > 24 || (this.#size > 48_000_000 && this.#entries.size > 1)) {
      this.#remove(this.#entries.keys().next().value);
    }
  }

  #remove(key) {
    this.#size -= this.#entries.get(key)?.length ?? 0;
    this.#entries.delete(key);
  }
}

// --- The client ---------------------------------------------------------------------------------------------------------

export class Safelight {
  #options;
  #cache = new PictureCache();

  /**
   * @param options `baseURL` (default: where this module came from), `headers`, `token` (text or function), `credentials`,
   *   `generatePath`, `editPath`, `partialImages`, `stallTimeout` and `pollInterval` in milliseconds, `remember`.
   */
  constructor(options = {}) {
    const home = /^https?:/.test(import.meta.url) ? new URL(import.meta.url).origin : "";
    this.#options = {
      baseURL: home, generatePath: "/v1/generate", editPath: "/v1/edit", partialImages: 2, stallTimeout: 60_000,
      pollInterval: 1000, remember: true, ...options,
    };
  }

  /**
   * The job's events, as docs/events.md has them, until its terminal one. Broken connections are resumed, silent ones given
   * up. Aborting `options.signal` cancels the job; leaving the loop leaves it running.
   */
  async *stream(prompt, options = {}) {
    const partialImages = options.partialImages ?? options.partial_images ?? this.#options.partialImages;
    const settings = { ...this.#options, ...options, partialImages };
    const run = new Run(settings, prompt, this.#url(settings));
    try {
      for await (const event of run.events()) {
        this.#note(prompt, options, event);
        yield event;
      }
    } finally {
      run.close();
    }
  }

  /** The events of a job that was begun before, from its first that is still kept. */
  resume(job, options = {}) {
    return this.stream(options.prompt ?? "", { ...options, job });
  }

  /** Jobs of this tab that were not seen to their end, oldest first: `{job, prompt, path}`. */
  pending() {
    const jobs = [];
    for (let index = 0; index < (globalThis.sessionStorage?.length ?? 0); index += 1) {
      const key = sessionStorage.key(index);
      if (!key.startsWith(remembered)) continue;
      try { jobs.push(JSON.parse(sessionStorage.getItem(key))); } catch { sessionStorage.removeItem(key); }
    }
    return jobs.sort((left, right) => left.at - right.at);
  }

  /** Cancels a job by its id; gives its snapshot. */
  async cancel(job) {
    const response = await request(this.#options, `${this.#options.baseURL}/v1/jobs/${job}`, { method: "DELETE" });
    if (!response.ok) throw await SafelightError.of(response);
    return response.json();
  }

  /** The newest picture that this page has seen for a prompt, as an address for `<img>`; null where there is none. */
  cached(prompt, options = {}) {
    return takesPictures(options) ? null : this.#cache.get(PictureCache.key(prompt, options));
  }

  /** Runs a job to its end, tells callbacks and the window's listeners, gives the result. */
  async run(prompt, options = {}, callbacks = {}) {
    const began = performance.now();
    const result = { image: null, images: [], partialImages: [], usage: null, duration: 0, job: null, text: "" };
    const totalSteps = options.partialImages ?? options.partial_images ?? this.#options.partialImages;
    for await (const event of this.stream(prompt, options)) {
      result.job = event.job_id ?? result.job;
      callbacks.onEvent?.(event);
      if (event.type === "partial_image") {
        const image = imageSource(event);
        const index = event.partial_image_index;
        result.partialImages.push(image);
        callbacks.onPartialImage?.({ image, index, imageIndex: event.image_index });
        announce("image-generation-progress", { partialImage: image, index, totalSteps });
      } else if (event.type === "image") {
        result.images[event.image_index] = imageSource(event, this.#options.baseURL);
      } else if (event.type === "text_delta") {
        result.text += event.delta;
      } else if (event.type === "completed") {
        result.usage = event.usage ?? null;
      } else if (event.type === "error") {
        throw new SafelightError(event.error?.message ?? "The picture failed.", { ...event.error, job: result.job });
      } else if (event.type === "cancelled") {
        throw abortError();
      }
    }
    result.images = result.images.filter(Boolean);
    result.image = result.images[0] ?? null;
    result.duration = Math.round(performance.now() - began);
    callbacks.onComplete?.({ ...result });
    announce("image-generation-complete", { finalImage: result.image, usage: result.usage, duration: result.duration });
    return result;
  }

  #url(settings) {
    const path = settings.url ?? (takesPictures(settings) ? settings.editPath : settings.generatePath);
    return /^https?:/.test(path) ? path : `${settings.baseURL}${path}`;
  }

  #note(prompt, options, event) {
    if (takesPictures(options)) return;
    if ((event.type !== "partial_image" && event.type !== "image") || event.image_index > 0) return;
    this.#cache.set(PictureCache.key(prompt, options), imageSource(event, this.#options.baseURL));
  }
}

const takesPictures = (options) => options.images?.length > 0 || Boolean(options.image || options.mask);

/** An address for `<img>`: a `data:` URL where the event carries the bytes. */
function imageSource(event, baseURL = "") {
  if (!event.b64_json) return event.url ?? `${baseURL}/v1/images/${event.image_id}`;
  const format = /^[a-z0-9+.-]+$/.test(event.output_format ?? "") ? event.output_format : "png";
  return `data:image/${format};base64,${event.b64_json}`;
}

function announce(name, detail) {
  globalThis.window?.dispatchEvent(new CustomEvent(name, { detail }));
}

// --- For pages that need no client of their own -------------------------------------------------------------------------

export const safelight = new Safelight();

/** Runs are promises with a `cancel` of their own. With `onError` they give null where they fail, else they reject. */
function begin(prompt, options = {}, callbacks = {}) {
  const controller = new AbortController();
  options.signal?.addEventListener("abort", () => controller.abort(), { once: true });
  if (options.signal?.aborted) controller.abort();
  const done = safelight.run(prompt, { ...options, signal: controller.signal }, callbacks).catch((error) => {
    if (!callbacks.onError) throw error;
    callbacks.onError(error);
    return null;
  });
  return Object.assign(done, { cancel: () => controller.abort() });
}

export const imageStreamingAPI = {
  generateStream: (prompt, options, callbacks) => begin(prompt, options, callbacks),
  editStream: (file, prompt, options, callbacks) =>
    begin(prompt, { ...options, images: [file].flat() }, callbacks),
};

/** The picture, not larger than `maxSize` pixels on a side, as a JPEG or another type that the browser writes. */
export async function compressImage(file, { maxSize = 2048, quality = 0.85, type = "image/jpeg" } = {}) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, maxSize / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  if (type === "image/jpeg") {
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
  }
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, type, quality));
  if (!blob || (scale === 1 && blob.size >= file.size)) return file;
  const name = (file.name ?? "image").replace(/\.[^.]*$/, "") + `.${blob.type === "image/jpeg" ? "jpg" : blob.type.slice(6)}`;
  return new File([blob], name, { type: blob.type });
}

export default safelight;
