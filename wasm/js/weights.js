/**
 * Detector files: fetched, checked, kept on disk, and with the base that an adapter needs.
 *
 * @import { Entry } from './store.js'
 * @import { Checkpoint, Kept, Progress, Source } from './unmask.d.ts'
 *
 * @typedef {object} Context what all work on one file shares
 * @property {Awaited<ReturnType<typeof openStore>>} store
 * @property {(progress: Progress) => void} onProgress
 * @property {AbortSignal} [signal]
 * @property {Checkpoint} [checkpoint] what the file does not say of itself, should it be a checkpoint
 *
 * @typedef {{ blob: Blob, name: string, sha256: string | null }} Found a file; its SHA-256 where that has to be checked yet, or is known
 */

import { bundled } from './bundled.js';
import { convert, headerOf, isCheckpoint, isCurrent } from './conversion.js';
import { download, notKept, PIECE } from './download.js';
import { UnmaskError } from './error.js';
import { sha256Of } from './digest.js';
import { fileName, openStore } from './store.js';

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
 * any other is used if the server says that it is still the same, or says nothing at all. A checkpoint of somebody else becomes a
 * detector file, which is kept in its place.
 *
 * @param {Source | null} [source]
 * @param {object} [options]
 * @param {string} [options.sha256] the only file to accept
 * @param {Source} [options.base] the detector that an adapter changes; without it, a kept one
 * @param {Checkpoint} [options.checkpoint]
 * @param {(progress: Progress) => void} [options.onProgress]
 * @param {AbortSignal} [options.signal]
 * @returns {Promise<Fetched>}
 */
export async function fetchDetector(source, { sha256, base, checkpoint, onProgress = () => {}, signal } = {}) {
  signal?.throwIfAborted();
  const wanted = source == null ? (sha256 ?? bundled.sha256) : sha256;
  const context = { store: await openStore(), onProgress, signal, checkpoint };
  const file = await obtain(source ?? bundled.url, checkedSha256(wanted), context);
  const baseFile = await obtainBase(file, base, context);
  return { blob: file.blob, name: file.name, sha256: file.sha256, base: baseFile?.blob ?? null };
}

/**
 * Keeps a detector file on disk, whole and checked, without loading it; rejects where that cannot be.
 *
 * @param {Source | null} [source]
 * @param {object} [options]
 * @param {string} [options.sha256] the only file to accept
 * @param {Checkpoint} [options.checkpoint]
 * @param {(progress: Progress) => void} [options.onProgress]
 * @param {AbortSignal} [options.signal]
 * @returns {Promise<Kept>}
 */
export async function keepDetector(source, { sha256, checkpoint, onProgress = () => {}, signal } = {}) {
  signal?.throwIfAborted();
  const wanted = checkedSha256(source == null ? (sha256 ?? bundled.sha256) : sha256);
  const context = { store: await openStore(), onProgress, signal, checkpoint };
  const given = source == null ? null : asBlob(source);
  if (given) return keepGiven(given, wanted, context);
  const url = new URL(/** @type {string | URL} */ (source ?? bundled.url), document.baseURI);
  const name = fileName(url);
  const cached = wanted && (await forgiving(() => context.store?.withSha256(wanted)));
  if (cached && (await isReady(cached, context))) return cached.described;
  const keep = async () => asDetector(await fromWeb({ url, name, sha256: wanted }, context, true), context);
  const { entry } = await exclusively(url.href, context, keep);
  return /** @type {Entry} */ (entry).described;
}

/**
 * What is kept: whole files, and parts of those whose download did not come to its end.
 * @returns {Promise<Kept[]>}
 */
export async function keptDetectors() {
  const store = await openStore();
  return store ? (await store.list()).map((entry) => entry.described) : [];
}

/**
 * Deletes what is kept of a file; resolves to whether there was anything.
 * @param {Kept | string | URL} which what `keptDetectors` listed, or an address
 */
export async function forgetDetector(which) {
  const store = await openStore();
  if (!store) return false;
  const isAddress = typeof which === 'string' || which instanceof URL;
  const entry = isAddress ? await store.entry(new URL(which, document.baseURI).href) : await store.withId(which.id);
  if (!entry?.exists) return false;
  return navigator.locks.request(lockName(entry.lock), { ifAvailable: true }, async (lock) => {
    if (!lock) {
      throw new UnmaskError('in_use', `${entry.name}: it is being fetched at the moment; stop that, and delete it then`);
    }
    await entry.forget();
    return true;
  });
}

/**
 * Keeps a file that was given.
 * @param {Blob} blob
 * @param {string | null} wanted
 * @param {Context} context
 */
