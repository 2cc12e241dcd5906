// What kind of input a report names, and that fewer than four frames of anything but a picture decide nothing, by whichever
// way the frames come: a decoder, the browser's player, an element of the page, a camera.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { changedDetector, downloaded, openPage as openWholePage, sample, settled } from './page-support.js';
import { launch, openPage, Scratch, score } from './support.js';

/** Frames that a verdict rests on at least. */
const LEAST = 4;

const H264 = ['-c:v', 'libx264', '-preset', 'veryfast'];

let browser;
/** A page of the browser as it is, and one whose worker has no decoder. */
let decoding;
let playing;
/** A detector to which every face is fake, so that nothing but too few frames leaves a verdict uncertain. */
let decided;
const scratch = new Scratch();

before(async () => {
  const change = ({ calibration }) => Object.assign(calibration, { real_below: 1e-6, fake_above: 2e-6 });
  decided = scratch.write('decided.safetensors', changedDetector(change));
  browser = await launch();
  decoding = await openDecided(browser);
  playing = await openDecided(browser, { inFront: { 'worker.js': 'delete self.VideoDecoder;' } });
});

after(async () => {
  await browser?.close();
  scratch.remove();
});

/** A page with that detector. */
async function openDecided(browser, options) {
  const { page } = await openPage(browser, options);
  await page.setInputFiles('#test-file', decided);
  await page.evaluate(async () => {
    window.test.detector.dispose();
    window.test.detector = await window.test.Detector.load(window.test.input.files[0]);
  });
  return page;
}

/** `count` frames of a face. */
function frames(t, name, count, ...options) {
  return scratch.made(t, name, '-i', sample('fake'), '-frames:v', String(count), ...H264, ...options);
}

/** The report is of this kind and of this many frames with one face each, and is uncertain for their number alone. */
function assertJudged({ verdict, reason, score, video, frames }, kind, count, what) {
  assert.deepEqual([video.kind, video.frames_sampled, frames.length], [kind, count, count], what);
  assert.deepEqual(frames.map(({ faces }) => faces.length), Array(count).fill(1), what);
  assert.notEqual(score, null, what);
  const seen = count === 1 ? '1 frame' : `${count} frames`;
  const few = ['uncertain', `the face is seen in only ${seen}, which is too few to judge`];
  assert.deepEqual([verdict, reason], kind !== 'still' && count < LEAST ? few : ['likely_fake', null], what);
}

/** Scores a file as what an element of the page has as its source. */
async function scoreElement(page, file, options) {
  await page.setInputFiles('#test-file', file);
  return page.evaluate(async (options) => {
    const element = document.createElement('video');
    element.src = URL.createObjectURL(window.test.input.files[0]);
    try {
      return { report: await window.test.detector.score(element, options) };
    } catch ({ message }) {
      return { error: { message } };
    }
  }, options);
}

test('three frames of a video decide nothing and four do, whether they are decoded, played or an element’s', async (t) => {
  const [three, many] = [frames(t, 'three.mp4', 3), frames(t, 'many.mp4', 12)];
  if (!three || !many) return;
  for (const [way, scored] of Object.entries({
    decoded: (file, options) => score(decoding, file, options),
    played: (file, options) => score(playing, file, options),
    'an element’s': (file, options) => scoreElement(decoding, file, options),
  })) {
    for (const [file, asked, count] of [[many, 3, 3], [many, 4, 4], [many, 1, 1], [three, 8, 3]]) {
      const { report, error } = await scored(file, { frames: asked });
      assert.equal(error, undefined, error?.message);
      assertJudged(report, 'video', count, `${way}, ${count} frames`);
    }
  }
});

/** The same MP4 file in the way of old QuickTime, without the box that says what it is. */
function oldQuickTime(name, file) {
  const bytes = readFileSync(file);
  bytes.write('free', 4, 'latin1');
  return scratch.write(name, bytes);
}

test('three frames of a container that the player alone reads decide nothing and four do', async (t) => {
  const many = frames(t, 'whole.mp4', 12);
  if (!many) return;
  const file = oldQuickTime('old.mov', many);
  for (const count of [3, 4]) {
    const { report, error } = await score(decoding, file, { frames: count });
    assert.equal(error, undefined, error?.message);
    assertJudged(report, 'video', count, `${count} frames`);
  }
});

