// A server that misbehaves as a test tells it to, and remembers what it was asked for.

import { createReadStream, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';

export const TYPES = {
  '.css': 'text/css',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.wasm': 'application/wasm',
};

export class TestServer {
  #http;
  #folders;
  #headers;
  #handlers = new Map();
  /** Requests in their order: `{ method, path, headers }`. */
  log = [];

  /** @param folders by the path they are served at; @param headers of every answer with one of their files */
  constructor(folders = {}, headers = {}) {
    this.#folders = Object.entries(folders);
    this.#headers = headers;
    this.#http = createServer((request, response) => this.#answer(request, response));
  }

  /** Begins to listen on a free port, or on the one it had. */
  async start() {
    await new Promise((resolve) => this.#http.listen(this.port ?? 0, '127.0.0.1', resolve));
    this.port = this.#http.address().port;
    return this;
  }

  async stop() {
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }

  get origin() {
    return `http://localhost:${this.port}`;
  }

  /** Has `handler(request, response)` answer for a path; its address. */
  handle(path, handler) {
    this.#handlers.set(path, handler);
    return `${this.origin}${path}`;
  }

  /** What was asked of a path since `start`. */
  asked(path, start = 0) {
    return this.log.slice(start).filter((request) => request.path === path);
  }

  #answer(request, response) {
    const path = new URL(request.url, this.origin).pathname;
    this.log.push({ method: request.method, path, headers: request.headers });
    const handler = this.#handlers.get(path);
    if (handler) handler(request, response);
    else this.#file(path, response);
  }

  #file(path, response) {
    for (const [prefix, folder] of this.#folders) {
      const file = path.startsWith(prefix) ? join(folder, path.slice(prefix.length)) : null;
      const size = file && !path.includes('..') && statSync(file, { throwIfNoEntry: false })?.size;
      if (!size) continue;
      const type = TYPES[extname(file)] ?? 'application/octet-stream';
      response.writeHead(200, { 'Content-Type': type, 'Content-Length': size, ...this.#headers });
      createReadStream(file).pipe(response);
      return;
    }
    response.writeHead(404).end();
  }
}

/** `size` bytes that look like weights: no two pieces are the same. */
export function bytes(size, seed = 1) {
  const content = Buffer.allocUnsafe(size);
  let state = seed;
  for (let position = 0; position + 4 <= size; position += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    content.writeUInt32LE(state, position);
  }
  return content;
}

/** What is to happen once a page has been handed some number of bytes. */
let awaited = [];

/** Has a page say how many bytes of a file it has been handed, so that nothing need depend on how fast that is. */
export function arrived(bytes) {
  const due = awaited.filter(({ after }) => after <= bytes);
  awaited = awaited.filter((one) => !due.includes(one));
  due.forEach(({ happen }) => happen());
}

/**
 * Answers with a file as good servers do. `tag` and `modified` tell its version; `ranges: false` always sends all of it;
 * after `breakAt` bytes of an answer the connection breaks, once the page has `arrived` at them; after `stallAt` nothing more
 * comes; `headers` are added.
 */
export function file(content, { tag, modified, ranges = true, breakAt, stallAt, headers: more = {} } = {}) {
  return (request, response) => {
    const { range, 'if-none-match': match, 'if-modified-since': since, 'if-range': ifRange } = request.headers;
    const headers = { ...more };
    if (tag) headers.ETag = tag;
    if (modified) headers['Last-Modified'] = modified;
    if ((tag && match === tag) || (modified && since === modified)) {
      response.writeHead(304, headers).end();
      return;
    }
    const wanted = ranges && (!ifRange || ifRange === tag || ifRange === modified);
    const start = wanted ? Number(/^bytes=(\d+)-$/.exec(range)?.[1] ?? 0) : 0;
    if (start >= content.length) {
      response.writeHead(416, headers).end();
      return;
    }
    if (start) headers['Content-Range'] = `bytes ${start}-${content.length - 1}/${content.length}`;
    response.writeHead(start ? 206 : 200, { ...headers, 'Content-Length': content.length - start });
    const end = breakAt ?? stallAt;
    if (end === undefined || start + end >= content.length) {
      response.end(content.subarray(start));
      return;
    }
    response.write(content.subarray(start, start + end));
    if (breakAt !== undefined) awaited.push({ after: start + breakAt, happen: () => request.socket.destroy() });
  };
}
