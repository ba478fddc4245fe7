// Types of Safelight's browser client, /sdk/safelight.js.

export interface Usage {
  input_tokens: number;
  input_tokens_details: { image_tokens: number; text_tokens: number };
  output_tokens: number;
  total_tokens: number;
}

export type Stage = "queued" | "processing" | "generating" | "uploading" | "completed" | "error" | "cancelled";

interface EventBase {
  job_id: string;
  /** Absent on events that were made from polling or from another dialect, like `at`. */
  seq?: number;
  at?: string;
  stage: Stage;
  /** 0 to 100; never falls. */
  progress: number;
}

export interface ImageDescription {
  image_index: number;
  image_id: string;
  width: number;
  height: number;
  size: string;
  quality: string;
  background: string;
  output_format: string;
  file_size: number;
  created_at: number;
  usage?: Usage;
  revised_prompt?: string;
  url?: string;
  url_expires_at?: string;
}

export interface StageEvent extends EventBase {
  type: "stage";
  message: string;
  queue_position?: number;
  estimated_ms?: number;
  elapsed_ms?: number;
  upstream?: string;
  attempt?: number;
  reason?: string;
  retry_at?: string;
  dropped?: string[];
}

export interface PartialImageEvent extends EventBase {
  type: "partial_image";
  image_index: number;
  partial_image_index: number;
  size?: string;
  quality?: string;
  background?: string;
  output_format: string;
  created_at?: number;
  b64_json: string;
}

export interface TextDeltaEvent extends EventBase {
  type: "text_delta";
  delta: string;
}

export interface ImageEvent extends EventBase, ImageDescription {
  type: "image";
  b64_json?: string;
}

export interface CompletedEvent extends EventBase {
  type: "completed";
  images: ImageDescription[];
  failures?: { image_index: number; code: string; message: string }[];
  usage: Usage;
  cost?: number;
  upstream: string;
  model: string;
  timings: {
    queued_ms: number;
    first_preview_ms: number | null;
    generating_ms: number;
    uploading_ms: number;
    total_ms: number;
  };
}

export interface ErrorEvent extends EventBase {
  type: "error";
  error: {
    code: string;
    message: string;
    source: "client" | "upstream" | "gateway";
    retryable: boolean;
    billed: "no" | "maybe" | "yes";
    retry_after_ms?: number;
    upstream_status?: number;
  };
}

export interface CancelledEvent extends EventBase {
  type: "cancelled";
  reason: "client" | "disconnect" | "operator";
  billed: "no" | "maybe" | "yes";
}

/** History before this is gone; what is left follows. */
export interface GapEvent {
  type: "gap";
  job_id: string;
  oldest_seq: number;
  reason: "unknown_id" | "aged" | "restarted" | "spilled";
  snapshot: JobSnapshot;
}

export type SafelightEvent =
  | StageEvent | PartialImageEvent | TextDeltaEvent | ImageEvent | CompletedEvent | ErrorEvent | CancelledEvent | GapEvent;

export interface JobSnapshot {
  job_id: string;
  route: string;
  status: "queued" | "processing" | "completed" | "failed" | "cancelled";
  stage: Stage;
  progress: number;
  message: string;
  queue_position?: number;
  last_seq: number;
  created_at: string;
  started_at?: string;
  finished_at?: string;
  events_url?: string;
  images: ImageDescription[];
}

/** Fields of the request, in camel case; the names of the API are taken too. */
export interface ImageOptions {
  negativePrompt?: string;
  model?: string;
  n?: number;
  size?: string;
  aspectRatio?: string;
  width?: number;
  height?: number;
  quality?: string;
  outputFormat?: "png" | "jpeg" | "webp" | "gif" | "avif";
  outputCompression?: number;
  background?: string;
  style?: string;
  seed?: number;
  /** Previews, 0 to 3. */
  partialImages?: number;
  user?: string;
  metadata?: Record<string, string | number | boolean>;
}

