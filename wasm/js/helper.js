/**
 * One of the workers that compute: finds faces, and scores crops once it has the detectors. It answers one task at a time.
 *
 * @import { FaceFinder, Scorer } from './unmask_wasm.js'
 */

import { isBroken, stopped, told } from './error.js';
import * as cpu from './module.js';

/** The module's exports, those of a CPU's module or of WebGPU's. @type {any} */
let wasm;
/** @type {FaceFinder | undefined} */
let finder;
/** A scorer a detector, in their order. @type {(Scorer | undefined)[]} */
const scorers = [];

const TASKS = {
  /** Makes the module ready, and the face finder where its weights are given. */
  async start({ relaxed, compiled, gpu, faceWeights }) {
    if (gpu) {
      wasm = await import('./unmask_gpu.js');
      await wasm.default({ module_or_path: new URL('./unmask_gpu_bg.wasm', import.meta.url) });
    } else {
      await cpu.start({ relaxed, compiled });
      wasm = cpu.wasm;
    }
    if (faceWeights) finder = new wasm.FaceFinder(...faceWeights.map((weights) => new Uint8Array(weights)));
  },

  /** Whether the device computes what it should. */
  async probe() {
    await wasm.probe();
  },

  describe({ blob }) {
    return { spec: wasm.readSpec(blob), sha256: wasm.sha256(blob) };
  },

  async load({ index, model, base }) {
    scorers[index]?.free();
    scorers[index] = undefined;
    scorers[index] = await wasm.Scorer.load(model, base);
  },

  /** Whether the device computes the detector as a CPU does. */
  async check({ index }) {
    // The CPU's modules have nothing to check.
    await /** @type {any} */ (scorers[index]).check();
  },

  find({ pixels, width, height, orientation }) {
    return /** @type {FaceFinder} */ (finder).find(pixels, width, height, orientation);
  },

  async score({ crops, model }) {
    return /** @type {Scorer} */ (scorers[model]).score(crops);
  },

  /** Where the detector looked in the middle one of a clip's crops. */
  async explain({ crops, model }) {
    const explained = await /** @type {Scorer} */ (scorers[model]).explain(crops);
    try {
      return { score: explained.score, size: explained.size, fake: explained.takeFake(), real: explained.takeReal() };
    } finally {
      explained.free();
    }
  },
};

self.addEventListener('message', async (/** @type {MessageEvent} */ { data: { id, task, message } }) => {
  const began = performance.now();
  try {
    const value = await TASKS[task](message);
    self.postMessage({ id, value, milliseconds: performance.now() - began });
  } catch (error) {
    self.postMessage({ id, error: told(isBroken(error) ? stopped(error, () => wasm.lastPanic()) : error), broken: isBroken(error) });
  }
});
