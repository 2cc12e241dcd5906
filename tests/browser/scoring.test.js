// The page's report is the native program's.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertSameReport, near } from './compare.js';
import { clip, inBrowser, native, score } from './support.js';

const FRAMES = 8;

const here = inBrowser();
const { scratch } = here;

/** Both reports of a file say the same. */
async function compare(file, { frames = FRAMES, faces = 'largest' } = {}) {
  const { report, error, progress } = await score(here.opened.page, file, { frames, faces });
  assert.equal(error, undefined, error?.message);
  assertSameReport(report, native(file, frames, '--faces', faces));
  assert.deepEqual(progress.at(-1), { stage: 'score', done: report.frames.length, total: report.frames.length });
  return report;
}

test('an H.264 clip in MP4 gets the native report', async (t) => {
  const file = clip(t, 'fake_ffpp_deepfakes_519_515_480p.mp4');
  if (file) await compare(file);
});

test('clips of other people in MP4 and Matroska get the native report', async (t) => {
  for (const name of ['sadtalker_gen_art2.mp4', 'real_liveportrait_d1_512_0.5s.mp4', 'real_intel_asl_again.mkv']) {
    const file = clip(t, name);
    if (file) await compare(file, { frames: 4 });
  }
});

test('a clip in Matroska gets the native report', async (t) => {
  const file = clip(t, 'real_intel_asl_eat_640x480.mkv');
  if (file) await compare(file);
});

test('a VP9 clip in WebM with sound gets the native report', async (t) => {
  const source = clip(t, 'real_liveportrait_d5.mp4');
  const sine = ['-f', 'lavfi', '-i', 'sine=d=2'];
  const video = ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-b:v', '1M', '-g', '20'];
  const file = source && scratch.made(t, 'clip.webm', '-t', '2', '-i', source, ...sine, ...video, '-c:a', 'libopus');
  if (file) await compare(file);
});

test('a clip recorded with the phone turned gets the native report in displayed pixels', async (t) => {
  const source = clip(t, 'real_liveportrait_d5.mp4');
  const filter = ['-vf', 'crop=480:400,transpose=2'];
  const turned = source && scratch.made(t, 'sideways.mp4', '-t', '2', '-i', source, ...filter, '-c:v', 'libx264');
  const file = turned && scratch.turned(t, 'turned.mp4', turned);
  if (!file) return;
  const report = await compare(file, { frames: 4 });
  assert.ok(report.video.width > report.video.height, 'the frame lies as it is displayed');
});

test('a clip cut by an edit list and in fragments gets the native report', async (t) => {
  const source = clip(t, 'real_liveportrait_d18.mp4');
  const cut = source && scratch.made(t, 'cut.mp4', '-ss', '1.3', '-t', '3', '-i', source, '-c', 'copy');
  if (cut) await compare(cut, { frames: 4 });
  const flags = ['-movflags', 'frag_keyframe+empty_moov'];
  const fragmented = source && scratch.made(t, 'fragments.mp4', '-t', '3', '-i', source, '-c', 'copy', ...flags);
  if (fragmented) await compare(fragmented, { frames: 4 });
});

test('the same pixels get the native points to a hundredth of a pixel, and the native score to a hundredth', async (t) => {
  for (const name of ['real_vox_lia_driving2_256.mp4', 'real_liveportrait_d18.mp4', 'real_intel_asl_eat_640x480.mkv']) {
    const source = clip(t, name);
    const file = source && scratch.made(t, 'face.png', '-i', source, '-frames:v', '1');
    if (!file) return;
    const { frames, score: theirs } = native(file, 1);
    const { report } = await score(here.opened.page, file);
    const [ours, expected] = [report.frames[0].faces[0], frames[0].faces[0]];
    const apart = ours.landmarks.flat().map((place, index) => Math.abs(place - expected.landmarks.flat()[index]));
    assert.ok(Math.max(...apart) <= 0.01, `points of ${name} lie ${Math.max(...apart)} pixels apart`);
    // Points differ by rounding, levels of the crop with them, and the score by what the detector makes of those.
    near(report.score, theirs, 0.01, `the score of ${name}`);
    ours.box.forEach((value, side) => near(value, expected.box[side], 0.05, 'a side of the face'));
    assert.deepEqual([report.video.fps, report.video.duration_s, report.frames.length], [null, null, 1]);
  }
});

test('colours of every range, matrix, depth and resolution get the native report', async (t) => {
  const source = clip(t, 'real_liveportrait_d18.mp4');
  for (const [name, ...options] of [
    ['full.mp4', '-vf', 'format=yuvj420p', '-c:v', 'libx264'],
    ['tall.mp4', '-vf', 'scale=720:720', '-c:v', 'libx264'],
    ['named.mkv', '-c:v', 'libx264', '-colorspace', 'bt709', '-color_primaries', 'bt709', '-color_trc', 'bt709'],
    ['halves.mp4', '-vf', 'format=yuv422p', '-c:v', 'libx264'],
    ['ten.webm', '-pix_fmt', 'yuv420p10le', '-c:v', 'libvpx-vp9', '-profile:v', '2', '-deadline', 'realtime', '-cpu-used', '8'],
    ['odd.mkv', '-vf', 'crop=479:477:exact=1', '-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8'],
  ]) {
    const file = source && scratch.made(t, name, '-t', '0.2', '-i', source, ...options);
    if (file) await compare(file, { frames: 2 });
  }
});

test('a clip without a face is no_face, not real', async (t) => {
  const file = scratch.made(t, 'noise.mp4', '-f', 'lavfi', '-i', 'testsrc2=s=320x240:d=1', '-c:v', 'libx264');
  if (!file) return;
  const report = await compare(file, { frames: 4 });
  assert.deepEqual([report.verdict, report.score], ['no_face', null]);
});

test('everybody is scored on request, as natively', async (t) => {
  const file = clip(t, 'real_multiface_hamilton_640x360.mp4');
  if (!file) return;
  const report = await compare(file, { frames: 4, faces: 'all' });
  assert.ok(report.tracks.length > 1 && report.tracks.every((track) => track.score !== null));
});
