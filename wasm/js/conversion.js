/**
 * Checkpoints that other people published, made into detector files on this device. What comes out is kept in place of what was
 * fetched, at half its size or less.
 *
 * @import { Entry } from './store.js'
 * @import { Checkpoint, Progress } from './unmask.d.ts'
 */

import { Pieces } from './download.js';
import { heard, UnmaskError } from './error.js';
import { spawn } from './spawn.js';

/** More than any file's header has. */
const LONGEST_HEADER = 16 << 20;

/**
 * The header of a safetensors file; null where the file does not begin with one.
 * @param {Blob} blob
 * @returns {Promise<any>}
 */
export async function headerOf(blob) {
  try {
    const length = Number(new DataView(await blob.slice(0, 8).arrayBuffer()).getBigUint64(0, true));
    if (length > LONGEST_HEADER) return null;
    return JSON.parse(await blob.slice(8, 8 + length).text());
  } catch {
    return null;
  }
}

/**
 * Whether a file has tensors and is no detector file, so that it may be a checkpoint.
 * @param {{ blob: Blob, name: string }} file
 */
export async function isCheckpoint({ blob, name }) {
  const header = await headerOf(blob);
  if (header) return header.__metadata__?.unmask === undefined;
  // A file that cannot be read, the worker refuses when it loads it.
  const [first, second] = new Uint8Array(await blob.slice(0, 2).arrayBuffer().catch(() => new ArrayBuffer(0)));
  // A zip archive, as PyTorch writes them, or a pickle by itself.
  if ((first === 0x50 && second === 0x4b) || first === 0x80) {
    const problem = 'it is a checkpoint of PyTorch, which pages do not read';
    throw new UnmaskError('bad_detector', `${name}: ${problem}; make a detector file of it with \`unmask import\``);
  }
  return false;
}

/**
 * The detector file that a checkpoint becomes, and what is kept of it.
 * @param {{ blob: Blob, name: string }} file
 * @param {object} options
 * @param {Checkpoint} [options.checkpoint] what the file does not say of itself
 * @param {Entry | null} options.entry where the checkpoint is kept, if it is
 * @param {(progress: Progress) => void} options.onProgress
 * @param {AbortSignal} [options.signal]
 * @returns {Promise<{ blob: Blob, entry: Entry | null }>}
 */
export async function convert(file, { checkpoint = {}, entry, onProgress, signal }) {
  const { config, format, licence, name = file.name.replace(/\.[^.]*$/, '') } = checkpoint;
  const message = { blob: file.blob, file: file.name, name, licence, format, config: await textOf(config, signal) };
  const worker = spawn('convert.js', startConvert);
  try {
    const total = await ask(worker, file.name, signal, 'begin', message);
    const kept = await entry?.conversion().catch(() => null);
    const pieces = new Pieces(kept ?? null, false);
    onProgress({ stage: 'convert', done: 0, total });
    for (;;) {
      const bytes = await ask(worker, file.name, signal, 'next');
      if (!bytes) break;
      await pieces.add(bytes);
      onProgress({ stage: 'convert', done: pieces.size, total });
    }
    await pieces.flush();
    await pieces.finish();
    const isKept = kept?.complete ?? false;
    if (isKept) await entry?.remove().catch(() => {});
    return { blob: pieces.blob(), entry: isKept ? (kept ?? null) : entry };
  } finally {
    worker.terminate();
  }
}

/**
 * What stands in a `config.json`; nothing without one.
 * @param {Checkpoint['config']} config
 * @param {AbortSignal} [signal]
 */
async function textOf(config, signal) {
  if (config == null) return undefined;
  if (config instanceof Blob) return config.text();
  const url = new URL(config, document.baseURI);
  try {
    const response = await fetch(url, { signal });
    if (response.ok) return await response.text();
    throw new UnmaskError('bad_response', `${url.href}: the server answered ${response.status}; check the address`);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof UnmaskError) throw error;
    throw new UnmaskError('network', `${url.href}: it could not be fetched (${error.message}); check the connection`);
  }
}

/**
 * Has the worker do one thing.
 * @param {Worker} worker
 * @param {string} name the file that errors are about
 * @param {AbortSignal | undefined} signal
 * @param {'begin' | 'next'} task
 * @param {object} [message]
 * @returns {Promise<any>}
 */
async function ask(worker, name, signal, task, message) {
  signal?.throwIfAborted();
  const done = new AbortController();
  const once = { signal: done.signal };
  try {
    return await new Promise((resolve, reject) => {
      const hear = ({ data: { value, error } }) => {
        if (!error) resolve(value);
        else reject(heard({ code: error.code, message: `${name}: ${error.message}` }));
      };
      worker.addEventListener('message', hear, once);
      worker.addEventListener(
        'error',
        (event) => {
          event.preventDefault();
          const reason = event.message || 'its files could not be loaded';
          reject(new UnmaskError('missing_files', `${name}: it could not be converted (${reason}); check that all of Unmask's files are served`));
        },
        once,
      );
      signal?.addEventListener('abort', () => reject(signal.reason), once);
      worker.postMessage({ task, message });
    });
  } finally {
    done.abort();
  }
}

function startConvert() {
  return new Worker(new URL('./convert.js', import.meta.url), { type: 'module', name: 'unmask-convert' });
}
