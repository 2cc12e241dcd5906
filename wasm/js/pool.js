import { heard, UnmaskError } from './error.js';
import { spawn } from './spawn.js';

/**
 * @typedef {{ name: string, model: Blob, base?: Blob | null }} Detector the files of one, and what errors call it
 * @typedef {{ value: any, milliseconds: number }} Done what a task gave, and how long it took
 * @typedef {object} Entry a task that waits
 * @property {string} task
 * @property {object} message
 * @property {(done: Done) => void} resolve
 * @property {(error: Error) => void} reject
 * @property {Helper} [stopped] the helper that it stopped already
 */

/** Memory that copies of the detectors may take together. Each helper has its own, since they share no memory. */
const MEMORY = 2 ** 30;

/** More helpers than this gain nothing: decoding does not keep up. */
const MOST_HELPERS = 8;

/** How long WebGPU may take to show that it works before the CPU is taken, in milliseconds. */
const PROBE_LIMIT = 1000;

/** A helper that stopped in the middle of a task; its code is `missing_files` where it never began, for want of its files. */
export class BrokenHelper extends UnmaskError {
  /**
   * @param {string} reason
   * @param {'stopped' | 'missing_files'} [code]
   */
  constructor(reason, code = 'stopped') {
    super(code, reason);
  }
}

/**
 * The error for a helper whose files did not come: what goes wrong in them they answer with.
 * @param {string} reason
 */
function absent(reason) {
  const problem = `a helper worker could not be started (${reason}); check that all of Unmask's files are served`;
  return new BrokenHelper(problem, 'missing_files');
}

function startHelper() {
  return new Worker(new URL('./helper.js', import.meta.url), { type: 'module', name: 'unmask-helper' });
}

/** One helper worker: a task at a time. */
class Helper {
  /** @type {Worker | null} */
  #worker = null;
  #nextId = 0;
  /** @type {{ id: number, resolve: (done: Done) => void, reject: (error: Error) => void } | null} */
  #answer = null;
  /** What it was started with. */
  #options;
  /** @type {Promise<void> | null} */
  #started = null;
  /** The detectors that it has loaded, or is loading. @type {Detector[] | null} */
  #loaded = null;
  busy = false;

  /** @param {object} options */
  constructor(options) {
    this.#options = options;
  }

  /**
   * Does a task. What a message holds is copied: should the helper stop, another can be given the same.
   * @param {string} task
   * @param {object} [message]
   * @returns {Promise<Done>}
   */
  async run(task, message) {
    await this.start();
    return this.#call(task, message);
  }

  /** Starts the worker where it does not run. */
  start() {
    this.#started ??= this.#begin();
    return this.#started;
  }

  /**
   * Loads detectors where they are not those that are loaded. An error says whose file it is about.
   * @param {Detector[]} detectors
   */
  async load(detectors) {
    if (this.#loaded === detectors) return;
    for (const [index, { name, model, base }] of detectors.entries()) {
      await this.run('load', { index, model, base }).catch((error) => {
        error.file = name;
        throw error;
      });
    }
    this.#loaded = detectors;
  }

  /**
   * Ends the worker; the next task starts another.
   * @param {string} reason
   * @param {BrokenHelper} [error] what its task is rejected with
   */
  stop(reason, error = new BrokenHelper(reason)) {
    this.#worker?.terminate();
    this.#worker = null;
    this.#started = null;
    this.#loaded = null;
    this.#answer?.reject(error);
    this.#answer = null;
  }

  async #begin() {
    const worker = spawn('helper.js', startHelper);
    this.#worker = worker;
    let answered = false;
    worker.addEventListener('message', ({ data }) => {
      answered = true;
      this.#receive(worker, data);
    });
    worker.addEventListener('error', (event) => {
      event.preventDefault();
      if (worker !== this.#worker) return;
      const reason = event.message || 'its files could not be loaded';
      this.stop(reason, answered ? undefined : absent(reason));
    });
    await this.#call('start', this.#options);
  }

  /** @returns {Promise<Done>} */
  #call(task, message) {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#answer = { id, resolve, reject };
      this.#worker?.postMessage({ id, task, message });
    });
  }

  #receive(worker, { id, value, milliseconds, error, broken }) {
    const answer = this.#answer;
    if (!answer || worker !== this.#worker || answer.id !== id) return;
    if (broken) {
      this.stop(error.message);
      return;
    }
    this.#answer = null;
    if (error === undefined) answer.resolve({ value, milliseconds });
    else answer.reject(heard(error));
  }
}

/**
 * What happened to a graphics device, in words that go on after it.
 * @param {Error} error
 */
function stoppedBy(error) {
  return `stopped (${error.message.split('\n')[0]})`;
}

/** Whether a task is done by a helper that has the detectors. */
function needs(task) {
  return task === 'score' || task === 'explain';
}

/** The scores in what a task gave. */
function scoresOf(task, value) {
  return task === 'explain' ? [value.score] : value;
}

/** Whether it is a number from 0 to 1; NaN is neither above nor below anything. */
function isScore(score) {
  return score >= 0 && score <= 1;
}

/** The helpers, and the tasks that wait for one. */
export class Pool {
  #helpers;
  /** The helper that scores by WebGPU, where there is one. @type {Helper | null} */
  #gpu = null;
  /** @type {Detector[]} */
  #detectors = [];
  /** @type {Entry[]} */
  #queue = [];
  #onDevice;
  #closed = false;

