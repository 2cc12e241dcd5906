// What the benchmarks in a browser share: Chromium, a server on this machine, and figures.

import { createReadStream, statSync } from 'node:fs';
import { cpus } from 'node:os';
import { chromium } from '../../tests/browser/node_modules/playwright-core/index.mjs';
import { TestServer, TYPES } from '../../tests/browser/server.js';

// A browser that talks to nobody by itself.
const FLAGS = ['--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

/** The browser at that path, with `flags` besides the usual ones. */
export function launch(executablePath, ...flags) {
  // Chromium's sandbox does not start as root, as in containers.
  const sandbox = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  return chromium.launch({ executablePath, args: [...FLAGS, ...flags, ...sandbox] });
}

/**
 * A server that has begun: of `folders`, by the paths that they are served at, of single `files` and of `texts` (by paths that
 * tell their type), each answer with these `headers`.
 */
export function serve({ folders = {}, files = {}, texts = {}, headers = {} }) {
  const server = new TestServer(folders, headers);
  for (const [path, file] of Object.entries(files)) {
    server.handle(path, (_, response) => {
      response.writeHead(200, { ...headers, 'content-type': 'application/octet-stream', 'content-length': statSync(file).size });
      createReadStream(file).pipe(response);
    });
  }
  for (const [path, text] of Object.entries(texts)) {
    const type = Object.keys(TYPES).find((ending) => path.endsWith(ending));
    server.handle(path, (_, response) => response.writeHead(200, { ...headers, 'content-type': TYPES[type] }).end(text));
  }
  return server.start();
}

/** The machine and the day, for the head of a report. */
export function machine() {
  return `${cpus().length} × ${cpus()[0].model}, ${new Date().toISOString().slice(0, 10)}`;
}

export function median(numbers) {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
}

/** What a worker of the page answers to a message; it is started, of the served text of its kind, at its first. */
export async function ask(page, { name, kind = name }, message) {
  const answer = await page.evaluate(
    ({ name, kind, message }) =>
      new Promise((resolve, reject) => {
        window.workers ??= {};
        const worker = (window.workers[name] ??= new Worker(`/worker/${kind}.js`, { type: 'module' }));
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = ({ message }) => reject(new Error(message || 'its module does not load'));
        worker.postMessage(message);
      }),
    { name, kind, message },
  );
  if (answer.failed) throw new Error(`${name}: ${answer.failed}`);
  return answer;
}
