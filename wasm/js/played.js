/**
 * Frames that the page's player shows (`player.js`), as `frames.js` gives them: asked for one at a time, so that one is
 * under way at most.
 */
import { drawn, pixelsOf } from './frames.js';

/** The sampled frames of a video whose index is known, each shown at its time. */
export async function* plannedFrames(video, ask) {
  const { displayedWidth: width, displayedHeight: height, matrix, fullRange } = video;
  const displayed = { width, height, matrix, fullRange };
  for (let run = 0; run < video.runs; run++) {
    const [times, seeks] = [video.wantedTimes(run), video.seekTimes(run)];
    for (let index = 0; index < times.length; index++) {
      const { picture } = await ask('frame', seeks[index]);
      yield taken(picture, times[index], displayed);
    }
  }
}

/** `count` frames evenly spaced over the time that something plays; one that is shown several times counts once. */
export async function* evenFrames(playing, count, ask) {
  let last = null;
  for (const asked of evenTimes(playing.duration, count)) {
    const { picture, time } = await ask('frame', asked);
    if (time === last) {
      picture.close();
    } else {
      last = time;
      yield taken(picture, time, playing);
    }
  }
}

/** Frames of a live picture, as they come, until there are `count` or it ends. */
export async function* liveFrames(playing, count, ask) {
  for (let seen = 0; seen < count; seen++) {
    const shown = await ask('frame');
    if (!shown) return;
    yield taken(shown.picture, shown.time, playing);
  }
}

/** Before its very end a player shows the last frame; at the end some show none. */
const END = 0.001;

function evenTimes(duration, count) {
  const span = Math.max(0, (duration ?? 0) - END);
  return Array.from({ length: count }, (_, index) => (count === 1 ? 0 : (span * index) / (count - 1)));
}

/** The pixels of a picture that is displayed in this size, and with these colours where they are known. It is let go. */
async function taken(picture, time, displayed) {
  try {
    const { width, height } = displayed;
    return { time, ...((await asDecoded(picture, displayed)) ?? { ...drawn(picture, width, height), rotation: 0 }) };
  } finally {
    picture.close();
  }
}

/** The pixels of a decoder's frame that has only to be turned for display; `null` of anything else. */
async function asDecoded(picture, { width, height, matrix, fullRange }) {
  if (!('visibleRect' in picture) || picture.flip) return null;
  const rotation = picture.rotation ?? 0;
  const sideways = rotation % 180 !== 0;
  const coded = { width: sideways ? height : width, height: sideways ? width : height, matrix, fullRange };
  const { width: visibleWidth, height: visibleHeight } = picture.visibleRect;
  if (visibleWidth !== coded.width || visibleHeight !== coded.height) return null;
  return { ...(await pixelsOf(picture, coded)), rotation };
}
