/**
 * One file over HTTP, kept on disk piece by piece where there is an entry of the store for it. A connection that breaks is
 * taken up where it broke; so is what an earlier page began. Memory holds one piece at a time; without a store, the
 * browser holds the file as a `Blob`.
 */

import { UnmaskError } from './error.js';

/**
 * @import { Entry, Validator } from './store.js'
 * @import { Progress } from './unmask.d.ts'
 */

/** How much is gathered before it is kept. */
export const PIECE = 8 << 20;

/** Waits before each attempt to take a broken download up again, in milliseconds. Getting farther begins them anew. */
const PAUSES = [250, 500, 1000, 2000, 4000];

/** An answer that asking again does not change. */
class Refusal extends Error {}

/** The disk does not take what has to be kept. */
class NotKept extends Error {}

/**
 * The file at `url` as a `Blob`.
 *
 * @param {URL} url
 * @param {object} options
 * @param {string} options.name what errors call the file
 * @param {Entry | null} options.entry what is kept of it
 * @param {boolean} options.hashed whether its SHA-256 is known, so that pieces of two versions are found out
 * @param {boolean} [options.toKeep] whether to give up where the disk does not take it
 * @param {(progress: Progress) => void} options.onProgress
 * @param {AbortSignal} [options.signal]
 */
export async function download(url, { name, entry, hashed, toKeep = false, onProgress, signal }) {
  const file = new Pieces(entry, toKeep);
  const attempt = { began: false, failures: 0, farthest: 0 };
  for (;;) {
    try {
      if (file.size && !file.complete && !hashed && !tells(file.validator)) await file.restart(null);
      const response = await fetch(url, { headers: conditions(url, file), cache: entry ? 'no-store' : 'default', signal });
      const step = await judge(response, file, hashed);
      attempt.began = true;
      if (step === 'again') continue;
      if (step === 'on') await receive(response, file, onProgress);
      return file.blob();
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof NotKept) throw notKept(name, error.cause);
      if (error instanceof Refusal) {
        throw new UnmaskError('bad_response', `${name}: ${error.message}; check the address ${url.href}`);
      }
      if (file.complete) return file.blob();
      if (file.size > attempt.farthest) Object.assign(attempt, { farthest: file.size, failures: 0 });
      await untilNextAttempt(attempt, { name, error, signal });
    }
  }
}

/**
 * The error for a file that has to be kept and cannot be.
 * @param {string} name
 * @param {any} cause what the browser threw
 */
export function notKept(name, cause) {
  // Chromium ends the pipe to a file that grows past its quota, and at times that is what it tells.
  if (cause?.name === 'QuotaExceededError' || cause?.message?.includes('data pipe')) {
    const way = 'delete other kept detectors or make room on the disk';
    return new UnmaskError('disk_full', `${name}: the browser gives this page no more room on the disk; ${way}`);
  }
  const reason = cause ? ` (${cause.message})` : '';
  return new UnmaskError('no_storage', `${name}: this browser keeps no files for this page${reason}; load it without keeping it`);
}

/** Waits; throws where enough was tried. What never began is not tried again: the address or the network is wrong. */
async function untilNextAttempt(attempt, { name, error, signal }) {
  if (!attempt.began) {
    const way = 'check the address and the connection';
    throw new UnmaskError('network', `${name}: it could not be fetched (${error.message}); ${way}`);
  }
  if (attempt.failures === PAUSES.length) {
    const way = 'check the connection and load it again, which goes on where it stopped';
    throw new UnmaskError('network', `${name}: the download broke off (${error.message}); ${way}`);
  }
  await pause(PAUSES[attempt.failures++], signal);
}

/** Headers that ask only for what is missing. */
function conditions(url, file) {
  if (!file.size) return {};
  const { etag, modified } = file.validator ?? {};
  // Another origin would have to allow these headers beforehand; there, the answer's own headers decide.
  const own = url.origin === self.location.origin;
  if (file.complete) {
    return own ? present({ 'If-None-Match': etag, 'If-Modified-Since': etag ? null : modified }) : {};
  }
  // A weak tag does not promise the same bytes.
  const unchanged = etag && !etag.startsWith('W/') ? etag : modified;
  return { Range: `bytes=${file.size}-`, ...(own ? present({ 'If-Range': unchanged }) : {}) };
}

function present(headers) {
  return Object.fromEntries(Object.entries(headers).filter(([, value]) => value));
}

/**
 * What an answer means: `kept`, what is kept is the file; `on`, its bytes follow those that are kept, of which there may
 * be none now; `again`, it has to be asked for from the start.
 */
async function judge(response, file, hashed) {
  const { status } = response;
  const same = isSame(file.validator, validator(response, file.size));
  if (file.complete && (status === 304 || status >= 500 || (status === 200 && same))) {
    await response.body?.cancel();
    return 'kept';
  }
  const follows = status === 206 && file.size && !file.complete && firstByte(response, file.size) === file.size;
  if (follows && (same ?? hashed)) return 'on';
  if (status === 200) {
    await file.restart(validator(response, 0));
    return 'on';
  }
  await response.body?.cancel();
  if (file.size && (status === 206 || status === 416)) {
    await file.restart(null);
    return 'again';
  }
  // A server that is overloaded may answer the next time.
  if (file.size && status >= 500) throw new Error(`the server answered ${status}`);
  throw new Refusal(`the server answered ${status}`);
}

