// What the tests of several detectors share: detectors beside the bundled one, and the page's report compared with the native one.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { assertSameFields, near } from './compare.js';
import { changedDetector } from './page-support.js';

/** The bundled detector with wider crops, of another size, and a taste of its own: what it says differs a little. */
export function secondDetector(scratch, name = 'second', change = () => {}) {
  const bytes = changedDetector((description) => {
    description.name = name;
    Object.assign(description.crop, { size: 160, margin: 0.9 });
    Object.assign(description.calibration, { real_below: 0.2, fake_above: 0.6, measured: undefined });
    change(description);
  });
  return scratch.write(`${name}.safetensors`, bytes);
}

/** An untrained one of another kind, which sees two frames together. */
export function untrainedDetector(scratch, name = 'fresh') {
  const tower = new URL('../goldens/clip_tiny/model.safetensors', import.meta.url).pathname;
  const output = scratch.path(`${name}.safetensors`);
  const options = ['import', '--from', 'hf-clip', '--input', tower, '--clip-length', '2', '--branch-depth', '1', '--output', output];
  execFileSync(process.env.UNMASK_PROGRAM, options, { stdio: 'ignore' });
  return output;
}

/** What the native program says of a file by these detectors together. */
export function nativeTogether(file, models, ...more) {
  const options = ['score', file, ...models.flatMap((model) => ['--model', model]), '--json', ...more];
  return JSON.parse(execFileSync(process.env.UNMASK_PROGRAM, options, { maxBuffer: 1 << 28 }));
}

/** Sentences are the same but for the scores in them, which are near each other. */
function assertSameWords(ours, theirs, tolerance) {
  const parts = (words) => String(words).split(/(\b\d\.\d\d\b)/);
  const [found, expected] = [parts(ours), parts(theirs)];
  assert.equal(found.length, expected.length, `${ours} is not ${theirs}`);
  found.forEach((part, index) => {
    if (index % 2 === 0) assert.equal(part, expected[index], ours);
    else near(Number(part), Number(expected[index]), tolerance + 0.01, ours);
  });
}

/** Both reports have the same opinions, and make the same of them. Crops of other pixels may differ a little more in score. */
export function assertSameOpinions(report, expected, tolerance = 0.02) {
  assertSameFields(report, expected);
  assert.deepEqual([report.verdict, report.caveats, report.model], [expected.verdict, expected.caveats, expected.model]);
  assertSameWords(report.reason, expected.reason, tolerance);
  assert.equal(report.opinions.length, expected.opinions.length);
  report.opinions.forEach((opinion, index) => {
    const theirs = expected.opinions[index];
    assert.deepEqual({ ...opinion, score: null, reason: null }, { ...theirs, score: null, reason: null });
    assertSameWords(opinion.reason, theirs.reason, tolerance);
    assert.equal(opinion.score === null, theirs.score === null);
    if (theirs.score !== null) near(opinion.score, theirs.score, tolerance, opinion.model.name);
  });
  if (expected.score !== null) near(report.score, expected.score, tolerance, 'the mean score');
  assert.equal(report.frames.length, expected.frames.length);
}
