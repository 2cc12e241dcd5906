// Frames however the browser comes by them: WebCodecs, an element on the page, live pictures, still images.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { allowMedia, clip, launch, openPage, Scratch, score } from './support.js';

const FRAMES = 4;
const NO_WEBCODECS = {
  'worker.js': 'delete self.VideoDecoder; delete self.VideoFrame;',
  'player.js': 'delete globalThis.VideoFrame;',
};

let browser;
/** A page of the browser as it is, one that has no WebCodecs, and one whose worker alone has no decoder. */
let plain;
let without;
let refused;
const scratch = new Scratch();

before(async () => {
  browser = await launch();
  plain = await openPage(browser);
  without = await openPage(browser, { inFront: NO_WEBCODECS });
  refused = await openPage(browser, { inFront: { 'worker.js': 'delete self.VideoDecoder;' } });
});

after(async () => {
  await browser?.close();
  scratch.remove();
});

function near(ours, theirs, tolerance, what) {
  assert.ok(Math.abs(ours - theirs) <= tolerance, `${what}: ${ours} instead of ${theirs}`);
}

/**
 * The element's frames are those that WebCodecs decodes, at the same times. Where the browser hands out a decoder's frames
 * they are the same in every pixel; where it draws them, it fills in colours in its own way, which moves the mean score of
 * these clips by up to 0.04.
 */
async function assertSameByElement(file) {
  const expected = await score(plain.page, file, { frames: FRAMES });
  for (const [{ page }, tolerance] of [[refused, 0.0001], [without, 0.06]]) {
    const { report, error } = await score(page, file, { frames: FRAMES });
    assert.equal(error, undefined, error?.message);
    assertSame(report, expected.report, tolerance);
  }
}

function assertSame(ours, expected, tolerance) {
  assert.deepEqual(ours.video, expected.video);
  assert.deepEqual(ours.frames.map(({ time_s: time }) => time), expected.frames.map(({ time_s: time }) => time));
  assert.equal(ours.verdict, expected.verdict);
  near(ours.score, expected.score, tolerance, 'the mean score');
  ours.frames.forEach(({ faces }, index) => {
    const [{ box, landmarks }] = faces;
    const [{ box: expectedBox, landmarks: expectedLandmarks }] = expected.frames[index].faces;
    const size = tolerance * Math.max(...expectedBox.slice(2));
    box.forEach((value, side) => near(value, expectedBox[side], size, 'a side of the face'));
    landmarks.flat().forEach((value, point) => near(value, expectedLandmarks.flat()[point], size, 'a point of the face'));
  });
}

test('an element shows the same frames to a browser without WebCodecs, or without this decoder', async (t) => {
  const source = clip(t, 'real_liveportrait_d18.mp4');
  if (!source) return;
  const cut = scratch.made(t, 'cut.mp4', '-ss', '1.3', '-t', '3', '-i', source, '-c', 'copy');
  const flags = ['-movflags', 'frag_keyframe+empty_moov'];
  const fragments = scratch.made(t, 'fragments.mp4', '-t', '3', '-i', source, '-c', 'copy', ...flags);
  for (const file of [cut, fragments]) if (file) await assertSameByElement(file);
});

test('turned frames that an element shows are upright', async (t) => {
  const source = clip(t, 'real_liveportrait_d5.mp4');
  const filter = ['-vf', 'crop=480:400,transpose=2'];
  const sideways = source && scratch.made(t, 'sideways.mp4', '-t', '2', '-i', source, ...filter, '-c:v', 'libx264');
  const file = sideways && scratch.turned(t, 'turned.mp4', sideways);
  if (file) await assertSameByElement(file);
});

test('a clip with full colour resolution is decoded either way', async (t) => {
  const source = clip(t, 'real_liveportrait_d5.mp4');
  const file = source && scratch.made(t, 'full.mkv', '-t', '1', '-i', source, '-pix_fmt', 'yuv444p', '-c:v', 'libx264');
  if (file) await assertSameByElement(file);
});

