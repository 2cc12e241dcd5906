// What weakens an answer: each file is made so that it does, and the page says so in the native program's words.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { assertSameReport } from './compare.js';
import { changedDetector, sample, twoPeople } from './page-support.js';
import { inBrowser, native, score } from './support.js';

const FRAMES = 4;
const H264 = ['-c:v', 'libx264', '-preset', 'veryfast', '-crf', '16'];

const here = inBrowser();
const { scratch } = here;

/** The page's report of a file is the native one, and of the input it has these caveats. */
async function assertCaveats(file, expected, { frames = FRAMES, faces = 'largest' } = {}) {
  const { report, error } = await score(here.opened.page, file, { frames, faces });
  assert.equal(error, undefined, error?.message);
  assertSameReport(report, native(file, frames, '--faces', faces));
  const codes = report.caveats.map(({ code }) => code).filter((code) => !code.endsWith('_detector'));
  assert.deepEqual(codes, expected, file);
}

/** A moment of a sample clip, seen through this filter of ffmpeg. */
function seen(t, name, filter) {
  return scratch.made(t, name, '-t', '0.4', '-i', sample('real'), '-vf', filter, ...H264);
}

test('faces that are dark, enlarged or lie on their side are called so, and sound ones are not', async (t) => {
  for (const [name, filter, expected] of [
    ['plain.mp4', 'null', []],
    ['dark.mp4', 'lutyuv=y=16+(val-16)/8', ['dark']],
    ['enlarged.mp4', 'scale=iw/4:-2:flags=bicubic,scale=480:480:flags=bicubic', ['upscaled']],
    ['lying.mp4', 'transpose=1', ['turned']],
  ]) {
    const file = seen(t, name, filter);
    if (file) await assertCaveats(file, expected);
  }
});

test('people who are not scored are told of, unless everybody is', async (t) => {
  const file = scratch.made(t, 'two.mp4', '-t', '0.4', ...twoPeople(960));
  if (!file) return;
  await assertCaveats(file, ['others_not_scored']);
  await assertCaveats(file, [], { faces: 'all' });
});

/** A JPEG of two views, by the index of CIPA DC-007: two entries of 16 bytes, 26 bytes from its start. */
function views(name, file) {
  const jpeg = readFileSync(file);
  const index = Buffer.from('4d504600 49492a0008000000 0100 02b0 0700 20000000 1a000000 00000000'.replaceAll(' ', ''), 'hex');
  const entry = Buffer.from('02000200000000000000000000000000', 'hex');
  const content = Buffer.concat([index, entry, entry]);
  const marker = Buffer.from([0xff, 0xe2, 0, content.length + 2]);
  return scratch.write(name, Buffer.concat([jpeg.subarray(0, 2), marker, content, jpeg.subarray(2), jpeg]));
}

test('of a picture in several views the first is looked at, and that is told', async (t) => {
  const picture = scratch.made(t, 'face.jpg', '-i', sample('real'), '-frames:v', '1', '-q:v', '2');
  if (picture) await assertCaveats(views('views.jpg', picture), ['first_picture_only'], { frames: 1 });
});

test('what a detector is worth is a caveat of its own, as its file says', async () => {
  const { page } = here.opened;
  for (const [code, change] of [
    ['untrained_detector', ({ training }) => (training.status = 'untrained')],
    ['uncalibrated_detector', ({ training }) => delete training.reliability],
    ['weak_detector', () => {}],
    [null, ({ training }) => (training.reliability = { grade: 'calibrated', words: 'it was measured' })],
  ]) {
    await page.setInputFiles('#test-file', scratch.write(`${code}.safetensors`, changedDetector(change)));
    const worth = await page.evaluate(async () => {
      const { Detector, input } = window.test;
      const detector = await Detector.load(input.files[0], { device: 'cpu' });
      const { caveats, model } = await detector.score(await (await fetch('/icon-192.png')).blob());
      detector.dispose();
      return { codes: caveats.map(({ code }) => code), grade: model.reliability.grade };
    });
    assert.deepEqual(worth, { codes: code === null ? [] : [code], grade: code?.split('_')[0] ?? 'calibrated' });
  }
});
