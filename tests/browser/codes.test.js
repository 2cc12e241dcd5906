// Errors that a page acts on by their codes, each brought about as it is by people, files and servers.

import assert from 'node:assert/strict';
import { readFileSync, utimesSync } from 'node:fs';
import { test } from 'node:test';
import { crc32, deflateSync } from 'node:zlib';
import { sample } from './page-support.js';
import { allowMedia, inBrowser, openPage, score } from './support.js';
import { servePages } from './weights-support.js';

const { UNMASK_MODEL: model } = process.env;

const here = inBrowser();
const { scratch } = here;

/** An error with this code, whose one sentence names what it is about and says `words`. */
function assertError(error, code, name, words) {
  assert.deepEqual([error?.name, error?.code], ['UnmaskError', code], error?.message);
  assert.ok(error.message.startsWith(name), error.message);
  assert.match(error.message, words);
  assert.ok(!error.message.includes('\n') && !/\.\s/.test(error.message), `one sentence: ${error.message}`);
}

/** Calls `attempt` in the page with the module's exports and what is loaded; `null`, or the error. */
function failing(page, attempt, argument) {
  return page.evaluate(`(async () => {
    try {
      await (${attempt})({ ...window.test, ...(await import('/unmask.js')) }, ${JSON.stringify(argument ?? null)});
      return null;
    } catch ({ name, code, message }) {
      return { name, code, message };
    }
  })()`);
}

/** A chunk of a PNG. */
function chunk(type, content) {
  const named = Buffer.concat([Buffer.from(type, 'latin1'), content]);
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(content.length);
  check.writeUInt32BE(crc32(named));
  return Buffer.concat([length, named, check]);
}

/** A grey PNG that says it has this size. */
function png(width, height) {
  const header = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0]);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  const content = [chunk('IHDR', header), chunk('IDAT', deflateSync(Buffer.alloc(1000))), chunk('IEND', Buffer.alloc(0))];
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), ...content]);
}

/** An IVF file of VP8 that says it has this size, with these frames. */
function ivf(width, height, ...frames) {
  const header = Buffer.alloc(32);
  header.write('DKIF', 0, 'latin1');
  header.write('VP80', 8, 'latin1');
  [[6, 32], [12, width], [14, height], [16, 25], [20, 1], [24, frames.length]].forEach(([at, value]) => header.writeUInt16LE(value, at));
  const framed = frames.map((frame, index) => {
    const start = Buffer.alloc(12);
    start.writeUInt32LE(frame.length, 0);
    start.writeUInt32LE(index, 4);
    return Buffer.concat([start, frame]);
  });
  return Buffer.concat([header, ...framed]);
}

test('what has sound alone is no_video, as a file and as what an element plays', async (t) => {
  const sound = scratch.made(t, 'sound.m4a', '-f', 'lavfi', '-i', 'sine=d=1', '-c:a', 'aac');
  if (!sound) return;
  const { page } = here.opened;
  assertError((await score(page, sound)).error, 'no_video', 'sound.m4a: ', /the file holds no video; give/);
  const played = await failing(page, async ({ detector, input }) => {
    const element = document.createElement('video');
    element.src = URL.createObjectURL(input.files[0]);
    await detector.score(element);
  });
  assertError(played, 'no_video', 'video: ', /it plays sound alone; give/);
  const ended = await failing(page, async ({ detector }) => {
    const element = document.createElement('video');
    element.srcObject = new MediaStream();
    await detector.score(element);
  });
  assertError(ended, 'no_video', 'camera: ', /no live picture; start it/);
});

test('a video of no frames is no_frames', async () => {
  const file = scratch.write('nothing.ivf', ivf(96, 64));
  assertError((await score(here.opened.page, file)).error, 'no_frames', 'nothing.ivf: ', /not a single frame/);
});

test('a picture and a video of more pixels than are decoded are too_large', async () => {
  for (const [name, content] of [
    ['poster.png', png(20_000, 20_000)],
    ['wall.ivf', ivf(20_000, 20_000, Buffer.from([0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x20, 0x4e, 0x20, 0x4e]))],
  ]) {
    const { error } = await score(here.opened.page, scratch.write(name, content));
    assertError(error, 'too_large', `${name}: `, /20000x20000 pixels are more than the limit/);
  }
});