/** Scores what an element of the page shows; `{ report, before, after }`, the latter the element's state. */
function scoreElement(page, options) {
  return page.evaluate(async (options) => {
    const element = document.createElement('video');
    element.muted = true;
    document.body.append(element);
    element.src = URL.createObjectURL(window.test.input.files[0]);
    await new Promise((resolve) => element.addEventListener('loadeddata', resolve, { once: true }));
    element.currentTime = 1;
    await new Promise((resolve) => element.addEventListener('seeked', resolve, { once: true }));
    const state = () => [element.currentTime, element.paused];
    const before = state();
    const seeks = [];
    element.addEventListener('seeking', () => seeks.push(element.currentTime));
    const report = await window.test.detector.score(element, options);
    const after = state();
    element.remove();
    return { report, before, after, seeks };
  }, options);
}

test('a video element is scored, and its picture does not jump', async (t) => {
  const file = clip(t, 'real_liveportrait_d5.mp4');
  if (!file) return;
  const { report: expected } = await score(plain.page, file, { frames: FRAMES });
  const { report, before, after, seeks } = await scoreElement(plain.page, { frames: FRAMES });
  assert.deepEqual([after, seeks], [before, []]);
  assert.equal(report.input, 'video');
  assert.deepEqual([report.video.width, report.video.height, report.video.fps], [480, 480, null]);
  near(report.video.duration_s, expected.video.duration_s, 0.05, 'the duration');
  assert.equal(report.frames.length, FRAMES);
  report.frames.forEach((frame, index) => near(frame.time_s, expected.frames[index].time_s, 0.034, 'the time of a frame'));
  near(report.score, expected.score, 0.0001, 'the mean score');
});

test('an element whose source cannot be played twice is put back to where it was', async (t) => {
  const options = ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-g', '10'];
  const file = scratch.made(t, 'stream.webm', '-f', 'lavfi', '-i', 'testsrc2=s=320x240:d=2', ...options);
  if (!file) return;
  await plain.page.setInputFiles('#test-file', file);
  const { report, time } = await plain.page.evaluate(async () => {
    const [element, stream] = [document.createElement('video'), new MediaSource()];
    const happens = (target, type) => new Promise((resolve) => target.addEventListener(type, resolve, { once: true }));
    element.src = URL.createObjectURL(stream);
    await happens(stream, 'sourceopen');
    const buffer = stream.addSourceBuffer('video/webm; codecs="vp9"');
    buffer.appendBuffer(await window.test.input.files[0].arrayBuffer());
    await happens(buffer, 'updateend');
    stream.endOfStream();
    element.currentTime = 1;
    await happens(element, 'seeked');
    const report = await window.test.detector.score(element, { frames: 3 });
    return { report, time: element.currentTime };
  });
  assert.deepEqual([report.verdict, report.frames.length, time], ['no_face', 3, 1]);
});

test('a video with fewer frames than asked for gives each once', async (t) => {
  const file = scratch.made(t, 'few.mp4', '-f', 'lavfi', '-i', 'testsrc2=s=320x240:d=1:r=3', '-c:v', 'libx264');
  if (!file) return;
  await plain.page.setInputFiles('#test-file', file);
  const report = await plain.page.evaluate(async () => {
    const element = document.createElement('video');
    element.src = URL.createObjectURL(window.test.input.files[0]);
    return window.test.detector.score(element, { frames: 8 });
  });
  assert.deepEqual(report.frames.map(({ time_s: time }) => time.toFixed(3)), ['0.000', '0.333', '0.667']);
});

