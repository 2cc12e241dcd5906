// Two reports of one file, the page's and the native program's, say the same.

import assert from 'node:assert/strict';

/** How far scores may lie apart, of a frame and on average, and rates, as a part of them. */
const LIMITS = { frame: 0.03, mean: 0.02, rate: 0.02 };

export function near(ours, theirs, tolerance, what) {
  assert.ok(Math.abs(ours - theirs) <= tolerance, `${what}: ${ours} in the page, ${theirs} in the native program`);
}

/** What only the native program fills in. */
const NATIVE_ONLY = ['content_credentials', 'provenance'];

/** Both reports have the same fields, but for what only the native program fills in. */
export function assertSameFields(report, expected) {
  const shared = Object.keys(expected).filter((key) => !NATIVE_ONLY.includes(key));
  assert.deepEqual(Object.keys(report).sort(), shared.sort());
}

/** Both reports say the same within `limits`, of which the usual ones hold where they name none. */
export function assertSameReport(report, expected, limits = {}) {
  const { frame: ofFrame, mean, rate } = { ...LIMITS, ...limits };
  assert.equal(report.verdict, expected.verdict);
  assert.equal(report.reason, expected.reason);
  assert.deepEqual(report.caveats, expected.caveats);
  assert.deepEqual(report.model, expected.model);
  assert.deepEqual(report.strength, expected.strength);
  assertSameFields(report, expected);
  assert.equal(report.score === null, expected.score === null);
  if (expected.score !== null) near(report.score, expected.score, mean, 'the mean score');
  compareVideo(report.video, expected.video, rate);
  assert.equal(report.frames.length, expected.frames.length);
  report.frames.forEach((frame, index) => compareFrame(frame, expected.frames[index], ofFrame));
  assert.deepEqual(
    report.tracks.map(({ id, frames, left_out: leftOut }) => [id, frames, leftOut]),
    expected.tracks.map(({ id, frames, left_out: leftOut }) => [id, frames, leftOut]),
  );
  report.tracks.forEach(({ id, score }, index) => near(score, expected.tracks[index].score, mean, `the score of track ${id}`));
}

function compareVideo(ours, theirs, rate) {
  const { fps, duration_s: duration, ...exact } = ours;
  const { fps: nativeFps, duration_s: nativeDuration, frame_count: _, ...nativeExact } = theirs;
  assert.deepEqual(exact, nativeExact);
  assert.equal(fps === null, nativeFps === null);
  if (fps === null) return;
  near(fps, nativeFps, rate * nativeFps, 'frames a second');
  near(duration, nativeDuration, 2 / nativeFps, 'the duration');
}

/** Both programs see the same pixels but for a level here and there: over all sample clips scores of frames differ by up to 0.005. */
function compareFrame(ours, theirs, tolerance) {
  near(ours.time_s, theirs.time_s, 0.002, 'the time of a frame');
  assert.equal(ours.left_out, theirs.left_out);
  assert.equal(ours.faces.length, theirs.faces.length, `faces at ${ours.time_s} s`);
  ours.faces.forEach((face, index) => {
    const { box, landmarks, score: nativeScore } = theirs.faces[index];
    const size = Math.max(box[2], box[3]);
    face.box.forEach((value, side) => near(value, box[side], 0.01 * size, 'a side of a face'));
    face.landmarks.flat().forEach((value, point) => near(value, landmarks.flat()[point], 0.01 * size, 'a point of a face'));
    assert.equal(face.score === null, nativeScore === null);
    if (nativeScore !== null) near(face.score, nativeScore, tolerance, `the score at ${ours.time_s} s`);
  });
}
