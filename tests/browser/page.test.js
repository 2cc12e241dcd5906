// The page: what people see and do.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  assertAccessible, changedDetector, choose, chooseDetectors, clear, downloaded, examine, finding, launchWithCamera, lookAt, movableServer, openPage,
  sample, settled, still, twoPeople,
} from './page-support.js';
import { inBrowser, PAGE } from './support.js';

/** Stands in for the package: a detector that changes from WebGPU to the CPU while it scores. */
const LOSING_DETECTOR = `export class Detector {
  static async load() { return new Detector(); }
  static async kept() { return []; }
  device = 'webgpu';
  workers = 3;
  async score(file, { onProgress }) {
    onProgress({ stage: 'score', done: 1, total: 2 });
    this.device = 'cpu';
    onProgress({ stage: 'device', device: 'cpu', reason: 'The graphics device was lost, so the CPU goes on.' });
    return {
      version: 1, input: file.name, verdict: 'likely_real', score: 0.1, reason: null,
      caveats: [
        { code: 'dark', words: 'the face is very dark' },
        { code: 'uncalibrated_detector', words: 'nobody fitted its thresholds' },
      ],
      model: {
        name: 'other', sha256: '00', training: 'imported',
        reliability: { grade: 'uncalibrated', words: 'nobody fitted its thresholds' },
      },
      video: { kind: 'video', width: 480, height: 480, fps: 25, duration_s: 4, frames_sampled: 1 },
      tracks: [{ id: 0, score: 0.1, frames: 1 }],
      frames: [{ time_s: 1, faces: [{ track: 0, box: [9, 9, 99, 99], landmarks: [], confidence: 1, score: 0.1 }] }],
      timing_s: { decode: 0, detect: 0, score: 0, total: 0 },
    };
  }
  dispose() {}
}`;

const here = inBrowser(launchWithCamera, openPage);
const { scratch } = here;

test('a video gets a verdict with its figure, its reasons and the report to keep', async () => {
  const { page } = here.opened;
  await examine(page, sample('fake'));
  const { headline, figure, caveat, reasons } = await finding(page);
  const { name, content: report } = await downloaded(page, 'Download the report (JSON)');
  assert.equal(name, 'fake.mp4.unmask.json');
  const headlines = { likely_fake: 'Probably manipulated', likely_real: 'No sign of manipulation', uncertain: 'Cannot tell' };
  assert.equal(headline, headlines[report.verdict]);
  assert.ok(Math.abs(Number(figure) - report.score) <= 0.005, `${figure} is shown of ${report.score}`);
  assert.equal(caveat, 'weak detector', 'the bundled detector is called weak beside its figure');
  assert.ok(reasons.some((reason) => reason.includes('Of 4 frames')), reasons.join(' '));
  await page.getByText('What was computed, and where').click();
  const facts = await page.locator('.facts dl').innerText();
  assert.match(facts, /On this machine, on its (processor \(CPU\)|graphics device \(WebGPU\))/);
  assert.ok(facts.includes(report.model.sha256));
});

test('the timeline is gone through with the keyboard and with a click, and shows each frame with its box', async () => {
  const { page } = here.opened;
  const { content: report } = await downloaded(page, 'Download the report (JSON)');
  const slider = page.getByRole('slider').first();
  const assertShown = async (frame) => {
    const { time_s: time, faces } = report.frames[frame];
    assert.match(await slider.getAttribute('aria-valuetext'), new RegExp(`^frame ${frame + 1} of 4 at .*weak detector$`));
    const current = await page.locator('.stage video').evaluate((video) => video.currentTime);
    // The very end of a video is its last frame, however much earlier that begins.
    assert.ok(Math.abs(current - time) < 0.05, `the video is at ${current} and the frame at ${time}`);
    const box = await page.locator('.stage .chosen rect').last().evaluate((rect) => ['x', 'y', 'width', 'height'].map((side) => Number(rect.getAttribute(side))));
    assert.deepEqual(box, faces.find((face) => face.score !== null).box);
  };
  await slider.focus();
  for (const [key, frame] of [['Home', 0], ['ArrowRight', 1], ['End', 3], ['ArrowRight', 3], ['ArrowLeft', 2], ['PageDown', 0]]) {
    await page.keyboard.press(key);
    await assertShown(frame);
  }
  await slider.locator('.bar').nth(1).click();
  await assertShown(1);
});

