import { playerFor } from './player.js';
import { spawn } from './spawn.js';

/**
 * A worker with a detector in it, and the page's end of the messages between them. A worker that broke is replaced by a
 * fresh one when it is next needed, so that one bad file does not spoil the next.
 */
export class WorkerLink {
  #detector;
  #worker = null;
  #loaded = null;
  #pending = new Map();
  #nextId = 0;
  #closed = false;
  /** The worker that has loaded the detector. */
  #ready = null;
  /** What scores, once that has changed. */
  device = null;

  /** @param detector what the worker is to load: `{ model, base, name, sha256, device }` */
  constructor(detector) {
    this.#detector = detector;
  }

  /** Loads the detector where that has not happened; resolves to what it is. */
  async description(onProgress, signal) {
    if (this.#closed) {
      throw new Error('this detector was disposed of; load it again');
    }
    if (!this.#loaded) {
      this.#start();
      const worker = this.#worker;
      // Only where the page comes from a secure place are there locks and identifiers.
      const lock = navigator.locks ? `unmask-${crypto.randomUUID()}` : null;
      this.#loaded = this.#send('load', { ...this.#detector, lock }, { onProgress, signal });
      const loaded = () => {
        this.#ready = worker;
        if (lock) this.#watch(worker, lock);
      };
      this.#loaded.then(loaded, (error) => this.#stop(error));
    }
    return this.#loaded;
  }

  /** Scores one input, `source`, of which the worker may ask for frames that it cannot decode; resolves to its report. */
  async score(request, source, onProgress, signal) {
    signal?.throwIfAborted();
    await this.description(() => {});
    signal?.throwIfAborted();
    return this.#send('score', request, { source, onProgress, signal });
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
      const advice = this.#ready === worker ? 'try again' : "check that all of Unmask's files are served";
      this.#stop(new Error(`the detector's worker stopped (${reason}); ${advice}`));
    });
    this.#worker = worker;
    this.device = null;
  }

  /** Learns of it when a loaded worker ends without a word, as browsers end one that takes too much: its lock is free then. */
  #watch(worker, lock) {
    const reason = "the browser ended the detector's worker; try again, with other pages closed";
    const ended = () => this.#worker === worker && this.#stop(new Error(reason));
    // Whoever is not allowed to watch goes without.
    navigator.locks.request(lock, ended).catch(() => {});
  }

  /** Ends the worker, and rejects what was asked of it. */
  #stop(error) {
    this.#worker?.terminate();
    this.#worker = null;
    this.#loaded = null;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { name, reject, settled } of pending) {
      settled();
      reject(error instanceof DOMException ? error : new Error(`${name}: ${error.message}`));
    }
  }

  /** Asks the worker for something. An abort rejects at once; the worker stops at its next pause. */
  #send(type, request, { source, onProgress, signal }) {
    const id = this.#nextId++;
    const worker = this.#worker;
    return new Promise((resolve, reject) => {
      const pending = { name: request.name, resolve, reject, onProgress, source, player: null };
      const cancel = () => {
        this.#pending.delete(id);
        pending.settled();
        worker.postMessage({ id, type: 'cancel' });
        reject(signal.reason);
      };
      pending.settled = () => {
        signal?.removeEventListener('abort', cancel);
        pending.player?.close();
      };
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
    pending?.reject(new Error(value));
    if (type === 'broken') {
      this.#stop(new Error('the detector stopped while it scored another file; try again'));
    }
  }

  /** Has a request's player do what the worker asks of it. */
  async #answer(worker, pending, { number, what, time }) {
    // The worker has heard, or will, that whoever is not waiting any more cancelled.
    if (!pending) return;
    try {
      pending.player ??= playerFor(pending.source);
      const value = what === 'open' ? await pending.player.open() : await pending.player.frame(time);
      worker.postMessage({ type: 'answer', number, value }, value?.picture ? [value.picture] : []);
    } catch (error) {
      worker.postMessage({ type: 'answer', number, error: error.message });
    }
  }
}

function startWorker() {
  return new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'unmask' });
}
