/**
 * Detector files on the visitor's disk, in the origin private file system: one folder a file, with `entry.json` and the
 * file's bytes in numbered pieces. A piece is there with all its bytes or not at all, so a page that is closed midway loses
 * no more than the piece it was at; together they are one `Blob` that stays on disk.
 *
 * Anything here may fail at any time, by a full disk or a browser's refusal. Whoever calls goes on without.
 */

const FOLDER = 'unmask';
const ENTRY = 'entry.json';

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

  constructor(folder) {
    this.#folder = folder;
  }

  /** What is kept of the file at an address: all, a part or nothing. */
  async entry(url) {
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(url));
    return Entry.read(this.#folder, hexadecimal(digest), url);
  }

  /** The whole file with this SHA-256, wherever it came from; null where it is not kept. */
  async withSha256(sha256) {
    for await (const [key, { kind }] of this.#folder.entries()) {
      if (kind !== 'directory') continue;
      const facts = await readJson(await this.#folder.getDirectoryHandle(key), ENTRY);
      if (facts?.sha256 !== sha256) continue;
      const entry = await Entry.read(this.#folder, key);
      if (entry.complete) return entry;
    }
    return null;
  }
}

/** What is kept of one file. */
export class Entry {
  #parent;
  #key;
  #facts;
  #pieces;

  constructor(parent, key, facts, pieces) {
    [this.#parent, this.#key, this.#facts, this.#pieces] = [parent, key, facts, pieces];
  }

  static async read(parent, key, url = null) {
    const folder = await parent.getDirectoryHandle(key).catch(() => null);
    const facts = folder && (await readJson(folder, ENTRY));
    if (!facts) return new Entry(parent, key, { url }, []);
    return new Entry(parent, key, facts, await readPieces(folder));
  }

  /** Where it was fetched from. */
  get url() {
    return this.#facts.url;
  }

  /** What the server said to tell this version of the file from others; null where nothing is kept. */
  get validator() {
    return this.#facts.validator ?? null;
  }

  /** Whether every byte is there. */
  get complete() {
    return this.#facts.size === total(this.#pieces);
  }

  /** Its SHA-256 where that was computed; null before. */
  get sha256() {
    return this.#facts.sha256 ?? null;
  }

  /** The pieces in order, each a `File` on disk. */
  get pieces() {
    return [...this.#pieces];
  }

  /** Forgets what is kept, and expects the version that `validator` tells. */
  async begin(validator) {
    await this.remove();
    await this.#write({ validator });
  }

  /** Keeps the next bytes; gives them back as a `File` on disk. */
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

  /** Keeps the file's SHA-256, by which it is found from then on. */
  async name(sha256) {
    await this.#write({ sha256 });
  }

  async remove() {
    [this.#facts, this.#pieces] = [{ url: this.#facts.url }, []];
    await this.#parent.removeEntry(this.#key, { recursive: true }).catch((error) => {
      if (error.name !== 'NotFoundError') throw error;
    });
  }

  async #write(facts) {
    const all = { ...this.#facts, ...facts };
    await writeFile(await this.#folder(), ENTRY, JSON.stringify(all));
    this.#facts = all;
  }

  #folder() {
    return this.#parent.getDirectoryHandle(this.#key, { create: true });
  }
}

/** How many bytes some pieces have together. */
function total(pieces) {
  return pieces.reduce((sum, { size }) => sum + size, 0);
}

/** The numbered files of a folder in their order; a number that is missing ends them. */
async function readPieces(folder) {
  const pieces = [];
  for (;;) {
    const handle = await folder.getFileHandle(String(pieces.length)).catch(() => null);
    const piece = await handle?.getFile();
    // A piece that could not be written is empty.
    if (!piece?.size) return pieces;
    pieces.push(piece);
  }
}

async function readJson(folder, name) {
  try {
    return JSON.parse(await (await (await folder.getFileHandle(name)).getFile()).text());
  } catch {
    return null;
  }
}

/** Writes all of a file or nothing. */
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

/** Lower-case hexadecimal. */
export function hexadecimal(buffer) {
  return Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
