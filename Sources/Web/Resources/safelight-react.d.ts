// Types of the React bindings, /sdk/safelight-react.js.

import type { CSSProperties, ReactElement } from "react";
import type { Callbacks, ImageOptions, Result, Safelight, Stage, StreamOptions } from "./safelight.js";

export interface ImageGenerationStream {
  generateWithStream(prompt: string, options?: StreamOptions, callbacks?: Callbacks): Promise<Result | null>;
  cancel(): void;
  isGenerating: boolean;
  currentStage: Stage | null;
  /** 0 to 100. */
  progress: number;
  error: Error | null;
  result: Result | null;
  /** The newest preview, as an address for `<img>`. */
  preview: string | null;
  previews: number;
}

export function useImageGenerationStream(
  options?: ImageOptions & { client?: Safelight; resume?: boolean },
): ImageGenerationStream;

export interface ProgressiveImageProps {
  /** A path of dialect `unified` or `progressive`. */
  streamingUrl?: string;
  prompt: string;
  onComplete?: (result: Result) => void;
  onError?: (error: Error) => void;
  showProgress?: boolean;
  options?: StreamOptions;
  alt?: string;
  className?: string;
  style?: CSSProperties;
  client?: Safelight;
}

export function ProgressiveImage(props: ProgressiveImageProps): ReactElement;
