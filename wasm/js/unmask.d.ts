/**
 * How far a call is. `download`: bytes of the detector file; `convert`: bytes of the detector file that a checkpoint becomes;
 * `prepare`: the detector is being made ready; `score`: frames looked at. `total` is absent where unknown. Several detector files
 * are downloaded one after the other: `model` is the place of the one that is under way, from zero, and `models` how many there
 * are; both are absent of one.
 */
export interface StageProgress {
  stage: 'download' | 'convert' | 'prepare' | 'score';
  done: number;
  total?: number;
  model?: number;
  models?: number;
}

/** WebGPU stopped, so the CPU goes on with the same input; `reason` is a sentence. */
export interface DeviceChange {
  stage: 'device';
  device: 'cpu';
  reason: string;
}

export type Progress = StageProgress | DeviceChange;

/** A detector file, or a checkpoint that becomes one: its address, or its bytes. */
export type Source = string | URL | Blob | ArrayBuffer | ArrayBufferView;

/**
 * What a checkpoint that somebody else published does not say of itself. Safetensors files of whole detectors (GenD,
 * CommunityForensics and the others that `unmask import --help` lists) become detector files when they are loaded.
 */
export interface Checkpoint {
  /** What reports call the detector. Default: the file's name without its ending. */
  name?: string;
  /** The licence of its weights. */
  licence?: string | null;
  /** Its format, by the name that `unmask import --from` has for it. Default: what the names of its tensors tell. */
  format?: string | null;
  /** The `config.json` beside it; needed only where the shapes of its tensors leave something open. */
  config?: string | URL | Blob | null;
}

/** Several detector files; null is the one that comes with the package. */
export type Sources = readonly (Source | null | undefined)[];

/** One, or with several sources one for each in their order, null where a source needs none. */
export type ForEach<T> = T | readonly (T | null | undefined)[];

/** What went wrong, for programs; it stays the same where sentences change. */
export type ErrorCode =
  /** The input has no bytes. */
  | 'empty'
  /** The input is neither a video nor an image. */
  | 'not_media'
  /** A container, an image or a codec that this browser does not read. */
  | 'unsupported_container'
  | 'unsupported_image'
  | 'unsupported_codec'
  /** There is no picture in it, only sound. */
  | 'no_video'
  /** There is a video stream, of which nothing could be shown. */
  | 'no_frames'
  /** It is damaged or cut off. */
  | 'damaged'
  /** It has more pixels than are decoded. */
  | 'too_large'
  /** The file cannot be read any more, such as one that was changed or removed since it was chosen. */
  | 'unreadable'
  /** The browser lets no page read a video of another origin without CORS. */
  | 'cross_origin'
  /** The video element has no source. */
  | 'no_source'
  /** The browser's player does not get on with it. */
  | 'stalled'
  /** A score that is no number: no verdict may rest on it. */
  | 'bad_score'
  /** It is no detector file, or a damaged one. */
  | 'bad_detector'
  /** It is an adapter, and its base is neither given nor kept. */
  | 'base_needed'
  /** The given base is not the adapter's, or a whole detector was given one. */
  | 'wrong_base'
  /** It is another file than the one with the wanted SHA-256. */
  | 'wrong_sha256'
  /** A download failed or broke off. */
  | 'network'
  /** The server answered with something else than the file. */
  | 'bad_response'
  /** Files of the package itself are not served, or damaged. */
  | 'missing_files'
  /** WebGPU was asked for and does not work. */
  | 'no_webgpu'
  /** `Detector.keep`: there is no room for it. */
  | 'disk_full'
  /** `Detector.keep`: this browser keeps nothing for this page. */
  | 'no_storage'
  /** `Detector.forget`: the file is being fetched. */
  | 'in_use'
  /** The module, a worker or the device stopped. */
  | 'stopped'
  /** A page cannot show where such a detector looked. */
  | 'cannot_explain'
  /** The detector was disposed of before. */
  | 'disposed'
  /** The element's attributes ask for something that there is not (from the API that is a `TypeError`), or a detector is given twice. */
  | 'wrong_use'
  /** Anything else: a fault of the package. */
  | 'internal';

