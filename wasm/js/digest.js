/** The SHA-256 of files of any length. */

import { heard, UnmaskError } from './error.js';
import { spawn } from './spawn.js';
import { hexadecimal } from './store.js';

/**
 * Up to here the browser computes a file's SHA-256, for which all of it goes into memory at once; above, a worker does so
 * piece by piece.
 */
const HASHED_AT_ONCE = 64 << 20;

/**
 * In lower-case hexadecimal.
 * @param {Blob} blob
 * @param {AbortSignal} [signal]
 * @returns {Promise<string>}
 */
export async function sha256Of(blob, signal) {
  if (globalThis.crypto?.subtle && blob.size <= HASHED_AT_ONCE) {
    return hexadecimal(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer()));
  }
  const worker = spawn('hash.js', startHash);
  try {
    return await new Promise((resolve, reject) => {
      worker.addEventListener('message', ({ data: { sha256, error } }) => (error ? reject(heard(error)) : resolve(sha256)));
      worker.addEventListener('error', (event) => {
        event.preventDefault();
        reject(new UnmaskError('missing_files', event.message || 'its worker could not be started'));
      });
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
      worker.postMessage(blob);
    });
  } finally {
    worker.terminate();
  }
}

function startHash() {
  return new Worker(new URL('./hash.js', import.meta.url), { type: 'module', name: 'unmask-hash' });
}
