import { wasm } from './module.js';
import { UnmaskError } from './error.js';
import { BrokenHelper } from './pool.js';
import { openSource } from './sources.js';

/** @import { Pool } from './pool.js' */

/** Frames whose faces are being found, beyond one for each helper: what is decoded ahead. */
const FRAMES_AHEAD = 1;

/** Scores one input by the detectors in `opened`; gives its report. */
export async function scoreInput(opened, { file, name, frames, everybody }, control) {
  const run = new Run(opened, control);
  const source = await run.open(file, frames ?? opened.description.frames);
  const specs = opened.models.map(({ spec }) => spec);
  const hashes = opened.models.map(({ sha256 }) => sha256);
  const scoring = new wasm.Scoring(specs, hashes, everybody);
  try {
    const first = await run.takeFrames(scoring, source);
    const surroundings = { input: name, video: source.summary(first), timing_s: run.timing(), caveats: source.caveats() };
    return JSON.parse(scoring.finish(JSON.stringify(surroundings)));
  } catch (error) {
    await run.abandon();
    // A module that stopped cannot be called any more; its worker ends.
    if (!(error instanceof WebAssembly.RuntimeError)) {
      await source.frames.return(undefined);
      scoring.free();
    }
    throw error;
  } finally {
    source.free();
  }
}

/** One input on its way: what was handed to helpers and did not come back, and where the time went. */
class Run {
  #pool;
  #control;
  #began = performance.now();
  /** Milliseconds of work in each stage, of all workers together. */
  #spent = { decode: 0, detect: 0, score: 0 };
  /**
   * Frames in order of time, with the faces that are being found in them.
   * @type {{ time: number, pixels: Uint8Array, width: number, height: number, orientation: number, found: ReturnType<Pool['run']> }[]}
   */
  #finding = [];
  /** @type {Set<Promise<void>>} */
  #scores = new Set();
  /** @type {Error | null} */
  #failure = null;
  #abandoned = false;

  constructor(opened, control) {
    this.#pool = opened.pool;
    this.#control = control;
    opened.listener = control.tell;
  }

  /** What is to be looked at. */
  async open(file, frames) {
    const began = performance.now();
    const source = await openSource(file, frames, this.#control.ask);
    this.#spent.decode += performance.now() - began;
    return source;
  }

  /** Finds and scores the faces of all frames; gives the first frame's size. */
  async takeFrames(scoring, { frames, total }) {
    /** @type {{ width: number, height: number } | null} */
    let first = null;
    for (;;) {
      const frame = await this.#nextFrame(frames);
      if (!frame) break;
      first ??= { width: frame.width, height: frame.height };
      this.#find(frame);
      if (this.#finding.length > this.#pool.size + FRAMES_AHEAD) await this.#takeOne(scoring, total);
    }
    while (this.#finding.length > 0) await this.#takeOne(scoring, total);
    scoring.seal();
    this.#scoreReady(scoring);
    while (this.#scores.size > 0) await this.#someScores();
    return first;
  }

  /** All stages and the total in seconds, to the millisecond. */
  timing() {
    const seconds = (milliseconds) => Math.round(milliseconds) / 1000;
    const { decode, detect, score } = this.#spent;
    const total = performance.now() - this.#began;
    return { decode: seconds(decode), detect: seconds(detect), score: seconds(score), total: seconds(total) };
  }

  /** Takes no more scores; resolves when no helper works for this input any more. */
  async abandon() {
    this.#abandoned = true;
    await Promise.allSettled([...this.#finding.map(({ found }) => found), ...this.#scores]);
  }

  async #nextFrame(frames) {
    const began = performance.now();
    const { value, done } = await frames.next();
    this.#spent.decode += performance.now() - began;
    this.#check();
    return done ? null : value;
  }

  #find({ time, pixels, width, height, orientation }) {
    const found = this.#pool.run('find', { pixels, width, height, orientation });
    // Whoever waits for it hears of its failure.
    found.catch(() => {});
    this.#finding.push({ time, pixels, width, height, orientation, found });
  }

  /** Hands the next frame with its faces on. */
  async #takeOne(scoring, total) {
    const { time, pixels, width, height, orientation, found } = this.#finding[0];
    const { value: faces, milliseconds } = await found.catch(explained);
    this.#finding.shift();
    this.#spent.detect += milliseconds;
    this.#check();
    scoring.push(time, pixels, width, height, orientation, faces);
    this.#scoreReady(scoring);
    this.#control.tell({ stage: 'score', done: scoring.frameCount, total });
    // Crops that wait for a score take memory.
    while (this.#scores.size > 2 * this.#pool.size + 2) await this.#someScores();
  }

  #scoreReady(scoring) {
    for (let crops = scoring.nextCrops(this.#pool.batch); crops; crops = scoring.nextCrops(this.#pool.batch)) {
      const { batch, model } = crops;
      const take = ({ value, milliseconds }) => {
        this.#spent.score += milliseconds;
        if (!this.#abandoned) scoring.accept(batch, value);
      };
      // What is no score is refused when it is taken.
      const scored = this.#pool.score(crops.takeBytes(), model).catch(explained).then(take).catch((error) => {
        this.#failure ??= error;
      });
      crops.free();
      this.#scores.add(scored);
      scored.finally(() => this.#scores.delete(scored));
    }
  }

  async #someScores() {
    await Promise.race(this.#scores);
    this.#check();
  }

  #check() {
    this.#control.check();
    if (this.#failure) throw this.#failure;
  }
}

/**
 * The sentence for helpers that stopped, one after the other.
 * @returns {never}
 */
function explained(error) {
  if (!(error instanceof BrokenHelper) || error.code !== 'stopped') throw error;
  throw new UnmaskError('stopped', `the detector stopped on this file (${error.message}); re-encode it`);
}
