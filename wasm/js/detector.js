import { WorkerLink } from './link.js';

const DEVICES = ['auto', 'cpu', 'webgpu'];

/** A loaded detector. All its work happens in a worker of its own. */
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
   * @param {{ device?: 'auto' | 'cpu' | 'webgpu', onProgress?: Function, signal?: AbortSignal }} [options]
   */
  static async load(source, { device = 'auto', onProgress = () => {}, signal } = {}) {
    if (!DEVICES.includes(device)) {
      throw new TypeError(`there is no device \`${device}\`; choose auto, cpu or webgpu`);
    }
    if (device === 'webgpu') {
      throw new Error('this version of Unmask computes on the CPU only; use device `auto` or `cpu`');
    }
    signal?.throwIfAborted();
    const { blob, name } = await modelBlob(source, onProgress, signal);
    const link = new WorkerLink(blob, name);
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

  /** What computes. */
  get device() {
    return this.#description.device;
  }

  /**
   * Scores a video or an image; the report is the document that `unmask score --json` prints.
   * @param {File | Blob} file
   * @param {{ frames?: number, faces?: 'largest' | 'all', onProgress?: Function, signal?: AbortSignal }} [options]
   */
  async score(file, { frames, faces = 'largest', onProgress = () => {}, signal } = {}) {
    if (!(file instanceof Blob)) {
      throw new TypeError('only a File or a Blob can be scored');
    }
    if (faces !== 'largest' && faces !== 'all') {
      throw new TypeError(`there is no choice \`${faces}\` of faces; choose largest or all`);
    }
    if (frames !== undefined && !(Number.isInteger(frames) && frames > 0)) {
      throw new TypeError('the number of frames must be a whole number above zero');
    }
    const request = { file, name: file.name ?? 'video', frames, everybody: faces === 'all' };
    return this.#link.score(request, onProgress, signal);
  }

  /** Ends the worker and frees its memory. What is being scored is rejected. */
  dispose() {
    this.#link.close();
  }
}

/** The detector file as a Blob, which the browser may keep on disk, and its name. */
async function modelBlob(source, onProgress, signal) {
  if (source instanceof Blob) {
    return { blob: source, name: source.name ?? 'the detector file' };
  }
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) {
    return { blob: new Blob([source]), name: 'the detector file' };
  }
  const url = new URL(source, document.baseURI);
  const name = url.pathname.split('/').pop() || url.href;
  return { blob: await download(url, name, onProgress, signal), name };
}

async function download(url, name, onProgress, signal) {
  let response;
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw new Error(`${name}: it could not be fetched (${error.message}); check the address and the connection`);
  }
  if (!response.ok) {
    throw new Error(`${name}: the server answered ${response.status}; check the address ${url.href}`);
  }
  const total = Number(response.headers.get('content-length')) || undefined;
  const parts = [];
  let done = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { value, done: ended } = await reader.read();
    if (ended) break;
    parts.push(value);
    done += value.byteLength;
    onProgress({ stage: 'download', done, total });
  }
  return new Blob(parts);
}
