// Detectors of real widths: the bytes of one are tens of millions, and every matrix is as large as in the whole model.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { launch, openPage, Scratch, score } from './support.js';
import { writeTower } from './tower.js';

/** Widths of ViT-L/14, with one of its 24 layers. */
const SIZES = { width: 1024, inner: 4096, patch: 14, tokens: 257 };

let browser;
const scratch = new Scratch();

before(async () => {
  browser = await launch();
});

after(async () => {
  await browser?.close();
  scratch.remove();
});

test('a tower as wide as ViT-L/14, in f16, scores a picture as the native program does', async (t) => {
  const [tower, whole, detector] = ['tower', 'whole', 'detector'].map((name) => scratch.path(`${name}.safetensors`));
  const source = new URL('../../demo/real.mp4', import.meta.url).pathname;
  const picture = scratch.made(t, 'face.png', '-i', source, '-frames:v', '1');
  if (!picture) return;
  writeTower(tower, SIZES);
  const run = (...options) => execFileSync(process.env.UNMASK_PROGRAM, options, { stdio: ['ignore', 'pipe', 'ignore'] });
  run('import', '--from', 'hf-clip', '--input', tower, '--output', whole, '--heads', '16');
  run('quantize', '--model', whole, '--dtype', 'f16', '--output', detector);
  const expected = JSON.parse(run('score', picture, '--model', detector, '--json'));
  const { page } = await openPage(browser);
  await page.setInputFiles('#test-file', detector);
  await page.evaluate(async () => {
    window.test.detector.dispose();
    window.test.detector = await window.test.Detector.load(window.test.input.files[0]);
  });
  const { report, error } = await score(page, picture);
  assert.equal(error, undefined);
  assert.notEqual(expected.score, null);
  assert.ok(Math.abs(report.score - expected.score) < 1e-3, `${report.score} in the page, ${expected.score} natively`);
  assert.equal(report.model.sha256, expected.model.sha256);
  assert.equal(report.model.training, 'untrained');
});