test('of a live picture the frames of some seconds are scored', async () => {
  const { report, ended } = await plain.page.evaluate(async () => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 240 });
    const context = canvas.getContext('2d');
    let count = 0;
    const drawing = setInterval(() => {
      context.fillStyle = `hsl(${(count++ * 20) % 360} 80% 50%)`;
      context.fillRect(0, 0, 320, 240);
      // No two pictures are the same: that would be one that stands still.
      context.fillStyle = 'black';
      context.fillText(String(count), 20, 100);
    }, 30);
    const element = document.createElement('video');
    element.srcObject = canvas.captureStream();
    const report = await window.test.detector.score(element, { frames: 3 });
    const onProgress = ({ done }) => done === 2 && element.srcObject.getTracks().forEach((track) => track.stop());
    const ended = await window.test.detector.score(element, { frames: 50, onProgress });
    clearInterval(drawing);
    return { report, ended };
  });
  assert.deepEqual([report.input, report.verdict, report.video.duration_s, report.frames.length], ['camera', 'no_face', null, 3]);
  const gaps = report.frames.slice(1).map(({ time_s: time }, index) => time - report.frames[index].time_s);
  assert.ok(gaps.every((gap) => gap > 0.19), `frames lie apart: ${gaps}`);
  assert.ok(ended.frames.length >= 2 && ended.frames.length < 20, `it ends with the stream, after ${ended.frames.length} frames`);
});

test('elements without a video are refused with one sentence', async () => {
  const messages = await plain.page.evaluate(async () => {
    const attempt = (input) => window.test.detector.score(input, { frames: 2 }).then(() => 'scored', (error) => error.message);
    const silent = document.createElement('video');
    const dead = document.createElement('video');
    dead.srcObject = new MediaStream();
    const broken = document.createElement('video');
    broken.src = URL.createObjectURL(new Blob(['no video']));
    return [await attempt(silent), await attempt(dead), await attempt(broken), await attempt(document.body)];
  });
  assert.equal(messages[0], 'video: the video element has no source; set its `src` first');
  assert.equal(messages[1], 'camera: its stream has no live picture; start it first');
  assert.match(messages[2], /^video: the browser’s player does not play it \([^)]+\); convert it/);
  assert.equal(messages[3], 'only a File, a Blob or a video element can be scored');
});

test('a video of another origin is refused unless that origin agrees', async (t) => {
  const file = scratch.made(t, 'other.mp4', '-f', 'lavfi', '-i', 'testsrc2=s=320x240:d=1', '-c:v', 'libx264');
  if (!file) return;
  const context = await browser.newContext();
  t.after(() => context.close());
  const cors = { 'Access-Control-Allow-Origin': '*' };
  const video = (headers) => (route) => route.fulfill({ body: readFileSync(file), contentType: 'video/mp4', headers });
  await context.route('https://videos.example/closed.mp4', video({}));
  await context.route('https://videos.example/open.mp4', video(cors));
  await allowMedia(context);
  const { page } = await openPage(browser, { context });
  const outcomes = await page.evaluate(async () => {
    const attempt = (src, crossOrigin) => {
      const element = Object.assign(document.createElement('video'), { crossOrigin, src });
      const scored = window.test.detector.score(element, { frames: 2 });
      return scored.then(({ input, verdict }) => [input, verdict], ({ code, message }) => ({ code, message }));
    };
    const closed = await attempt('https://videos.example/closed.mp4', null);
    return [closed, await attempt('https://videos.example/open.mp4', 'anonymous')];
  });
  assert.equal(outcomes[0].code, 'cross_origin');
  assert.match(outcomes[0].message, /^closed\.mp4: the browser lets no page read a video of another origin; serve it with CORS headers/);
  assert.deepEqual(outcomes[1], ['open.mp4', 'no_face']);
});

/** A JPEG whose EXIF tells to turn it by 90 degrees clockwise: the segment stands behind the start of the image. */
function turnedJpeg(file) {
  const bytes = readFileSync(file);
  const tiff = Buffer.from('4d4d002a00000008000101120003000000010006000000000000', 'hex');
  const exif = Buffer.concat([Buffer.from('Exif\0\0', 'latin1'), tiff]);
  const marker = Buffer.from([0xff, 0xe1, 0, exif.length + 2]);
  return Buffer.concat([bytes.subarray(0, 2), marker, exif, bytes.subarray(2)]);
}

