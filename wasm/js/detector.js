import { WorkerLink } from './link.js';
import { sourceName } from './player.js';
import { fetchDetector } from './weights.js';

const DEVICES = ['auto', 'cpu', 'webgpu'];

/** A loaded detector. All its work happens in workers of its own. */
export class Detector {
  #link;
  #description;

  /** Use `Detector.load`. */
  constructor(link, description) {
    this.#link = link;
    this.#description = description;
  }

  /**
   * Loads a detector file.
   * @param {string | URL | Blob | ArrayBuffer | ArrayBufferView} source
   * @param {{ device?: 'auto' | 'cpu' | 'webgpu', base?: string | URL | Blob | ArrayBuffer | ArrayBufferView, sha256?: string,
   *   onProgress?: Function, signal?: AbortSignal }} [options]
   */
  static async load(source, { device = 'auto', base, sha256, onProgress = () => {}, signal } = {}) {
    if (!DEVICES.includes(device)) {
      throw new TypeError(`there is no device \`${device}\`; choose auto, cpu or webgpu`);
    }
    signal?.throwIfAborted();
    const { blob, name, base: baseBlob, sha256: expected } = await fetchDetector(source, { sha256, base, onProgress, signal });
    const link = new WorkerLink({ model: blob, base: baseBlob, name, sha256: expected ?? null, device });
    try {
      return new Detector(link, await link.description(onProgress, signal));
    } catch (error) {
      link.close();
      throw error;
    }
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
   * @param {{ frames?: number, faces?: 'largest' | 'all', onProgress?: Function, signal?: AbortSignal }} [options]
   */
  async score(input, { frames, faces = 'largest', onProgress = () => {}, signal } = {}) {
    const file = input instanceof Blob ? input : null;
    if (!file && !(globalThis.HTMLVideoElement && input instanceof HTMLVideoElement)) {
      throw new TypeError('only a File, a Blob or a video element can be scored');
    }
    if (faces !== 'largest' && faces !== 'all') {
      throw new TypeError(`there is no choice \`${faces}\` of faces; choose largest or all`);
    }
    if (frames !== undefined && !(Number.isInteger(frames) && frames > 0)) {
      throw new TypeError('the number of frames must be a whole number above zero');
    }
    const name = file ? (file.name ?? 'video') : sourceName(input);
    return this.#link.score({ file, name, frames, everybody: faces === 'all' }, input, onProgress, signal);
  }

  /** Ends the workers and frees their memory. What is being scored is rejected. */
  dispose() {
    this.#link.close();
  }
}
