/**
 * Detector files on the visitor's disk, in the origin private file system: one folder a file, with `entry.json` and the
 * file's bytes in numbered pieces. A piece is there with all its bytes or not at all, so a page that is closed midway loses
 * no more than the piece it was at; together they are one `Blob` that stays on disk.
 *
 * Anything here may fail at any time, by a full disk or a browser's refusal. Whoever calls goes on without, unless keeping
 * is what was asked for.
 *
 * @import { Kept } from './unmask.d.ts'
 *
 * @typedef {{ etag: string | null, modified: string | null, length: number | null }} Validator what tells a version of a file
 * @typedef {object} Facts what `entry.json` says
 * @property {string | null} url where the file was fetched from; null of one that was given
 * @property {string} [name] of one that was given
 * @property {Validator | null} [validator]
 * @property {number} [size] once every byte is there
 * @property {string} [sha256] of the file as it was fetched or given
 * @property {Converted} [converted] where it is the detector that the file became
 *
 * @typedef {object} Converted how a checkpoint became a detector
 * @property {number} version of what converted it
 * @property {Record<string, string | null>} of what was said of the checkpoint
 * @property {string | null} sha256 of the detector's file, once all of it is there
 */

const FOLDER = 'unmask';
const ENTRY = 'entry.json';
/** What the folder of a detector that a checkpoint became has behind the checkpoint's name. */
const CONVERTED = '-converted';

/** The store, or null where there is none: outside a secure context, and where the browser refuses. */
export async function openStore() {
  try {
    const root = await navigator.storage.getDirectory();
    return new Store(await root.getDirectoryHandle(FOLDER, { create: true }));
  } catch {
    return null;
  }
}

class Store {
  #folder;

  /** @param {FileSystemDirectoryHandle} folder */
  constructor(folder) {
    this.#folder = folder;
  }

