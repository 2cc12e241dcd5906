import { heard, told, UnmaskError } from './error.js';
import { playerFor } from './player.js';
import { spawn } from './spawn.js';

/**
 * @import { Description, Files } from './messages.d.ts'
 * @import { Progress, Report } from './unmask.d.ts'
 *
 * @typedef {{ onProgress: (progress: Progress) => void, signal?: AbortSignal, source?: Blob | HTMLVideoElement }} Listening
 *   who hears of a request, what stops it, and what a player of the page can show for it
 * @typedef {object} Pending a request that has no answer yet
 * @property {string} name the file that it is about
 * @property {(value: any) => void} resolve
 * @property {(error: any) => void} reject
 * @property {(progress: Progress) => void} onProgress
 * @property {Blob | HTMLVideoElement} [source]
 * @property {ReturnType<typeof playerFor> | null} player
 * @property {() => void} settled
 */

/**
 * A worker with one or several detectors in it, and the page's end of the messages between them. A worker that broke is replaced by a
 * fresh one when it is next needed, so that one bad file does not spoil the next.
 */
export class WorkerLink {
  /** What the worker is to load. */
  #request;
  /** @type {Worker | null} */
  #worker = null;
  /** @type {Promise<Description> | null} */
  #loaded = null;
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  #nextId = 0;
  #closed = false;
  /** The worker that has loaded the detectors. @type {Worker | null} */
  #ready = null;
  /** What scores, once that has changed. @type {'cpu' | null} */
  device = null;

  /**
   * @param {Files[]} models the detectors that the worker is to load
   * @param {string} device
   */
  constructor(models, device) {
    this.#request = { name: models.map(({ name }) => name).join(', '), models, device };
  }

  /**
   * Loads the detectors where that has not happened; resolves to what they are.
   * @param {(progress: Progress) => void} onProgress
   * @param {AbortSignal} [signal]
   */
  async description(onProgress, signal) {
    if (this.#closed) {
      throw new UnmaskError('disposed', 'this detector was disposed of; load it again');
    }
    if (!this.#loaded) {
      const worker = this.#start();
      // Only where the page comes from a secure place are there locks and identifiers.
      const lock = navigator.locks ? `unmask-${crypto.randomUUID()}` : null;
      this.#loaded = this.#send(worker, 'load', { ...this.#request, lock }, { onProgress, signal });
      const loaded = () => {
        this.#ready = worker;
        if (lock) this.#watch(worker, lock);
      };
      this.#loaded.then(loaded, (error) => this.#stop(error));
    }
    return this.#loaded;
  }

  /**
   * Scores one input, of which the worker may ask for frames that it cannot decode; resolves to its report.
   * @param {{ file: Blob | null, name: string, frames?: number, everybody: boolean }} request
   * @param {Listening} listening
   */
  score(request, listening) {
    return this.#ask('score', request, listening);
  }

  /**
   * Explains faces of an input that was scored; resolves to them and their maps.
   * @param {{ file: Blob, name: string, report: Report, faces: number }} request
   * @param {Listening} listening
   */
  explain(request, listening) {
    return this.#ask('explain', request, listening);
  }

  /**
   * Asks the loaded worker for something.
   * @param {'score' | 'explain'} type
   * @param {{ name: string }} request
   * @param {Listening} listening
   */
  async #ask(type, request, listening) {
    const { signal } = listening;
    signal?.throwIfAborted();
    await this.description(() => {});
    signal?.throwIfAborted();
    return this.#send(/** @type {Worker} */ (this.#worker), type, request, listening);
  }

  close() {
    this.#closed = true;
    this.#stop(new DOMException('the detector was disposed of', 'AbortError'));
  }

  #start() {
    const worker = spawn('worker.js', startWorker);
    worker.addEventListener('message', ({ data }) => this.#receive(data));
    worker.addEventListener('error', (event) => {
      event.preventDefault();
      const reason = event.message || 'its files could not be loaded';
      const [code, advice] = this.#ready === worker ? STOPPED : NOT_STARTED;
      this.#stop(new UnmaskError(code, `the detector's worker stopped (${reason}); ${advice}`));
    });
    this.#worker = worker;
    this.device = null;
    return worker;
  }

  /** Learns of it when a loaded worker ends without a word, as browsers end one that takes too much: its lock is free then. */
  #watch(worker, lock) {
    const reason = "the browser ended the detector's worker; try again, with other pages closed";
    const ended = () => this.#worker === worker && this.#stop(new UnmaskError('stopped', reason));
    // Whoever is not allowed to watch goes without.
    navigator.locks.request(lock, ended).catch(() => {});
  }

  /**
   * Ends the worker, and rejects what was asked of it.
   * @param {UnmaskError | DOMException} error
   */
  #stop(error) {
    this.#worker?.terminate();
    this.#worker = null;
    this.#loaded = null;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { name, reject, settled } of pending) {
      settled();
      reject(error instanceof DOMException ? error : heard(told(error, name)));
    }
  }

  /**
   * Asks the worker for something. An abort rejects at once; the worker stops at its next pause.
   * @param {Worker} worker
   * @param {'load' | 'score' | 'explain'} type
   * @param {{ name: string }} request
   * @param {Listening} listening
   * @returns {Promise<any>}
   */
  #send(worker, type, request, { source, onProgress, signal }) {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const cancel = () => {
        this.#pending.delete(id);
        pending.settled();
        worker.postMessage({ id, type: 'cancel' });
        reject(signal?.reason);
      };
      const settled = () => {
        signal?.removeEventListener('abort', cancel);
        pending.player?.close();
      };
      /** @type {Pending} */
      const pending = { name: request.name, resolve, reject, onProgress, source, player: null, settled };
      this.#pending.set(id, pending);
      signal?.addEventListener('abort', cancel, { once: true });
      worker.postMessage({ id, type, ...request });
    });
  }

  #receive({ id, type, value }) {
    const pending = this.#pending.get(id);
    if (type === 'progress') {
      if (value.stage === 'device') this.device = value.device;
      pending?.onProgress(value);
      return;
    }
    if (type === 'ask') {
      this.#answer(this.#worker, pending, value);
      return;
    }
    this.#pending.delete(id);
    pending?.settled();
    if (type === 'result') {
      pending?.resolve(value);
      return;
    }
    pending?.reject(heard(value));
    if (type === 'broken') {
      this.#stop(new UnmaskError('stopped', 'the detector stopped while it scored another file; try again'));
    }
  }

  /**
   * Has a request's player do what the worker asks of it.
   * @param {Worker | null} worker
   * @param {Pending | undefined} pending
   */
  async #answer(worker, pending, { number, what, time }) {
    // The worker has heard, or will, that whoever is not waiting any more cancelled.
    if (!pending?.source) return;
    try {
      pending.player ??= playerFor(pending.source);
      if (what === 'open') {
        worker?.postMessage({ type: 'answer', number, value: await pending.player.open() });
      } else {
        const shown = await pending.player.frame(time);
        worker?.postMessage({ type: 'answer', number, value: shown }, shown ? [shown.picture] : []);
      }
    } catch (error) {
      worker?.postMessage({ type: 'answer', number, error: told(error) });
    }
  }
}

/**
 * Code and advice for a worker that stopped after it had loaded the detector, and for one that never began.
 * @type {[UnmaskError['code'], string]}
 */
const STOPPED = ['stopped', 'try again'];
/** @type {[UnmaskError['code'], string]} */
const NOT_STARTED = ['missing_files', "check that all of Unmask's files are served"];

function startWorker() {
  return new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'unmask' });
}