async function keepGiven(blob, wanted, context) {
  const { store, onProgress, signal } = context;
  const file = { blob, name: nameOf(blob), sha256: wanted };
  const found = await sha256Of(blob, signal).catch((error) => notHashed(file, error, signal));
  refuseOther(file, found);
  if (!store) throw notKept(file.name, null);
  const first = await store.given(found, file.name);
  return exclusively(first.lock, context, async () => {
    const entry = await store.given(found, file.name);
    if (entry.converted && isUsable(entry, context)) return entry.described;
    try {
      // What there was may be a part.
      await entry.begin(null);
      for (let start = 0; start < blob.size; start += PIECE) {
        signal?.throwIfAborted();
        await entry.append(blob.slice(start, start + PIECE));
        onProgress({ stage: 'download', done: Math.min(start + PIECE, blob.size), total: blob.size });
      }
      await entry.finish();
      await entry.identify(found);
    } catch (error) {
      await forgiving(() => entry.remove());
      signal?.throwIfAborted();
      throw notKept(file.name, error);
    }
    const kept = await asDetector({ ...file, blob: new Blob(entry.pieces), entry }, context);
    return /** @type {Entry} */ (kept.entry).described;
  });
}

/** @param {string} [sha256] */
function checkedSha256(sha256) {
  if (sha256 == null) return null;
  if (!/^[0-9a-f]{64}$/i.test(sha256)) throw new TypeError('a SHA-256 has 64 hexadecimal digits');
  return sha256.toLowerCase();
}

/**
 * A detector file, which is, or was made of, the file with `sha256`, unless that is null.
 * @param {Source} source
 * @param {string | null} sha256
 * @param {Context} context
 * @returns {Promise<Found>}
 */
async function obtain(source, sha256, context) {
  const given = asBlob(source);
  if (given) {
    const file = { blob: given, name: nameOf(given), sha256 };
    if (sha256) await check(file, context);
    return asDetector({ ...file, entry: null }, context);
  }
  const url = new URL(/** @type {string | URL} */ (source), document.baseURI);
  const name = fileName(url);
  const cached = sha256 && (await forgiving(() => context.store?.withSha256(sha256)));
  if (cached && (await isReady(cached, context))) return ofEntry(cached, name);
  return exclusively(cached ? cached.lock : url.href, context, async () => {
    // While this page waited, another may have changed what is kept.
    const kept = sha256 && (await forgiving(() => context.store?.withSha256(sha256)));
    if (kept && isUsable(kept, context)) return asDetector(ofEntry(kept, name), context);
    return asDetector(await fromWeb({ url, name, sha256 }, context), context);
  });
}

/**
 * A kept file.
 * @param {Entry} entry
 * @param {string} name
 */
function ofEntry(entry, name) {
  return { blob: new Blob(entry.pieces), name, sha256: entry.fileSha256, entry };
}

/**
 * Whether a kept file can be used for what is asked: as it is, or by being converted.
 * @param {Entry} entry
 * @param {Context} context
 */
function isUsable(entry, { checkpoint }) {
  return !entry.converted || isCurrent(entry.converted, checkpoint);
}

/**
 * Whether a kept file is a detector file that can be used as it is.
 * @param {Entry} entry
 * @param {Context} context
 */
async function isReady(entry, context) {
  if (entry.converted) return isUsable(entry, context);
  return !(await isCheckpoint(ofEntry(entry, entry.name)).catch(() => true));
}

/**
 * A file as it is where it is a detector file, and what it becomes where it is a checkpoint.
 * @template {Found & { entry: Entry | null }} F
 * @param {F} file
 * @param {Context} context
 * @returns {Promise<F>}
 */
async function asDetector(file, context) {
  if (file.entry?.converted) return file;
  const isForeign = await isCheckpoint(file).catch(async (error) => {
    // What no page can use takes no room.
    await forgiving(() => file.entry?.forget());
    throw error;
  });
  if (!isForeign) return file;
  const { blob, entry } = await convert(file, { ...context, entry: file.entry });
  // Its SHA-256 was compared with the wanted one; what it becomes has another.
  return { ...file, blob, entry, sha256: entry?.converted?.sha256 ?? null };
}

/** @param {Source} source */
function asBlob(source) {
  if (source instanceof Blob) return source;
  const isBytes = source instanceof ArrayBuffer || ArrayBuffer.isView(source);
  return isBytes ? new Blob([/** @type {BlobPart} */ (source)]) : null;
}

/** @param {Blob} blob */
function nameOf(blob) {
  return blob instanceof File ? blob.name : NAMELESS;
}

/** @param {URL} url */
function isOfWeb({ protocol }) {
  return /^https?:$/.test(protocol);
}

/**
 * The file at an address, with what is kept of it where that is all.
 * @param {{ url: URL, name: string, sha256: string | null }} wanted
 * @param {Context} context
 * @param {boolean} [toKeep] whether to give up where the disk does not take it
 * @returns {Promise<Found & { entry: Entry | null }>}
 */
