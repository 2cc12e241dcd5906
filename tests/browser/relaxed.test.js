// The two modules for the CPU: the one for relaxed vector instructions where the browser has them, the other elsewhere; and weights of
// integers in both.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { assertSameReport, near } from './compare.js';
import { launch, native, openPage, Scratch, score } from './support.js';
import { assembled, withIntegers, writeTower } from './tower.js';

const CLIP = new URL('../../demo/fake.mp4', import.meta.url).pathname;
const FRAMES = 4;

/** Chromium as it is, and as a browser without these instructions. */
const BROWSERS = { relaxed: {}, wasm: { inFront: { 'worker.js': 'WebAssembly.validate = () => false;' } } };

/** Less and more than vectors and tiles have of rows, inputs and outputs. */
const SIZES = [
  { width: 60, inner: 131, patch: 8, tokens: 17, heads: 4 },
  { width: 84, inner: 41, patch: 8, tokens: 50, heads: 7 },
];

let browser;
const scratch = new Scratch();

before(async () => {
  browser = await launch();
});

after(async () => {
  await browser?.close();
  scratch.remove();
});

function run(...options) {
  return execFileSync(process.env.UNMASK_PROGRAM, options, { stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 1 << 28 });
}

for (const [name, options] of Object.entries(BROWSERS)) {
  test(`a clip gets the native report by unmask_${name} alone`, async (t) => {
    const { page, context, requests } = await openPage(browser, options);
    t.after(() => context.close());
    const { report, error } = await score(page, CLIP, { frames: FRAMES });
    assert.equal(error, undefined, error?.message);
    assertSameReport(report, native(CLIP, FRAMES));
    const modules = requests.map((address) => /unmask_(\w+?)(?:_bg\.wasm|\.js)$/.exec(address)?.[1]).filter(Boolean);
    assert.deepEqual([...new Set(modules)], [name]);
  });
}

/** P(fake) of the crops by one of the page's helpers with one of the modules. */
async function helperScores(page, detector, crops, relaxed) {
  await page.setInputFiles('#test-file', detector);
  return page.evaluate(
    async ({ crops, relaxed }) => {
      const worker = new Worker('/helper.js', { type: 'module' });
      const ask = (task, message) =>
        new Promise((resolve, reject) => {
          worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error.message)) : resolve(data.value));
          worker.onerror = ({ message }) => reject(new Error(message));
          worker.postMessage({ id: 0, task, message });
        });
      await ask('start', { relaxed });
      await ask('load', { index: 0, model: window.test.input.files[0] });
      const scores = await ask('score', { crops: Uint8Array.from(crops), model: 0 });
      worker.terminate();
      return [...scores];
    },
    { crops, relaxed },
  );
}

/** P(fake) of the crops, which are of the size of the input, by the program. */
function programScores(detector, crops, { size, mean, std }) {
  const [plane, count] = [size * size, crops.length / (3 * size * size)];
  const pixels = Float32Array.from(crops, (_, place) => {
    const [image, channel, within] = [Math.floor(place / (3 * plane)), Math.floor(place / plane) % 3, place % plane];
    return (crops[(image * plane + within) * 3 + channel] / 255 - mean[channel]) / std[channel];
  });
  const header = { pixel_values: { dtype: 'F32', shape: [count, 3, size, size], data_offsets: [0, pixels.byteLength] } };
  const input = scratch.write('pixels.safetensors', assembled(header, [Buffer.from(pixels.buffer)]));
  const output = scratch.path('answers.safetensors');
  run('forward', '--model', detector, '--input', input, '--output', output, '--device', 'cpu');
  const answers = readFileSync(output);
  const begin = 8 + Number(answers.readBigUInt64LE());
  const { score } = JSON.parse(answers.subarray(8, begin));
  const [from, to] = score.data_offsets.map((offset) => begin + offset);
  return [...new Float32Array(Uint8Array.from(answers.subarray(from, to)).buffer)];
}

test('a detector of integers gives the native scores in both modules, at sizes that fill no vector', async (t) => {
  const { page, context } = await openPage(browser);
  t.after(() => context.close());
  for (const [index, { heads, ...sizes }] of SIZES.entries()) {
    const [tower, whole] = ['tower', 'whole'].map((name) => scratch.path(`${name}${index}.safetensors`));
    // So large that layers count beside what goes past them.
    writeTower(tower, sizes, 1);
    run('import', '--from', 'hf-clip', '--input', tower, '--output', whole, '--heads', String(heads));
    let input;
    const detector = withIntegers(readFileSync(whole), (description) => {
      input = description.input;
      description.crop.size = input.size;
    });
    const integers = scratch.write(`integers${index}.safetensors`, detector);
    const crops = Array.from({ length: 5 * 3 * input.size ** 2 }, (_, place) => (place * 7919 + (place >> 9) * 31) % 251);
    const expected = programScores(integers, crops, input);
    for (const relaxed of [true, false]) {
      const found = await helperScores(page, integers, crops, relaxed);
      assert.equal(found.length, expected.length);
      // Without integers they are 5 to 20 times as far away. Processors round the numbers between products differently.
      found.forEach((value, crop) => near(value, expected[crop], 1e-4, `crop ${crop}, relaxed: ${relaxed}`));
    }
  }
});
