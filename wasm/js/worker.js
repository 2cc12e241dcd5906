import init, { Detector, VideoFile, isImage, lastPanic } from './unmask_wasm.js';
import { imageFrame, videoFrames } from './frames.js';

/** Requests that are to stop, by their number. */
const cancelled = new Set();
let detector = null;
/** Requests are worked off one after the other. */
let queue = init({ module_or_path: new URL('./unmask_wasm_bg.wasm', import.meta.url) });
queue.catch(() => {});

class Cancelled extends Error {}

self.addEventListener('message', ({ data: request }) => {
  if (request.type === 'cancel') {
    cancelled.add(request.id);
    return;
  }
  queue = queue.then(() => answer(request), (error) => fail(request, error));
});

async function answer(request) {
  try {
    const value = request.type === 'load' ? load(request) : await score(request);
    self.postMessage({ id: request.id, type: 'result', value });
  } catch (error) {
    fail(request, error);
  } finally {
    cancelled.delete(request.id);
  }
}

function fail({ id, name }, error) {
  // Whoever cancelled does not wait for an answer.
  if (error instanceof Cancelled) return;
  if (error instanceof WebAssembly.RuntimeError || error instanceof WebAssembly.CompileError) {
    const reason = lastPanicOrNull() ?? error.message;
    self.postMessage({ id, type: 'broken', value: `${name}: the detector stopped on this file (${reason}); re-encode it` });
  } else {
    self.postMessage({ id, type: 'error', value: `${name}: ${error.message}` });
  }
}

function lastPanicOrNull() {
  try {
    return lastPanic();
  } catch {
    return null;
  }
}

function load({ model }) {
  detector?.free();
  detector = null;
  detector = new Detector(model);
  return { name: detector.name, sha256: detector.sha256, frames: detector.frames, device: 'cpu' };
}

async function score({ id, file, name, frames, everybody }) {
  const began = performance.now();
  const clock = new Stopwatch();
  const video = clock.time('decode', () => (isImage(file) ? null : new VideoFile(file, frames ?? detector.frames)));
  const scoring = detector.begin(everybody);
  const sources = video ? videoFrames(video) : imageFrame(file);
  try {
    const first = await takeFrames(id, { scoring, sources, clock, total: video?.wantedFrames ?? 1 });
    scoring.seal();
    await scoreReady(id, scoring, clock);
    const surroundings = {
      input: name,
      video: summary(video, first),
      timing_s: clock.timing(performance.now() - began),
    };
    const report = JSON.parse(scoring.finish(JSON.stringify(surroundings)));
    video?.free();
    return report;
  } catch (error) {
    // A module that stopped cannot be called any more; its worker ends.
    if (!(error instanceof WebAssembly.RuntimeError)) {
      await sources.return();
      scoring.free();
      video?.free();
    }
    throw error;
  }
}

/** Finds and scores the faces of each frame as it comes; gives the first frame. */
async function takeFrames(id, { scoring, sources, clock, total }) {
  let first = null;
  for (;;) {
    const { value: frame, done } = await clock.timeAsync('decode', () => sources.next());
    if (done) return first;
    first ??= frame;
    clock.time('detect', () => scoring.push(frame.time, frame.pixels, frame.width, frame.height, frame.rotation));
    await scoreReady(id, scoring, clock);
    self.postMessage({ id, type: 'progress', value: { stage: 'score', done: scoring.frameCount, total } });
  }
}

async function scoreReady(id, scoring, clock) {
  await breathe(id);
  while (clock.time('score', () => scoring.scoreSome())) await breathe(id);
}

/** Lets messages in, and stops if one of them said so. */
async function breathe(id) {
  await new Promise((resume) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resume();
    };
    port2.postMessage(null);
  });
  if (cancelled.has(id)) throw new Cancelled();
}

/** What the report says of the input. */
function summary(video, first) {
  return {
    width: video ? video.displayedWidth : first.width,
    height: video ? video.displayedHeight : first.height,
    fps: video?.fps ?? null,
    duration_s: video?.durationSeconds ?? null,
    frames_sampled: 0,
  };
}

/** Adds up the milliseconds spent in each stage. */
class Stopwatch {
  #spent = { decode: 0, detect: 0, score: 0 };

  time(stage, work) {
    const began = performance.now();
    try {
      return work();
    } finally {
      this.#spent[stage] += performance.now() - began;
    }
  }

  async timeAsync(stage, work) {
    const began = performance.now();
    try {
      return await work();
    } finally {
      this.#spent[stage] += performance.now() - began;
    }
  }

  /** All stages and the total in seconds, to the millisecond. */
  timing(total) {
    const seconds = (milliseconds) => Math.round(milliseconds) / 1000;
    const { decode, detect, score } = this.#spent;
    return { decode: seconds(decode), detect: seconds(detect), score: seconds(score), total: seconds(total) };
  }
}
