// What the page does with bad files, with being stopped, and with the network.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changedPage, inBrowser, native, openPage, PAGE, score } from './support.js';

const here = inBrowser();
const { scratch } = here;

/** A clip of moving patterns. */
function pattern(t, name, ...options) {
  return scratch.made(t, name, '-f', 'lavfi', '-i', 'testsrc2=s=320x240:d=2', ...options);
}

/** The file is refused with a code and one sentence that names it and says `words`, and the next file is scored. */
async function assertRefused(t, file, code, words, page = here.opened.page) {
  const { report, error } = await score(page, file, { frames: 2 });
  assert.equal(report, undefined, 'the file is refused');
  assert.deepEqual([error.name, error.code], ['UnmaskError', code], error.message);
  const name = file.split('/').at(-1);
  assert.ok(error.message.startsWith(`${name}: `), error.message);
  assert.match(error.message, words);
  assert.ok(!error.message.includes('\n') && !/\.\s/.test(error.message), `one sentence: ${error.message}`);
  const good = pattern(t, 'good.mp4', '-c:v', 'libx264');
  const next = good && (await score(page, good, { frames: 2 }));
  if (next) assert.equal(next.report?.verdict, 'no_face', next.error?.message);
}

test('text by the name of a video is refused, and the next file is scored', async (t) => {
  await assertRefused(t, scratch.write('text.mp4', 'This is not a video.\n'.repeat(50)), 'not_media', /neither a video nor an image/);
});

test('an empty file is refused, and the next file is scored', async (t) => {
  await assertRefused(t, scratch.write('empty.mp4', ''), 'empty', /empty/);
});

test('videos that are cut off are refused wherever the cut is, and the next file is scored', async (t) => {
  for (const [name, ...options] of [
    ['index-last.mp4', '-c:v', 'libx264'],
    ['index-first.mp4', '-c:v', 'libx264', '-movflags', 'faststart'],
    ['clusters.mkv', '-c:v', 'libx264'],
  ]) {
    const whole = pattern(t, name, ...options);
    if (!whole) continue;
    for (const share of [0.02, 0.5, 0.9]) {
      await assertRefused(t, scratch.truncated(`cut-${name}`, whole, share), 'damaged', /damaged/);
    }
  }
});

test('a file whose middle is overwritten is scored or refused, and the next file is scored', async (t) => {
  const { readFileSync } = await import('node:fs');
  const whole = pattern(t, 'whole.mp4', '-c:v', 'libx264', '-movflags', 'faststart');
  if (!whole) return;
  for (const start of [40, 200, 600, 1000]) {
    const bytes = readFileSync(whole);
    bytes.fill(0xff, start, start + 64);
    const { report, error } = await score(here.opened.page, scratch.write(`broken-${start}.mp4`, bytes), { frames: 2 });
    assert.ok(report || /^broken-\d+\.mp4: /.test(error.message), error?.message);
  }
  assert.equal((await score(here.opened.page, whole, { frames: 2 })).report?.verdict, 'no_face');
});

test('codecs and containers that the browser lacks are refused by name, and the next file is scored', async (t) => {
  const hevc = ['-c:v', 'libx265', '-x265-params', 'log-level=none'];
  for (const [name, words, ...options] of [
    ['hevc.mp4', /cannot decode its codec, H\.265 \(HEVC\) \(hvc1\.1\.[^)]+\); convert the video \(`ffmpeg /, ...hevc, '-tag:v', 'hvc1'],
    ['hevc.mkv', /cannot decode its codec, H\.265 \(HEVC\) \(hvc1\.1\.[^)]+\); convert/, ...hevc],
    ['mpeg4.mp4', /cannot decode its codec, mp4v; convert/, '-c:v', 'mpeg4'],
    ['old.avi', /is an AVI file, which this browser does not read; convert it \(`ffmpeg /, '-c:v', 'mpeg4'],
    ['stream.mpg', /is an MPEG program stream, which this browser does not read; convert/, '-c:v', 'mpeg2video'],
  ]) {
    const file = pattern(t, name, ...options);
    const code = words.source.includes('codec') ? 'unsupported_codec' : 'unsupported_container';
    if (file) await assertRefused(t, file, code, words);
  }
});

