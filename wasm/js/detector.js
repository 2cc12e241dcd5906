import { UnmaskError } from './error.js';
import { WorkerLink } from './link.js';
import { sourceName } from './player.js';
import { fileName } from './store.js';
import { fetchDetector, forgetDetector, keepDetector, keptDetectors } from './weights.js';

/**
 * @import { Description, Files } from './messages.d.ts'
 * @import { Explained, ExplainOptions, Kept, LoadOptions, KeepOptions, Progress, Report, ScoreOptions, Source, Sources } from './unmask.d.ts'
 *
 * @typedef {{ onProgress: (progress: Progress) => void, signal?: AbortSignal }} Listening
 */

const DEVICES = ['auto', 'cpu', 'webgpu'];

/** Faces that are explained where nobody says how many. */
const FACES = 6;

/** The options that are about one source; of several, each is an array in the order of the sources. */
const OF_SOURCE = ['base', 'sha256', 'checkpoint'];

/** One or several loaded detectors. All their work happens in workers of their own. */
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
   * Loads a detector file, or several for opinions beside each other; without a source, the one that comes with the package.
   * @param {Source | null | Sources} [source]
   * @param {LoadOptions} [options]
   */
  static async load(source, { device = 'auto', onProgress = () => {}, signal, ...ofSources } = {}) {
    if (!DEVICES.includes(device)) {
      throw new TypeError(`there is no device \`${device}\`; choose auto, cpu or webgpu`);
    }
    const wanted = eachSource(source, ofSources);
    signal?.throwIfAborted();
    const link = new WorkerLink(await fetchAll(wanted, { onProgress, signal }), device);
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

  /** The detectors' names, and the SHA-256 of their files, in the order of the sources. */
  get models() {
    return this.#description.models;
  }

  /** The detector's name; of several, the first one's. */
  get name() {
    return this.models[0].name;
  }

  /** SHA-256 of its file, lower-case hexadecimal; of several, the first one's. */
  get sha256() {
    return this.models[0].sha256;
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

  /**
   * Shows where the detector looked in some faces of whoever decides: what in them speaks for a fake, and what for a real one.
   * @param {File | Blob} input
   * @param {Report} report what `score` gave of the same input
   * @param {ExplainOptions} [options]
   * @returns {Promise<Explained[]>}
   */
  async explain(input, report, { faces = FACES, onProgress = () => {}, signal } = {}) {
    if (!(input instanceof Blob)) throw new TypeError('only a File or a Blob can be explained');
    if (!(Number.isInteger(faces) && faces > 0)) throw new TypeError('the number of faces must be a whole number above zero');
    const { sha256 } = report.opinions?.[0].model ?? report.model;
    if (sha256 !== this.sha256) {
      throw new UnmaskError('wrong_use', `${report.input}: its report is another detector's; score it again with this one`);
    }
    const request = { file: input, name: report.input, report, faces };
    return this.#link.explain(request, { source: input, onProgress, signal });
  }

  /** Ends the workers and frees their memory. What is being scored is rejected. */
  dispose() {
    this.#link.close();
  }
}

/**
 * Every source with the options that are its own.
 * @param {Source | null | undefined | Sources} source
 * @param {Record<string, any>} options
 * @returns {{ source: Source | null | undefined, own: Record<string, any> }[]}
 */
function eachSource(source, options) {
  const given = OF_SOURCE.filter((name) => options[name] != null);
  if (!Array.isArray(source)) {
    const wrong = given.find((name) => Array.isArray(options[name]));
    if (wrong) throw new TypeError(`\`${wrong}\` is a list, and there is one source; give one \`${wrong}\``);
    return [{ source: /** @type {Source | null | undefined} */ (source), own: pick(given, (name) => options[name]) }];
  }
  if (source.length === 0) throw new TypeError('there is no source in the list; give at least one');
  for (const name of given) {
    if (Array.isArray(options[name]) && options[name].length === source.length) continue;
    throw new TypeError(`with a list of sources \`${name}\` is a list in the same order; give one for each, or null`);
  }
  return source.map((one, index) => ({ source: one, own: pick(given, (name) => options[name][index] ?? undefined) }));
}

/**
 * @param {string[]} names
 * @param {(name: string) => any} value
 */
function pick(names, value) {
  return Object.fromEntries(names.map((name) => [name, value(name)]));
}

/**
 * Fetches the files of all sources, one after the other.
 * @param {ReturnType<typeof eachSource>} wanted
 * @param {Listening} listening
 * @returns {Promise<Files[]>}
 */
async function fetchAll(wanted, { onProgress, signal }) {
  const files = [];
  const addresses = sharedNames(wanted.map(({ source }) => source));
  for (const [index, { source, own }] of wanted.entries()) {
    const place = wanted.length > 1 ? { model: index, models: wanted.length } : {};
    /** @param {Progress} progress */
    const tell = (progress) => onProgress({ ...progress, ...place });
    const address = addresses[index];
    const fetched = fetchDetector(source, { ...own, onProgress: tell, signal });
    const { blob, name, base, sha256 } = await (address ? fetched.catch((error) => renamed(error, address)) : fetched);
    files.push({ name: address?.href ?? name, model: blob, base, sha256: sha256 ?? null });
  }
  return files;
}

/**
 * The addresses of those whose file has the name of another one's, as on hubs where all have one: errors call them by that.
 * @param {(Source | null | undefined)[]} sources
 */
function sharedNames(sources) {
  const isAddress = (source) => typeof source === 'string' || source instanceof URL;
  const addresses = sources.map((source) => (isAddress(source) ? new URL(/** @type {string} */ (source), document.baseURI) : null));
  const names = addresses.map((address) => address && fileName(address));
  return addresses.map((address, index) => (names.some((name, other) => other !== index && name && name === names[index]) ? address : null));
}

/**
 * Throws the error with the whole address in place of the file's name.
 * @param {any} error
 * @param {URL} address
 * @returns {never}
 */
function renamed(error, address) {
  const beginning = `${fileName(address)}: `;
  if (!(error instanceof UnmaskError) || !error.message.startsWith(beginning)) throw error;
  throw new UnmaskError(error.code, `${address.href}: ${error.message.slice(beginning.length)}`, { cause: error });
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
