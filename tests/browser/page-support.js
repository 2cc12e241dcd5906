// What the tests of the page share: the page in its states, what it says, and a server that can change and go away.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { launch, PAGE } from './support.js';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** A clip that is in the repository: `real`, `fake` or `no_face`. */
export function sample(name) {
  return new URL(`../../demo/${name}.mp4`, import.meta.url).pathname;
}

/** How ffmpeg shows two of the samples side by side. */
export function twoPeople(width) {
  const filter = ['-filter_complex', `hstack,scale=${width}:-2`];
  return ['-i', sample('real'), '-i', sample('fake'), ...filter, '-c:v', 'libx264', '-crf', '16'];
}

/** A browser whose camera shows a test pattern, and that grants it. */
export function launchWithCamera() {
  return launch('--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream');
}

/**
 * The page, which looks at `frames` frames of a video, with a record of its requests and of what went wrong in it. One page serves most
 * tests, since each has to get the detector ready anew.
 */
export async function openPage(browser, { address = PAGE, frames = 4, before, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const requests = [];
  context.on('request', (request) => requests.push(request.url()));
  const page = await context.newPage();
  const problems = [];
  page.on('pageerror', (error) => problems.push(error.message));
  if (before) await page.addInitScript(before);
  await page.goto(address);
  await page.locator('.bench').waitFor();
  await lookAt(page, frames);
  return { page, context, requests, problems };
}

/** Changes one of the settings, which are behind a summary. */
export async function choose(page, selector, change) {
  const drawer = page.locator('details.settings');
  await drawer.evaluate((details) => (details.open = true));
  await change(drawer.locator(selector));
  await drawer.evaluate((details) => (details.open = false));
}

/** Has the detectors judge whose labels in the settings begin so, and no others. */
export function chooseDetectors(page, ...labels) {
  return choose(page, '.detectors', async (list) => {
    for (const box of await list.getByRole('checkbox').all()) {
      const label = await box.evaluate((box) => box.labels[0].innerText.trim());
      if (await box.isEnabled()) await box.setChecked(labels.some((wanted) => label.startsWith(wanted)));
    }
  });
}

/** Gives the page files and waits until none is unfinished. */
export async function examine(page, ...files) {
  await page.setInputFiles('#files', files);
  await settled(page);
}

/** Waits until what is shown is neither waiting nor being examined. */
export async function settled(page) {
  await page.getByRole('button', { name: 'Examine again' }).waitFor();
}

/** Looks at `count` frames of a video from now on. */
export function lookAt(page, count) {
  return choose(page, 'select', (select) => select.selectOption(String(count)));
}

/** Takes everything away that was given. */
export async function clear(page) {
  const remove = page.getByRole('button', { name: 'Remove' });
  while (await remove.count()) await remove.click();
}

/** Waits until what changed is drawn, and what the browser tells of it is told. */
export function still(page) {
  return page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 200))));
}

/** What the page says of the input that is shown. */
export async function finding(page) {
  const text = (selector) => page.locator('.detail').locator(selector).allInnerTexts();
  const [[headline], [figure], [caveat], [warning], reasons, weakening] = await Promise.all(
    ['.headline', '.figure strong', '.finding .caveat', '.verdict .warning', '.reasons:not(.weakening) li', '.weakening li'].map(text),
  );
  return { headline: headline?.trim(), figure, caveat, warning, reasons, weakening };
}

/** Presses a button that gives the user a file; what is in it. */
export async function downloaded(page, name) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name }).click()]);
  const content = JSON.parse(readFileSync(await download.path(), 'utf8'));
  return { name: download.suggestedFilename(), content };
}

/** Axe finds nothing, light or dark, and the page fits into 320 pixels. */
export async function assertAccessible(page, state) {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(AXE);
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    // What is said does not depend on colours, so the second time they are all that is looked at.
    const only = colorScheme === 'dark' ? { runOnly: ['color-contrast'] } : {};
    const violations = await page.evaluate(async (only) => {
      const { violations } = await window.axe.run(document, { resultTypes: ['violations'], ...only });
      return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(' ')).join(', ')}`);
    }, only);
    assert.deepEqual(violations, [], `${state}, ${colorScheme}`);
  }
  const size = page.viewportSize();
  await page.setViewportSize({ width: 320, height: 640 });
  const excess = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(excess <= 0, `${state}: ${excess} pixels too wide at 320`);
  await page.setViewportSize(size);
}

/** The bundled detector with something else in its description. */
export function changedDetector(change) {
  const file = readFileSync(process.env.UNMASK_MODEL);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + length).toString());
  const description = JSON.parse(header.__metadata__.unmask);
  change(description);
  header.__metadata__.unmask = JSON.stringify(description);
  let text = JSON.stringify(header);
  // The tensors after it are aligned to eight bytes.
  text = text.padEnd(Math.ceil(Buffer.byteLength(text) / 8) * 8);
  const start = Buffer.alloc(8);
  start.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));
  return Buffer.concat([start, Buffer.from(text), file.subarray(8 + length)]);
}

/** The page from a server of its own, which can serve another build and be closed. */
export async function movableServer() {
  const state = { build: 1 };
  const server = createServer(async ({ url }, response) => {
    const original = await fetch(new URL(url, PAGE));
    const headers = Object.fromEntries(original.headers);
    delete headers['content-length'];
    delete headers['transfer-encoding'];
    let body = Buffer.from(await original.arrayBuffer());
    if (url === '/style.css') body = Buffer.concat([body, Buffer.from(`:root { --build: ${state.build}; }`)]);
    response.writeHead(original.status, { ...headers, connection: 'close' }).end(body);
  });
  await new Promise((resolve) => server.listen(0, 'localhost', resolve));
  return {
    address: `http://localhost:${server.address().port}/`,
    state,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