/** Scores a clip twice in a page where something breaks once: what came of each. */
async function scoredTwice(t, broken) {
  const { page, context } = await openPage(here.browser, broken);
  t.after(() => context.close());
  const file = pattern(t, 'good.mp4', '-c:v', 'libx264');
  if (!file) return null;
  const outcome = async () => {
    const { report, error } = await score(page, file, { frames: 2 });
    return report?.verdict ?? error;
  };
  return { first: await outcome(), second: await outcome() };
}

test('a worker that fails fails one file with a sentence, and the next is scored', async (t) => {
  const failing = `self.addEventListener('message', ({ data }) => {
    if (data.type === 'score') setTimeout(() => { throw new Error('a fault of its own'); });
  });`;
  const outcomes = await scoredTwice(t, { once: { 'worker.js': failing } });
  if (!outcomes) return;
  assert.equal(outcomes.first.code, 'stopped');
  assert.match(outcomes.first.message, /^good\.mp4: the detector's worker stopped \(.*a fault of its own\); try again$/);
  assert.equal(outcomes.second, 'no_face');
});

test('a worker that the browser ends fails one file with a sentence, and the next is scored', async (t) => {
  const ending = "self.addEventListener('message', ({ data }) => data.type === 'score' && self.close());";
  const outcomes = await scoredTwice(t, { once: { 'worker.js': ending } });
  if (!outcomes) return;
  assert.equal(outcomes.first.code, 'stopped');
  assert.equal(outcomes.first.message, "good.mp4: the browser ended the detector's worker; try again, with other pages closed");
  assert.equal(outcomes.second, 'no_face');
});

/**
 * A script in front of a helper's that stops it at a task where `when` holds of its message: a module whose only function
 * traps stands in for one that meets its own limits.
 */
function trapping(task, when = 'true') {
  return `const trap = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 8, 1, 0, 10, 5, 1, 3, 0, 0, 11);
    queueMicrotask(() => {
      const perform = TASKS.${task};
      TASKS.${task} = (message) => (${when} ? new WebAssembly.Instance(new WebAssembly.Module(trap)) : perform(message));
    });`;
}

test('a file on which the face finder stops is refused with one sentence, and the next is scored', async (t) => {
  const { page, context } = await openPage(here.browser, { inFront: { 'helper.js': trapping('find', 'message.width === 322') } });
  t.after(() => context.close());
  const bad = scratch.made(t, 'bad.mp4', '-f', 'lavfi', '-i', 'testsrc2=s=322x240:d=1', '-c:v', 'libx264');
  if (bad) await assertRefused(t, bad, 'stopped', /the detector stopped on this file \(unreachable\); re-encode it/, page);
});

test('a helper that stops gives its task to another, and the file is scored as if nothing had been', async (t) => {
  const clip = new URL('../../demo/real.mp4', import.meta.url).pathname;
  const expected = await score(here.opened.page, clip, { frames: 2 });
  for (const task of ['find', 'score']) {
    // Only the first helper's script is changed: the one that takes its place, and all others, are sound.
    const { page, context } = await openPage(here.browser, { once: { 'helper.js': trapping(task) } });
    t.after(() => context.close());
    const { report, error } = await score(page, clip, { frames: 2 });
    assert.equal(error, undefined, error?.message);
    assert.notEqual(report.score, null);
    assert.deepEqual({ ...report, timing_s: null }, { ...expected.report, timing_s: null }, task);
  }
});

test('a score that is no number is refused, and never becomes a verdict', async (t) => {
  const clip = new URL('../../demo/real.mp4', import.meta.url).pathname;
  for (const scores of ['Float32Array.of(NaN)', 'Float32Array.of(Infinity)', 'Float32Array.of(-0.5)', 'new Float32Array()']) {
    const script = `queueMicrotask(() => (TASKS.score = () => ${scores}));`;
    const { page, context } = await openPage(here.browser, { inFront: { 'helper.js': script } });
    t.after(() => context.close());
    const { report, error } = await score(page, clip, { frames: 1 });
    assert.equal(report, undefined, scores);
    assert.equal(error.code, 'bad_score', error.message);
  }
});

/** Cancels a long clip after two frames: the call is rejected at once, and the next file is scored. */
async function assertCancelled(t, page) {
  const file = pattern(t, 'long.mp4', '-c:v', 'libx264');
  if (!file) return;
  await page.setInputFiles('#test-file', file);
  const outcome = await page.evaluate(async () => {
    const { detector, input } = window.test;
    const abort = new AbortController();
    const steps = [];
    const onProgress = (step) => {
      steps.push(step.done);
      if (steps.length === 2) abort.abort();
    };
    try {
      await detector.score(input.files[0], { frames: 40, signal: abort.signal, onProgress });
      return { finished: true };
    } catch (error) {
      return { name: error.name, steps: steps.length };
    }
  });
  assert.deepEqual(outcome, { name: 'AbortError', steps: 2 });
  assert.equal((await score(page, file, { frames: 2 })).report?.verdict, 'no_face');
}

test('scoring can be cancelled midway, and the next file is scored', async (t) => {
  await assertCancelled(t, here.opened.page);
});

test('scoring by an element can be cancelled midway, and the next file is scored', async (t) => {
  const { page, context } = await openPage(here.browser, { inFront: { 'worker.js': 'delete self.VideoDecoder;' } });
  t.after(() => context.close());
  await assertCancelled(t, page);
});

test('a file that is no detector is refused with one sentence', async () => {
  const errors = await here.opened.page.evaluate(async () => {
    const attempt = (source) => window.test.Detector.load(source).then(() => 'loaded', ({ code, message }) => ({ code, message }));
    const text = new File(['not a detector at all'], 'text.safetensors');
    const cut = await fetch('/unmask-lite.safetensors').then((response) => response.arrayBuffer());
    return Promise.all([attempt(text), attempt(cut.slice(0, 1_000_000)), attempt('/missing.safetensors')]);
  });
  assert.deepEqual(errors.map(({ code }) => code), ['bad_detector', 'bad_detector', 'bad_response']);
  const messages = errors.map(({ message }) => message);
  assert.match(messages[0], /^text\.safetensors: is not a complete safetensors file/);
  assert.match(messages[1], /^the detector file: is not a complete safetensors file/);
  assert.match(messages[2], /^missing\.safetensors: the server answered 404/);
});

test('the page\u2019s own thread has next to nothing to do while a video is scored', async (t) => {
  const file = pattern(t, 'busy.mp4', '-c:v', 'libx264');
  if (!file) return;
  const { page } = here.opened;
  const session = await page.context().newCDPSession(page);
  // Time in which the thread ran, and not in which it waited for a processor that others used.
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });
  const ran = async () => {
    const { metrics } = await session.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'TaskDuration').value;
  };
  const before = await ran();
  const { report } = await score(page, file, { frames: 16 });
  const spent = (await ran()) - before;
  const { detect } = report.timing_s;
  assert.ok(spent < detect / 4, `${spent.toFixed(3)} s on the page's thread, of ${detect} s in helpers`);
});