test('a file that cannot be read is refused with a sentence, and the next one is examined', async () => {
  const { page } = here.opened;
  await examine(page, scratch.write('letter.mp4', 'This is not a video.'));
  await page.getByRole('alert').getByText(/^letter\.mp4: .*neither a video nor an image.*\.$/).waitFor();
  await examine(page, sample('no_face'));
  const { headline, figure, reasons } = await finding(page);
  assert.deepEqual([headline, figure], ['No face to judge', undefined]);
  assert.deepEqual(reasons, ['No face was found in any of the 4 frames looked at.']);
});

test('what is dropped anywhere on the page is taken in', async () => {
  const { page } = here.opened;
  await clear(page);
  const prevented = await page.evaluate(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(['no video'], 'dropped.mp4', { type: 'video/mp4' }));
    const give = (type) => document.querySelector('footer').dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
    return ['dragover', 'drop'].every((type) => !give(type));
  });
  assert.ok(prevented, 'the browser does not leave the page for the file');
  await page.getByRole('alert').getByText(/^dropped\.mp4: /).waitFor();
});

test('several files are examined one after the other; each can be shown and taken away, and all reports kept', async () => {
  const { page } = here.opened;
  await clear(page);
  await page.setInputFiles('#files', [sample('real'), scratch.write('text.mp4', 'no video'), sample('no_face')]);
  const rows = page.getByRole('navigation', { name: 'Files' }).getByRole('listitem');
  await rows.filter({ hasText: 'Could not be examined' }).waitFor();
  await rows.filter({ hasText: 'No face to judge' }).waitFor();
  assert.match(await rows.first().innerText(), /^real\.mp4\s+.*, score \d\.\d+ \(weak detector\)$/);
  await rows.nth(2).getByRole('button').click();
  assert.equal((await finding(page)).headline, 'No face to judge');
  const { content } = await downloaded(page, 'Download all reports');
  assert.deepEqual(content.map(({ input }) => input), ['real.mp4', 'no_face.mp4']);
  await page.getByRole('button', { name: 'Remove' }).click();
  assert.deepEqual([await rows.count(), await page.locator('#subject').innerText()], [2, 'text.mp4']);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'files', 'the keyboard goes on at the field for files');
});

test('an examination can be stopped, and begun again with the keyboard where it was stopped', async () => {
  const { page } = here.opened;
  await clear(page);
  await lookAt(page, 64);
  await page.setInputFiles('#files', sample('real'));
  await page.locator('.stage-detail', { hasText: /\d+ of 64 frames/ }).waitFor();
  await page.getByRole('button', { name: 'Stop' }).click();
  await page.locator('.headline', { hasText: 'Stopped' }).waitFor();
  await lookAt(page, 4);
  await page.getByRole('button', { name: 'Examine again' }).focus();
  await page.keyboard.press('Enter');
  await page.locator('.reasons', { hasText: 'Of 4 frames' }).waitFor();
});

test('each person has a lane, the one that decides the verdict first', async (t) => {
  const file = scratch.made(t, 'two.mp4', ...twoPeople(640));
  if (!file) return;
  const { page } = here.opened;
  await examine(page, file);
  const { content: report } = await downloaded(page, 'Download the report (JSON)');
  const scored = report.tracks.filter((track) => track.score !== null);
  assert.ok(scored.length > 1);
  const lanes = page.locator('.lane');
  assert.equal(await lanes.count(), scored.length);
  const deciding = scored.find((track) => track.score === report.score);
  assert.match(await lanes.first().innerText(), new RegExp(`Person ${deciding.id + 1}\\b[\\s\\S]*decides the verdict`));
});

test('a picture is examined like a video of one frame', async (t) => {
  const file = scratch.made(t, 'portrait.png', '-i', sample('real'), '-frames:v', '1');
  if (!file) return;
  const { page } = here.opened;
  await examine(page, file);
  const { figure, reasons } = await finding(page);
  assert.match(figure, /^0\.\d+$/);
  assert.ok(reasons.includes('One picture was looked at, and one face was seen.'), reasons.join(' '));
  assert.ok(await page.locator('.stage img').evaluate((image) => image.naturalWidth > 0));
});

