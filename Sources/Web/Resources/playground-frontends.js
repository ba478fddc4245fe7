// How the playground speaks the dialects of web frontends: what to send, and what an event means.

const wishes = (form) => ({
  n: form.count, partial_images: form.previews, size: form.size, ...(form.seed !== null && { seed: form.seed }),
});

const requestOf = (form) => ({ prompt: form.prompt, ...wishes(form) });

/** `fault` or `cancelled`: these dialects have one form for both. */
const failed = (value, show, message) =>
  (value.code === "cancelled" ? show.cancelled() : show.fault(value.code ?? "error", message));

export const frontends = {
  progressive: {
    url: (path) => path,
    body: requestOf,
    read(value, show) {
      if (typeof value.progress === "number") show.progress(value.progress);
      const index = value.image_index ?? 0;
      switch (value.type) {
        case "progress": return show.stage(value.stage, value.message, value);
        case "partial_image": return show.preview(index, value.partial_image_index, value.b64_json);
        case "image": return show.image(index, value);
        case "completed":
          show.image(index, value);
          return show.completed({});
        case "error": return failed(value, show, value.message);
      }
    },
  },
  gallery: {
    url: (path) => path,
    body: requestOf,
    read(value, show) {
      if (typeof value.progress === "number") show.progress(value.progress);
      const index = value.image_index ?? 0;
      switch (value.type) {
        case "progress": return show.stage(value.status === "started" ? "queued" : value.status, value.message, value);
        case "partial_image": return show.preview(index, value.index, value.data);
        case "image": return show.image(index, { ...value, b64_json: value.data });
        case "complete": return show.completed({ model: value.metadata?.model });
        case "error": return failed(value, show, value.message);
      }
    },
  },
  chat: {
    url: (path) => path,
    body: (form) => ({ messages: [{ role: "user", content: form.prompt }], ...wishes(form) }),
    read(value, show) {
      const partial = value.image_partial;
      const image = value.image_completed;
      if (partial) return show.preview(partial.image_index ?? 0, partial.partial_image_index, partial.b64_json);
      if (image) return show.image(image.image_index ?? 0, image);
      if (value.error) return failed(value, show, value.error);
      if (value.done) return show.completed({});
    },
  },
  "vercel-ui": {
    url: (path) => path,
    body: (form) => ({
      id: crypto.randomUUID?.() ?? String(Date.now()), trigger: "submit-message",
      messages: [{ id: "1", role: "user", parts: [{ type: "text", text: form.prompt }] }], ...wishes(form),
    }),
    read(value, show) {
      const data = value.data ?? {};
      switch (value.type) {
        case "data-image-status":
          show.progress(Math.round((data.progress ?? 0) * 100));
          return show.stage(data.stage, data.message, { queue_position: data.queuePosition });
        case "data-image-preview":
          return show.preview(Number(/^img_(\d+)/.exec(value.id)?.[1] ?? 0), data.index, data.url.split(",")[1]);
        case "file":
          return show.image(show.finished(), value.url.startsWith("data:") ? { b64_json: value.url.split(",")[1] } : value);
        case "error": return show.fault("error", value.errorText);
        case "abort": return show.cancelled();
        case "finish": return show.completed({});
      }
    },
  },
};
