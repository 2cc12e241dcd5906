// What the tests of detector files share: a page with the module, files to fetch, and what came of it.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { after, afterEach, before, beforeEach } from 'node:test';
import { arrived, bytes, TestServer } from './server.js';
import { launch } from './support.js';

export const MIB = 1 << 20;

/** Less than a piece of what is kept, and more than two. */
export const SMALL = bytes(3 * MIB + 5);
export const LARGE = bytes(20 * MIB + 3);

/** A server of the package's files and of an empty page. */
export async function servePages() {
  const server = await new TestServer({ '/': dirname(process.env.UNMASK_MODEL) }).start();
  server.handle('/empty.html', (_, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html>'));
  return server;
}

/**
 * What the tests of a file share: a browser, a server of pages, which `prepare` is called with before the first, and in each test a
 * visitor with a disk of their own.
 */
export function visiting(prepare = (server) => server) {
  const here = { browser: null, server: null, context: null, openPage: (options) => weightsPage(here.context, here.server, options) };
  before(async () => {
    here.browser = await launch();
    here.server = await servePages();
    await prepare(here.server);
  });
  after(async () => {
    await here.browser?.close();
    await here.server?.stop();
  });
  beforeEach(async () => {
    here.context = await here.browser.newContext();
  });
  afterEach(() => here.context.close());
  return here;
}

export function sha256(content) {
  return createHash('sha256').update(content).digest('hex');
}

/** A page of a server with the module as `window.weights`; `prepare` runs in it first. */
export async function weightsPage(context, server, { origin = server.origin, prepare } = {}) {
  const page = await context.newPage();
  await page.exposeFunction('arrived', arrived);
  if (prepare) await page.addInitScript(prepare);
  await page.goto(`${origin}/empty.html`);
  await page.evaluate(async () => {
    window.weights = await import('/weights.js');
  });
  return page;
}

/**
 * Fetches a detector in a page; `{ name, size, sha256, base, progress }`, the last two of the file's bytes, or `{ error }`. With
 * `stop` bytes, it is cancelled once that many are there.
 */
export function load(page, source, { stop, ...options } = {}) {
  return page.evaluate(
    async ({ source, stop, options }) => {
      const hash = async (blob) => {
        const digest = await crypto.subtle.digest('SHA-256', await blob.arrayBuffer());
        return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
      };
      const progress = [];
      const abort = new AbortController();
      const onProgress = (step) => {
        progress.push(step);
        window.arrived(step.done);
        if (step.done >= stop) abort.abort();
      };
      try {
        const found = await window.weights.fetchDetector(source, { ...options, onProgress, signal: abort.signal });
        const base = found.base && (await hash(found.base));
        return { name: found.name, known: found.sha256, size: found.blob.size, sha256: await hash(found.blob), base, progress };
      } catch ({ name, code, message }) {
        return { error: { name, code, message } };
      }
    },
    { source, stop, options },
  );
}

/** The file arrived as it is. */
export function assertIs(found, content) {
  assert.equal(found.error, undefined, found.error?.message);
  assert.equal(found.size, content.length);
  assert.equal(found.sha256, sha256(content));
}

/** It was refused with this code and one sentence that begins so. */
export function assertOneSentence({ error }, start, code) {
  assert.deepEqual([error.name, error.code], ['UnmaskError', code], error.message);
  assert.ok(error.message.startsWith(start), error.message);
  assert.ok(!error.message.includes('\n') && !/\.\s/.test(error.message), `one sentence: ${error.message}`);
}

