// What the tests share: the browser, a page with a loaded detector, clips, and the native program beside it.

import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { chromium } from 'playwright-core';
import { patiently, PATIENCE } from './patience.js';

const { UNMASK_PAGE: page, UNMASK_PROGRAM: program, UNMASK_MODEL: model, UNMASK_CHROMIUM: browserPath } = process.env;

export const PAGE = page;

const CLIPS = new URL('../../../shared/data/clips/', import.meta.url).pathname;

// A browser that talks to nobody by itself, so that every request seen is the page's.
const FLAGS = ['--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

/** A browser, with `flags` of Chromium besides the usual ones. */
export async function launch(...flags) {
  return patiently(await launchPlain(...flags));
}

/** The same as Playwright gives it. */
export function launchPlain(...flags) {
  // Chromium's sandbox does not start as root, as in containers.
  const sandbox = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  const args = [...FLAGS, ...sandbox, ...flags];
  return chromium.launch({ executablePath: browserPath, args, timeout: PATIENCE });
}

/**
 * A clip of the collection beside the repository; null, and the test skipped aloud, where it is absent. With
 * `UNMASK_REQUIRE_DATA=1` that is a failure.
 */
export function clip(test, name) {
  const path = join(CLIPS, name);
  if (existsSync(path)) return path;
  if (process.env.UNMASK_REQUIRE_DATA === '1') throw new Error(`${path} is not there, and UNMASK_REQUIRE_DATA=1 requires it`);
  test.skip(`${path} is not there`);
  return null;
}

/** A folder for one test file's own files. */
export class Scratch {
  #folder = mkdtempSync(join(tmpdir(), 'unmask-'));

  path(name) {
    return join(this.#folder, name);
  }

  write(name, content) {
    writeFileSync(this.path(name), content);
    return this.path(name);
  }

  /** The first `share` of a file. */
  truncated(name, source, share) {
    const bytes = readFileSync(source);
    return this.write(name, bytes.subarray(0, Math.floor(bytes.length * share)));
  }

  /** A file that ffmpeg makes; null, and the test skipped aloud, where this ffmpeg cannot. */
  made(test, name, ...options) {
    const problem = this.#ffmpeg(name, options);
    if (!problem) return this.path(name);
    test.skip(`ffmpeg cannot make ${name}: ${problem}`);
    return null;
  }

  /** The same video with a display matrix that turns it by 90 degrees clockwise. */
  turned(test, name, source) {
    // The first is how ffmpeg 6 and later are told, the second how those before are.
    const copy = ['-i', source, '-c', 'copy'];
    if (!this.#ffmpeg(name, ['-display_rotation', '270', ...copy])) return this.path(name);
    return this.made(test, name, ...copy, '-metadata:s:v:0', 'rotate=270');
  }

  /** Makes a file; what ffmpeg said where it could not. */
  #ffmpeg(name, options) {
    try {
      execFileSync('ffmpeg', ['-v', 'error', '-y', ...options, this.path(name)], { stdio: ['ignore', 'ignore', 'pipe'] });
      return null;
    } catch (error) {
      return String(error.stderr ?? error.message).split('\n')[0];
    }
  }

  remove() {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** What the native program says of a file. */
export function native(file, frames, ...more) {
  const options = ['score', file, '--model', model, '--frames', String(frames), '--json', ...more];
  return JSON.parse(execFileSync(program, options, { maxBuffer: 1 << 28 }));
}

/**
 * A page that has loaded the module and the detector as `window.test`, and a record of its requests. `inFront` has scripts,
 * by the name of a module, that run before the module does; `once` those that only the first one fetched has.
 */
export async function openPage(browser, { inFront = {}, once = {}, context: given } = {}) {
  const context = given ?? (await browser.newContext());
  const changed = Object.keys({ ...inFront, ...once }).length > 0;
  const address = changed ? await changedPage(context, inFront, once) : PAGE;
  const requests = [];
  context.on('request', (request) => requests.push(request.url()));
  const page = await context.newPage();
  const problems = [];
  page.on('pageerror', (error) => problems.push(error.message));
  await page.goto(`${address}embed.html`);
  await page.evaluate(async () => {
    const { Detector } = await import('/unmask.js');
    const detector = await Detector.load('/unmask-lite.safetensors');
    const input = document.createElement('input');
    input.type = 'file';
    input.id = 'test-file';
    document.body.append(input);
    window.test = { Detector, detector, input };
  });
  return { page, context, requests, problems };
}

/**
 * What the tests of a file share: a browser and a page `opened` in it, from before the first until after the last, and a
 * folder of their own, `scratch`. Others than the usual ones may launch the browser and open the page.
 */
export function inBrowser(launching = launch, opening = openPage) {
  const here = { browser: null, opened: null, scratch: new Scratch() };
  before(async () => {
    here.browser = await launching();
    here.opened = await opening(here.browser);
  });
  after(async () => {
    await here.browser?.close();
    here.scratch.remove();
  });
  return here;
}

/**
 * The address of the page with scripts in front of modules, for as long as the context lives. It is a server's, since
 * Playwright does not see what workers of workers fetch. Imports are hoisted: a script runs after them, and before all else.
 */
export async function changedPage(context, inFront, once = {}) {
  const left = new Map(Object.keys(once).map((file) => [`/${file}`, 1]));
  const scripts = new Map(Object.entries({ ...inFront, ...once }).map(([file, script]) => [`/${file}`, script]));
  const server = createServer(async ({ url }, response) => {
    const original = await fetch(new URL(url, PAGE));
    const headers = Object.fromEntries(original.headers);
    const ofTransfer = ['content-length', 'content-encoding', 'transfer-encoding', 'connection', 'keep-alive'];
    for (const name of ofTransfer) delete headers[name];
    const body = Buffer.from(await original.arrayBuffer());
    const script = (left.get(url) ?? 1) > 0 ? scripts.get(url) : undefined;
    if (left.has(url)) left.set(url, left.get(url) - 1);
    response.writeHead(original.status, headers).end(script === undefined ? body : `${script}\n${body}`);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.on('close', () => server.close());
  return `http://localhost:${server.address().port}/`;
}

/** Has pages play videos from the web, as a site that shows such has another policy than ours. */
export function allowMedia(context) {
  return context.route('**/embed.html', async (route) => {
    const response = await route.fetch();
    const headers = response.headers();
    for (const name of ['content-security-policy', 'cross-origin-embedder-policy']) delete headers[name];
    await route.fulfill({ response, headers });
  });
}

/** Scores a file by the API; `{ report, progress }`, or `{ error }` with its name, code and sentence. */
export async function score(page, file, options = {}) {
  await page.setInputFiles('#test-file', file);
  return page.evaluate(async (options) => {
    const progress = [];
    const onProgress = (step) => progress.push(step);
    try {
      const report = await window.test.detector.score(window.test.input.files[0], { ...options, onProgress });
      return { report, progress };
    } catch (error) {
      return { error: { name: error.name, code: error.code, message: error.message } };
    }
  }, options);
}
