// The playground: one form, one fetch, and the picture as it develops. No dependencies, no build step.

import { frontends } from "./playground-frontends.js";

const $ = (id) => document.getElementById(id);
const view = Object.fromEntries(
  ["form", "prompt", "route", "route-note", "picture-field", "picture", "size", "previews", "count", "seed", "token",
   "generate", "cancel", "curl", "tray", "empty", "label", "elapsed", "meter", "note", "fault", "fault-code",
   "fault-message", "links", "events", "event-count", "theme", "lamp"].map((id) => [id, $(id)]));

const maximumListedEvents = 400;

// --- Server-sent events, after the WHATWG algorithm -----------------------------------------------------------------

/** Bytes in, `{event, data, id}` out. Lines may end with LF, CRLF or CR, and be cut anywhere. */
class EventStreamParser {
  #decoder = new TextDecoder();
  #line = [];               // pieces of the unfinished line; joined once, so that megabytes stay linear
  #afterCR = false;
  #data = [];
  #event = "";
  #id = "";

  constructor(dispatch) { this.dispatch = dispatch; }

  push(bytes) { this.#text(this.#decoder.decode(bytes, { stream: true })); }

  #text(text) {
    let start = 0;
    if (this.#afterCR && text.length > 0) {
      if (text[0] === "\n") start = 1;
      this.#afterCR = false;
    }
    const ends = /[\r\n]/g;
    ends.lastIndex = start;
    for (let end = ends.exec(text); end; end = ends.exec(text)) {
      this.#line.push(text.slice(start, end.index));
      this.#finishLine();
      start = end.index + 1;
      if (end[0] === "\r") {
        if (start === text.length) this.#afterCR = true;
        else if (text[start] === "\n") start += 1;
      }
      ends.lastIndex = start;
    }
    if (start < text.length) this.#line.push(text.slice(start));
  }

  #finishLine() {
    const line = this.#line.length === 1 ? this.#line[0] : this.#line.join("");
    this.#line = [];
    if (line === "") return this.#finishBlock();
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const rest = colon < 0 ? "" : line.slice(colon + 1);
    const value = rest.startsWith(" ") ? rest.slice(1) : rest;
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
  }

  #finishBlock() {
    if (this.#data.length > 0) {
      this.dispatch({ event: this.#event || "message", id: this.#id, data: this.#data.join("\n") });
    }
    this.#data = [];
    this.#event = "";
  }
}

/** One JSON value a line; blank lines are heartbeats. */
class LineParser {
  #decoder = new TextDecoder();
  #line = [];

  constructor(dispatch) { this.dispatch = dispatch; }

  push(bytes) {
    const parts = this.#decoder.decode(bytes, { stream: true }).split("\n");
    parts.forEach((part, index) => {
      this.#line.push(part);
      if (index < parts.length - 1) this.#finish();
    });
  }

  end() { this.#finish(); }

  #finish() {
    const line = this.#line.join("").trim();
    this.#line = [];
    if (line !== "") this.dispatch({ event: "", id: "", data: line });
  }
}

// --- Dialects: what to send, and what an event means ----------------------------------------------------------------

const aspectRatios = { "1024x1024": "1:1", "1536x1024": "3:2", "1024x1536": "2:3" };

function unifiedBody(form) {
  return {
    prompt: form.prompt, n: form.count, partial_images: form.previews, stream: true,
    ...(form.size !== "auto" && { size: form.size }), ...(form.seed !== null && { seed: form.seed }),
  };
}

function readUnified(value, show) {
  if (typeof value.progress === "number") show.progress(value.progress);
  switch (value.type) {
    case "stage": return show.stage(value.stage, value.message, value);
    case "partial_image": return show.preview(value.image_index, value.partial_image_index, value.b64_json);
    case "image": return show.image(value.image_index, value);
    case "completed": return show.completed(value);
    case "error": return show.fault(value.error?.code, value.error?.message);
    case "cancelled": return show.cancelled();
    case "gap": return show.stage(value.snapshot?.stage, "Earlier events are gone", value);
  }
}