async function receive(response, file, onProgress) {
  const start = file.size;
  // The length of what is sent compressed says nothing about the file's.
  const encoded = response.headers.has('content-encoding');
  const length = encoded ? null : response.headers.get('content-length');
  const total = length === null ? undefined : start + Number(length);
  try {
    for (const reader = response.body.getReader(); ; ) {
      const { value, done } = await reader.read();
      if (done) break;
      await file.add(value);
      onProgress({ stage: 'download', done: file.size, total });
    }
  } finally {
    // What came before a break or a cancel is there the next time.
    await file.flush();
  }
  if (file.size < total) throw new Error(`after ${file.size} of ${total} bytes`);
  await file.finish();
}

/**
 * What tells this version of a file from others. `length` is that of the whole file.
 * @returns {Validator}
 */
function validator({ status, headers }, start) {
  const length = headers.has('content-encoding') ? null : headers.get('content-length');
  return {
    etag: headers.get('etag'),
    modified: headers.get('last-modified'),
    length: length === null ? null : Number(length) + (status === 206 ? start : 0),
  };
}

/**
 * Whether a part of this version can be told from one of another.
 * @param {Validator | null} validator
 */
function tells(validator) {
  return Boolean(validator?.etag ?? validator?.modified);
}

/**
 * Whether two versions are the same; undefined where they do not tell.
 * @param {Validator | null} kept
 * @param {Validator} offered
 */
function isSame(kept, offered) {
  if (!kept) return undefined;
  if (kept.length && offered.length && kept.length !== offered.length) return false;
  const strong = (tag) => tag.replace(/^W\//, '');
  if (kept.etag && offered.etag) return strong(kept.etag) === strong(offered.etag);
  if (kept.modified && offered.modified) return kept.modified === offered.modified;
  return undefined;
}

/** Where the bytes of a part begin; what was asked for, where another origin does not show it. */
function firstByte({ headers }, asked) {
  const start = /^bytes (\d+)-/.exec(headers.get('content-range') ?? '')?.[1];
  return start === undefined ? asked : Number(start);
}

/** A wait that an abort ends. */
function pause(milliseconds, signal) {
  return new Promise((/** @type {(value?: undefined) => void} */ resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/** A file's bytes so far: on disk while that works, then in the browser's memory. */
export class Pieces {
  #entry;
  #toKeep;
  /** @type {Blob[]} */
  #parts;
  /**
   * Where the next piece is gathered: one for all of them, so that memory does not wait for a garbage collection.
   * @type {Uint8Array<ArrayBuffer> | null}
   */
  #buffer = null;
  #gathered = 0;
  /** @type {Validator | null} */
  #validator;
  #complete;
  /** How many bytes there are. */
  size;

  /**
   * @param {Entry | null} entry
   * @param {boolean} toKeep
   */
  constructor(entry, toKeep) {
    this.#entry = entry;
    this.#toKeep = toKeep;
    this.#parts = entry?.pieces ?? [];
    this.#validator = entry?.validator ?? null;
    this.#complete = entry?.complete ?? false;
    this.size = this.#parts.reduce((sum, { size }) => sum + size, 0);
  }

  get validator() {
    return this.#validator;
  }

  get complete() {
    return this.#complete;
  }

  blob() {
    return new Blob(this.#parts);
  }

  /**
   * Begins anew with the version that `validator` tells.
   * @param {Validator | null} validator
   */
  async restart(validator) {
    [this.#parts, this.#gathered, this.size] = [[], 0, 0];
    [this.#validator, this.#complete] = [validator, false];
    await this.#keep((entry) => entry.begin(validator));
  }

  /** @param {Uint8Array} bytes */
  async add(bytes) {
    const buffer = (this.#buffer ??= new Uint8Array(PIECE));
    for (let taken = 0; taken < bytes.byteLength; ) {
      const part = bytes.subarray(taken, taken + PIECE - this.#gathered);
      buffer.set(part, this.#gathered);
      this.#gathered += part.byteLength;
      this.size += part.byteLength;
      taken += part.byteLength;
      if (this.#gathered === PIECE) await this.flush();
    }
  }

  async flush() {
    if (!this.#buffer || !this.#gathered) return;
    const piece = this.#buffer.subarray(0, this.#gathered);
    this.#gathered = 0;
    this.#parts.push((await this.#keep((entry) => entry.append(piece))) ?? new Blob([piece]));
  }

  async finish() {
    this.#complete = true;
    await this.#keep((entry) => entry.finish());
  }

  /**
   * Does something to the entry; once that fails, the rest stays in memory, unless it has to be kept.
   * @template T
   * @param {(entry: Entry) => Promise<T>} change
   */
  async #keep(change) {
    try {
      return this.#entry && (await change(this.#entry));
    } catch (error) {
      this.#entry = null;
      if (this.#toKeep) throw new NotKept('the disk takes no more', { cause: error });
      return null;
    }
  }
}
