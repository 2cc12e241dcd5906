/**
 * Detector files: fetched, checked, kept on disk, and with the base that an adapter needs.
 */

import { bundled } from './bundled.js';
import { download } from './download.js';
import { spawn } from './spawn.js';
import { hexadecimal, openStore } from './store.js';

/**
 * Up to here the browser computes a file's SHA-256, for which all of it goes into memory at once; above, a worker does so
 * piece by piece.
 */
const HASHED_AT_ONCE = 64 << 20;

/** More than any detector's header has. */
const LONGEST_HEADER = 16 << 20;

/** What files without a name of their own are called. */
const NAMELESS = 'the detector file';

/**
 * A detector file, whole and with its base.
 *
 * @typedef {object} Fetched
 * @property {Blob} blob
 * @property {string} name what errors call it
 * @property {string | null} sha256 its SHA-256, where that had to be known
 * @property {Blob | null} base the detector that an adapter changes, which is the one that it names
 */

/**
 * Fetches a detector file; without a source, the one that comes with Unmask.
 *
 * Files from the web are kept on disk in a secure context. A kept file with the wanted SHA-256 is used without a request;
 * any other is used if the server says that it is still the same, or says nothing at all.
 *
 * @param {string | URL | Blob | ArrayBuffer | ArrayBufferView | null} [source]
 * @param {object} [options]
 * @param {string} [options.sha256] the only file to accept
 * @param {string | URL | Blob | ArrayBuffer | ArrayBufferView} [options.base] the detector that an adapter changes; without it, a
 *   cached one
 * @param {(progress: { stage: 'download', done: number, total?: number }) => void} [options.onProgress]
 * @param {AbortSignal} [options.signal]
 * @returns {Promise<Fetched>}
 */
export async function fetchDetector(source, { sha256, base, onProgress = () => {}, signal } = {}) {
  signal?.throwIfAborted();
  const wanted = source == null ? (sha256 ?? bundled.sha256) : sha256;
  const store = await openStore();
  const context = { store, onProgress, signal };
  const file = await obtain(source ?? bundled.url, checkedSha256(wanted), context);
  const baseFile = await obtainBase(file, base, context);
  return { blob: file.blob, name: file.name, sha256: file.sha256, base: baseFile?.blob ?? null };
}

function checkedSha256(sha256) {
  if (sha256 == null) return null;
  if (!/^[0-9a-f]{64}$/i.test(sha256)) throw new TypeError('a SHA-256 has 64 hexadecimal digits');
  return sha256.toLowerCase();
}

/** A file: `{ blob, name, sha256 }`. It is the one with `sha256`, unless that is null. */
async function obtain(source, sha256, context) {
  const given = asBlob(source);
  if (given) {
    const file = { blob: given, name: given.name ?? NAMELESS, sha256 };
    if (sha256) await check(file, context);
    return file;
  }
  const url = new URL(source, document.baseURI);
  const name = fileName(url);
  const cached = sha256 && (await forgiving(() => context.store?.withSha256(sha256)));
  if (cached) return { blob: new Blob(cached.pieces), name, sha256 };
  return exclusively(url, context, () => fromWeb({ url, name, sha256 }, context));
}

function asBlob(source) {
  if (source instanceof Blob) return source;
  return source instanceof ArrayBuffer || ArrayBuffer.isView(source) ? new Blob([source]) : null;
}

function fileName(url) {
  const last = url.pathname.split('/').pop() || url.href;
  try {
    return decodeURIComponent(last);
  } catch {
    return last;
  }
}

async function fromWeb({ url, name, sha256 }, { store, onProgress, signal }) {
  const kept = /^https?:$/.test(url.protocol) ? await forgiving(() => store?.entry(url.href)) : null;
  const blob = await download(url, { name, entry: kept, hashed: sha256 !== null, onProgress, signal });
  const entry = kept?.complete ? kept : null;
  // What is kept was checked when it came.
  if (!entry?.sha256 || (sha256 && sha256 !== entry.sha256)) await check({ blob, name, sha256 }, { entry, signal });
  return { blob, name, sha256: entry?.sha256 ?? sha256 };
}

/** One page at a time fetches a file; the others wait and then find it. */
function exclusively(url, { store, signal }, work) {
  return store ? navigator.locks.request(`unmask ${url.href}`, { signal }, work) : work();
}

/** The base of an adapter; null for a detector that is whole. */
async function obtainBase(file, base, context) {
  const sha256 = await baseSha256(file.blob);
  if (!sha256) {
    if (base == null) return null;
    throw new Error(`${file.name}: it is a whole detector, so a base has no use; leave \`base\` out`);
  }
  if (base != null) return obtain(base, sha256, context);
  const cached = await forgiving(() => context.store?.withSha256(sha256));
  if (cached) return { blob: new Blob(cached.pieces), name: fileName(new URL(cached.url)), sha256 };
  const way = 'load that one first, or give it as `base`';
  throw new Error(`${file.name}: it is an adapter for the detector with SHA-256 ${sha256}, which is not cached; ${way}`);
}

/** The SHA-256 of the base that a file's header names; null where it names none, or is no header at all. */
async function baseSha256(blob) {
  try {
    const length = Number(new DataView(await blob.slice(0, 8).arrayBuffer()).getBigUint64(0, true));
    if (length > LONGEST_HEADER) return null;
    const header = JSON.parse(await blob.slice(8, 8 + length).text());
    return JSON.parse(header.__metadata__.unmask).adapter?.base_sha256 ?? null;
  } catch {
    // What is wrong with the file, the worker says when it loads it.
    return null;
  }
}

/** Checks a file where one was wanted, and has what is kept of it found by its SHA-256. */
async function check(file, { entry = null, signal }) {
  if (!file.sha256 && !entry) return;
  let found;
  try {
    found = await sha256Of(file.blob, signal);
  } catch (error) {
    signal?.throwIfAborted();
    if (!file.sha256) return;
    throw new Error(`${file.name}: its SHA-256 could not be computed (${error.message}); load it again`);
  }
  if (file.sha256 && file.sha256 !== found) {
    await forgiving(() => entry?.remove());
    const way = 'check its address and the SHA-256, and load it again';
    throw new Error(`${file.name}: it is another file than the wanted one (its SHA-256 is ${found}, not ${file.sha256}); ${way}`);
  }
  await forgiving(() => entry?.name(found));
}

async function sha256Of(blob, signal) {
  if (globalThis.crypto?.subtle && blob.size <= HASHED_AT_ONCE) {
    return hexadecimal(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer()));
  }
  const worker = spawn('hash.js', startHash);
  try {
    return await new Promise((resolve, reject) => {
      worker.addEventListener('message', ({ data: { sha256, error } }) => (error ? reject(new Error(error)) : resolve(sha256)));
      worker.addEventListener('error', (event) => {
        event.preventDefault();
        reject(new Error(event.message || 'its worker could not be started'));
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

/** What a cache gives; null where it fails, since nothing may depend on it. */
async function forgiving(work) {
  try {
    return (await work()) ?? null;
  } catch {
    return null;
  }
}