export interface ClientOptions {
  /** Default: where the module came from. */
  baseURL?: string;
  /** Default `/v1/generate`. */
  generatePath?: string;
  /** Default `/v1/edit`. */
  editPath?: string;
  headers?: Record<string, string>;
  token?: string | (() => string | Promise<string>);
  credentials?: RequestCredentials;
  /** Default 2. */
  partialImages?: number;
  /** Silence after which a stream counts as broken; milliseconds, default 60000. More than the route's heartbeat. */
  stallTimeout?: number;
  /** Milliseconds between two polls, default 1000. */
  pollInterval?: number;
  /** Whether jobs are remembered in `sessionStorage` until they were seen to their end. Default true. */
  remember?: boolean;
}

export interface StreamOptions extends ImageOptions, Omit<ClientOptions, "partialImages"> {
  /** Aborting cancels the job. */
  signal?: AbortSignal;
  /** Another path or address to ask, of dialect `unified` or `progressive`. */
  url?: string;
  /** Pictures to edit. */
  images?: Blob[];
  image?: Blob;
  mask?: Blob;
  /** A job that was begun before, instead of a new one. */
  job?: string;
}

export interface Result {
  /** The first picture, as an address for `<img>`; null where a conversation came to text alone. */
  image: string | null;
  images: string[];
  partialImages: string[];
  usage: Usage | null;
  /** Milliseconds. */
  duration: number;
  job: string | null;
  text: string;
}

export interface PartialImage {
  /** An address for `<img>`. */
  image: string;
  index: number;
  imageIndex?: number;
}

export interface Callbacks {
  onPartialImage?: (partial: PartialImage) => void;
  onComplete?: (result: Result) => void;
  /** With it a run that fails gives null; without it, it rejects. */
  onError?: (error: Error) => void;
  onEvent?: (event: SafelightEvent) => void;
}

export type CancellableRun = Promise<Result | null> & { cancel(): void };

export class SafelightError extends Error {
  /** A code of docs/errors.md, or `connection_lost`. */
  code: string;
  status: number | null;
  retryable: boolean;
  billed: "no" | "maybe" | "yes";
  /** Milliseconds. */
  retryAfter: number | null;
  job: string | null;
}

export interface PendingJob {
  job: string;
  prompt: string;
  path: string;
  at: number;
}

export class Safelight {
  constructor(options?: ClientOptions);
  stream(prompt: string, options?: StreamOptions): AsyncGenerator<SafelightEvent, void, void>;
  resume(job: string, options?: StreamOptions): AsyncGenerator<SafelightEvent, void, void>;
  run(prompt: string, options?: StreamOptions, callbacks?: Omit<Callbacks, "onError">): Promise<Result>;
  pending(): PendingJob[];
  cancel(job: string): Promise<JobSnapshot>;
  cached(prompt: string, options?: ImageOptions): string | null;
}

export interface ServerSentEvent {
  event: string;
  id: string;
  data: string;
  retry: number | null;
}

/** Server-sent events after the WHATWG algorithm, from bytes that may be cut anywhere. */
export class EventStreamReader {
  constructor(dispatch: (event: ServerSentEvent) => void);
  readonly lastEventId: string;
  readonly reconnectionTime: number | null;
  push(bytes: Uint8Array): void;
}

export const safelight: Safelight;
export default safelight;

export const imageStreamingAPI: {
  generateStream(prompt: string, options?: StreamOptions, callbacks?: Callbacks): CancellableRun;
  editStream(file: Blob | Blob[], prompt: string, options?: StreamOptions, callbacks?: Callbacks): CancellableRun;
};

export function compressImage(
  file: File, options?: { maxSize?: number; quality?: number; type?: string },
): Promise<File>;

declare global {
  interface WindowEventMap {
    "image-generation-progress": CustomEvent<{ partialImage: string; index: number; totalSteps: number }>;
    "image-generation-complete": CustomEvent<{ finalImage: string | null; usage: Usage | null; duration: number }>;
  }
}
