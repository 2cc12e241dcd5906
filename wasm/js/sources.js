/**
 * What is looked at, opened by the way that its content and this browser allow: pictures, which are decoded here or by the
 * browser, a video whose frames WebCodecs decodes, else whatever the page's player shows.
 *
 * @import { Frame } from './frames.js'
 * @import { Playing } from './messages.d.ts'
 * @import { Caveat, Report } from './unmask.d.ts'
 * @import { PictureFile, VideoFile } from './unmask_wasm.js'
 *
 * @typedef {{ width: number, height: number }} Size
 * @typedef {{ code: Caveat['code'], words?: string }} Noted a caveat, in its usual words where it has none
 * @typedef {(what: 'open' | 'frame', time?: number) => Promise<any>} Ask asks the page's player
 * @typedef {object} Source
 * @property {AsyncGenerator<Frame, void, undefined>} frames the frames to come
 * @property {number} total how many at most
 * @property {(first: Size | null) => Report['video']} summary what the report says of the input once the first frame is there
 * @property {() => Noted[]} caveats what weakens the answer, once all frames were there
 * @property {() => void} free ends it
 */
import { decoderConfig, foreignFrame, pictureFrames, videoFrames } from './frames.js';
import { wasm } from './module.js';
import { evenFrames, liveFrames, plannedFrames } from './played.js';

/**
 * Opens `file`, or what the page's element shows where there is none, to look at `count` frames.
 * @param {Blob | null} file
 * @param {number} count
 * @param {Ask} ask
 * @returns {Promise<Source>}
 */
export async function openSource(file, count, ask) {
  if (!file) return playedSource(await ask('open'), count, ask);
  let video;
  try {
    const kind = wasm.mediaKind(file);
    if (kind === 'picture') return pictureSource(new wasm.PictureFile(file, count));
    if (kind === 'foreign') return foreignSource(file);
    video = new wasm.VideoFile(file, count);
  } catch (error) {
    if (error.code !== 'unsupported_container') throw error;
    return playedSource(await openedOr(error, ask), count, ask);
  }
  try {
    return await videoSource(video, count, ask);
  } catch (error) {
    video.free();
    throw error;
  }
}

/**
 * @param {VideoFile} video
 * @param {number} count
 * @param {Ask} ask
 * @returns {Promise<Source>}
 */
async function videoSource(video, count, ask) {
  const config = await decoderConfig(video);
  const playing = config ? null : await openedOr(video.refusal, ask);
  // A player finds frames by the times in the file alone.
  if (playing && video.isCounted) return untimedSource(video, playing, count, ask);
  /** @type {Map<string, Noted>} */
  const noted = new Map();
  const size = { width: video.displayedWidth, height: video.displayedHeight };
  return {
    frames: config ? videoFrames(video, config, (code) => noted.set(code, { code })) : plannedFrames(video, ask),
    total: video.wantedFrames,
    summary: () => summary('video', size, video.fps, video.durationSeconds),
    caveats: () => [...JSON.parse(video.caveats), ...noted.values()],
    free: () => video.free(),
  };
}

/**
 * What a player shows of a video whose times cannot be right: frames cannot be found by their number.
 * @param {VideoFile} video
 * @param {Playing} playing
 * @param {number} count
 * @param {Ask} ask
 * @returns {Source}
 */
function untimedSource(video, playing, count, ask) {
  const words = 'the times of frames in the file cannot be right, and the browser’s player goes by them, so that parts may be left out';
  /** @param {Noted} caveat */
  const played = (caveat) => (caveat.code === 'bad_times' ? { ...caveat, words } : caveat);
  return {
    ...playedSource(playing, count, ask),
    caveats: () => JSON.parse(video.caveats).map(played),
    free: () => video.free(),
  };
}

/**
 * @param {PictureFile} pictures
 * @returns {Source}
 */
function pictureSource(pictures) {
  return {
    frames: pictureFrames(pictures),
    total: pictures.wantedFrames,
    summary: () => summary(pictures.isMoving ? 'video' : 'still', pictures, pictures.fps, pictures.durationSeconds),
    caveats: () => JSON.parse(pictures.caveats),
    free: () => pictures.free(),
  };
}

/**
 * @param {Blob} file
 * @returns {Source}
 */
function foreignSource(file) {
  return {
    frames: foreignFrame(file, wasm.pictureRefusal(file)),
    total: 1,
    summary: (first) => summary('still', first),
    caveats: () => [],
    free() {},
  };
}

/**
 * @param {Playing} playing
 * @param {number} count
 * @param {Ask} ask
 * @returns {Source}
 */
function playedSource(playing, count, ask) {
  return {
    frames: playing.live ? liveFrames(playing, count, ask) : evenFrames(playing, count, ask),
    total: count,
    summary: () => summary(playing.live ? 'live' : 'video', playing, undefined, playing.duration),
    caveats: () => [],
    free() {},
  };
}

/**
 * What the page's player opens; where it does not either, `refusal` says why and what to do.
 * @param {any} refusal
 * @param {Ask} ask
 * @returns {Promise<Playing>}
 */
async function openedOr(refusal, ask) {
  try {
    return await ask('open');
  } catch (error) {
    if (error.name === 'Cancelled') throw error;
    throw refusal;
  }
}

/**
 * What the report says of an input; how many frames were looked at, it counts itself.
 * @param {Report['video']['kind']} kind
 * @param {Size | null} size
 * @param {number} [fps]
 * @param {number | null} [duration]
 * @returns {Report['video']}
 */
function summary(kind, size, fps, duration) {
  const { width, height } = size ?? { width: 0, height: 0 };
  return { kind, width, height, fps: fps ?? null, duration_s: duration ?? null, frames_sampled: 0 };
}
