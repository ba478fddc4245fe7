// React bindings of Safelight's browser client. `react` is resolved by a bundler or by an import map.

import * as ReactModule from "react";
import { safelight } from "./safelight.js";

const React = ReactModule.default ?? ReactModule;
const { createElement, useCallback, useEffect, useRef, useState } = React;

const idle = { isGenerating: false, currentStage: null, progress: 0, error: null, result: null, preview: null, previews: 0 };

/**
 * One picture at a time: `{generateWithStream, cancel, isGenerating, currentStage, progress, error, result, preview,
 * previews}`. A new run gives up the one before. When the component goes away the job goes on; `resume: true` takes it up
 * again after a reload.
 */
export function useImageGenerationStream({ client = safelight, resume = false, ...defaults } = {}) {
  const [state, setState] = useState(idle);
  const running = useRef(null);
  const settings = useRef(defaults);
  settings.current = defaults;

  const generateWithStream = useCallback(async (prompt, options = {}, callbacks = {}) => {
    running.current?.leave();
    const run = begin(client, prompt, { ...settings.current, ...options }, setState, callbacks);
    running.current = run;
    return run.done;
  }, [client]);

  const cancel = useCallback(() => running.current?.cancel(), []);

  useEffect(() => {
    const left = resume ? client.pending().at(-1) : null;
    if (left) generateWithStream(left.prompt, { job: left.job }).catch(() => {});
    return () => running.current?.leave();
  }, [client, resume, generateWithStream]);

  return { ...state, generateWithStream, cancel };
}

/** `done` gives the result; null where the job failed or was cancelled, which the state tells. */
function begin(client, prompt, options, setState, callbacks) {
  const controller = new AbortController();
  let isLeft = false;
  const update = (change) => {
    if (!isLeft) setState((state) => ({ ...state, ...(typeof change === "function" ? change(state) : change) }));
  };
  setState({ ...idle, isGenerating: true, currentStage: "queued", preview: client.cached(prompt, options) });
  const onEvent = (event) => {
    if (isLeft) throw new Left();
    if (event.stage) update({ currentStage: event.stage });
    if (typeof event.progress === "number") update((state) => ({ progress: Math.max(state.progress, event.progress) }));
    callbacks.onEvent?.(event);
  };
  const onPartialImage = (partial) => {
    update((state) => ({ preview: partial.image, previews: state.previews + 1 }));
    callbacks.onPartialImage?.(partial);
  };
  const done = client.run(prompt, { ...options, signal: controller.signal }, { onEvent, onPartialImage }).then(
    (result) => {
      update({ isGenerating: false, currentStage: "completed", progress: 100, result });
      callbacks.onComplete?.(result);
      return result;
    },
    (error) => {
      if (error instanceof Left) return null;
      const wasCancelled = error.name === "AbortError";
      update({ isGenerating: false, currentStage: wasCancelled ? "cancelled" : "error", error: wasCancelled ? null : error });
      if (!wasCancelled) callbacks.onError?.(error);
      return null;
    });
  return { done, cancel: () => controller.abort(), leave: () => { isLeft = true; } };
}

/** The component has gone: reading ends with the next event, the job does not. */
class Left extends Error {}

const badgeStyle = {
  position: "absolute", top: 8, right: 8, padding: "2px 8px", borderRadius: 999, font: "12px/1.6 system-ui, sans-serif",
  color: "#fff", background: "rgba(0, 0, 0, .6)",
};
const coverStyle = { display: "block", width: "100%", height: "100%", objectFit: "cover" };

/** From 20 px, 2 px less each 100 ms, once there is something to see. */
function useBlur(isShown) {
  const [blur, setBlur] = useState(20);
  useEffect(() => {
    if (!isShown) {
      setBlur(20);
      return undefined;
    }
    const timer = setInterval(() => setBlur((value) => {
      if (value <= 2) clearInterval(timer);
      return Math.max(0, value - 2);
    }), 100);
    return () => clearInterval(timer);
  }, [isShown]);
  return blur;
}

/**
 * A picture that develops. Begins when it is shown, and anew when `prompt` or `streamingUrl` change.
 * Props: `streamingUrl` (a path of dialect `unified` or `progressive`), `prompt`, `onComplete(result)`, `onError(error)`,
 * `showProgress`, `options` of the request, `alt`, `className`, `style`, `client`.
 */
export function ProgressiveImage({
  streamingUrl, prompt, onComplete, onError, showProgress = true, options, alt, className, style, client = safelight,
}) {
  const { generateWithStream, isGenerating, currentStage, progress, error, result, preview, previews } =
    useImageGenerationStream({ client });
  const callbacks = useRef({});
  callbacks.current = { onComplete, onError };

  useEffect(() => {
    if (!prompt) return;
    generateWithStream(prompt, { ...options, ...(streamingUrl && { url: streamingUrl }) }, {
      onComplete: (value) => callbacks.current.onComplete?.(value),
      onError: (value) => callbacks.current.onError?.(value),
    });
    // The options of a run are those it began with.
  }, [prompt, streamingUrl, generateWithStream]);

  const source = result?.image ?? preview;
  const blur = useBlur(source !== null);
  const badge = error ? null : result ? "Complete" : previews > 0 ? `Preview ${previews}` : null;
  return createElement("figure", {
    className: ["safelight-image", className].filter(Boolean).join(" "), "data-state": error ? "error" : currentStage ?? "idle",
    "aria-busy": isGenerating, style: { position: "relative", overflow: "hidden", margin: 0, ...style },
  },
  source && createElement("img", {
    src: source, alt: alt ?? prompt,
    style: { ...coverStyle, filter: blur > 0 ? `blur(${blur}px)` : "none", transform: blur > 0 ? "scale(1.1)" : "none",
      transition: "filter 100ms linear, transform 300ms ease-out" },
  }),
  badge && createElement("span", { className: "safelight-badge", style: badgeStyle }, badge),
  error && createElement("figcaption", { className: "safelight-error", role: "alert" }, error.message),
  showProgress && isGenerating && createElement("progress", {
    className: "safelight-progress", max: 100, value: progress, "aria-label": currentStage ?? "queued",
    style: { position: "absolute", left: 0, right: 0, bottom: 0, width: "100%" },
  }));
}
