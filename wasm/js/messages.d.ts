/** What page and worker tell each other: types that both sides know. */

/** A detector file with the base that it may need. */
export interface Files {
  /** What errors call it. */
  name: string;
  model: Blob;
  base: Blob | null;
  /** What its SHA-256 has to be. */
  sha256: string | null;
}

/** What a worker has loaded. */
export interface Description {
  /** The detectors, by their own names. */
  models: { name: string; sha256: string }[];
  /** How many frames of a video they need. */
  frames: number;
  /** How many helpers there are. */
  workers: number;
  device: 'cpu' | 'webgpu';
}

/** What plays. */
export interface Playing {
  width: number;
  height: number;
  /** In seconds, where it is known. */
  duration: number | null;
  live: boolean;
}

/** What it shows. */
export interface Shown {
  picture: VideoFrame | ImageBitmap;
  /** When that frame begins, in seconds; null where the player does not tell, as in a hidden page. */
  time: number | null;
}