/** What went wrong; its message is one sentence that names the file and says what to do. */
export class UnmaskError extends Error {
  constructor(code: ErrorCode, message: string, options?: ErrorOptions);
  readonly code: ErrorCode;
}

/** A detector file of which something is kept on this device. */
export interface Kept {
  /** What `Detector.forget` finds it by. */
  id: string;
  /** Where it was fetched from; null of a file that was given. */
  url: string | null;
  name: string;
  /** How much of it is kept. */
  bytes: number;
  /** Its SHA-256, once it was computed. */
  sha256: string | null;
  /** Whether that is all of it; otherwise its download did not come to its end, and goes on when it is loaded again. */
  complete: boolean;
  /** Whether it is the detector file that a checkpoint became; address, name and SHA-256 are then the checkpoint's. */
  converted: boolean;
}

export interface KeepOptions {
  /** What the file's SHA-256 has to be, hexadecimal; another file is refused. */
  sha256?: string;
  /** What the file does not say of itself, should it be somebody else's checkpoint. */
  checkpoint?: Checkpoint;
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
}

export interface LoadOptions {
  /** What scores. `auto`: WebGPU where there is a graphics device that shows it works, else the CPU. Default: `auto`. */
  device?: 'auto' | 'cpu' | 'webgpu';
  /** The detector that an adapter belongs to; not needed where it is kept. */
  base?: ForEach<Source> | null;
  /** What the file's SHA-256 has to be, hexadecimal; another file is refused. A kept file that has it is used without a request. */
  sha256?: ForEach<string> | null;
  /** What the file does not say of itself, should it be somebody else's checkpoint. */
  checkpoint?: ForEach<Checkpoint> | null;
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
}

export interface ScoreOptions {
  /** Frames of a video to look at. Default: the detector's own number, of several the largest. */
  frames?: number;
  /** Whose faces: those of the person who is largest, or everybody's. Default: `largest`. */
  faces?: 'largest' | 'all';
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
}

export interface ExplainOptions {
  /** How many faces, evenly spaced over the input. Default: 6. */
  faces?: number;
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
}

/**
 * A face and where the detector looked in it, as PNG. In `fake` and `real` light parts are what speaks for either class; the two can be
 * compared with each other. They are about the detector: they do not show that something is wrong with the face, or where.
 */
export interface Explained {
  /** Which of the report's frames it is in. */
  frame: number;
  time_s: number;
  track: number;
  score: number;
  /** The aligned crop, as the detector saw it. */
  face: Blob;
  fake: Blob;
  real: Blob;
}

export type Verdict = 'likely_fake' | 'likely_real' | 'uncertain' | 'no_face';

/** What weakens an answer, for programs. */
export type CaveatCode =
  | 'damage_skipped'
  | 'turned'
  | 'interlaced'
  | 'tone_mapped'
  | 'dark'
  | 'upscaled'
  | 'size_changes'
  | 'bad_times'
  | 'others_not_scored'
  | 'part_likely_fake'
  | 'crowd'
  | 'first_picture_only'
  | 'other_streams'
  | 'weak_detector'
  | 'uncalibrated_detector'
  | 'untrained_detector';

/** What weakens an answer: a code for programs, a sentence without a full stop for people. */
export interface Caveat {
  code: CaveatCode;
  words: string;
}

/** A detector that scored. */
export interface Model {
  name: string;
  sha256: string;
  training: 'untrained' | 'imported' | 'trained';
  /** What its answers are worth: for programs, and in a sentence for people. */
  reliability: { grade: 'untrained' | 'uncalibrated' | 'weak' | 'calibrated'; words: string };
  /** How often its verdicts are wrong, in a sentence for people; null where its file does not say. */
  error_rates: string | null;
  /** What those were counted from: the verdicts on which videos; absent where its file does not say. */
  measured?: { videos: string; real: VerdictCounts; fake: VerdictCounts };
}

