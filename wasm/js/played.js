/**
 * Frames that the page's player shows (`player.js`), as `frames.js` gives them: asked for one at a time, so that one is
 * under way at most.
 *
 * @import { Coded, Frame } from './frames.js'
 * @import { Playing, Shown } from './messages.d.ts'
 * @import { Ask } from './sources.js'
 * @import { VideoFile } from './unmask_wasm.js'
 *
 * @typedef {{ width: number, height: number, orientation?: number, coded?: Coded }} Displayed
 *   the size of a frame as displayed, and where that is known, how it is laid for that and coded before
 */
import { codedOf, drawn, pixelsOf } from './frames.js';
import { wasm } from './module.js';

/**
 * The sampled frames of a video whose index is known, each shown at its time.
 * @param {VideoFile} video
 * @param {Ask} ask
 * @returns {AsyncGenerator<Frame, void, undefined>}
 */
export async function* plannedFrames(video, ask) {
  const { displayedWidth: width, displayedHeight: height, orientation } = video;
  const displayed = { width, height, orientation, coded: codedOf(video) };
  for (let run = 0; run < video.runs; run++) {
    const [times, seeks] = [video.wantedTimes(run), video.seekTimes(run)];
    for (let index = 0; index < times.length; index++) {
      const { picture } = await ask('frame', seeks[index]);
      yield taken(picture, times[index], displayed);
    }
  }
}

/**
 * `count` frames evenly spaced over the time that something plays; one that is shown several times counts once.
 * @param {Playing} playing
 * @param {number} count
 * @param {Ask} ask
 * @returns {AsyncGenerator<Frame, void, undefined>}
 */
export async function* evenFrames(playing, count, ask) {
  /** @type {{ frame: Frame, time: number | null } | null} */
  let last = null;
  for (const asked of evenTimes(playing.duration, count)) {
    const { picture, time } = await ask('frame', asked);
    const frame = await taken(picture, time ?? asked, playing);
    const isTold = time !== null && last?.time !== null;
    if (last && (isTold ? time === last.time : isSame(frame, last.frame))) continue;
    last = { frame, time };
    yield frame;
  }
}

/**
 * Frames of a live picture, as they come, until `count` were asked for or it ends; one that stands still counts once.
 * @param {Playing} playing
 * @param {number} count
 * @param {Ask} ask
 * @returns {AsyncGenerator<Frame, void, undefined>}
 */
export async function* liveFrames(playing, count, ask) {
  /** @type {Frame | null} */
  let last = null;
  for (let asked = 0; asked < count; asked++) {
    const shown = await ask('frame');
    if (!shown) return;
    const frame = await taken(shown.picture, shown.time, playing);
    if (last && isSame(frame, last)) continue;
    last = frame;
    yield frame;
  }
}

/**
 * Whether two frames have the same pixels: one picture must not pass for several, on which a verdict may rest.
 * @param {Frame} one
 * @param {Frame} other
 */
function isSame(one, other) {
  const { pixels, width, height } = one;
  if (width !== other.width || height !== other.height || pixels.length !== other.pixels.length) return false;
  return pixels.every((level, index) => level === other.pixels[index]);
}

/** Before its very end a player shows the last frame; at the end some show none. */
const END = 0.001;

/**
 * @param {number | null} duration
 * @param {number} count
 */
function evenTimes(duration, count) {
  const span = Math.max(0, (duration ?? 0) - END);
  return Array.from({ length: count }, (_, index) => (count === 1 ? 0 : (span * index) / (count - 1)));
}

/**
 * The pixels of a picture. It is let go.
 * @param {Shown['picture']} picture
 * @param {number} time
 * @param {Displayed} displayed
 * @returns {Promise<Frame>}
 */
async function taken(picture, time, displayed) {
  try {
    const { width, height } = displayed;
    return { time, ...((await asDecoded(picture, displayed)) ?? { ...drawn(picture, width, height), orientation: 1 }) };
  } finally {
    picture.close();
  }
}

/** Numbers of orientations by the clockwise degrees of a turn. */
const TURNS = { 0: 1, 90: 6, 180: 3, 270: 8 };

/**
 * The pixels of a decoder's frame that has only to be laid for display; `null` of anything else.
 * @param {any} picture
 * @param {Displayed} displayed
 */
async function asDecoded(picture, displayed) {
  if (!('visibleRect' in picture)) return null;
  const orientation = orientationOf(picture, displayed);
  const coded = orientation && (displayed.coded ?? codedAs(displayed, orientation));
  if (!coded) return null;
  const { width, height } = picture.visibleRect;
  // Only of a known video do frames of another size belong to it, since their pixels are not square.
  if (!displayed.coded && (width !== coded.width || height !== coded.height)) return null;
  return { ...(await pixelsOf(picture, coded)), orientation };
}

/**
 * How a frame has to be laid; nothing where that is not known, or where the browser laid what a known video asks for itself.
 * @param {{ rotation?: number, flip?: boolean }} picture
 * @param {Displayed} displayed
 */
function orientationOf({ rotation = 0, flip = false }, { orientation }) {
  const asked = rotation !== 0 || flip;
  if (orientation) return asked === (orientation !== 1) ? orientation : null;
  return flip ? null : TURNS[/** @type {0} */ (rotation)];
}

/**
 * How a frame of a video that is not known is coded.
 * @param {Displayed} displayed
 * @param {number} orientation
 * @returns {Coded}
 */
function codedAs({ width, height }, orientation) {
  const [wide, high] = orientation > 4 ? [height, width] : [width, height];
  return {
    width: wide,
    height: high,
    stretched: { width: 1, height: 1 },
    convert: (planes, format, { width, height }, _, matrix, fullRange) =>
      matrix ? wasm.toRgb(planes, format, width, height, matrix, fullRange ?? false) : undefined,
  };
}
