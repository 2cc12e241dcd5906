// The WebAssembly module by itself: what its exports take, give and refuse, in the browser that they are made for.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { brotliCompressSync, constants } from 'node:zlib';
import { PAGE, launch } from './support.js';

/** The most bytes that a visitor downloads of each module, compressed as hosts do: a twentieth to a tenth above what they were. */
const MOST_BYTES = { 'unmask_wasm_bg.wasm': 1_130e3, 'unmask_relaxed_bg.wasm': 1_130e3, 'unmask_gpu_bg.wasm': 2_410e3, 'unmask-web_bg.wasm': 260e3 };

let browser;
let page;

before(async () => {
  browser = await launch();
  page = await browser.newPage();
  await page.goto(`${PAGE}embed.html`);
  await page.evaluate(async () => {
    const wasm = await import('/unmask_wasm.js');
    await wasm.default({ module_or_path: '/unmask_wasm_bg.wasm' });
    const bytes = async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer());
    const detector = await bytes('/unmask-lite.safetensors');
    // A safetensors file begins with the length of its header, which is JSON.
    const length = Number(new DataView(detector.buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(detector.subarray(8, 8 + length)));
    /** The sentence of an error, or null where there was none. */
    const refusal = (work) => {
      try {
        work();
        return null;
      } catch (error) {
        return error.message;
      }
    };
    /** Gives a session two frames with one face, and no more. */
    const pushTwoFrames = (scoring) => {
      const landmarks = [[40, 40], [80, 40], [60, 65], [45, 85], [75, 85]];
      const faces = JSON.stringify([{ bounds: { x: 25, y: 15, width: 70, height: 90 }, landmarks, confidence: 1 }]);
      const pixels = Uint8Array.from({ length: 120 * 120 * 4 }, (_, index) => (index * 37) % 251);
      for (const time of [0, 0.5]) scoring.push(time, pixels, 120, 120, 1, faces);
      scoring.seal();
    };
    /** The report of a session with those two. */
    const finished = (scoring, caveats) => {
      const video = { kind: 'video', width: 120, height: 120, fps: 2, duration_s: 1, frames_sampled: 0 };
      const timing = { decode: 0, detect: 0, score: 0, total: 0 };
      const surroundings = { input: 'two frames', video, timing_s: timing, caveats };
      return JSON.parse(scoring.finish(JSON.stringify(surroundings)));
    };
    window.test = { wasm, bytes, refusal, pushTwoFrames, finished, spec: header.__metadata__.unmask };
  });
});

after(() => browser?.close());

test('a face finder takes its own weights and no others, and frames of the size they say', async () => {
  const found = await page.evaluate(async () => {
    const { wasm, bytes, refusal } = window.test;
    const weights = [await bytes('/centerface.safetensors'), await bytes('/landmark_refiner.safetensors')];
    const finder = new wasm.FaceFinder(...weights);
    return {
      swapped: refusal(() => new wasm.FaceFinder(...weights.toReversed())),
      black: finder.find(new Uint8Array(64 * 48 * 4), 64, 48, 6),
      short: refusal(() => finder.find(new Uint8Array(7), 64, 48, 1)),
    };
  });
  assert.match(found.swapped, /centerface\.safetensors lacks the tensor/);
  assert.equal(found.black, '[]');
  assert.match(found.short, /^the browser gave a frame of another size than it said/);
});

