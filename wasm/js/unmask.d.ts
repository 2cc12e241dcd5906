/** How far a call is. `download`: bytes of the model; `score`: frames looked at. `total` is absent where unknown. */
export interface Progress {
  stage: 'download' | 'score';
  done: number;
  total?: number;
}

export interface LoadOptions {
  /** What computes. `auto` is the fastest that this version has, which is the CPU. Default: `auto`. */
  device?: 'auto' | 'cpu' | 'webgpu';
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
}

export interface ScoreOptions {
  /** Frames of a video to look at. Default: the detector's own number. */
  frames?: number;
  /** Whose faces: those of the person who is largest, or everybody's. Default: `largest`. */
  faces?: 'largest' | 'all';
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
}

export type Verdict = 'likely_fake' | 'likely_real' | 'uncertain' | 'no_face';

/** The document that `unmask score --json` prints. Boxes and points are in pixels of the frame as displayed. */
export interface Report {
  version: 1;
  input: string;
  verdict: Verdict;
  /** P(fake) of the video, 0 to 1; null if there was no face. */
  score: number | null;
  /** Why the verdict is not a plain one, in one sentence. */
  reason: string | null;
  model: { name: string; sha256: string; training: string };
  video: { width: number; height: number; fps: number | null; duration_s: number | null; frames_sampled: number };
  tracks: { id: number; score: number | null; frames: number }[];
  frames: {
    time_s: number;
    faces: {
      track: number;
      /** Left, top, width, height. */
      box: [number, number, number, number];
      /** Left eye, right eye, nose, left and right corner of the mouth. */
      landmarks: [number, number][];
      confidence: number;
      score: number | null;
    }[];
  }[];
  timing_s: { decode: number; detect: number; score: number; total: number };
}

/** A loaded detector. All its work happens in a worker of its own. */
export class Detector {
  private constructor();
  /**
   * Loads a detector file. Rejects with one sentence that names the file, or with the signal's reason.
   */
  static load(source: string | URL | Blob | ArrayBuffer | ArrayBufferView, options?: LoadOptions): Promise<Detector>;
  /** The detector's name. */
  readonly name: string;
  /** SHA-256 of its file, lower-case hexadecimal. */
  readonly sha256: string;
  /** What computes. */
  readonly device: 'cpu';
  /** Scores a video or an image. Rejects with one sentence that names the file, or with the signal's reason. */
  score(file: File | Blob, options?: ScoreOptions): Promise<Report>;
  /** Ends the worker and frees its memory. What is being scored is rejected. */
  dispose(): void;
}

/** `<unmask-detector model="…" frames="32" faces="largest">` */
export class UnmaskDetectorElement extends HTMLElement {
  /** Scores a file as if it had been chosen; resolves to the report, or to null where it was cancelled or failed. */
  score(file: File | Blob): Promise<Report | null>;
  /** Stops what is going on. */
  cancel(): void;
}

declare global {
  interface HTMLElementTagNameMap {
    'unmask-detector': UnmaskDetectorElement;
  }
}