test('damaged weights of the face finder are files of the package that are not as they should be', async () => {
  const context = await here.browser.newContext();
  const address = await changedPage(context, { 'centerface.safetensors': 'no weights' });
  const page = await context.newPage();
  await page.goto(`${address}embed.html`);
  const error = await page.evaluate(async () => {
    const { Detector } = await import('/unmask.js');
    return Detector.load('/unmask-lite.safetensors').then(() => null, ({ code, message }) => ({ code, message }));
  });
  assert.equal(error?.code, 'missing_files', error?.message);
  assert.match(error.message, /the face finder's centerface\.safetensors /);
  await context.close();
});

test('nothing but its own files and the model is fetched, and its policy blocks anything else', async (t) => {
  const { page, context, requests } = await openPage(here.browser);
  const loaded = requests.length;
  const file = pattern(t, 'private.mp4', '-c:v', 'libx264');
  if (file) assert.equal((await score(page, file, { frames: 2 })).report?.verdict, 'no_face');
  assert.deepEqual(requests.slice(loaded), [], 'scoring fetches nothing');
  const elsewhere = requests.filter((url) => !url.startsWith(PAGE) && !/^(blob|data):/.test(url));
  assert.deepEqual(elsewhere, [], 'nothing is fetched from elsewhere');
  const names = requests.map((url) => url.slice(PAGE.length)).filter((name) => !/^[a-z_]+\.(html|css|js|wasm)$/.test(name));
  const weights = ['centerface.safetensors', 'landmark_refiner.safetensors', 'unmask-lite.safetensors'];
  assert.deepEqual([...new Set(names)].sort(), weights, 'besides code only weights are fetched');
  const blocked = await page.evaluate(async () => {
    const violations = [];
    const two = new Promise((resolve) => {
      document.addEventListener('securitypolicyviolation', (event) => violations.push(event.effectiveDirective) === 2 && resolve());
    });
    const attempt = await fetch('https://example.com/').then(() => 'fetched', () => 'blocked');
    const socket = await new Promise((resolve) => {
      try {
        const opened = new WebSocket('wss://example.com/');
        opened.onopen = () => resolve('opened');
        opened.onerror = () => resolve('blocked');
      } catch {
        resolve('blocked');
      }
    });
    await two;
    return { attempt, socket, violations };
  });
  assert.deepEqual(blocked, { attempt: 'blocked', socket: 'blocked', violations: ['connect-src', 'connect-src'] });
  await context.close();
});

test('the element takes a file, tells how far it is and shows the verdict to everybody', async (t) => {
  const context = await here.browser.newContext();
  const page = await context.newPage();
  await page.goto(`${PAGE}embed.html`);
  const element = page.locator('unmask-detector');
  await page.evaluate(() => {
    const element = document.querySelector('unmask-detector');
    window.events = [];
    for (const type of ['progress', 'result', 'error']) {
      element.addEventListener(type, ({ detail }) => window.events.push({ type, detail, code: detail.code }));
    }
  });
  const field = element.getByLabel(/Choose a video or an image/);
  await field.focus();
  assert.equal(await element.evaluate((e) => e.shadowRoot.activeElement?.type), 'file', 'the keyboard reaches the field');
  const file = pattern(t, 'good.mp4', '-c:v', 'libx264');
  if (!file) return;
  await field.setInputFiles(file);
  await element.getByText('No face found').waitFor();
  const status = element.getByRole('status');
  assert.match(await status.textContent(), /Because no face was found in any of the 32 frames looked at\./);
  const events = await page.evaluate(() => window.events);
  assert.equal(events.at(-1).type, 'result');
  assert.equal(events.at(-1).detail.verdict, 'no_face');
  assert.ok(events.some(({ type, detail }) => type === 'progress' && detail.stage === 'download'));
  assert.ok(events.some(({ type, detail }) => type === 'progress' && detail.stage === 'score'));
  await field.setInputFiles(scratch.write('text.mp4', 'no video'));
  await element.getByText(/text\.mp4: this is neither/).waitFor();
  const { type, code } = await page.evaluate(() => window.events.at(-1));
  assert.deepEqual([type, code], ['error', 'not_media']);
  await field.setInputFiles(file);
  await element.getByRole('button', { name: 'Cancel' }).click();
  await element.getByText('Cancelled.').waitFor();
  await context.close();
});

test('the element says beside a score what weakens it, and computes where its attribute says', async () => {
  const sample = new URL('../../demo/real.mp4', import.meta.url).pathname;
  const context = await here.browser.newContext();
  const page = await context.newPage();
  await page.goto(`${PAGE}embed.html`);
  const element = page.locator('unmask-detector');
  // Without a model it is the bundled one.
  await element.evaluate((element) => {
    element.removeAttribute('model');
    element.setAttribute('frames', '1');
  });
  const field = element.getByLabel(/Choose a video or an image/);
  await field.setInputFiles(sample);
  await element.evaluate((element) => element.addEventListener('error', ({ detail }) => (element.problem = detail)));
  const caveats = element.locator('[part=caveat]');
  await caveats.first().waitFor();
  const { caveats: expected, model } = native(sample, 1);
  const sentences = expected.map(({ words }) => `${words.charAt(0).toUpperCase()}${words.slice(1)}.`);
  assert.deepEqual(await caveats.allInnerTexts(), sentences, 'the words are those of the report');
  assert.ok(expected.some(({ words }) => words === model.reliability.words), 'what the detector is worth is among them');
  // This browser was not told to give a graphics device.
  await element.evaluate((element) => element.setAttribute('device', 'webgpu'));
  await field.setInputFiles(sample);
  await element.getByText(/WebGPU cannot be used \(.+\); choose device/).waitFor();
  assert.equal(await element.evaluate(({ problem }) => problem.code), 'no_webgpu');
  await element.evaluate((element) => element.setAttribute('device', 'abacus'));
  await field.setInputFiles(sample);
  await element.getByText(/there is no device `abacus`/).waitFor();
  assert.equal(await element.evaluate(({ problem }) => problem.code), 'wrong_use');
  await context.close();
});
