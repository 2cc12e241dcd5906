// Detectors of real widths: the bytes of one are tens of millions, and every matrix is as large as in the whole model.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { launch, openPage, Scratch, score } from './support.js';

/** Widths of ViT-L/14, with one of its 24 layers. */
const [WIDTH, INNER, PATCH, TOKENS] = [1024, 4096, 14, 257];

let browser;
const scratch = new Scratch();

before(async () => {
  browser = await launch();
});

after(async () => {
  await browser?.close();
  scratch.remove();
});

/** Names and shapes of a CLIP vision tower as `transformers` writes it. */
function shapes() {
  const layer = 'vision_model.encoder.layers.0';
  const linear = (name, out, into) => [[`${name}.weight`, [out, into]], [`${name}.bias`, [out]]];
  const norm = (name) => [[`${name}.weight`, [WIDTH]], [`${name}.bias`, [WIDTH]]];
  return [
    ['vision_model.embeddings.class_embedding', [WIDTH]],
    ['vision_model.embeddings.patch_embedding.weight', [WIDTH, 3, PATCH, PATCH]],
    ['vision_model.embeddings.position_embedding.weight', [TOKENS, WIDTH]],
    ...norm('vision_model.pre_layrnorm'),
    ...['q', 'k', 'v', 'out'].flatMap((name) => linear(`${layer}.self_attn.${name}_proj`, WIDTH, WIDTH)),
    ...norm(`${layer}.layer_norm1`),
    ...norm(`${layer}.layer_norm2`),
    ...linear(`${layer}.mlp.fc1`, INNER, WIDTH),
    ...linear(`${layer}.mlp.fc2`, WIDTH, INNER),
    ...norm('vision_model.post_layernorm'),
  ];
}

/** Writes a safetensors file of such a tower; weights are small numbers that look random, norms begin at one. */
function writeTower(path) {
  const header = {};
  let end = 0;
  for (const [name, shape] of shapes()) {
    const begin = end;
    end += 4 * shape.reduce((product, side) => product * side);
    header[name] = { dtype: 'F32', shape, data_offsets: [begin, end] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const file = openSync(path, 'w');
  for (const part of [length, json]) writeSync(file, part);
  let state = 1;
  // The generator of Lehmer with Park and Miller's factor.
  const next = () => (state = (state * 48271) % 0x7fffffff) / 0x7fffffff - 0.5;
  for (const [name, shape] of shapes()) {
    const values = new Float32Array(shape.reduce((product, side) => product * side));
    const isNorm = /norm\d?\.weight$/.test(name);
    for (let index = 0; index < values.length; index++) values[index] = isNorm ? 1 : 0.08 * next();
    writeSync(file, Buffer.from(values.buffer));
  }
  closeSync(file);
}

test('a tower as wide as ViT-L/14, in f16, scores a picture as the native program does', async (t) => {
  const [tower, whole, detector] = ['tower', 'whole', 'detector'].map((name) => scratch.path(`${name}.safetensors`));
  const source = new URL('../../demo/real.mp4', import.meta.url).pathname;
  const picture = scratch.made(t, 'face.png', '-i', source, '-frames:v', '1');
  if (!picture) return;
  writeTower(tower);
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