const dialects = {
  ...frontends,
  unified: { url: (path) => path, body: unifiedBody, read: readUnified },
  ndjson: { url: (path) => path, body: unifiedBody, read: readUnified },
  "openai-images": {
    url: (path) => path,
    body: (form) => ({
      prompt: form.prompt, n: form.count, partial_images: form.previews, size: form.size, stream: true,
    }),
    unused: ["seed"],
    read(value, show) {
      const kind = (value.type ?? "").split(".").pop();
      const index = value.image_index ?? (kind === "completed" ? show.finished() : 0);
      if (value.error) return show.fault(value.error.code ?? value.error.type, value.error.message);
      if (kind === "partial_image") return show.preview(index, value.partial_image_index, value.b64_json);
      if (kind === "completed") return show.image(index, value);
    },
  },
  stages: {
    url: (path) => `${path.replace(/\/$/, "")}/generate/stream`,
    body: (form) => ({
      prompt: form.prompt,
      ...(aspectRatios[form.size] && { aspect_ratio: aspectRatios[form.size] }),
      ...(form.seed !== null && { seed: form.seed }),
    }),
    unused: ["count", "previews"],
    read(value, show) {
      if (typeof value.progress === "number") show.progress(value.progress);
      if (value.status === "cancelled") return show.cancelled();
      if (value.stage === "error") return show.fault("error", value.data?.error ?? value.message);
      (value.data?.result?.images ?? []).forEach((image, index) => show.image(index, { url: image.image_url, ...image }));
      if (value.stage === "completed") return show.completed({});
      return show.stage(value.stage, value.message, value);
    },
  },
};

// --- The picture ------------------------------------------------------------------------------------------------------

function pictureType(bytes) {
  if (bytes[0] === 0x89) return "image/png";
  if (bytes[0] === 0xff) return "image/jpeg";
  return "image/webp";
}

function pictureURL(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index += 1) bytes[index] = text.charCodeAt(index);
  return URL.createObjectURL(new Blob([bytes], { type: pictureType(bytes) }));
}

/** The server may call itself by another name than the address bar does. */
function sameOrigin(address) {
  const url = new URL(address, location.href);
  return url.pathname + url.search;
}

/** The prints in the tray. Each new layer is laid over the last and faded in, so that nothing flashes. */
class Tray {
  #prints = [];
  #urls = [];

  reset(count, ratio) {
    for (const url of this.#urls) URL.revokeObjectURL(url);
    this.#urls = [];
    this.#prints.forEach((print) => print.remove());
    this.#prints = [];
    view.empty.hidden = true;
    view.tray.style.setProperty("--ratio", ratio);
    for (let index = 0; index < count; index += 1) this.#print(index);
  }

  state(name) { view.tray.dataset.state = name; }

  #print(index) {
    while (this.#prints.length <= index) {
      const print = document.createElement("figure");
      print.className = "print";
      print.append(document.createElement("figcaption"));
      view.tray.append(print);
      this.#prints.push(print);
    }
    view.tray.dataset.pictures = String(this.#prints.length);
    return this.#prints[index];
  }

  preview(index, number, base64) {
    const url = this.#own(pictureURL(base64));
    const print = this.#print(index);
    print.classList.add("developing");
    print.querySelector("figcaption").textContent = `Preview ${number + 1}`;
    print.dataset.previews = String(Number(print.dataset.previews ?? 0) + 1);
    this.#lay(print, url, `Preview ${number + 1} of picture ${index + 1}`, `${Math.max(2, 12 - 4 * number)}px`);
  }

  finish(index, url, alternative) {
    const print = this.#print(index);
    print.classList.add("finished");
    this.#lay(print, url, alternative, "0px");
  }

  own(base64) { return this.#own(pictureURL(base64)); }

  #own(url) {
    this.#urls.push(url);
    return url;
  }

  async #lay(print, url, alternative, blur) {
    const layer = new Image();
    layer.alt = alternative;
    layer.src = url;
    layer.style.setProperty("--blur", blur);
    print.querySelectorAll("img").forEach((older) => older.setAttribute("aria-hidden", "true"));
    print.append(layer, print.querySelector("figcaption"));
    await layer.decode().catch(() => {});
    if (layer.naturalWidth > 0) print.style.setProperty("--ratio", layer.naturalWidth / layer.naturalHeight);
    requestAnimationFrame(() => layer.classList.add("shown"));
    setTimeout(() => {
      const layers = [...print.querySelectorAll("img")];
      layers.slice(0, layers.indexOf(layer)).forEach((older) => older.remove());
    }, 1000);
  }
}