test('images of every kind are scored, turned as their EXIF says', async (t) => {
  const source = clip(t, 'real_liveportrait_d5.mp4');
  if (!source) return;
  for (const [name, ...options] of [
    ['face.png'],
    ['face.jpg', '-q:v', '2'],
    ['face.webp', '-c:v', 'libwebp', '-quality', '90'],
    ['face.gif', '-filter_complex', 'crop=480:400,split[a][b];[a]palettegen[p];[b][p]paletteuse'],
    ['face.avif', '-c:v', 'libaom-av1', '-still-picture', '1', '-cpu-used', '8'],
    ['face.bmp'],
  ]) {
    const crop = options.includes('-filter_complex') ? [] : ['-vf', 'crop=480:400'];
    const file = scratch.made(t, name, '-i', source, ...crop, ...options, '-frames:v', '1');
    if (!file) continue;
    const { report, error } = await score(plain.page, file);
    assert.equal(error, undefined, error?.message);
    const { width, height, fps, duration_s: duration, frames_sampled: frames } = report.video;
    assert.deepEqual([width, height, fps, duration, frames], [480, 400, null, null, 1], name);
    assert.equal(report.frames[0].faces.length, 1, name);
    if (name !== 'face.jpg') continue;
    const turned = await score(plain.page, scratch.write('turned.jpg', turnedJpeg(file)));
    assert.deepEqual([turned.report.video.width, turned.report.video.height], [400, 480]);
  }
  const { error } = await score(plain.page, scratch.truncated('cut.png', scratch.path('face.png'), 0.1));
  assert.match(error.message, /^cut\.png: the image does not decode \(.+\); save it again as PNG or JPEG/);
});

/** Counts frames that are open in the worker, and the memory of its module. */
const COUNTING = `
  const counts = { open: 0, most: 0, memory: null };
  const instantiate = WebAssembly.instantiate;
  WebAssembly.instantiate = async (...all) => {
    const instance = await instantiate(...all);
    counts.memory = (instance.instance ?? instance).exports.memory;
    return instance;
  };
  const Decoder = self.VideoDecoder;
  self.VideoDecoder = class extends Decoder {
    constructor({ output, error }) {
      super({ output: (frame) => { counts.most = Math.max(counts.most, ++counts.open); output(frame); }, error });
    }
  };
  const close = VideoFrame.prototype.close;
  VideoFrame.prototype.close = function () { counts.open--; close.call(this); };
  new BroadcastChannel('counts').addEventListener('message', ({ target, data }) => {
    if (data === 'ask') target.postMessage({ open: counts.open, most: counts.most, memory: counts.memory.buffer.byteLength });
  });`;

/** Scores a clip in a page of its own, and tells what its worker needed at most. */
async function needsOf(file) {
  const { page, context } = await openPage(browser, { inFront: { 'worker.js': COUNTING } });
  const { report, error } = await score(page, file, { frames: 8 });
  assert.equal(report?.frames.length, 8, error?.message);
  const needs = await page.evaluate(
    () =>
      new Promise((resolve) => {
        const channel = new BroadcastChannel('counts');
        channel.addEventListener('message', ({ data }) => resolve(data));
        channel.postMessage('ask');
      }),
  );
  await context.close();
  return needs;
}

test('a clip of three minutes needs no more memory than one of ten seconds', async (t) => {
  const made = (seconds) => {
    const input = ['-f', 'lavfi', '-i', `testsrc2=s=320x240:r=25:d=${seconds}`];
    return scratch.made(t, `${seconds}.mp4`, ...input, '-c:v', 'libx264', '-preset', 'ultrafast', '-g', '250');
  };
  const [short, long] = [made(10), made(180)];
  if (!short || !long) return;
  const [few, many] = [await needsOf(short), await needsOf(long)];
  assert.deepEqual([few.open, many.open], [0, 0], 'every frame is closed');
  assert.ok(many.most <= 16, `${many.most} frames are open at once`);
  // The index has a few dozen bytes for each frame.
  assert.ok(many.memory - few.memory <= 2 ** 20, `${few.memory} and ${many.memory} bytes`);
});