  /**
   * @param {object} parts the compiled module, which of the two it is, and the bytes of the face finder's weights
   * @param {(change: { device: 'cpu', reason: string }) => void} onDevice is told when the CPU has to take over from WebGPU
   */
  constructor(parts, onDevice) {
    const count = Math.min(Math.max(navigator.hardwareConcurrency || 2, 1), MOST_HELPERS);
    this.#helpers = Array.from({ length: count }, () => new Helper(parts));
    this.#onDevice = onDevice;
  }

  /** What scores. @returns {'cpu' | 'webgpu'} */
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

  /**
   * Has WebGPU score from now on. Rejects where it does not work, within a second unless `patient`.
   * @param {boolean} patient
   */
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

  /**
   * Loads detectors into what scores, each helper all of them.
   * @param {Detector[]} detectors
   */
  async prepare(detectors) {
    this.#detectors = detectors;
    if (this.#gpu) await this.#prepareGpu(this.#gpu);
    if (!this.#gpu) await Promise.all(this.#scorers().map((helper) => helper.load(detectors)));
  }

  /**
   * Loads the detectors into the graphics device, which has to answer as their files say that a CPU does; it is
   * given up where it does not.
   * @param {Helper} gpu
   */
  async #prepareGpu(gpu) {
    try {
      await gpu.load(this.#detectors);
    } catch (error) {
      if (!(error instanceof BrokenHelper)) throw error;
      this.#loseGpu(gpu, stoppedBy(error));
      return;
    }
    try {
      for (const index of this.#detectors.keys()) await gpu.run('check', { index });
    } catch (error) {
      this.#loseGpu(gpu, error instanceof BrokenHelper ? stoppedBy(error) : error.message);
    }
  }

  /**
   * Does a task on the CPU: `describe` or `find`. A task that stops its helper is given to another once, since what stopped
   * may have been the helper's own memory; after that it is taken for the task's fault.
   * @param {string} task
   * @param {object} message
   * @returns {Promise<Done>}
   */
  run(task, message) {
    return this.#enqueue(task, message);
  }

  /**
   * Scores crops by whatever scores.
   * @param {Uint8Array} crops
   * @param {number} model which of the detectors they are for
   */
  score(crops, model) {
    return this.#enqueue('score', { crops, model });
  }

  /**
   * Explains the middle one of a clip's crops by whatever scores.
   * @param {Uint8Array} crops
   * @param {number} model which of the detectors they are for
   */
  explain(crops, model) {
    return this.#enqueue('explain', { crops, model });
  }

  /** Ends all helpers. */
  close() {
    this.#closed = true;
    const reason = 'the detector was disposed of';
    for (const entry of this.#queue.splice(0)) entry.reject(new BrokenHelper(reason));
    for (const helper of [...this.#helpers, ...(this.#gpu ? [this.#gpu] : [])]) helper.stop(reason);
  }

  /** The helpers on the CPU that may load the detectors. */
  #scorers() {
    const sizes = this.#detectors.map(({ model, base }) => Math.max(model.size, base?.size ?? 0));
    // In memory they are f32; most files are f16.
    const size = 2 * sizes.reduce((sum, size) => sum + size, 0);
    return this.#helpers.slice(0, Math.max(1, Math.floor(MEMORY / Math.max(size, 1))));
  }

  /** @returns {Promise<Done>} */
  #enqueue(task, message) {
    return new Promise((resolve, reject) => {
      this.#queue.push({ task, message, resolve, reject });
      this.#dispatch();
    });
  }

  /** Gives each idle helper the first task that it can do. */
  #dispatch() {
    for (let index = 0; index < this.#queue.length; ) {
      const entry = this.#queue[index];
      const able = this.#able(entry).find((helper) => !helper.busy);
      if (able) {
        this.#queue.splice(index, 1);
        this.#perform(able, entry);
      } else {
        index++;
      }
    }
  }

  /** @param {Entry} entry */
  #able({ task, stopped }) {
    const needsDetectors = needs(task);
    if (needsDetectors && this.#gpu) return [this.#gpu];
    // For scores the last ones first, so that those without detectors are left to find faces.
    const able = needsDetectors ? this.#scorers().reverse() : this.#helpers;
    const others = able.filter((helper) => helper !== stopped);
    return others.length > 0 ? others : able;
  }

  /**
   * @param {Helper} helper
   * @param {Entry} entry
   */
  async #perform(helper, entry) {
    helper.busy = true;
    try {
      if (needs(entry.task)) await helper.load(this.#detectors);
      const done = await helper.run(entry.task, entry.message);
      // The CPU's word counts where a graphics device gives what is no score; what that gives, the report's maker judges.
      if (helper === this.#gpu && !scoresOf(entry.task, done.value).every(isScore)) throw new Error('it gave a score that is no number from 0 to 1');
      entry.resolve(done);
    } catch (error) {
      this.#failed(helper, entry, error);
    } finally {
      helper.busy = false;
      this.#dispatch();
    }
  }

  #failed(helper, entry, error) {
    // Crops and detectors are sound, since all passed checks: what fails is the device.
    const isGpu = helper === this.#gpu;
    const mayBeHelper = error instanceof BrokenHelper && !entry.stopped;
    if (this.#closed || !(isGpu || mayBeHelper)) {
      entry.reject(error);
      return;
    }
    if (isGpu) this.#loseGpu(helper, stoppedBy(error));
    else entry.stopped = helper;
    this.#queue.unshift(entry);
  }

  /**
   * @param {Helper} gpu
   * @param {string} problem words after "the graphics device"
   */
  #loseGpu(gpu, problem) {
    gpu.stop(problem);
    this.#gpu = null;
    this.#onDevice({ device: 'cpu', reason: `the graphics device ${problem}, so the CPU goes on` });
  }
}
