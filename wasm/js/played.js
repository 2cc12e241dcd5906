/**
 * Frames that the page's player shows (`player.js`), as `frames.js` gives them: asked for one at a time, so that one is
 * under way at most.
 */
import { drawn } from './frames.js';

/** The sampled frames of a video whose index is known, each shown at its time. */
export async function* plannedFrames(video, ask) {
  for (let run = 0; run < video.runs; run++) {
    const [times, seeks] = [video.wantedTimes(run), video.seekTimes(run)];
    for (let index = 0; index < times.length; index++) {
      const { bitmap } = await ask('frame', seeks[index]);
      yield taken(bitmap, times[index], video.displayedWidth, video.displayedHeight);
    }
  }
}

/** `count` frames evenly spaced over the time that something plays; one that is shown several times counts once. */
export async function* evenFrames({ duration }, count, ask) {
  let last = null;
  for (const asked of evenTimes(duration, count)) {
    const { bitmap, time } = await ask('frame', asked);
    if (time === last) {
      bitmap.close();
    } else {
      last = time;
      yield taken(bitmap, time, bitmap.width, bitmap.height);
    }
  }
}

/** Frames of a live picture, as they come, until there are `count` or it ends. */
export async function* liveFrames(count, ask) {
  for (let seen = 0; seen < count; seen++) {
    const shown = await ask('frame');
    if (!shown) return;
    yield taken(shown.bitmap, shown.time, shown.bitmap.width, shown.bitmap.height);
  }
}

/** Before its very end a player shows the last frame; at the end some show none. */
const END = 0.001;

function evenTimes(duration, count) {
  const span = Math.max(0, (duration ?? 0) - END);
  return Array.from({ length: count }, (_, index) => (count === 1 ? 0 : (span * index) / (count - 1)));
}

/** The pixels of a picture, which is let go. */
function taken(bitmap, time, width, height) {
  try {
    return { time, ...drawn(bitmap, width, height), rotation: 0 };
  } finally {
    bitmap.close();
  }
}