test('an input gives the crops of its faces, takes their scores in any order, and makes the report', async () => {
  const { crops, report } = await page.evaluate(() => {
    const { wasm, spec, pushTwoFrames, finished } = window.test;
    const scoring = new wasm.Scoring([spec], ['the hash'], false);
    pushTwoFrames(scoring);
    const crops = [];
    for (let next = scoring.nextCrops(1); next; next = scoring.nextCrops(1)) {
      crops.push({ batch: next.batch, bytes: next.takeBytes().length, left: next.takeBytes().length });
    }
    const scores = [0.25, 0.75];
    for (const index of [1, 0]) scoring.accept(crops[index].batch, Float32Array.of(scores[index]));
    const caveats = [{ code: 'size_changes' }, { code: 'interlaced', words: 'two fields' }];
    return { crops, report: finished(scoring, caveats) };
  });
  const side = await page.evaluate(() => JSON.parse(window.test.spec).crop.size);
  assert.deepEqual(crops.map(({ bytes, left }) => [bytes, left]), [[3 * side * side, 0], [3 * side * side, 0]]);
  assert.deepEqual(report.frames.map(({ faces }) => faces[0].score), [0.25, 0.75]);
  assert.deepEqual([report.input, report.score, report.model.sha256], ['two frames', 0.5, 'the hash']);
  const words = (code) => report.caveats.find((caveat) => caveat.code === code)?.words;
  assert.equal(words('interlaced'), 'two fields');
  assert.match(words('size_changes'), /^the size of the picture changes/);
});

test('of several detectors each gets crops of its own, and the report has what each says', async () => {
  const { sizes, models, report, lacking } = await page.evaluate(() => {
    const { wasm, refusal, spec, pushTwoFrames, finished } = window.test;
    const other = JSON.parse(spec);
    Object.assign(other, { name: 'other', crop: { ...other.crop, size: 96 } });
    const scoring = new wasm.Scoring([spec, JSON.stringify(other)], ['one hash', 'other hash'], false);
    pushTwoFrames(scoring);
    const crops = [];
    for (let next = scoring.nextCrops(1); next; next = scoring.nextCrops(1)) {
      crops.push({ batch: next.batch, model: next.model, bytes: next.takeBytes().length });
    }
    for (const { batch, model } of crops.toReversed()) scoring.accept(batch, Float32Array.of([0.25, 0.75][model]));
    return {
      models: crops.map(({ model }) => model),
      sizes: crops.map(({ bytes }) => bytes),
      report: finished(scoring, [{ code: 'interlaced' }]),
      lacking: [refusal(() => new wasm.Scoring([], [], false)), refusal(() => new wasm.Scoring([spec], [], false))],
    };
  });
  assert.deepEqual(models, [0, 0, 1, 1]);
  assert.deepEqual(sizes.slice(2), [3 * 96 * 96, 3 * 96 * 96]);
  assert.ok(sizes[0] > sizes[2]);
  const said = report.opinions.map(({ model, score }) => [model.name, model.sha256, score]);
  assert.deepEqual(said, [['unmask-lite', 'one hash', 0.25], ['other', 'other hash', 0.75]]);
  assert.equal(report.score, 0.5);
  assert.deepEqual(report.frames.map(({ faces }) => faces[0].score), [0.25, 0.25], 'the frames are the first one\u2019s');
  assert.ok(report.caveats.some(({ code }) => code === 'interlaced'));
  for (const words of lacking) assert.match(words, /descriptions of detectors came with 0 SHA-256/);
});

test('scores that are none, too few or missing are refused and make no report', async () => {
  const found = await page.evaluate(() => {
    const { wasm, refusal, spec } = window.test;
    const landmarks = [[40, 40], [80, 40], [60, 65], [45, 85], [75, 85]];
    const faces = JSON.stringify([{ bounds: { x: 25, y: 15, width: 70, height: 90 }, landmarks, confidence: 1 }]);
    const pixels = Uint8Array.from({ length: 120 * 120 * 4 }, (_, index) => (index * 37) % 251);
    const video = { kind: 'still', width: 120, height: 120, fps: null, duration_s: null, frames_sampled: 0 };
    const timing = { decode: 0, detect: 0, score: 0, total: 0 };
    const surroundings = { input: 'a face', video, timing_s: timing, caveats: [] };
    const outcome = (scores) => {
      const scoring = new wasm.Scoring([spec], ['the hash'], false);
      scoring.push(0, pixels, 120, 120, 1, faces);
      scoring.seal();
      const { batch } = scoring.nextCrops(1);
      const accepted = scores === null ? null : refusal(() => scoring.accept(batch, Float32Array.from(scores)));
      const again = refusal(() => scoring.accept(batch + 1, Float32Array.of(0.5)));
      return { accepted, again, finished: refusal(() => scoring.finish(JSON.stringify(surroundings))) };
    };
    return [[NaN], [Infinity], [-0.5], [], [0.5, 0.5], null].map(outcome);
  });
  for (const { accepted, again, finished } of found) {
    assert.ok(accepted === null || /^the detector `unmask-lite` gave /.test(accepted), accepted);
    assert.match(again, /never waited for any/);
    assert.match(finished, /`unmask-lite`/);
  }
  assert.equal(found.filter(({ accepted }) => accepted === null).length, 1);
});

