/**
 * One of the workers that compute: finds faces, and scores crops once it has a detector. It answers one task at a time.
 */

/** The module's exports, those of the CPU's module or of WebGPU's. */
let wasm = null;
let finder = null;
let scorer = null;

const TASKS = {
  /** Makes the module ready, and the face finder where its weights are given. */
  async start({ module, gpu, faceWeights }) {
    wasm = gpu ? await import('./unmask_gpu.js') : await import('./unmask_wasm.js');
    await wasm.default({ module_or_path: gpu ? new URL('./unmask_gpu_bg.wasm', import.meta.url) : module });
    if (faceWeights) finder = new wasm.FaceFinder(...faceWeights.map((weights) => new Uint8Array(weights)));
  },

  /** Whether the device computes what it should. */
  async probe() {
    await wasm.probe();
  },

  describe({ blob }) {
    return { spec: wasm.readSpec(blob), sha256: wasm.sha256(blob) };
  },

  async load({ model, base }) {
    scorer?.free();
    scorer = null;
    scorer = await wasm.Scorer.load(model, base);
  },

  find({ pixels, width, height, rotation }) {
    const faces = finder.find(pixels, width, height, rotation);
    return { faces, pixels };
  },

  async score({ crops }) {
    return { scores: await scorer.score(crops) };
  },
};

self.addEventListener('message', async ({ data: { id, task, message } }) => {
  const began = performance.now();
  try {
    const value = await TASKS[task](message);
    const transfer = value?.pixels ? [value.pixels.buffer] : [];
    self.postMessage({ id, value, milliseconds: performance.now() - began }, transfer);
  } catch (error) {
    self.postMessage({ id, error: reason(error), broken: isBroken(error) });
  }
});

/** A module that stopped cannot be called any more. */
function isBroken(error) {
  return error instanceof WebAssembly.RuntimeError || error instanceof WebAssembly.CompileError;
}

function reason(error) {
  if (!isBroken(error)) return error.message;
  try {
    return wasm.lastPanic() ?? error.message;
  } catch {
    return error.message;
  }
}
