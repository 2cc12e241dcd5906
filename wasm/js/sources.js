/**
 * What is looked at, opened by the way that its content and this browser allow: an image, a video whose frames WebCodecs
 * decodes, else whatever the page's player shows.
 *
 * @typedef {{ frames: AsyncGenerator, total: number, summary: (first: object | null) => object, free: () => void }} Source
 *   the frames to come, how many at most, what the report says of the input once the first frame is there, and the end
 */
import { VideoFile, isImage } from './unmask_wasm.js';
import { decoderConfig, imageFrame, videoFrames } from './frames.js';
import { evenFrames, liveFrames, plannedFrames } from './played.js';

/**
 * Opens `file`, or what the page's element shows where there is none, to look at `count` frames.
 * @param {(what: 'open' | 'frame', time?: number) => Promise} ask asks the page's player
 * @returns {Promise<Source>}
 */
export async function openSource(file, count, ask) {
  if (!file) return playedSource(await ask('open'), count, ask);
  if (isImage(file)) return { frames: imageFrame(file), total: 1, summary: (first) => summary('still', first), free() {} };
  let video;
  try {
    video = new VideoFile(file, count);
  } catch (error) {
    if (error.name !== 'OtherContainer') throw error;
    return playedSource(await openedOr(error.message, ask), count, ask);
  }
  try {
    return await videoSource(video, ask);
  } catch (error) {
    video.free();
    throw error;
  }
}

async function videoSource(video, ask) {
  const config = await decoderConfig(video);
  if (!config) await openedOr(video.refusal, ask);
  return {
    frames: config ? videoFrames(video, config) : plannedFrames(video, ask),
    total: video.wantedFrames,
    summary: () => summary('video', { width: video.displayedWidth, height: video.displayedHeight }, video.fps, video.durationSeconds),
    free: () => video.free(),
  };
}

function playedSource(playing, count, ask) {
  return {
    frames: playing.live ? liveFrames(playing, count, ask) : evenFrames(playing, count, ask),
    total: count,
    summary: () => summary(playing.live ? 'live' : 'video', playing, undefined, playing.duration),
    free() {},
  };
}

/** What the page's player opens; where it does not either, the `refusal` says why and what to do. */
async function openedOr(refusal, ask) {
  try {
    return await ask('open');
  } catch (error) {
    if (error.name === 'Cancelled') throw error;
    throw new Error(refusal);
  }
}

/** What the report says of an input; how many frames were looked at, it counts itself. */
function summary(kind, size, fps, duration) {
  const { width, height } = size ?? { width: 0, height: 0 };
  return { kind, width, height, fps: fps ?? null, duration_s: duration ?? null, frames_sampled: 0 };
}