async function fromWeb({ url, name, sha256 }, { store, checkpoint, onProgress, signal }, toKeep = false) {
  const kept = isOfWeb(url) ? await forgiving(() => store?.entry(url.href)) : null;
  if (toKeep && !kept) throw notKept(name, null);
  if (kept?.converted && !isCurrent(kept.converted, checkpoint)) await kept.begin(null);
  const blob = await download(url, { name, entry: kept, hashed: sha256 !== null, toKeep, onProgress, signal });
  const entry = kept?.complete ? kept : null;
  if (entry?.converted) {
    if (sha256 !== entry.fileSha256) refuseOther({ blob, name, sha256 }, entry.sha256 ?? 'not known any more');
    return { blob, name, sha256: entry.fileSha256, entry };
  }
  // What is kept was checked when it came.
  if (!entry?.sha256 || (sha256 && sha256 !== entry.sha256)) await check({ blob, name, sha256 }, { entry, signal });
  return { blob, name, sha256: entry?.sha256 ?? sha256, entry };
}

/**
 * One page at a time fetches a file; the others wait and then find it.
 * @template T
 * @param {string} what
 * @param {Context} context
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
async function exclusively(what, { store, signal }, work) {
  return store ? navigator.locks.request(lockName(what), { signal }, work) : work();
}

/** @param {string} what an address, or what an entry is found by where it has none */
function lockName(what) {
  return `unmask ${what}`;
}

/**
 * The base of an adapter; null for a detector that is whole.
 * @param {Found} file
 * @param {Source | undefined} base
 * @param {Context} context
 * @returns {Promise<Found | null>}
 */
async function obtainBase(file, base, context) {
  const sha256 = await baseSha256(file.blob);
  if (!sha256) {
    if (base == null) return null;
    throw new UnmaskError('wrong_base', `${file.name}: it is a whole detector, so a base has no use; leave \`base\` out`);
  }
  const ofBase = { ...context, checkpoint: undefined };
  if (base != null) return obtain(base, sha256, ofBase).catch((error) => notItsBase(file, sha256, error));
  const cached = await forgiving(() => context.store?.withFile(sha256));
  if (cached) return { blob: new Blob(cached.pieces), name: cached.name, sha256 };
  const problem = `it is an adapter for the detector with SHA-256 ${sha256}, which is not kept`;
  throw new UnmaskError('base_needed', `${file.name}: ${problem}; load that one first, or give it as \`base\``);
}

/**
 * Says of a base that is another file than the wanted one what it was wanted for.
 * @param {Found} file
 * @param {string} sha256
 * @param {any} error
 * @returns {never}
 */
function notItsBase(file, sha256, error) {
  if (error?.code !== 'wrong_sha256') throw error;
  const problem = `it is an adapter for the detector with SHA-256 ${sha256}, and the base that was given is another one`;
  throw new UnmaskError('wrong_base', `${file.name}: ${problem}; give the right base`, { cause: error });
}

/**
 * The SHA-256 of the base that a file's header names; null where it names none, or is no header at all.
 * @param {Blob} blob
 * @returns {Promise<string | null>}
 */
async function baseSha256(blob) {
  try {
    return JSON.parse((await headerOf(blob)).__metadata__.unmask).adapter?.base_sha256 ?? null;
  } catch {
    // What is wrong with the file, the worker says when it loads it.
    return null;
  }
}

/**
 * Checks a file where one was wanted, and has what is kept of it found by its SHA-256.
 * @param {Found} file
 * @param {{ entry?: Entry | null, signal?: AbortSignal }} context
 */
async function check(file, { entry = null, signal }) {
  if (!file.sha256 && !entry) return;
  let found;
  try {
    found = await sha256Of(file.blob, signal);
  } catch (error) {
    signal?.throwIfAborted();
    if (!file.sha256) return;
    notHashed(file, error, signal);
  }
  try {
    refuseOther(file, found);
  } catch (error) {
    await forgiving(() => entry?.remove());
    throw error;
  }
  await forgiving(() => entry?.identify(found));
}

/**
 * @param {Found} file
 * @param {Error} error
 * @param {AbortSignal} [signal]
 * @returns {never}
 */
function notHashed(file, error, signal) {
  signal?.throwIfAborted();
  const code = error instanceof UnmaskError ? error.code : 'unreadable';
  throw new UnmaskError(code, `${file.name}: its SHA-256 could not be computed (${error.message}); load it again`);
}

/**
 * @param {Found} file
 * @param {string} found
 */
function refuseOther(file, found) {
  if (!file.sha256 || file.sha256 === found) return;
  const problem = `it is another file than the wanted one (its SHA-256 is ${found}, not ${file.sha256})`;
  throw new UnmaskError('wrong_sha256', `${file.name}: ${problem}; check its address and the SHA-256, and load it again`);
}

/**
 * What a cache gives; null where it fails, since nothing may depend on it.
 * @template T
 * @param {() => Promise<T> | undefined} work
 * @returns {Promise<T | null>}
 */
async function forgiving(work) {
  try {
    return (await work()) ?? null;
  } catch {
    return null;
  }
}