  /**
   * What is kept of the file at an address: all, a part or nothing.
   * @param {string} url
   */
  async entry(url) {
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(url));
    return this.#latest(hexadecimal(digest), { url });
  }

  /**
   * What is kept of a file that was given and has this SHA-256.
   * @param {string} sha256
   * @param {string} name
   */
  given(sha256, name) {
    return this.#latest(`given-${sha256}`, { url: null, name });
  }

  /**
   * The detector that a file became, where all of it is there, else the file.
   * @param {string} key
   * @param {Facts} facts
   */
  async #latest(key, facts) {
    const converted = await Entry.read(this.#folder, key + CONVERTED, facts);
    if (!converted.complete) return Entry.read(this.#folder, key, facts);
    // A page that was closed between the two left the file.
    await this.#folder.removeEntry(key, { recursive: true }).catch(() => {});
    return converted;
  }

  /**
   * What is kept under an identifier of `list`; null where that is nothing any more.
   * @param {string} id
   */
  async withId(id) {
    const entry = await Entry.read(this.#folder, id, { url: null });
    return entry.exists ? entry : null;
  }

  /**
   * The whole file with this SHA-256, or what it became, wherever it came from; null where it is not kept.
   * @param {string} sha256
   */
  async withSha256(sha256) {
    /** @type {Entry | null} */
    let found = null;
    for await (const entry of this.#entries()) {
      if ([entry.sha256, entry.fileSha256].includes(sha256) && entry.complete && !found?.converted) found = entry;
    }
    return /** @type {Entry | null} */ (found);
  }

  /**
   * The detector file with this SHA-256; null where it is not kept.
   * @param {string} sha256
   */
  async withFile(sha256) {
    for await (const entry of this.#entries()) {
      if (entry.fileSha256 === sha256 && entry.complete) return entry;
    }
    return null;
  }

  /** All files of which something is kept, in the order of their names. */
  async list() {
    const entries = [];
    // A conversion that did not come to its end begins anew.
    for await (const entry of this.#entries()) if (entry.complete || !entry.converted) entries.push(entry);
    return entries.sort((one, other) => one.name.localeCompare(other.name));
  }

  async *#entries() {
    for await (const [key, { kind }] of this.#folder.entries()) {
      const entry = kind === 'directory' && (await this.withId(key));
      if (entry) yield entry;
    }
  }
}

/** What is kept of one file. */
export class Entry {
  #parent;
  #key;
  #facts;
  #pieces;
  /** Whether anything was there when it was read, be it broken. */
  exists;

  /**
   * @param {FileSystemDirectoryHandle} parent
   * @param {string} key
   * @param {Facts} facts
   * @param {File[]} pieces
   * @param {boolean} exists
   */
  constructor(parent, key, facts, pieces, exists) {
    [this.#parent, this.#key, this.#facts, this.#pieces] = [parent, key, facts, pieces];
    this.exists = exists;
  }

  /**
   * @param {FileSystemDirectoryHandle} parent
   * @param {string} key
   * @param {Facts} facts those of an entry that is not there yet
   */
  static async read(parent, key, facts) {
    const folder = await parent.getDirectoryHandle(key).catch(() => null);
    const written = folder && (await readJson(folder, ENTRY));
    if (!folder || !written) return new Entry(parent, key, facts, [], folder !== null);
    return new Entry(parent, key, written, await readPieces(folder), true);
  }

  /** What it is found by in the list. */
  get id() {
    return this.#key;
  }

  /** Where it was fetched from; null of a file that was given. */
  get url() {
    return this.#facts.url;
  }

  /** The file's name, which errors call it by. */
  get name() {
    const { url, name } = this.#facts;
    return url ? fileName(new URL(url)) : (name ?? 'unknown');
  }

  /**
   * What a page is told of it.
   * @returns {Kept}
   */
  get described() {
    const { id, url, name, sha256, complete, converted } = this;
    return { id, url, name, bytes: total(this.#pieces), sha256, complete, converted: converted !== null };
  }

  /** What the server said to tell this version of the file from others; null where nothing is kept. */
  get validator() {
    return this.#facts.validator ?? null;
  }

  /** Whether every byte is there. */
  get complete() {
    return this.#facts.size === total(this.#pieces);
  }

  /** How a checkpoint became this detector, and address, name and `sha256` are the checkpoint's; null of any other file. */
  get converted() {
    return this.#facts.converted ?? null;
  }

  /** SHA-256 of the bytes that are kept; null before it was computed. */
  get fileSha256() {
    return this.converted ? this.converted.sha256 : this.sha256;
  }

  /** What one page at a time may change it under: the same before and after a conversion. */
  get lock() {
    return this.url ?? this.#plainKey;
  }

  get #plainKey() {
    return this.#key.endsWith(CONVERTED) ? this.#key.slice(0, -CONVERTED.length) : this.#key;
  }

  /** Its SHA-256 where that was computed; null before. */
  get sha256() {
    return this.#facts.sha256 ?? null;
  }

  /**
   * Whether so many bytes are there.
   * @param {number} bytes
   */
  holds(bytes) {
    return total(this.#pieces) === bytes;
  }

  /** The pieces in order, each a `File` on disk. */
  get pieces() {
    return [...this.#pieces];
  }

  /**
   * Forgets what is kept, and expects the version that `validator` tells.
   * @param {Validator | null} validator
   */
  async begin(validator) {
    await this.remove();
    this.#key = this.#plainKey;
    await this.#write({ validator });
  }

  /**
   * Keeps the next bytes; gives them back as a `File` on disk.
   * @param {Uint8Array<ArrayBuffer> | Blob} bytes
   */
  async append(bytes) {
    const folder = await this.#folder();
    const piece = await writeFile(folder, String(this.#pieces.length), bytes);
    this.#pieces.push(piece);
    return piece;
  }

  /** Says that every byte is there. */
  async finish() {
    await this.#write({ size: total(this.#pieces) });
  }

  /**
   * Keeps the file's SHA-256, by which it is found from then on.
   * @param {string} sha256
   */
  async identify(sha256) {
    await this.#write({ sha256 });
  }

  /**
   * Begins to keep the detector that this checkpoint becomes, beside it.
   * @param {Omit<Converted, 'sha256'>} by
   */
  async conversion(by) {
    const { size: _, ...facts } = this.#facts;
    const entry = new Entry(this.#parent, this.#key + CONVERTED, facts, [], false);
    await entry.remove();
    await entry.#write({ ...facts, converted: { ...by, sha256: null } });
    return entry;
  }

  /**
   * Says that every byte of a conversion is there.
   * @param {string} sha256 of those bytes
   */
  async finishConversion(sha256) {
    const { converted } = this.#facts;
    if (converted) await this.#write({ size: total(this.#pieces), converted: { ...converted, sha256 } });
  }

  /** Removes it, and whatever is left of the file that it was before, or of the one that it was becoming. */
  async forget() {
    const key = this.#plainKey;
    const other = this.#key === key ? key + CONVERTED : key;
    await this.remove();
    await this.#parent.removeEntry(other, { recursive: true }).catch(ignoreAbsent);
  }

  async remove() {
    const { url, name } = this.#facts;
    [this.#facts, this.#pieces] = [{ url, name }, []];
    await this.#parent.removeEntry(this.#key, { recursive: true }).catch(ignoreAbsent);
  }

  /** @param {Partial<Facts>} facts */
  async #write(facts) {
    const all = { ...this.#facts, ...facts };
    await writeFile(await this.#folder(), ENTRY, JSON.stringify(all));
    this.#facts = all;
  }

  #folder() {
    return this.#parent.getDirectoryHandle(this.#key, { create: true });
  }
}

/** Lets a removal pass of what is not there. */
function ignoreAbsent(error) {
  if (error.name !== 'NotFoundError') throw error;
}

/**
 * How many bytes some pieces have together.
 * @param {Blob[]} pieces
 */
function total(pieces) {
  return pieces.reduce((sum, { size }) => sum + size, 0);
}

/**
 * The numbered files of a folder in their order; a number that is missing ends them.
 * @param {FileSystemDirectoryHandle} folder
 */
async function readPieces(folder) {
  /** @type {File[]} */
  const pieces = [];
  for (;;) {
    const handle = await folder.getFileHandle(String(pieces.length)).catch(() => null);
    const piece = await handle?.getFile();
    // A piece that could not be written is empty.
    if (!piece?.size) return pieces;
    pieces.push(piece);
  }
}

/**
 * @param {FileSystemDirectoryHandle} folder
 * @param {string} name
 */
async function readJson(folder, name) {
  try {
    return JSON.parse(await (await (await folder.getFileHandle(name)).getFile()).text());
  } catch {
    return null;
  }
}

/**
 * Writes all of a file or nothing.
 * @param {FileSystemDirectoryHandle} folder
 * @param {string} name
 * @param {FileSystemWriteChunkType} content
 */
async function writeFile(folder, name, content) {
  const handle = await folder.getFileHandle(name, { create: true });
  const writable = await handle.createWritable();
  try {
    await writable.write(content);
    await writable.close();
  } catch (error) {
    await writable.abort().catch(() => {});
    throw error;
  }
  return handle.getFile();
}

/**
 * The name of the file at an address.
 * @param {URL} url
 */
export function fileName(url) {
  const last = url.pathname.split('/').pop() || url.href;
  try {
    return decodeURIComponent(last);
  } catch {
    return last;
  }
}

/**
 * Lower-case hexadecimal.
 * @param {ArrayBuffer} buffer
 */
export function hexadecimal(buffer) {
  return Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
