/** A worker that computes the SHA-256 of a `Blob` piece by piece: the browser has none that is fed so. */

import { told } from './error.js';
import init, { sha256 } from './unmask_wasm.js';

const ready = init({ module_or_path: new URL('./unmask_wasm_bg.wasm', import.meta.url) });
ready.catch(() => {});

self.addEventListener('message', async (/** @type {MessageEvent} */ { data: blob }) => {
  try {
    await ready;
    self.postMessage({ sha256: sha256(blob) });
  } catch (error) {
    self.postMessage({ error: told(error) });
  }
});