test('a frame that is shown for several times counts once, also where the player does not tell when a frame is', async (t) => {
  const three = frames(t, 'few.mp4', 3);
  if (!three) return;
  // As in a hidden page, in which nothing is presented, and in browsers without this function.
  const silent = 'delete HTMLVideoElement.prototype.requestVideoFrameCallback;';
  for (const inFront of [{ 'player.js': silent }, { 'player.js': `${silent} delete globalThis.VideoFrame;` }]) {
    const page = await openDecided(browser, { inFront });
    const { report, error } = await scoreElement(page, three, { frames: 8 });
    assert.equal(error, undefined, error?.message);
    assertJudged(report, 'video', 3, inFront['player.js']);
    await page.context().close();
  }
});

test('a picture is a still, and needs no second one', async (t) => {
  const picture = scratch.made(t, 'face.png', '-i', sample('fake'), '-frames:v', '1');
  if (picture) assertJudged((await score(decoding, picture)).report, 'still', 1, 'a picture');
});

/** A browser whose camera shows the face; null, and the test skipped aloud, where its film cannot be made. */
async function launchFilmed(t) {
  // It begins anew after four seconds, so that on a slow machine too no frame comes twice in a row.
  const film = scratch.made(t, 'film.y4m', '-i', sample('fake'), '-pix_fmt', 'yuv420p');
  if (!film) return null;
  const camera = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'];
  const filmed = await launch(...camera, `--use-file-for-fake-video-capture=${film}`);
  t.after(() => filmed.close());
  return filmed;
}

test('three frames of a camera decide nothing and four do, also where it is turned off before all have come', async (t) => {
  const filmed = await launchFilmed(t);
  if (!filmed) return;
  const page = await openDecided(filmed);
  const reports = await page.evaluate(async () => {
    const { detector } = window.test;
    const element = document.createElement('video');
    element.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: 480, height: 480 } });
    const reports = [];
    for (const frames of [3, 4, 1]) reports.push(await detector.score(element, { frames }));
    const turnOff = ({ done }) => done === 1 && element.srcObject.getTracks().forEach((track) => track.stop());
    reports.push(await detector.score(element, { frames: 200, onProgress: turnOff }));
    return reports;
  });
  const ended = reports.pop();
  reports.forEach((report, index) => assertJudged(report, 'live', [3, 4, 1][index], 'a camera'));
  // How many had come by then is the machine's affair.
  assert.ok(ended.frames.length < 200, `${ended.frames.length} frames`);
  assertJudged(ended, 'live', ended.frames.length, 'a camera that was turned off');
  for (const { input, video, frames } of reports) {
    assert.deepEqual([input, video.duration_s, video.fps, frames[0].time_s], ['camera', null, null, 0]);
  }
});

test('a live picture that stands still counts as one frame', async (t) => {
  const picture = scratch.made(t, 'frozen.png', '-i', sample('fake'), '-frames:v', '1');
  if (!picture) return;
  await decoding.setInputFiles('#test-file', picture);
  const report = await decoding.evaluate(async () => {
    const bitmap = await createImageBitmap(window.test.input.files[0]);
    const canvas = Object.assign(document.createElement('canvas'), { width: bitmap.width, height: bitmap.height });
    canvas.getContext('2d').drawImage(bitmap, 0, 0);
    const element = document.createElement('video');
    element.srcObject = canvas.captureStream();
    // One frame is given, and no other follows it.
    return window.test.detector.score(element, { frames: 8 });
  });
  assertJudged(report, 'live', 1, 'a picture that stands still');
});

test('what the page records of the camera is a video, and gets a verdict', async (t) => {
  const filmed = await launchFilmed(t);
  if (!filmed) return;
  const { page } = await openWholePage(filmed);
  await page.locator('#use-camera').click();
  await page.getByRole('button', { name: /^Record/ }).click();
  await page.getByText(/Recording: \d s left/).waitFor();
  await settled(page);
  const { content: report } = await downloaded(page, 'Download the report (JSON)');
  assert.match(report.input, /^camera-[\d-]+\.(mp4|webm)$/);
  assert.deepEqual([report.video.kind, report.frames.length], ['video', LEAST]);
  assert.ok(report.frames.every(({ faces }) => faces.length === 1), 'each frame shows the face');
  assert.doesNotMatch(report.reason ?? '', /too few to judge/);
});
