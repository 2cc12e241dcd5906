/** A worker that computes the SHA-256 of a `Blob` piece by piece: the browser has none that is fed so. */

import { told } from './error.js';
import { start, wasm } from './module.js';

const ready = start();
ready.catch(() => {});

self.addEventListener('message', async (/** @type {MessageEvent} */ { data: blob }) => {
  try {
    await ready;
    self.postMessage({ sha256: wasm.sha256(blob) });
  } catch (error) {
    self.postMessage({ error: told(error) });
  }
});