/** How many videos got which verdict, and of how many people or sources they are, where that is known. */
export interface VerdictCounts {
  likely_real: number;
  uncertain: number;
  likely_fake: number;
  groups?: number;
}

/** Why a person, or a frame, has no part in the verdict. */
export type Unused = 'no_face' | 'other_person' | 'too_small' | 'too_blurred' | 'drawn' | 'too_brief';

/** How strongly a plain verdict speaks for what it says, by how often it was given where it was true and where not. */
export interface Strength {
  level: 'unknown' | 'none' | 'weak' | 'moderate' | 'moderately_strong' | 'strong' | 'very_strong';
  /** One sentence without a full stop. */
  words: string;
  /** How many times as often it was given where it was true: as counted, and between which limits; absent where nobody counted. */
  likelihood_ratio?: { low: number; counted?: number; high?: number };
}

/** What one of several detectors says. */
export interface Opinion {
  model: Model;
  /** By its own thresholds. */
  verdict: Verdict;
  score: number | null;
  /** How little it knows of the person whose score that is, 0 to 1; absent of detectors that do not say. */
  uncertainty?: number;
  reason: string | null;
  /** How strong its own verdict is; absent where it decides nothing. */
  strength?: Strength;
  /** What weakens this detector's answer and not the others'. */
  caveats: CaveatCode[];
}

/** The document that `unmask score --json` prints. Boxes and points are in pixels of the frame as displayed. */
export interface Report {
  version: 1;
  input: string;
  verdict: Verdict;
  /** P(fake) of the video, 0 to 1; null if there was no face. */
  score: number | null;
  /**
   * How little the detector knows of the person whose score that is, 0 to 1; absent of detectors that do not say, and of
   * several, whose opinions have it.
   */
  uncertainty?: number;
  /** Why the verdict is not a plain one, in one sentence. */
  reason: string | null;
  /** How strong the verdict is; absent where nothing was decided. */
  strength?: Strength;
  /** What weakens the answer; each code once. */
  caveats: Caveat[];
  /**
   * What each detector says, where there are several, the first that was named first: `verdict` and `reason`
   * are then those of all together (`uncertain` where they do not agree), `score` is the mean of their scores, and `model`,
   * `tracks` and `frames` are the first one's. Absent of one detector.
   */
  opinions?: Opinion[];
  model: Model;
  video: {
    kind: 'still' | 'frames' | 'video' | 'live';
    width: number;
    height: number;
    fps: number | null;
    duration_s: number | null;
    frames_sampled: number;
    /** Frames of the whole input; the native program counts them. */
    frame_count?: number;
  };
  tracks: {
    id: number;
    score: number | null;
    uncertainty?: number;
    frames: number;
    /** Why the person has no part in the verdict, if so. */
    left_out?: Unused;
  }[];
  frames: {
    time_s: number;
    /** Why nobody in it has a part in the verdict, if so. */
    left_out?: Unused;
    faces: {
      track: number;
      /** Left, top, width, height. */
      box: [number, number, number, number];
      /** Left eye, right eye, nose, left and right corner of the mouth. */
      landmarks: [number, number][];
      confidence: number;
      score: number | null;
      uncertainty?: number;
    }[];
  }[];
  timing_s: { decode: number; detect: number; score: number; total: number };
}

/** A detector of others. */
export interface Known {
  name: string;
  /** Where its file is. */
  url: string;
  /** Where what describes the file is; null where its format needs none. */
  config: string | null;
  /** What `unmask import --from` calls the format of the file. */
  format: string;
  /** What it is and what it was trained on, in one line. */
  about: string;
  /** Of its weights. */
  licence: string;
  /** How large its file is, where that is known. */
  bytes: number | null;
  /** The SHA-256 of its file, where that is known. */
  sha256: string | null;
}

/** Detectors of others, on the web, which `unmask pull` knows too. Nothing of them is fetched before one is loaded. */
export const known: readonly Known[];

