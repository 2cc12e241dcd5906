// Where the detector looked: in a page as in the native program.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { examine, openPage, sample } from './page-support.js';
import { inBrowser, openPage as openApi, score } from './support.js';

const FRAMES = 8;
const { UNMASK_PROGRAM: program, UNMASK_MODEL: model } = process.env;

const here = inBrowser(undefined, openApi);
const { scratch } = here;

/** Explains what was scored last; for each face its numbers, and the levels of its pictures, row by row. */
function explain(page, report, options = {}) {
  return page.evaluate(async ([report, options]) => {
    const grey = async (png) => {
      const bitmap = await createImageBitmap(png);
      const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
      const context = canvas.getContext('2d');
      context.drawImage(bitmap, 0, 0);
      const { data, width } = context.getImageData(0, 0, bitmap.width, bitmap.height);
      const levels = Array.from({ length: data.length / 4 }, (_, at) => 0.299 * data[4 * at] + 0.587 * data[4 * at + 1] + 0.114 * data[4 * at + 2]);
      return { width, levels };
    };
    try {
      const faces = await window.test.detector.explain(window.test.input.files[0], report, options);
      const read = async ({ face, fake, real, ...rest }) => ({ ...rest, face: await grey(face), fake: await grey(fake), real: await grey(real) });
      return { faces: await Promise.all(faces.map(read)) };
    } catch (error) {
      return { error: { name: error.name, code: error.code, message: error.message } };
    }
  }, [report, options]);
}

/** The heat in each square of a map: by how much the picture is lighter than the darkened face. */
function heat({ width, levels }, face, side) {
  const sums = new Array(side * side).fill(0);
  levels.forEach((level, at) => {
    const [row, column] = [Math.floor(at / width), at % width].map((place) => Math.floor((place * side) / width));
    sums[row * side + column] += Math.abs(level - 0.75 * face.levels[at]);
  });
  return sums;
}

/** How alike two lists of numbers are (Pearson). */
function correlation(one, other) {
  const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
  const [a, b] = [one, other].map((list) => list.map((value) => value - mean(list)));
  const product = (x, y) => x.reduce((sum, value, at) => sum + value * y[at], 0);
  return product(a, b) / Math.sqrt(product(a, a) * product(b, b));
}

test('a page shows the maps of the native program, over the faces that were scored', async () => {
  const { page } = here.opened;
  const file = sample('fake');
  const { report } = await score(page, file, { frames: FRAMES });
  const { faces, error } = await explain(page, report, { faces: 4 });
  assert.equal(error, undefined, error?.message);
  const out = scratch.path('native');
  execFileSync(program, ['explain', file, '--model', model, '--frames', String(FRAMES), '--output', out, '--even-if-uncertain', '--no-video']);
  const native = JSON.parse(readFileSync(`${out}/explanation.json`, 'utf8'));
  assert.equal(faces.length, 4);
  for (const face of faces) {
    assert.equal(face.time_s, report.frames[face.frame].time_s);
    assert.equal(face.score, report.frames[face.frame].faces.find(({ track }) => track === face.track).score);
    const theirs = native.faces.find(({ frame, track }) => frame === face.frame && track === face.track);
    assert.ok(theirs, `the native program explains frame ${face.frame}`);
    for (const side of ['fake', 'real']) {
      const shown = heat(face[side], face.face, theirs.side);
      const most = Math.max(...theirs.fake, ...theirs.real);
      // What is hardly warm is lost among the levels of a picture.
      if (Math.max(...theirs[side]) < most / 4) continue;
      const alike = correlation(shown, theirs[side]);
      assert.ok(alike > 0.8, `what speaks for ${side} in frame ${face.frame} is alike to ${alike}`);
    }
  }
});

test('what cannot be explained is said in a sentence with a code', async () => {
  const { page } = here.opened;
  const { report } = await score(page, sample('fake'), { frames: 2 });
  const strange = { ...report, model: { ...report.model, sha256: '00' } };
  assert.equal((await explain(page, strange)).error.code, 'wrong_use');
  const moved = { ...report, frames: report.frames.map((frame) => ({ ...frame, time_s: frame.time_s + 0.5 })) };
  const { error } = await explain(page, moved);
  assert.equal(error.code, 'unreadable');
  assert.match(error.message, /^fake\.mp4: .*score it again/);
  assert.equal((await explain(page, report, { faces: 0 })).error.name, 'TypeError');
  const nobody = await score(page, sample('no_face'), { frames: 2 });
  assert.deepEqual((await explain(page, nobody.report)).faces, []);
});

test('the page shows faces beside their maps to whoever asks, and says what they are about', async () => {
  const { page, context } = await openPage(here.browser);
  await examine(page, sample('fake'));
  await page.getByRole('button', { name: 'Show where the detector looked' }).click();
  const faces = page.locator('.looked li');
  await faces.first().waitFor();
  assert.equal(await faces.count(), 4);
  for (const image of await faces.first().locator('img').all()) {
    assert.ok(await image.evaluate((shown) => shown.decode().then(() => shown.naturalWidth > 100)));
    assert.ok((await image.getAttribute('alt')).length > 10);
  }
  assert.match(await page.getByRole('region', { name: 'Where the detector looked' }).innerText(), /about the detector/);
  await context.close();
});
