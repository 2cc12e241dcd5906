import { spawn } from './spawn.js';

/** Memory that copies of a detector may take together. Each helper has its own, since they share no memory. */
const MEMORY = 2 ** 30;

/** More helpers than this gain nothing: decoding does not keep up. */
const MOST_HELPERS = 8;

/** How long WebGPU may take to show that it works before the CPU is taken, in milliseconds. */
const PROBE_LIMIT = 1000;

/** A helper that stopped in the middle of a task. */
export class BrokenHelper extends Error {}

function startHelper() {
  return new Worker(new URL('./helper.js', import.meta.url), { type: 'module', name: 'unmask-helper' });
}

/** One helper worker: a task at a time. */
class Helper {
  #worker;
  #nextId = 0;
  #answer = null;
  /** What it was started with. */
  #options;
  #started = null;
  /** The detector that it has loaded, or is loading. */
  #loaded = null;
  busy = false;

  constructor(options) {
    this.#options = options;
  }

  /** Does a task; resolves to its value and how many milliseconds it took. */
  async run(task, message, transfer) {
    await this.start();
    return this.#call(task, message, transfer);
  }

  /** Starts the worker where it does not run. */
  start() {
    this.#started ??= this.#begin();
    return this.#started;
  }

  /** Loads a detector where it is not the one that is loaded. */
  async load(detector) {
    if (this.#loaded === detector) return;
    await this.run('load', { model: detector.model, base: detector.base });
    this.#loaded = detector;
  }

  /** Ends the worker; the next task starts another. */
  stop(reason) {
    this.#worker?.terminate();
    this.#worker = null;
    this.#started = null;
    this.#loaded = null;
    this.#answer?.reject(new BrokenHelper(reason));
    this.#answer = null;
  }

  async #begin() {
    const worker = spawn('helper.js', startHelper);
    this.#worker = worker;
    worker.addEventListener('message', ({ data }) => this.#receive(worker, data));
    worker.addEventListener('error', (event) => {
      event.preventDefault();
      if (worker === this.#worker) this.stop(event.message || 'a worker could not be started');
    });
    await this.#call('start', this.#options);
  }

  #call(task, message, transfer = []) {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#answer = { id, resolve, reject };
      this.#worker.postMessage({ id, task, message }, transfer);
    });
  }

  #receive(worker, { id, value, milliseconds, error, broken }) {
    if (worker !== this.#worker || this.#answer?.id !== id) return;
    if (broken) {
      this.stop(error);
      return;
    }
    const { resolve, reject } = this.#answer;
    this.#answer = null;
    if (error === undefined) resolve({ value, milliseconds });
    else reject(new Error(error));
  }
}

/** The helpers, and the tasks that wait for one. */
export class Pool {
  #helpers;
  /** The helper that scores by WebGPU, where there is one. */
  #gpu = null;
  #detector = null;
  #queue = [];
  #onDevice;

  /**
   * @param parts the compiled module and the bytes of the face finder's weights
   * @param onDevice is told `{ device, reason }` when the CPU has to take over from WebGPU
   */
  constructor(parts, onDevice) {
    const count = Math.min(Math.max(navigator.hardwareConcurrency || 2, 1), MOST_HELPERS);
    this.#helpers = Array.from({ length: count }, () => new Helper(parts));
    this.#onDevice = onDevice;
  }

  /** What scores. */
  get device() {
    return this.#gpu ? 'webgpu' : 'cpu';
  }

  /** How many helpers there are on the CPU. */
  get size() {
    return this.#helpers.length;
  }

  /** How many crops are best scored together. One core gains nothing from more, and cancelling waits for it. */
  get batch() {
    return this.#gpu ? 8 : 1;
  }

  /** Has WebGPU score from now on. Rejects where it does not work, within a second unless `patient`. */
  async useGpu(patient) {
    const gpu = new Helper({ gpu: true });
    const limit = new Promise((_, reject) => {
      if (!patient) setTimeout(() => reject(new Error('the graphics device is too slow to answer')), PROBE_LIMIT);
    });
    try {
      await gpu.start();
      await Promise.race([gpu.run('probe'), limit]);
    } catch (error) {
      gpu.stop('it does not work');
      throw error;
    }
    this.#gpu = gpu;
  }

  /** Loads a detector, `{ model, base }`, into what scores. */
  async prepare(detector) {
    this.#detector = detector;
    if (!this.#gpu) {
      await Promise.all(this.#scorers().map((helper) => helper.load(detector)));
      return;
    }
    try {
      await this.#gpu.load(detector);
    } catch (error) {
      if (!(error instanceof BrokenHelper)) throw error;
      this.#loseGpu(error.message);
      await this.prepare(detector);
    }
  }

  /** Does a task on the CPU: `describe` or `find`. */
  run(task, message, transfer) {
    return this.#enqueue({ task, message, transfer });
  }

  /** Scores crops by whatever scores. */
  score(crops) {
    return this.#enqueue({ task: 'score', message: { crops } });
  }

  /** Ends all helpers. */
  close() {
    const reason = 'the detector was disposed of';
    for (const entry of this.#queue.splice(0)) entry.reject(new BrokenHelper(reason));
    for (const helper of [...this.#helpers, ...(this.#gpu ? [this.#gpu] : [])]) helper.stop(reason);
  }

  /** The helpers on the CPU that may load the detector. */
  #scorers() {
    const { model, base } = this.#detector;
    // In memory it is f32; most files are f16.
    const size = 2 * Math.max(model.size, base?.size ?? 0);
    return this.#helpers.slice(0, Math.max(1, Math.floor(MEMORY / size)));
  }

  #enqueue(entry) {
    return new Promise((resolve, reject) => {
      this.#queue.push({ ...entry, resolve, reject });
      this.#dispatch();
    });
  }

  /** Gives each idle helper the first task that it can do. */
  #dispatch() {
    for (let index = 0; index < this.#queue.length; ) {
      const able = this.#able(this.#queue[index]).find((helper) => !helper.busy);
      if (!able) index++;
      else this.#perform(able, ...this.#queue.splice(index, 1));
    }
  }

  #able({ task }) {
    if (task !== 'score') return this.#helpers;
    // The last ones first, so that those without a detector are left to find faces.
    return this.#gpu ? [this.#gpu] : this.#scorers().reverse();
  }

  async #perform(helper, entry) {
    helper.busy = true;
    try {
      if (entry.task === 'score') await helper.load(this.#detector);
      entry.resolve(await helper.run(entry.task, entry.message, entry.transfer));
    } catch (error) {
      // Crops and detector are sound, since both passed checks: what fails is the device.
      if (helper === this.#gpu) {
        this.#loseGpu(error.message);
        this.#queue.unshift(entry);
      } else {
        entry.reject(error);
      }
    } finally {
      helper.busy = false;
      this.#dispatch();
    }
  }

  #loseGpu(reason) {
    this.#gpu.stop(reason);
    this.#gpu = null;
    const [first] = reason.split('\n');
    this.#onDevice({ device: 'cpu', reason: `the graphics device stopped (${first}), so the CPU goes on` });
  }
}