// --- The raw event list -----------------------------------------------------------------------------------------------

function shortened(key, value) {
  if (typeof value !== "string" || value.length <= 200) return value;
  return /^[A-Za-z0-9+/=]+$/.test(value.slice(0, 200))
    ? `${value.slice(0, 24)}… (${value.length.toLocaleString("en")} characters)` : value;
}

/** One line that says what sets this event apart; what all events share is left out. */
function brief(value) {
  if (typeof value === "string") return value.slice(0, 240);
  const { type, job_id, seq, at, ...rest } = value;
  return Object.entries(rest).map(([key, field]) => `${key}: ${JSON.stringify(field, shortened)}`)
    .join("  ").slice(0, 320);
}

function listEvent(seconds, type, value, id) {
  const row = document.createElement("li");
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  const body = document.createElement("pre");
  const text = typeof value === "string" ? value : JSON.stringify(value, shortened, 2);
  for (const [name, content] of [
    ["when", `${seconds.toFixed(2)} s`], ["type", type], ["brief", brief(value)],
  ]) {
    const cell = document.createElement("span");
    cell.className = name;
    cell.textContent = content;
    summary.append(cell);
  }
  body.textContent = id ? `id: ${id}\n${text}` : text;
  details.append(summary, body);
  row.append(details);
  const atEnd = view.events.scrollTop + view.events.clientHeight >= view.events.scrollHeight - 8;
  view.events.append(row);
  if (view.events.children.length > maximumListedEvents) view.events.firstElementChild.remove();
  if (atEnd) view.events.scrollTop = view.events.scrollHeight;
  view["event-count"].textContent = String(Number(view["event-count"].textContent) + 1);
}

// --- One run ------------------------------------------------------------------------------------------------------------

const tray = new Tray();
const stageNames = {
  queued: "Queued", processing: "Processing", generating: "Developing", uploading: "Fixing", completed: "Finished",
};
let routes = [];
let run = null;

class Run {
  #began = performance.now();
  #controller = new AbortController();
  #finished = new Set();
  #jobID = null;
  #lastEventID = "";
  #remembered = null;
  #retry = 2000;
  #firstPreview = null;
  #ended = false;

