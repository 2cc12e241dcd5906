/**
 * A worker that makes a detector file of somebody else's checkpoint. It is told which, and then asked for piece after piece, so
 * that no more than one waits to be kept.
 */

import { isBroken, stopped, told } from './error.js';
import { start, wasm } from './module.js';

const ready = start();
ready.catch(() => {});
/** @type {import('./unmask_wasm.js').Conversion | undefined} */
let conversion;

const TASKS = {
  /** Resolves to how many bytes the detector file will have. */
  begin({ blob, file, name, licence, format, config }) {
    conversion = new wasm.Conversion(blob, file, name, licence, format, config);
    return conversion.size;
  },

  /** Resolves to the next bytes; to nothing behind the last. */
  next() {
    return /** @type {import('./unmask_wasm.js').Conversion} */ (conversion).nextBytes();
  },
};

self.addEventListener('message', async (/** @type {MessageEvent} */ { data: { task, message } }) => {
  try {
    await ready.catch(({ message }) => {
      throw { code: 'missing_files', message: `Unmask's module could not be started (${message}); check that all of its files are served` };
    });
    const value = TASKS[task](message);
    self.postMessage({ value }, value instanceof Uint8Array ? [value.buffer] : []);
  } catch (error) {
    self.postMessage({ error: isBroken(error) ? stopped(error, () => wasm.lastPanic()) : told(error) });
  }
});
