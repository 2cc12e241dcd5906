/**
 * How far a call is. `download`: bytes of the detector file; `prepare`: the detector is being made ready; `score`: frames
 * looked at. `total` is absent where unknown.
 */
export interface StageProgress {
  stage: 'download' | 'prepare' | 'score';
  done: number;
  total?: number;
}

/** WebGPU stopped, so the CPU goes on with the same input; `reason` is a sentence. */
export interface DeviceChange {
  stage: 'device';
  device: 'cpu';
  reason: string;
}

export type Progress = StageProgress | DeviceChange;

/** A detector file: its address, or its bytes. */
export type Source = string | URL | Blob | ArrayBuffer | ArrayBufferView;

export interface LoadOptions {
  /** What scores. `auto`: WebGPU where there is a graphics device that shows it works, else the CPU. Default: `auto`. */
  device?: 'auto' | 'cpu' | 'webgpu';
  /** The detector that an adapter belongs to; not needed where it is cached. */
  base?: Source;
  /** What the file's SHA-256 has to be, lower-case hexadecimal; another file is refused. */
  sha256?: string;
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

/** What weakens an answer: a code for programs, a sentence for people. */
export interface Caveat {
  code:
    | 'damage_skipped'
    | 'turned'
    | 'interlaced'
    | 'tone_mapped'
    | 'dark'
    | 'upscaled'
    | 'size_changes'
    | 'bad_times'
    | 'others_not_scored'
    | 'crowd'
    | 'first_picture_only'
    | 'other_streams'
    | 'unlike_measured'
    | 'weak_detector'
    | 'uncalibrated_detector'
    | 'untrained_detector';
  words: string;
}

/** The document that `unmask score --json` prints. Boxes and points are in pixels of the frame as displayed. */
export interface Report {
  version: 1;
  input: string;
  verdict: Verdict;
  /** P(fake) of the video, 0 to 1; null if there was no face. */
  score: number | null;
  /** Why the verdict is not a plain one, in one sentence. */
  reason: string | null;
  /** What weakens the answer; each code once. */
  caveats: Caveat[];
  model: {
    name: string;
    sha256: string;
    training: 'untrained' | 'imported' | 'trained';
    /** What its answers are worth: for programs, and in a sentence for people. */
    reliability: { grade: 'untrained' | 'uncalibrated' | 'weak' | 'calibrated'; words: string };
  };
  video: {
    kind: 'still' | 'frames' | 'video' | 'live';
    width: number;
    height: number;
    fps: number | null;
    duration_s: number | null;
    frames_sampled: number;
  };
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

/** The detector that comes with the package, `unmask-lite`: what `Detector.load()` loads. */
export const bundled: { readonly url: URL; readonly sha256: string };

/** A loaded detector. All its work happens in workers of its own. */
export class Detector {
  private constructor();
  /**
   * Loads a detector file; without a source, the one that comes with the package. Rejects with one sentence that names
   * the file, or with the signal's reason.
   */
  static load(source?: Source | null, options?: LoadOptions): Promise<Detector>;
  /** The detector's name. */
  readonly name: string;
  /** SHA-256 of its file, lower-case hexadecimal. */
  readonly sha256: string;
  /** What scores. */
  readonly device: 'cpu' | 'webgpu';
  /** How many helper workers find faces, and score where the CPU does. */
  readonly workers: number;
  /**
   * Scores a video or an image. A video element is left as it is: its source is scored, by a second player of it; of a live
   * picture, such as a camera's, the frames of some seconds. Rejects with one sentence that names the file, or with the
   * signal's reason.
   */
  score(input: File | Blob | HTMLVideoElement, options?: ScoreOptions): Promise<Report>;
  /** Ends the workers and frees their memory. What is being scored is rejected. */
  dispose(): void;
}

/** `<unmask-detector model="…" frames="32" faces="largest">` */
export class UnmaskDetectorElement extends HTMLElement {
  /** Scores a file as if it had been chosen; resolves to the report, or to null where it was cancelled or failed. */
  score(input: File | Blob | HTMLVideoElement): Promise<Report | null>;
  /** Stops what is going on. */
  cancel(): void;
}

declare global {
  interface HTMLElementTagNameMap {
    'unmask-detector': UnmaskDetectorElement;
  }
}