test('a detector of one\u2019s own is used, and an untrained one is called so wherever it scores', async () => {
  const { page, context } = await openPage(here.browser);
  const use = async (name, change) => {
    const file = scratch.write(`${name}.safetensors`, changedDetector(change));
    await choose(page, 'input[aria-label="Detector file"]', (input) => input.setInputFiles(file));
    await chooseDetectors(page, 'A file of your own');
  };
  await use('decided', (description) => {
    Object.assign(description, { name: 'decided' });
    // One that does not say what it is worth is taken for uncalibrated.
    delete description.training.reliability;
    Object.assign(description.calibration, { real_below: 0.01, fake_above: 0.02 });
  });
  await examine(page, sample('real'));
  const { headline, figure, caveat } = await finding(page);
  assert.deepEqual([headline, caveat], ['Probably manipulated', 'uncalibrated detector']);
  assert.match(figure, /^0\.\d+$/, 'no verdict without its figure');
  await use('untrained', (description) => {
    Object.assign(description, { name: 'untrained', training: { ...description.training, status: 'untrained' } });
  });
  await page.getByRole('button', { name: 'Examine again' }).click();
  await page.locator('.verdict .warning', { hasText: 'untrained' }).waitFor();
  assert.equal((await finding(page)).headline, 'Cannot tell');
  for (const place of ['.finding .caveat', '.lane .caveat', 'figcaption']) {
    assert.match(await page.locator(place).first().innerText(), /untrained detector/, place);
  }
  await choose(page, 'input[type="url"]', (input) => input.fill(`${PAGE}missing.safetensors`));
  await chooseDetectors(page, 'An address');
  await page.getByRole('button', { name: 'Examine again' }).click();
  await page.getByText(/missing\.safetensors: the server answered 404/).waitFor();
  assert.equal((await finding(page)).headline, 'The detector could not be fetched');
  await context.close();
});

test('the camera is recorded and examined with the keyboard alone, and is off afterwards', async () => {
  const { page } = here.opened;
  await clear(page);
  await page.evaluate(() => {
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wanted) => (window.stream = await ask(wanted));
  });
  await page.locator('#use-camera').focus();
  await page.keyboard.press('Enter');
  await page.getByText(/The camera is on\. .*sent nowhere/).waitFor();
  assert.ok(await page.evaluate(() => window.stream.getAudioTracks().length === 0), 'no sound is recorded');
  await assertAccessible(page, 'the camera');
  const record = page.getByRole('button', { name: /^Record/ });
  await record.focus();
  await page.keyboard.press('Enter');
  await page.getByText(/Recording: \d s left/).waitFor();
  await settled(page);
  assert.match(await page.locator('#subject').innerText(), /^camera-[\d-]+\.(mp4|webm)$/);
  assert.equal((await finding(page)).headline, 'No face to judge');
  assert.deepEqual(await page.evaluate(() => window.stream.getTracks().map((track) => track.readyState)), ['ended']);
  await page.locator('#use-camera').click();
  await page.getByText(/The camera is on/).waitFor();
  await page.getByRole('button', { name: 'Close the camera' }).click();
  assert.deepEqual(await page.evaluate(() => window.stream.getTracks().map((track) => track.readyState)), ['ended']);
});

test('a camera that is missing or not allowed is explained, and can be tried again', async () => {
  const { page, context } = await openPage(here.browser, {
    before: () => {
      const names = ['NotAllowedError', 'NotFoundError'];
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('refused', names.shift() ?? 'NotReadableError'));
    },
  });
  await page.locator('#use-camera').click();
  for (const words of [/was not allowed to use the camera/, /No camera was found/, /another program may be using it/]) {
    await page.getByText(words).waitFor();
    await page.getByRole('button', { name: 'Try again' }).click();
  }
  await context.close();
});

test('what went wrong is said by its code: a file that is none, one that is cut off, one that is empty', async () => {
  const { page } = here.opened;
  await clear(page);
  for (const [name, content, headline] of [
    ['letter.mp4', 'no video', 'Neither a video nor a picture'],
    ['cut.mp4', readFileSync(sample('real')).subarray(0, 20_000), 'The file is damaged'],
    ['nothing.mp4', '', 'The file is empty'],
  ]) {
    await clear(page);
    await examine(page, scratch.write(name, content));
    assert.equal((await finding(page)).headline, headline);
    const alert = await page.getByRole('alert').innerText();
    assert.ok(alert.includes(`${name}: `) && alert.trim().split('\n').filter(Boolean).length === 3, alert);
  }
});

