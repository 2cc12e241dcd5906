// The npm package in pages of others: beside them, from another origin, and inside a bundler.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { TestServer } from './server.js';
import { clip, launch, native, Scratch } from './support.js';

/** The npm package that `cargo xtask dist` makes. */
const { UNMASK_PACKAGE: tarball } = process.env;
const skip = tarball ? false : 'UNMASK_PACKAGE names no npm package; `cargo xtask dist` makes one';

/** A project with vite, which has no settings. What it needs from npm is installed. */
const PROJECT = fileURLToPath(new URL('vite/', import.meta.url));

const FRAMES = 2;
const CLIP = 'real_liveportrait_d1_512_0.5s.mp4';

let browser;
let contents;
const scratch = new Scratch();

before(async () => {
  if (skip) return;
  browser = await launch();
  contents = scratch.path('package');
  unpack(contents);
});

after(async () => {
  await browser?.close();
  scratch.remove();
});

function unpack(folder) {
  mkdirSync(folder, { recursive: true });
  execFileSync('tar', ['-xzf', tarball, '-C', folder, '--strip-components=1']);
}

/** Serves `html` as a page with some headers. */
function servePage(server, html, headers = {}) {
  const head = { 'Content-Type': 'text/html; charset=utf-8', ...headers };
  return server.handle('/page.html', (_, response) => response.writeHead(200, head).end(`<!doctype html><link rel="icon" href="data:,">${html}`));
}

/** The page's element scores a clip as the native program does, and every request was one for its own files. */
async function assertScores(t, address, origins) {
  const file = clip(t, CLIP);
  if (!file) return;
  const context = await browser.newContext();
  const page = await context.newPage();
  const [requests, problems] = [[], []];
  context.on('request', (request) => requests.push(request.url()));
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  await page.goto(address);
  await page.waitForFunction(() => customElements.get('unmask-detector'));
  const outcome = page.evaluate(
    () => new Promise((resolve) => {
      const element = document.querySelector('unmask-detector');
      element.addEventListener('result', ({ detail }) => resolve({ report: detail }));
      element.addEventListener('error', ({ detail }) => resolve({ error: detail.message }));
    }),
  );
  await page.locator('unmask-detector input').setInputFiles(file);
  const { report, error } = await outcome;
  assert.deepEqual([error, ...problems], [undefined]);
  const expected = native(file, FRAMES);
  assert.equal(report.verdict, expected.verdict);
  assert.ok(Math.abs(report.score - expected.score) < 0.02, `${report.score} is not ${expected.score}`);
  const elsewhere = requests.filter((url) => /^https?:/.test(url) && !origins.includes(new URL(url).origin));
  assert.deepEqual(elsewhere, []);
  await context.close();
}

function element(files) {
  return `<script type="module" src="${files}/unmask.js"></script>
    <unmask-detector model="${files}/unmask-lite.safetensors" frames="${FRAMES}"></unmask-detector>`;
}

test('the package says what it is and has its licences', { skip }, () => {
  const manifest = JSON.parse(readFileSync(join(contents, 'package.json'), 'utf8'));
  assert.equal(manifest.license, 'MIT OR Apache-2.0');
  const named = [manifest.exports['.'].types, manifest.exports['.'].default, manifest.exports['./unmask-lite.safetensors']];
  for (const name of [...named, ...manifest.sideEffects, 'README.md', 'LICENSE-MIT', 'licences/unmask-lite.LICENSE.md', 'third-party-licences.txt']) {
    assert.ok(readFileSync(join(contents, name)).length > 0, name);
  }
});

test('importing the package leaves the globals of the page alone, but for its element', { skip }, async (t) => {
  const server = await new TestServer({ '/': contents }).start();
  t.after(() => server.stop());
  const page = await browser.newPage();
  await page.goto(servePage(server, ''));
  const changes = await page.evaluate(async () => {
    const places = { window, document, navigator, Object, Array: Array.prototype, Worker, HTMLElement: HTMLElement.prototype };
    const names = () => Object.entries(places).map(([place, object]) => [place, Object.getOwnPropertyNames(object)]);
    const values = () => Object.getOwnPropertyNames(window).map((name) => window[name]);
    const [namesBefore, valuesBefore] = [names(), values()];
    const module = await import('/unmask.js');
    const [namesAfter, valuesAfter] = [names(), values()];
    return {
      names: JSON.stringify(namesBefore) === JSON.stringify(namesAfter),
      replaced: valuesBefore.filter((value, index) => typeof value === 'function' && value !== valuesAfter[index]).length,
      element: customElements.get('unmask-detector') === module.UnmaskDetectorElement,
      exported: Object.keys(module).sort(),
    };
  });
  const exported = ['Detector', 'UnmaskDetectorElement', 'UnmaskError', 'bundled', 'known'];
  assert.deepEqual(changes, { names: true, replaced: 0, element: true, exported });
  await page.close();
});

test('the element works in a plain page of another origin', { skip }, async (t) => {
  const files = await new TestServer({ '/': contents }, { 'Access-Control-Allow-Origin': '*' }).start();
  const pages = await new TestServer().start();
  t.after(() => Promise.all([files.stop(), pages.stop()]));
  await assertScores(t, servePage(pages, element(files.origin)), [files.origin, pages.origin]);
});

test('the element works in an isolated page of another origin, with the policy that is documented', { skip }, async (t) => {
  const files = await new TestServer({ '/': contents }, { 'Access-Control-Allow-Origin': '*' }).start();
  const pages = await new TestServer().start();
  t.after(() => Promise.all([files.stop(), pages.stop()]));
  const policy = [`script-src ${files.origin} 'wasm-unsafe-eval'`, `worker-src blob: ${files.origin}`, `connect-src ${files.origin}`, 'img-src data:'];
  const headers = {
    'Content-Security-Policy': ["default-src 'none'", ...policy].join('; '),
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Embedder-Policy': 'require-corp',
  };
  await assertScores(t, servePage(pages, element(files.origin), headers), [files.origin, pages.origin]);
});

/** The project with the package installed, ready to be built; vite itself. */
async function viteProject() {
  const project = scratch.path('vite');
  for (const name of ['index.html', 'main.js', 'package.json', 'node_modules']) cpSync(join(PROJECT, name), join(project, name), { recursive: true });
  rmSync(join(project, 'node_modules/.vite'), { recursive: true, force: true });
  unpack(join(project, 'node_modules/unmask-detector'));
  return { project, vite: await import(pathToFileURL(join(project, 'node_modules/vite/dist/node/index.js'))) };
}

test('the element works in a vite project without settings, built and while it is developed', { skip }, async (t) => {
  const { project, vite } = await viteProject();
  const options = { root: project, logLevel: 'warn' };
  await vite.build(options);
  const built = await vite.preview(options);
  t.after(() => built.close());
  await assertScores(t, built.resolvedUrls.local[0], [new URL(built.resolvedUrls.local[0]).origin]);
  const developed = await (await vite.createServer(options)).listen();
  t.after(() => developed.close());
  await assertScores(t, developed.resolvedUrls.local[0], [new URL(developed.resolvedUrls.local[0]).origin]);
});
