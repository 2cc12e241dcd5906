import { WorkerLink } from './link.js';
import { sourceName } from './player.js';
import { fetchDetector, forgetDetector, keepDetector, keptDetectors } from './weights.js';

/**
 * @import { Description } from './link.js'
 * @import { Kept, LoadOptions, KeepOptions, Report, ScoreOptions, Source } from './unmask.d.ts'
 */

const DEVICES = ['auto', 'cpu', 'webgpu'];

/** A loaded detector. All its work happens in workers of its own. */
export class Detector {
  #link;
  #description;

  /**
   * Use `Detector.load`.
   * @param {WorkerLink} link
   * @param {Description} description
   */
  constructor(link, description) {
    this.#link = link;
    this.#description = description;
  }

  /**
   * Loads a detector file; without a source, the one that comes with the package.
   * @param {Source | null} [source]
   * @param {LoadOptions} [options]
   */
  static async load(source, { device = 'auto', base, sha256, checkpoint, onProgress = () => {}, signal } = {}) {
    if (!DEVICES.includes(device)) {
      throw new TypeError(`there is no device \`${device}\`; choose auto, cpu or webgpu`);
    }
    signal?.throwIfAborted();
    const wanted = { sha256, base, checkpoint, onProgress, signal };
    const { blob, name, base: baseBlob, sha256: expected } = await fetchDetector(source, wanted);
    const link = new WorkerLink({ model: blob, base: baseBlob, name, sha256: expected ?? null, device });
    try {
      return new Detector(link, await link.description(onProgress, signal));
    } catch (error) {
      link.close();
      throw error;
    }
  }

  /**
   * Keeps a detector file on this device without loading it.
   * @param {Source | null} [source]
   * @param {KeepOptions} [options]
   */
  static keep(source, options) {
    return keepDetector(source, options);
  }

  /** The detector files of which something is kept on this device. */
  static kept() {
    return keptDetectors();
  }

  /**
   * Deletes what is kept of a file; resolves to whether there was anything.
   * @param {Kept | string | URL} which
   */
  static forget(which) {
    return forgetDetector(which);
  }

  /** The detector's name. */
  get name() {
    return this.#description.name;
  }

  /** SHA-256 of its file, lower-case hexadecimal. */
  get sha256() {
    return this.#description.sha256;
  }

  /** What scores: `cpu` or `webgpu`. */
  get device() {
    return this.#link.device ?? this.#description.device;
  }

  /** How many helper workers find faces, and score where the CPU does. */
  get workers() {
    return this.#description.workers;
  }

  /**
   * Scores a video or an image; the report is the document that `unmask score --json` prints. A video element is left as it
   * is: what it has as its source is scored, by a second player of it; of a live picture, such as a camera's, the frames of
   * some seconds.
   * @param {File | Blob | HTMLVideoElement} input
   * @param {ScoreOptions} [options]
   * @returns {Promise<Report>}
   */
  async score(input, { frames, faces = 'largest', onProgress = () => {}, signal } = {}) {
    if (faces !== 'largest' && faces !== 'all') {
      throw new TypeError(`there is no choice \`${faces}\` of faces; choose largest or all`);
    }
    if (frames !== undefined && !(Number.isInteger(frames) && frames > 0)) {
      throw new TypeError('the number of frames must be a whole number above zero');
    }
    const request = { ...named(input), frames, everybody: faces === 'all' };
    return this.#link.score(request, { source: input, onProgress, signal });
  }

  /** Ends the workers and frees their memory. What is being scored is rejected. */
  dispose() {
    this.#link.close();
  }
}

/**
 * An input as the worker gets it, with the name that reports and errors call it by.
 * @param {unknown} input
 */
function named(input) {
  if (input instanceof File) return { file: input, name: input.name };
  if (input instanceof Blob) return { file: input, name: 'video' };
  if (globalThis.HTMLVideoElement && input instanceof HTMLVideoElement) return { file: null, name: sourceName(input) };
  throw new TypeError('only a File, a Blob or a video element can be scored');
}