test('detectors that are kept on this device are listed with their size, and can be deleted with the keyboard', async () => {
  const { page, context } = await openPage(here.browser);
  const drawer = page.locator('details.settings');
  await drawer.locator('summary').click();
  const section = drawer.getByRole('region', { name: 'Detectors kept on this device' });
  await section.getByText('None yet.').waitFor();
  await examine(page, sample('no_face'));
  const rows = section.getByRole('listitem');
  await rows.first().waitFor();
  assert.match(await rows.first().innerText(), /^unmask-lite\.safetensors\s+\d+\.\d MB\s+Delete$/);
  await assertAccessible(page, 'a kept detector');
  await rows.getByRole('button', { name: 'Delete unmask-lite.safetensors' }).focus();
  await page.keyboard.press('Enter');
  await section.getByText('None yet.').waitFor();
  assert.equal(await page.getByRole('status').first().innerText(), 'unmask-lite.safetensors was deleted.');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'kept-title', 'the keyboard goes on at the list');
  assert.deepEqual(await page.evaluate(async () => (await import('/unmask.js')).Detector.kept()), []);
  await context.close();
});

test('axe finds nothing in any state, light or dark, and nothing is wider than 320 pixels', async () => {
  const { page } = here.opened;
  await clear(page);
  await lookAt(page, 64);
  await assertAccessible(page, 'empty');
  const drawers = (open) => page.locator('details.drawer').evaluateAll((all, open) => all.forEach((one) => (one.open = open)), open);
  await drawers(true);
  await assertAccessible(page, 'everything opened');
  await drawers(false);
  await page.setInputFiles('#files', [sample('fake'), scratch.write(`${'long-name-'.repeat(12)}.mp4`, 'no video')]);
  await page.locator('.stage-detail', { hasText: /\d+ of 64 frames/ }).waitFor();
  await assertAccessible(page, 'being examined');
  await page.getByRole('button', { name: 'Stop' }).click();
  await lookAt(page, 4);
  await page.getByRole('button', { name: 'Examine again' }).click();
  await page.locator('.facts summary').click();
  await assertAccessible(page, 'a verdict');
  await page.locator('.row').nth(1).click();
  await page.getByRole('alert').waitFor();
  await assertAccessible(page, 'an error');
});

test('nothing moves while a video is examined', async () => {
  const { page, context } = await openPage(here.browser);
  // The first time the detector is made ready, too.
  for (const [width, height] of [[1280, 900], [320, 640]]) {
    await clear(page);
    await page.setViewportSize({ width, height });
    await still(page);
    await page.evaluate(() => {
      window.shifts = [];
      const place = ({ node, previousRect, currentRect }) => `${node?.className ?? node?.nodeName} from y ${previousRect.y} to ${currentRect.y}`;
      const entry = ({ value, sources }) => ({ value, moved: sources.map(place) });
      const note = (list) => window.shifts.push(...list.getEntries().map(entry));
      window.observer?.disconnect();
      window.observer = new PerformanceObserver(note);
      window.observer.observe({ type: 'layout-shift' });
    });
    await examine(page, sample('fake'));
    await still(page);
    const shifts = await page.evaluate(() => window.shifts);
    const sum = shifts.reduce((sum, { value }) => sum + value, 0);
    assert.ok(sum < 0.05, `the layout shifted by ${sum.toFixed(3)} at ${width} pixels: ${JSON.stringify(shifts)}`);
  }
  await context.close();
});

test('whoever wants less motion gets none', async () => {
  const { page, context } = await openPage(here.browser, { reducedMotion: 'reduce' });
  const moving = await page.evaluate(() => {
    const all = [...document.querySelectorAll('*')].map((element) => getComputedStyle(element));
    return all.filter(({ animationName, transitionDuration }) => animationName !== 'none' || transitionDuration !== '0s').length;
  });
  assert.equal(moving, 0);
  await context.close();
});

test('the proof lists every request that the browser saw, and all of them fetch the page\u2019s own files', async () => {
  const { page, requests } = here.opened;
  await page.getByText(/works without a network \(/).waitFor();
  await page.locator('details.proof summary').click();
  const cells = page.locator('.proof tbody tr');
  await cells.first().waitFor();
  const rows = await cells.evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.innerText)));
  const listed = rows.map(([method, address]) => `${method} ${address}`);
  const made = new Set(requests.filter((url) => !/^(blob|data):/.test(url)).map((url) => `GET ${url}`));
  // Of icons and the manifest a page is not told.
  const untold = /icon|manifest/;
  assert.deepEqual([...made].filter((request) => !listed.includes(request) && !untold.test(request)), []);
  assert.ok(listed.every((request) => request.startsWith(`GET ${PAGE}`)), listed.join('\n'));
  assert.match(await page.locator('.proof .prose').innerText(), /none to send anything/);
});