test('a crowd, and a part that would be called fake by itself, are told', async () => {
  const found = await page.evaluate(() => {
    const { wasm, spec } = window.test;
    const description = JSON.parse(spec);
    Object.assign(description.calibration, { temperature: 1, real_below: 0.35, fake_above: 0.65 });
    // Of a detector whose thresholds nobody fitted, parts are not judged.
    description.training.reliability = { grade: 'calibrated', words: 'it was measured' };
    const face = (shift) => {
      const landmarks = [[40, 40], [80, 40], [60, 65], [45, 85], [75, 85]].map(([x, y]) => [x + shift, y]);
      return { bounds: { x: 25 + shift, y: 15, width: 70, height: 90 }, landmarks, confidence: 1 };
    };
    const pixels = Uint8Array.from({ length: 120 * 120 * 4 }, (_, index) => (index * 37) % 251);
    const video = { kind: 'video', width: 120, height: 120, fps: 2, duration_s: 4, frames_sampled: 0 };
    const timing = { decode: 0, detect: 0, score: 0, total: 0 };
    const codes = (people, scores) => {
      const scoring = new wasm.Scoring([JSON.stringify(description)], ['the hash'], false);
      const faces = JSON.stringify(Array.from({ length: people }, (_, number) => face(number / 10)));
      scores.forEach((_, frame) => scoring.push(frame / 2, pixels, 120, 120, 1, faces));
      scoring.seal();
      for (const score of scores) scoring.accept(scoring.nextCrops(1).batch, Float32Array.of(score));
      const surroundings = { input: 'a face', video, timing_s: timing, caveats: [] };
      return JSON.parse(scoring.finish(JSON.stringify(surroundings))).caveats.map(({ code }) => code);
    };
    const even = [0.1, 0.1, 0.1, 0.1];
    return { plain: codes(1, even), part: codes(1, [...even, 0.9, 0.9, 0.9, 0.9]), crowd: codes(65, even), few: codes(64, even) };
  });
  const told = (code) => Object.keys(found).filter((name) => found[name].includes(code));
  assert.deepEqual([told('part_likely_fake'), told('crowd')], [['part'], ['crowd']], JSON.stringify(found));
});

test('what is no description, no faces and no surroundings is refused, and the module goes on', async () => {
  const refused = await page.evaluate(() => {
    const { wasm, refusal, spec } = window.test;
    const scoring = () => new wasm.Scoring([spec], [''], true);
    return {
      spec: refusal(() => new wasm.Scoring(['{}'], [''], true)),
      faces: refusal(() => scoring().push(0, new Uint8Array(4), 1, 1, 1, 'no faces')),
      surroundings: refusal(() => scoring().finish('{}')),
      after: refusal(() => scoring().seal()),
    };
  });
  assert.match(refused.spec, /^has a detector description that cannot be read/);
  assert.notEqual(refused.faces, null);
  assert.notEqual(refused.surroundings, null);
  assert.equal(refused.after, null);
});

test('the modules stay within the sizes that visitors download', async () => {
  for (const [name, most] of Object.entries(MOST_BYTES)) {
    const module = Buffer.from(await (await fetch(new URL(name, PAGE))).arrayBuffer());
    const bytes = brotliCompressSync(module, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }).length;
    assert.ok(bytes > 1e5 && bytes < most, `${name}: ${bytes} bytes compressed, at most ${most}`);
  }
});