  /** @param jobID a job that was begun before; none begins a new one. */
  constructor(route, form, jobID = null) {
    this.route = route;
    this.form = form;
    this.#jobID = jobID;
    this.dialect = jobID ? dialects.unified : dialects[route.dialect] ?? dialects.unified;
    this.clock = setInterval(() => this.#tick(), 100);
  }

  get seconds() { return (performance.now() - this.#began) / 1000; }

  async start() {
    this.#prepare();
    if (this.#jobID) return this.#follow();
    try {
      const request = buildRequest(this.route, this.form);
      const response = await fetch(request.url, { ...request, signal: this.#controller.signal });
      this.#noteHead(response);
      if (!response.ok) return this.#refused(response, await response.text());
      await this.#read(response);
    } catch (error) {
      if (this.#ended) return;
      if (error.name === "AbortError") return this.cancelled();
      if (!this.#jobID) return this.fault("connection_lost", error.message);
    }
    if (!this.#ended) await this.#follow();
  }

  /** The job goes on without us: its stream is taken up again where it broke off, for as long as the server can be reached. */
  async #follow() {
    if (!this.#jobID || this.#finished.size >= this.form.count) return this.#endWithoutTerminal();
    this.dialect = dialects.unified;
    for (let failures = 0; !this.#ended && failures < 10;) {
      try {
        if (await this.#resume()) return;
        failures = 0;
      } catch (error) {
        if (this.#ended) return;
        if (error.name === "AbortError") return this.cancelled();
        failures += 1;
      }
      await new Promise((done) => setTimeout(done, this.#retry));
    }
    if (!this.#ended) this.fault("connection_lost", "The server cannot be reached.");
  }

  /** Whether that is the end of it. */
  async #resume() {
    const headers = { ...credentials(), ...(this.#lastEventID && { "last-event-id": this.#lastEventID }) };
    const response = await fetch(`/v1/jobs/${this.#jobID}/events`, { headers, signal: this.#controller.signal });
    this.#noteHead(response);
    if (response.status === 204) this.#endWithoutTerminal();
    else if (response.status >= 500) throw new Error(`The server answered ${response.status}.`);
    else if (!response.ok) this.#refused(response, await response.text());
    else await this.#read(response);
    return this.#ended;
  }

  /** Tells the server, which ends the job; its stream tells us. */
  async cancel() {
    if (this.#ended) return;
    try {
      if (!this.#jobID) throw new Error("The job has no name yet.");
      const response = await fetch(`/v1/jobs/${this.#jobID}`, { method: "DELETE", headers: credentials() });
      if (!response.ok) throw new Error(`The server answered ${response.status}.`);
      const snapshot = await response.json();
      if (snapshot.status !== "cancelled") return;
    } catch { /* then at least nobody watches any more */ }
    if (this.#ended) return;
    this.cancelled();
    this.#controller.abort();
  }

  #prepare() {
    const [width, height] = this.form.size.split("x").map(Number);
    tray.reset(this.dialect.unused?.includes("count") ? 1 : this.form.count, height ? width / height : 1);
    tray.state("working");
    view.events.replaceChildren();
    view["event-count"].textContent = "0";
    view.links.replaceChildren();
    view.fault.hidden = true;
    view.note.textContent = "";
    view.label.textContent = "Sending";
    view.meter.classList.add("unknown");
    view.meter.removeAttribute("aria-valuenow");
    setBusy(true);
  }

  #tick() { view.elapsed.textContent = `${this.seconds.toFixed(1)} s`; }

  #noteHead(response) {
    const headers = Object.fromEntries(response.headers);
    this.#noteJob(headers["x-safelight-job-id"]);
    listEvent(this.seconds, `HTTP ${response.status}`, headers, "");
  }

  #noteJob(id) {
    if (!id || id === this.#remembered || !/^job_[a-z2-7]{26}$/.test(id)) return;
    this.#remembered = id;
    this.#jobID = id;
    remember({ job: id, route: this.route.name, form: { ...this.form, picture: null } });
  }

  async #read(response) {
    const type = response.headers.get("content-type") ?? "";
    const receive = (frame) => this.#receive(frame);
    if (!type.includes("event-stream") && !type.includes("ndjson")) return this.#readAnswer(await response.json());
    const parser = type.includes("ndjson") ? new LineParser(receive) : new EventStreamParser(receive);
    const reader = response.body.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      parser.push(part.value);
      this.#retry = parser.retry ?? this.#retry;
    }
    parser.end?.();
  }

  #readAnswer(answer) {
    listEvent(this.seconds, "answer", answer, "");
    (answer.data ?? answer.images ?? []).forEach((image, index) => this.image(image.image_index ?? index, image));
    this.completed(answer);
  }

  #receive({ event, id, data }) {
    if (data === "[DONE]") return;
    let value;
    try { value = JSON.parse(data); } catch { return listEvent(this.seconds, event || "unreadable", data, id); }
    listEvent(this.seconds, value.type ?? value.stage ?? event, value, id);
    this.#noteJob(value.job_id);
    if (id) this.#lastEventID = id;
    if (!this.#ended) this.dialect.read(value, this);
  }

  #refused(response, text) {
    forget();
    listEvent(this.seconds, "answer", text.slice(0, 4000), "");
    let value = {};
    try { value = JSON.parse(text); } catch { /* a proxy's own page; the status says enough */ }
    const detail = typeof value.detail === "string" ? value.detail : undefined;
    this.fault(value.error?.code ?? value.code ?? `http_${response.status}`,
      value.error?.message ?? detail ?? value.message ?? value.title ?? `The server answered ${response.status}.`);
  }

  #endWithoutTerminal() {
    if (this.#ended) return;
    if (this.#finished.size > 0) this.completed({});
    else this.fault("stream_ended", "The stream ended before the picture was finished.");
  }

  // What the dialects tell.

  finished() { return this.#finished.size; }

  progress(percent) {
    view.meter.classList.remove("unknown");
    view.meter.style.setProperty("--value", percent);
    view.meter.setAttribute("aria-valuenow", String(percent));
  }

  stage(name, message, event) {
    const label = stageNames[name] ?? name ?? "Working";
    if (view.label.textContent !== label) view.label.textContent = label;
    const place = event.queue_position > 0 ? ` · ${event.queue_position} ahead` : "";
    const left = event.estimated_ms > 0 ? ` · about ${Math.ceil(event.estimated_ms / 1000)} s` : "";
    view.note.textContent = `${message ?? ""}${place}${left}`;
  }

  preview(index, number, base64) {
    this.#firstPreview ??= this.seconds;
    if (view.label.textContent !== stageNames.generating) view.label.textContent = stageNames.generating;
    tray.preview(index ?? 0, number ?? 0, base64);
  }

  image(index, picture) {
    if (this.#finished.has(index)) return;
    this.#finished.add(index);
    if (!picture.b64_json && !picture.url) return;
    const url = picture.b64_json ? tray.own(picture.b64_json) : sameOrigin(picture.url);
    tray.finish(index, url, this.form.prompt);
    const link = document.createElement("a");
    link.href = url;
    link.download = `safelight-${this.#jobID ?? "picture"}-${index + 1}.${picture.output_format ?? picture.format ?? "png"}`;
    link.textContent = this.form.count > 1 ? `Download ${index + 1}` : "Download";
    view.links.append(link);
  }

  completed(event) {
    this.progress(100);
    const facts = [
      this.#firstPreview !== null && `first preview after ${this.#firstPreview.toFixed(1)} s`,
      event.upstream && `from ${event.upstream}`, event.model, event.cost !== undefined && `cost ${event.cost}`,
      ...(event.failures ?? []).map((failure) => `picture ${failure.image_index + 1}: ${failure.message}`),
    ];
    view.note.textContent = facts.filter(Boolean).join(" · ");
    this.#end("Finished", "finished");
  }

  fault(code, message) {
    view["fault-code"].textContent = code ?? "error";
    view["fault-message"].textContent = message ?? "The picture could not be finished.";
    view.fault.hidden = false;
    view.note.textContent = "";
    this.#end("Failed", "failed");
  }

  cancelled() {
    view.note.textContent = "";
    this.#end("Cancelled", "cancelled");
  }

  #end(label, state) {
    if (this.#ended) return;
    this.#ended = true;
    clearInterval(this.clock);
    this.#tick();
    view.label.textContent = label;
    view.meter.classList.remove("unknown");
    tray.state(state);
    setBusy(false);
  }
}

function setBusy(busy) {
  view.generate.disabled = busy;
  view.cancel.disabled = !busy;
  view.lamp.classList.toggle("lit", busy);
}

// --- The form -------------------------------------------------------------------------------------------------------------

const clamp = (input, low, high) => Math.min(high, Math.max(low, Math.round(Number(input.value) || 0)));

function readForm() {
  return {
    prompt: view.prompt.value.trim(), size: view.size.value, previews: clamp(view.previews, 0, 3),
    count: clamp(view.count, 1, 4), seed: view.seed.value === "" ? null : clamp(view.seed, 0, 4294967295),
    picture: view.picture.files[0] ?? null,
  };
}

const credentials = () => (view.token.value ? { authorization: `Bearer ${view.token.value}` } : {});

function buildRequest(route, form) {
  const dialect = dialects[route.dialect] ?? dialects.unified;
  const body = dialect.body(form);
  const url = dialect.url(route.path);
  if (route.operation !== "edit") {
    return {
      url, method: "POST", headers: { "content-type": "application/json", ...credentials() },
      body: JSON.stringify(body),
    };
  }
  const parts = new FormData();
  for (const [name, value] of Object.entries(body)) parts.append(name, String(value));
  if (form.picture) parts.append("image", form.picture);
  return { url, method: "POST", headers: credentials(), body: parts };
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function curlCommand(route, form) {
  const request = buildRequest(route, form);
  const words = ["curl", "-N", quoted(new URL(request.url, location.href).href)];
  if (view.token.value) words.push("-H", '"authorization: Bearer $TOKEN"');
  if (typeof request.body === "string") {
    words.push("-H", quoted("content-type: application/json"), "-d", quoted(request.body));
  } else {
    for (const [name, value] of request.body) {
      words.push("-F", quoted(value instanceof File ? `${name}=@${value.name}` : `${name}=${value}`));
    }
  }
  return words.join(" ");
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

const selectedRoute = () => routes[view.route.selectedIndex];

function showRoute() {
  const route = selectedRoute();
  if (!route) return;
  const dialect = dialects[route.dialect];
  const unused = dialect?.unused ?? [];
  view["route-note"].textContent = `${route.dialect} · ${(route.upstreams ?? []).join(", then ")}`
    + (dialect ? "" : " · raw events only");
  for (const name of ["count", "previews", "seed"]) view[name].disabled = unused.includes(name);
  view["picture-field"].hidden = route.operation !== "edit";
  view.picture.required = route.operation === "edit";
}

async function loadRoutes() {
  try {
    const response = await fetch("/playground/routes", { cache: "no-store" });
    routes = (await response.json()).routes ?? [];
  } catch { routes = []; }
  view.route.replaceChildren(...routes.map((route) => new Option(`${route.path} (${route.name})`, route.name)));
  const preferred = routes.findIndex((route) => route.dialect === "unified" && route.operation !== "edit");
  view.route.selectedIndex = Math.max(0, preferred);
  if (routes.length === 0) view["route-note"].textContent = "The server named no routes.";
  showRoute();
}

// --- A job outlives the page ---------------------------------------------------------------------------------------------

function remember(run) {
  try { sessionStorage.setItem("run", JSON.stringify(run)); } catch { /* private window: a reload forgets */ }
}

function forget() {
  try { sessionStorage.removeItem("run"); } catch { /* nothing was kept */ }
}

function remembered() {
  try { return JSON.parse(sessionStorage.getItem("run")); } catch { return null; }
}

/** After a reload: the job that was being watched, from its first event. */
function takeUp() {
  const last = remembered();
  const route = routes.find((candidate) => candidate.name === last?.route);
  if (!route || !last.job || !last.form) return;
  view.route.value = route.name;
  for (const [name, key] of [["prompt", "prompt"], ["size", "size"], ["previews", "previews"], ["count", "count"], ["seed", "seed"]]) {
    view[name].value = last.form[key] ?? "";
  }
  showRoute();
  run = new Run(route, last.form, last.job);
  run.start();
}

const storedTheme = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
const darkPreferred = matchMedia("(prefers-color-scheme: dark)");

function showTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  const dark = (theme ?? (darkPreferred.matches ? "dark" : "light")) === "dark";
  view.theme.textContent = dark ? "Light" : "Dark";
  view.theme.setAttribute("aria-label", dark ? "Switch to light colours" : "Switch to dark colours");
  view.theme.dataset.next = dark ? "light" : "dark";
}

view.form.addEventListener("submit", (event) => {
  event.preventDefault();
  const route = selectedRoute();
  if (!route || view.generate.disabled) return;
  run = new Run(route, readForm());
  run.start();
  if (matchMedia("(max-width: 860px)").matches) view.tray.scrollIntoView({ behavior: "smooth", block: "start" });
});
view.prompt.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) view.form.requestSubmit();
});
view.cancel.addEventListener("click", () => run?.cancel());
view.route.addEventListener("change", showRoute);
view.curl.addEventListener("click", async () => {
  const route = selectedRoute();
  if (!route) return;
  await copy(curlCommand(route, readForm()));
  view.curl.textContent = "Copied";
  setTimeout(() => { view.curl.textContent = "Copy as curl"; }, 1500);
});
view.theme.addEventListener("click", () => {
  const next = view.theme.dataset.next;
  try { localStorage.setItem("theme", next); } catch { /* private window: this page only */ }
  showTheme(next);
});
darkPreferred.addEventListener("change", () => showTheme(storedTheme()));
showTheme(storedTheme());
loadRoutes().then(takeUp);