test('a graphics device that is lost on the way is told of, with what went on instead', async () => {
  const context = await here.browser.newContext({ serviceWorkers: 'block' });
  const page = await context.newPage();
  await page.route('**/unmask.js', (route) => route.fulfill({ contentType: 'text/javascript', body: LOSING_DETECTOR }));
  await page.goto(PAGE);
  await examine(page, sample('real'));
  await page.getByText('The graphics device was lost, so the CPU goes on.').waitFor();
  await page.getByText('What was computed, and where').click();
  assert.match(await page.locator('.facts dl').innerText(), /processor \(CPU\), with 3 helper workers/);
  const { caveat, warning, weakening } = await finding(page);
  assert.deepEqual([caveat, warning, weakening], ['uncalibrated detector', 'Nobody fitted its thresholds.', ['The face is very dark.']]);
  await assertAccessible(page, 'what weakens the answer');
  await context.close();
});

test('after the first visit the page works without a network, and a new build replaces the old copy whole', async () => {
  const server = await movableServer();
  const { page, context } = await openPage(here.browser, { address: server.address });
  const kept = () => page.getByText(/works without a network \(\d+\.\d MB kept/).waitFor();
  const copies = () => page.evaluate(async () => (await caches.keys()).filter((name) => name.startsWith('unmask-page-')));
  const build = () => page.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue('--build').trim());
  await kept();
  const first = await copies();
  assert.equal(first.length, 1);
  const addresses = await page.evaluate(async (name) => (await (await caches.open(name)).keys()).map(({ url }) => url), first[0]);
  const modules = addresses.map((address) => /unmask_(?:wasm|relaxed)_bg\.wasm$/.exec(address)?.[0]).filter(Boolean);
  assert.deepEqual(modules, ['unmask_relaxed_bg.wasm'], 'of two modules the one that this browser uses');
  server.state.build = 2;
  await page.reload();
  await kept();
  const second = await copies();
  assert.equal(second.length, 1);
  assert.notDeepEqual(second, first);
  await server.close();
  await page.goto(`${server.address}index.html`);
  await kept();
  assert.equal(await build(), '2');
  await choose(page, 'select', (select) => select.selectOption('8'));
  await examine(page, sample('no_face'));
  assert.equal((await finding(page)).headline, 'No face to judge');
  await context.close();
});

test('the page can be installed: its manifest names icons that are what it says', async () => {
  const manifest = await (await fetch(`${PAGE}manifest.webmanifest`)).json();
  assert.deepEqual([manifest.display, manifest.start_url], ['standalone', './']);
  for (const { src, sizes, type } of manifest.icons.filter((icon) => icon.type === 'image/png')) {
    const bytes = Buffer.from(await (await fetch(new URL(src, PAGE))).arrayBuffer());
    assert.equal(bytes.subarray(1, 4).toString(), 'PNG', type);
    assert.equal(`${bytes.readUInt32BE(16)}x${bytes.readUInt32BE(20)}`, sizes);
  }
  const purposes = manifest.icons.map(({ sizes, purpose = 'any' }) => `${sizes} ${purpose}`);
  for (const icon of ['192x192 any', '512x512 any', '512x512 maskable']) assert.ok(purposes.includes(icon), icon);
});

test('no script of the page failed', () => {
  assert.deepEqual(here.opened.problems, []);
  assert.ok(!readFileSync(new URL('../../web/static/index.html', import.meta.url), 'utf8').includes('style='));
});

test('a device that is not there is explained, and another one is used when it is chosen', async (t) => {
  const { page } = here.opened;
  if (await page.evaluate(async () => (await navigator.gpu?.requestAdapter()) != null)) {
    t.skip('this browser has a graphics device');
    return;
  }
  await choose(page, 'text=The graphics device (WebGPU)', (radio) => radio.click());
  await examine(page, sample('no_face'));
  assert.match(await page.getByRole('alert').innerText(), /WebGPU/);
  await choose(page, 'text=The processor (CPU)', (radio) => radio.click());
  await examine(page, sample('no_face'));
  assert.equal((await finding(page)).headline, 'No face to judge');
});
