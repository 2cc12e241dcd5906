/** What page and worker tell each other of a player: types that both sides know. */

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
