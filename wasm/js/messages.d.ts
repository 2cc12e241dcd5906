/** What page and worker tell each other of a player: types that both sides know. */

/** What plays. */
export interface Playing {
  width: number;
  height: number;
  /** In seconds, where it is known. */
  duration: number | null;
  live: boolean;
}

/** What it shows at a time, in seconds. */
export interface Shown {
  picture: VideoFrame | ImageBitmap;
  time: number;
}