test('a file that was changed or removed after it was chosen is unreadable, whether it is to be scored or a detector', async (t) => {
  const { page } = here.opened;
  const change = async (name, content) => {
    const file = scratch.write(name, content);
    await page.setInputFiles('#test-file', file);
    scratch.write(name, Buffer.concat([content, content]));
    // Browsers tell versions of a file by the second in which it was changed.
    const later = Date.now() / 1000 + 60;
    utimesSync(file, later, later);
  };
  await change('edited.mp4', readFileSync(sample('no_face')));
  const scored = await failing(page, async ({ detector, input }) => detector.score(input.files[0]));
  assertError(scored, 'unreadable', 'edited.mp4: ', /could not be read .*choose it again/);
  await change('edited.safetensors', readFileSync(model));
  const loaded = await failing(page, async ({ Detector, input }) => Detector.load(input.files[0]));
  assertError(loaded, 'unreadable', 'edited.safetensors: ', /could not be read|SHA-256 could not be computed/);
});

test('an element without a source is no_source', async () => {
  const error = await failing(here.opened.page, async ({ detector }) => detector.score(document.createElement('video')));
  assertError(error, 'no_source', 'video: ', /has no source; set its `src` first/);
});

test('an element whose video never comes is stalled', async (t) => {
  // Waits pass a hundred times as fast.
  const hurried = 'const setTimeout = (work, limit) => globalThis.setTimeout(work, limit / 100);';
  const context = await here.browser.newContext();
  t.after(() => context.close());
  await allowMedia(context);
  await context.route('**/never.mp4', () => {});
  const { page } = await openPage(here.browser, { context, inFront: { 'player.js': hurried } });
  const error = await failing(page, async ({ detector }) => {
    const element = document.createElement('video');
    element.src = '/never.mp4';
    await detector.score(element);
  });
  assertError(error, 'stalled', 'never.mp4: ', /player does not get on with it; try again/);
});

test('a detector that was disposed of is disposed, and what it was at is aborted', async () => {
  const { page } = here.opened;
  await page.setInputFiles('#test-file', sample('no_face'));
  const outcome = await failing(page, async ({ Detector, UnmaskError, input }) => {
    const detector = await Detector.load('/unmask-lite.safetensors');
    const onProgress = ({ done }) => done === 1 && detector.dispose();
    const aborted = await detector.score(input.files[0], { frames: 40, onProgress }).catch((error) => error);
    if (!(aborted instanceof DOMException) || aborted.name !== 'AbortError') throw aborted;
    detector.dispose();
    const error = await detector.score(input.files[0]).catch((error) => error);
    if (!(error instanceof UnmaskError)) throw new Error('it is not the class that the module exports');
    throw error;
  });
  assertError(outcome, 'disposed', '', /was disposed of; load it again/);
});

test('a fault of the package is internal, names the file, and the next file is scored', async (t) => {
  const faulty = `queueMicrotask(() => {
    const { find } = TASKS;
    TASKS.find = (message) => (message.width === 322 ? undefined.length : find(message));
  });`;
  const { page, context } = await openPage(here.browser, { inFront: { 'helper.js': faulty } });
  t.after(() => context.close());
  const clip = (name, width) => scratch.made(t, name, '-f', 'lavfi', '-i', `testsrc2=s=${width}x240:d=1`, '-c:v', 'libx264');
  const [bad, good] = [clip('bad.mp4', 322), clip('good.mp4', 320)];
  if (!bad || !good) return;
  assertError((await score(page, bad, { frames: 2 })).error, 'internal', 'bad.mp4: ', /undefined/);
  assert.equal((await score(page, good, { frames: 2 })).report?.verdict, 'no_face');
});

test('any file of the package that is not served makes it missing_files', async (t) => {
  const absent = (_, response) => response.writeHead(404).end();
  for (const name of ['worker.js', 'module.js', 'scoring.js', 'unmask_relaxed.js', 'unmask_relaxed_bg.wasm', 'helper.js', 'centerface.safetensors']) {
    const server = await servePages();
    t.after(() => server.stop());
    server.handle(`/${name}`, absent);
    const page = await here.browser.newPage();
    await page.goto(`${server.origin}/empty.html`);
    const error = await failing(page, async ({ Detector }) => Detector.load('/unmask-lite.safetensors', { device: 'cpu' }));
    await page.close();
    assert.equal(error?.code, 'missing_files', `${name}: ${error?.message}`);
    assert.match(error.message, /serve/, name);
  }
});
