// The rest of the contract of `unmask.d.ts`: what a detector and the element have, and what they refuse.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { sample } from './page-support.js';
import { inBrowser, native, PAGE } from './support.js';

const { UNMASK_MODEL: model } = process.env;

const here = inBrowser(undefined, openEmpty);

/** A page with the module as `window.unmask`, a field for files, and an element of ours. */
async function openEmpty(browser) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${PAGE}embed.html`);
  await page.evaluate(async () => {
    window.unmask = await import('/unmask.js');
    document.body.append(Object.assign(document.createElement('input'), { type: 'file', id: 'test-file' }));
    /** How a call ended: its value, or what it was rejected with. */
    window.outcome = (promise) =>
      promise.then(
        (value) => ({ value }),
        (error) => ({ error: { name: error.name, code: error.code, message: error.message } }),
      );
  });
  return { page, context };
}

function sha256(file) {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

test('loading tells of its stages, and a detector says its name, its SHA-256, its device and its helpers', async () => {
  const loaded = await here.opened.page.evaluate(async () => {
    const stages = new Set();
    const { Detector } = window.unmask;
    const detector = await Detector.load(null, { device: 'cpu', onProgress: ({ stage }) => stages.add(stage) });
    const { name, sha256, device, workers } = detector;
    detector.dispose();
    return { stages: [...stages], facts: { name, sha256, device }, workers, cores: navigator.hardwareConcurrency };
  });
  assert.deepEqual(loaded.stages, ['download', 'prepare']);
  assert.deepEqual(loaded.facts, { name: 'unmask-lite', sha256: sha256(model), device: 'cpu' });
  assert.ok(loaded.workers >= 1 && loaded.workers <= loaded.cores, `${loaded.workers} helpers`);
});

test('a detector is kept without being loaded, listed, loaded by its SHA-256, and forgotten', async () => {
  const found = await here.opened.page.evaluate(async () => {
    const { Detector, bundled } = window.unmask;
    for (const one of await Detector.kept()) await Detector.forget(one);
    const stages = new Set();
    const kept = await Detector.keep(null, { onProgress: ({ stage }) => stages.add(stage) });
    const listed = await Detector.kept();
    const again = [];
    const detector = await Detector.load('/nowhere', { sha256: bundled.sha256, device: 'cpu', onProgress: ({ stage }) => again.push(stage) });
    detector.dispose();
    const forgotten = [await Detector.forget(kept), await Detector.forget(kept)];
    return { kept, listed, stages: [...stages], again, forgotten, left: await Detector.kept(), sha256: bundled.sha256 };
  });
  assert.deepEqual(found.listed, [found.kept]);
  const { name, sha256, complete, bytes } = found.kept;
  assert.deepEqual([name, sha256, complete, bytes], ['unmask-lite.safetensors', found.sha256, true, readFileSync(model).length]);
  assert.deepEqual(found.stages, ['download']);
  assert.ok(!found.again.includes('download'), 'what is kept is not fetched');
  assert.deepEqual([found.forgotten, found.left], [[true, false], []]);
});

test('wrong options are a TypeError that says what there is, and nothing is begun', async () => {
  const { page } = here.opened;
  await page.setInputFiles('#test-file', sample('no_face'));
  const refused = await page.evaluate(async () => {
    const { Detector } = window.unmask;
    const detector = await Detector.load(null, { device: 'cpu' });
    const [file] = document.querySelector('#test-file').files;
    const progress = [];
    const onProgress = (step) => progress.push(step);
    const score = (options) => detector.score(file, { ...options, onProgress });
    const calls = {
      device: Detector.load(null, { device: 'abacus', onProgress }),
      sha256: Detector.load(null, { sha256: 'abc', onProgress }),
      'kept sha256': Detector.keep(null, { sha256: 'abc', onProgress }),
      faces: score({ faces: 'some' }),
      'no frames': score({ frames: 0 }),
      'half a frame': score({ frames: 1.5 }),
      'a word': score({ frames: '8' }),
      input: detector.score('clip.mp4', { onProgress }),
    };
    const outcomes = {};
    for (const [name, call] of Object.entries(calls)) outcomes[name] = (await window.outcome(call)).error;
    detector.dispose();
    return { outcomes, progress };
  });
  for (const [name, error] of Object.entries(refused.outcomes)) assert.equal(error?.name, 'TypeError', `${name}: ${error?.message}`);
  const { device, faces, 'no frames': frames, input } = refused.outcomes;
  assert.match(device.message, /choose auto, cpu or webgpu/);
  assert.match(faces.message, /choose largest or all/);
  assert.match(frames.message, /whole number above zero/);
  assert.match(input.message, /File, a Blob or a video element/);
  assert.deepEqual(refused.progress, []);
});

test('what is cancelled rejects with the reason that was given, before it begins and midway', async () => {
  const { page } = here.opened;
  await page.setInputFiles('#test-file', sample('no_face'));
  const reasons = await page.evaluate(async () => {
    const { Detector } = window.unmask;
    const detector = await Detector.load(null, { device: 'cpu' });
    const [file] = document.querySelector('#test-file').files;
    const signal = AbortSignal.abort('before');
    const abort = new AbortController();
    const onProgress = ({ done }) => done === 1 && abort.abort('midway');
    const loading = new AbortController();
    const onStage = ({ stage }) => stage === 'prepare' && loading.abort('while it is made ready');
    const calls = [
      Detector.load(null, { signal }),
      Detector.keep(null, { signal }),
      detector.score(file, { signal }),
      detector.score(file, { frames: 40, signal: abort.signal, onProgress }),
      Detector.load(null, { device: 'cpu', signal: loading.signal, onProgress: onStage }),
    ];
    const reasons = [];
    for (const call of calls) reasons.push(await call.then(() => 'it went on', (reason) => reason));
    detector.dispose();
    return reasons;
  });
  assert.deepEqual(reasons, ['before', 'before', 'before', 'midway', 'while it is made ready']);
});

/** A page with one element, in a shadow tree of the page's own, whose events are taken down outside of it as `window.events`. */
async function openElement(t) {
  const { page, context } = await openEmpty(here.browser);
  t.after(() => context.close());
  await page.evaluate(() => {
    document.querySelector('unmask-detector').remove();
    const host = document.body.appendChild(document.createElement('div'));
    const element = document.createElement('unmask-detector');
    element.setAttribute('device', 'cpu');
    element.setAttribute('frames', '2');
    host.attachShadow({ mode: 'open' }).append(element);
    [window.element, window.events] = [element, []];
    for (const type of ['progress', 'result', 'error']) {
      document.addEventListener(type, ({ detail }) => window.events.push({ type, detail, code: detail?.code }));
    }
  });
  return page;
}

test('the element’s method scores a file: it resolves to the report, which its event carries out of a shadow tree too', async (t) => {
  const page = await openElement(t);
  await page.setInputFiles('#test-file', sample('fake'));
  const { report, events } = await page.evaluate(async () => {
    const report = await window.element.score(document.querySelector('#test-file').files[0]);
    return { report, events: window.events };
  });
  const expected = native(sample('fake'), 2);
  assert.deepEqual([report.input, report.verdict, report.reason], ['fake.mp4', expected.verdict, expected.reason]);
  assert.deepEqual(events.at(-1).detail, report);
  assert.deepEqual(new Set(events.map(({ type }) => type)), new Set(['progress', 'result']));
});

test('the element’s method resolves to null where it failed, with an event, or was cancelled, with none', async (t) => {
  const page = await openElement(t);
  await page.setInputFiles('#test-file', sample('no_face'));
  const outcomes = await page.evaluate(async () => {
    const { element, events } = window;
    const [file] = document.querySelector('#test-file').files;
    const failed = await element.score(new File(['no video'], 'text.mp4'));
    const told = events.splice(0).filter(({ type }) => type !== 'progress');
    element.setAttribute('frames', '60');
    const cancelOnce = ({ detail }) => detail.stage === 'score' && element.cancel();
    element.addEventListener('progress', cancelOnce);
    const cancelled = await element.score(file);
    element.removeEventListener('progress', cancelOnce);
    const silent = events.splice(0).filter(({ type }) => type !== 'progress');
    element.setAttribute('frames', '1');
    // The second file takes the place of the first.
    const [replaced, last] = await Promise.all([element.score(file), element.score(file)]);
    const results = events.filter(({ type }) => type !== 'progress').map(({ type }) => type);
    return { failed, told: told.map(({ type, code }) => [type, code]), cancelled, silent, replaced, last: last?.verdict, results };
  });
  assert.deepEqual(outcomes, {
    failed: null,
    told: [['error', 'not_media']],
    cancelled: null,
    silent: [],
    replaced: null,
    last: 'no_face',
    results: ['result'],
  });
});

test('the element takes a dropped file, goes on when it is moved, and stops when it is taken out of the page', async (t) => {
  const page = await openElement(t);
  await page.setInputFiles('#test-file', sample('no_face'));
  const { dropped, moved, removed } = await page.evaluate(async () => {
    const { element } = window;
    const [file] = document.querySelector('#test-file').files;
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(file);
    const ended = new Promise((resolve) => element.addEventListener('result', ({ detail }) => resolve(detail.verdict), { once: true }));
    const field = element.shadowRoot.querySelector('[part=drop]');
    field.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
    const dropped = await ended;
    const scored = element.score(file);
    document.body.append(element);
    const moved = (await scored)?.verdict ?? null;
    element.setAttribute('frames', '60');
    const stopped = element.score(file);
    element.remove();
    return { dropped, moved, removed: await stopped };
  });
  assert.deepEqual([dropped, moved, removed], ['no_face', 'no_face', null]);
});

test('attributes that ask for what there is not are wrong_use, each with its sentence', async (t) => {
  const page = await openElement(t);
  await page.setInputFiles('#test-file', sample('no_face'));
  const told = await page.evaluate(async () => {
    const { element, events } = window;
    const [file] = document.querySelector('#test-file').files;
    const attempt = async (name, value) => {
      const before = element.getAttribute(name);
      element.setAttribute(name, value);
      await element.score(file);
      if (before === null) element.removeAttribute(name);
      else element.setAttribute(name, before);
      const { type, code, detail } = events.at(-1);
      return [name, type, code, detail.message];
    };
    return [await attempt('faces', 'some'), await attempt('frames', 'many'), await attempt('sha256', 'abc'), await attempt('device', '')];
  });
  for (const [name, type, code, message] of told) {
    assert.deepEqual([type, code], ['error', 'wrong_use'], `${name}: ${message}`);
    assert.ok(message.length > 10, name);
  }
});
