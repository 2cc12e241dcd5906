/**
 * Checkpoints that other people published, made into detector files on this device. What comes out is kept in place of what was
 * fetched, at half its size or less.
 *
 * @import { Converted, Entry } from './store.js'
 * @import { Checkpoint, Progress } from './unmask.d.ts'
 */

import { Pieces } from './download.js';
import { heard, UnmaskError } from './error.js';
import { sha256Of } from './digest.js';
import { spawn } from './spawn.js';

/** As in the core, `formats::CONVERSION`: what an earlier one made is made anew. */
const VERSION = 2;

/** The longest header that is read; the format's own limit. */
const LONGEST_HEADER = 100e6;

/** How the hub of Hugging Face calls files, which are nearly all `model.safetensors`: by repository. */
const OF_HUB = /^\/[^/]+\/([^/]+)\/(?:resolve|raw)\//;

/**
 * What is said of a checkpoint, as it is kept.
 * @param {Checkpoint} checkpoint
 * @returns {Record<string, string | null>}
 */
function facts({ name, licence, format, config }) {
  const address = config == null || config instanceof Blob ? null : new URL(config, document.baseURI).href;
  return { name: name ?? null, licence: licence ?? null, format: format ?? null, config: address };
}

/**
 * Whether a conversion is what would be made today of what is said of its checkpoint; what is not said does not matter.
 * @param {Converted} converted
 * @param {Checkpoint} [checkpoint]
 */
export function isCurrent({ version, of }, checkpoint = {}) {
  return version === VERSION && Object.entries(facts(checkpoint)).every(([key, value]) => value === null || value === of[key]);
}

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
  const { config, format, licence, name = usualName(file.name, entry?.url) } = checkpoint;
  const message = { blob: file.blob, file: file.name, name, licence, format, config: await textOf(config, signal) };
  const worker = spawn('convert.js', startConvert);
  /** @type {Entry | null} */
  let kept = null;
  try {
    const total = await ask(worker, file.name, signal, 'begin', message);
    kept = (await entry?.conversion({ version: VERSION, of: facts(checkpoint) }).catch(() => null)) ?? null;
    const pieces = new Pieces(kept, false);
    onProgress({ stage: 'convert', done: 0, total });
    for (;;) {
      const bytes = await ask(worker, file.name, signal, 'next');
      if (!bytes) break;
      await pieces.add(bytes);
      onProgress({ stage: 'convert', done: pieces.size, total });
    }
    await pieces.flush();
    const blob = pieces.blob();
    // Where the disk took no more, the rest is in memory.
    const sha256 = kept?.holds(blob.size) ? await sha256Of(blob, signal) : null;
    if (sha256) await kept?.finishConversion(sha256).catch(() => {});
    return { blob, entry: await keptOf(kept, entry) };
  } catch (error) {
    await kept?.remove().catch(() => {});
    throw error;
  } finally {
    worker.terminate();
  }
}

/**
 * What is kept from now on: the detector where all of it is, in place of the checkpoint.
 * @param {Entry | null} detector
 * @param {Entry | null} checkpoint
 */
async function keptOf(detector, checkpoint) {
  const isWhole = detector?.complete ?? false;
  await (isWhole ? checkpoint : detector)?.remove().catch(() => {});
  return isWhole ? detector : checkpoint;
}

/**
 * What a detector is called of which nobody said it.
 * @param {string} file
 * @param {string | null} [url]
 */
function usualName(file, url) {
  const repository = url && OF_HUB.exec(new URL(url).pathname)?.[1];
  return repository || file.replace(/\.[^.]*$/, '');
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