/** The detector that comes with the package, `unmask-lite`: what `Detector.load()` loads. */
export const bundled: { readonly url: URL; readonly sha256: string };

/** One or several loaded detectors. All their work happens in workers of their own. */
export class Detector {
  private constructor();
  /**
   * Loads a detector file; without a source, the one that comes with the package. Rejects with an `UnmaskError`, or with the
   * signal's reason; wrong options are a `TypeError`.
   *
   * Of an array, loads several, which then score every input together: it is decoded once and its faces are found once, and
   * the report has the opinion of each and a verdict of all. Each helper that scores on the CPU holds all of them in its
   * memory, which ends at 4 GB (twice the size of the files, where those are of 16 bits).
   */
  static load(source?: Source | null | Sources, options?: LoadOptions): Promise<Detector>;
  /**
   * Keeps a detector file on this device without loading it: afterwards it is loaded by its address, or by its `sha256` from
   * anywhere. `load` keeps what it fetches too, but goes on where that is not possible; this rejects.
   */
  static keep(source?: Source | null, options?: KeepOptions): Promise<Kept>;
  /** What is kept on this device, by the name of the files. */
  static kept(): Promise<Kept[]>;
  /** Deletes what is kept of a file, which `kept` listed, or of an address; resolves to whether there was anything. */
  static forget(which: Kept | string | URL): Promise<boolean>;
  /** The detector's name; of several, the first one's. */
  readonly name: string;
  /** SHA-256 of its file, lower-case hexadecimal; of several, the first one's. */
  readonly sha256: string;
  /** The detectors, in the order of their sources. */
  readonly models: readonly { readonly name: string; readonly sha256: string }[];
  /** What scores. */
  readonly device: 'cpu' | 'webgpu';
  /** How many helper workers find faces, and score where the CPU does. */
  readonly workers: number;
  /**
   * Scores a video or an image. A video element is left as it is: its source is scored, by a second player of it; of a live
   * picture, such as a camera's, the frames of some seconds. Rejects with an `UnmaskError`, or with the signal's reason; wrong
   * options are a `TypeError`.
   */
  score(input: File | Blob | HTMLVideoElement, options?: ScoreOptions): Promise<Report>;
  /**
   * Shows where the detector, of several the first, looked in some faces of whoever has the highest score; `report` is what `score` gave of
   * the same file, which is decoded once more. Convolutional networks and Swin transformers are explained in a page; for other
   * transformers it rejects with `cannot_explain`.
   */
  explain(input: File | Blob, report: Report, options?: ExplainOptions): Promise<Explained[]>;
  /** Ends the workers and frees their memory. What is being scored is rejected. */
  dispose(): void;
}

/** The events of `<unmask-detector>`, which bubble. */
export type UnmaskDetectorEventMap = Omit<HTMLElementEventMap, 'progress' | 'result' | 'error'> & {
  progress: CustomEvent<Progress>;
  result: CustomEvent<Report>;
  error: CustomEvent<UnmaskError>;
};

/** `<unmask-detector model="…" frames="32" faces="largest">`; several models are divided by spaces. */
export class UnmaskDetectorElement extends HTMLElement {
  /** Scores a file as if it had been chosen; resolves to the report, or to null where it was cancelled or failed. */
  score(input: File | Blob | HTMLVideoElement): Promise<Report | null>;
  /** Stops what is going on. */
  cancel(): void;
  addEventListener<Type extends keyof UnmaskDetectorEventMap>(
    type: Type,
    listener: (this: UnmaskDetectorElement, event: UnmaskDetectorEventMap[Type]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<Type extends keyof UnmaskDetectorEventMap>(
    type: Type,
    listener: (this: UnmaskDetectorElement, event: UnmaskDetectorEventMap[Type]) => void,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | EventListenerOptions): void;
}

declare global {
  interface HTMLElementTagNameMap {
    'unmask-detector': UnmaskDetectorElement;
  }
}
