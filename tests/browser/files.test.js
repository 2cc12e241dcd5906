// Files as people have them: each is made here, and gets the native report in the page.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { assertSameReport } from './compare.js';
import { sample } from './page-support.js';
import { inBrowser, native, score } from './support.js';

const FRAMES = 3;
const H264 = ['-c:v', 'libx264', '-preset', 'veryfast'];
const VP9 = ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8'];

const here = inBrowser();
const { scratch } = here;
const source = sample('fake');

/** A file of a moment of the sample clip. */
function moment(t, name, ...options) {
  return scratch.made(t, name, '-t', '0.4', '-i', source, ...options);
}

/** Each of the files, save those that could not be made, gets the native report; gives the page's reports. */
async function compareAll(files, { frames = FRAMES, limits } = {}) {
  const reports = [];
  for (const file of files.filter(Boolean)) {
    const name = file.split('/').at(-1);
    const { report, error } = await score(here.opened.page, file, { frames });
    assert.equal(error, undefined, error?.message);
    try {
      assertSameReport(report, native(file, frames), limits);
    } catch (difference) {
      difference.message = `${name}: ${difference.message}`;
      throw difference;
    }
    assert.ok(report.frames.every(({ faces }) => faces.length > 0), `${name} shows a face`);
    reports.push(report);
  }
  return reports;
}

function codes({ caveats }) {
  return caveats.map(({ code }) => code).filter((code) => !code.endsWith('_detector'));
}

/** The same MP4 file with other numbers, in 1/65536, as a, b, c and d of its display matrix. */
function withMatrix(name, file, matrix) {
  const bytes = readFileSync(file);
  // The matrix is 40 bytes behind the version of a track's header, whose kind stands before that.
  const start = bytes.indexOf('tkhd') + 4 + 40;
  [0, 4, 12, 16].forEach((offset, index) => bytes.writeInt32BE(matrix[index] * 65536, start + offset));
  return scratch.write(name, bytes);
}

test('a display matrix turns and mirrors', async (t) => {
  const upright = moment(t, 'upright.mp4', '-vf', 'crop=400:480', ...H264);
  if (!upright) return;
  const turned = moment(t, 'sideways.mp4', '-vf', 'crop=400:480,transpose=0', ...H264);
  const mirrored = moment(t, 'mirrored.mp4', '-vf', 'crop=400:480,hflip', ...H264);
  const reports = await compareAll([
    upright,
    withMatrix('back.mp4', mirrored, [-1, 0, 0, 1]),
    withMatrix('transposed.mp4', turned, [0, 1, 1, 0]),
    withMatrix('mirror.mp4', upright, [-1, 0, 0, 1]),
  ]);
  const scores = reports.map(({ score }) => score);
  assert.ok(Math.abs(scores[0] - scores[1]) < 0.05 && Math.abs(scores[0] - scores[2]) < 0.05, `scores ${scores}`);
});

test('pixels that are not square are stretched, also where the frame is turned', async (t) => {
  const wide = moment(t, 'wide.mp4', '-vf', 'scale=iw*3/4:ih,setsar=4/3', ...H264);
  await compareAll([
    wide,
    moment(t, 'high.mkv', '-vf', 'scale=iw:ih/2,setsar=1/2', ...H264),
    moment(t, 'narrow.ts', '-vf', 'scale=iw*11/12:ih,setsar=12/11', ...H264),
    wide && withMatrix('mirrored.mp4', wide, [-1, 0, 0, 1]),
  ]);
});

test('transport streams are scored, also those that start late', async (t) => {
  const reports = await compareAll([
    moment(t, 'plain.ts', ...H264, '-g', '5', '-f', 'mpegts'),
    moment(t, 'camera.mts', ...H264, '-mpegts_m2ts_mode', '1', '-f', 'mpegts'),
    moment(t, 'late.ts', ...H264, '-output_ts_offset', '1000'),
  ]);
  reports.forEach(({ video }) => assert.ok(video.duration_s < 1, `it lasts ${video.duration_s} s`));
});

const CUT = { todo: 'page and program count times from different frames of a stream that begins amid a group' };
test('transport streams that begin amid a group of pictures get the times of the native report', CUT, async (t) => {
  const plain = moment(t, 'whole.ts', ...H264, '-g', '5', '-f', 'mpegts');
  if (!plain) return;
  await compareAll([scratch.write('cut.ts', readFileSync(plain).subarray(188 * 20 + 50))]);
});

test('of several video streams the default one is scored', async (t) => {
  const thumbnail = ['-f', 'lavfi', '-i', 'color=red:s=160x120:d=0.4', '-map', '1', '-map', '0:v', ...H264];
  const marked = [...thumbnail, '-disposition:v:0', '0', '-disposition:v:1', 'default'];
  const reports = await compareAll([
    moment(t, 'second.mp4', ...marked),
    moment(t, 'second.mkv', ...marked),
    moment(t, 'thumbnail.mp4', ...thumbnail, '-filter:v:0', 'trim=end_frame=1'),
  ]);
  reports.forEach((report) => assert.deepEqual(codes(report), ['other_streams']));
});

test('times that vary or cannot be right leave the frames spread', async (t) => {
  const varied = "setpts='if(lt(N,5),N*0.02,0.1+(N-5)*0.5)/TB'";
  const files = [moment(t, 'varied.mp4', '-vf', varied, '-vsync', 'vfr', ...H264)];
  // Which rate such a video has is a matter of opinion.
  const reports = await compareAll(files, { limits: { rate: 2 } });
  reports.forEach((report) => assert.deepEqual(codes(report), []));
  const still = moment(t, 'still.mkv', ...H264, '-bsf:v', 'setts=pts=100:dts=100');
  for (const report of await compareAll([still])) {
    assert.deepEqual(codes(report), ['bad_times']);
    assert.equal(report.frames.length, FRAMES);
  }
});

const RATE = { todo: 'the page takes the rate that WebM states, the program the mean' };
test('frames a second of a WebM whose times vary are those of the native report', RATE, async (t) => {
  const varied = "setpts='if(lt(N,5),N*0.02,0.1+(N-5)*0.5)/TB'";
  await compareAll([moment(t, 'rates.webm', '-vf', varied, '-vsync', 'vfr', ...VP9)]);
});

const JOINED = { todo: 'the program takes two joined WebM files of different sizes for damaged' };
test('a size that changes within the video is a caveat', JOINED, async (t) => {
  const parts = [480, 320].map((size) => moment(t, `${size}.webm`, '-vf', `scale=${size}:-2`, ...VP9));
  if (parts.some((part) => !part)) return;
  const list = scratch.write('list.txt', parts.map((part) => `file '${part}'\n`).join(''));
  const joined = scratch.made(t, 'joined.webm', '-f', 'concat', '-safe', '0', '-i', list, '-c', 'copy');
  for (const report of await compareAll([joined], { frames: 4 })) assert.deepEqual(codes(report), ['size_changes']);
});

test('high dynamic range is mapped to the same pixels', async (t) => {
  const named = (transfer) => ['-colorspace', 'bt2020nc', '-color_primaries', 'bt2020', '-color_trc', transfer];
  const deep = ['-pix_fmt', 'yuv420p10le', ...VP9, '-profile:v', '2'];
  const reports = await compareAll([
    moment(t, 'hlg.webm', ...deep, ...named('arib-std-b67')),
    moment(t, 'pq.webm', ...deep, ...named('smpte2084')),
  ]);
  reports.forEach((report) => assert.deepEqual(codes(report), ['tone_mapped']));
});

test('interlaced material is called so', async (t) => {
  const woven = moment(t, 'woven.mp4', ...H264, '-flags', '+ildct+ilme', '-x264-params', 'tff=1');
  for (const report of await compareAll([woven])) assert.deepEqual(codes(report), ['interlaced']);
});

test('IVF is scored', async (t) => {
  await compareAll([moment(t, 'vp8.ivf', '-c:v', 'libvpx', '-deadline', 'realtime'), moment(t, 'vp9.ivf', ...VP9)]);
});

/** A JPEG whose EXIF has this orientation: the segment stands behind the start of the image. */
function oriented(name, file, orientation) {
  const bytes = readFileSync(file);
  const tiff = Buffer.from(`4d4d002a0000000800010112000300000001000${orientation}000000000000`, 'hex');
  const exif = Buffer.concat([Buffer.from('Exif\0\0', 'latin1'), tiff]);
  const marker = Buffer.from([0xff, 0xe1, 0, exif.length + 2]);
  return scratch.write(name, Buffer.concat([bytes.subarray(0, 2), marker, exif, bytes.subarray(2)]));
}

/** Pictures are decoded by the same code in both programs. */
const SAME = { frame: 0.002, mean: 0.002 };

test('pictures get the native report, however large, deep or turned', async (t) => {
  const picture = (name, ...options) => scratch.made(t, name, '-i', source, '-frames:v', '1', ...options);
  const jpeg = picture('face.jpg', '-vf', 'crop=400:480', '-q:v', '2');
  const mirrored = picture('mirrored.jpg', '-vf', 'crop=400:480,hflip', '-q:v', '2');
  const sideways = picture('sideways.jpg', '-vf', 'crop=400:480,transpose=0', '-q:v', '2');
  if (!jpeg) return;
  await compareAll(
    [
      jpeg,
      oriented('two.jpg', mirrored, 2),
      oriented('five.jpg', sideways, 5),
      picture('deep.png', '-pix_fmt', 'rgb48be'),
      picture('grey.png', '-pix_fmt', 'gray'),
      picture('face.webp', '-c:v', 'libwebp', '-quality', '90'),
      picture('face.bmp'),
      picture('full.jpg', '-vf', 'format=yuvj444p', '-q:v', '3'),
      picture('large.jpg', '-vf', 'scale=7680:-2:flags=bicubic', '-q:v', '3'),
    ],
    { frames: 1, limits: SAME },
  );
});

test('animations are videos', async (t) => {
  const palette = ['-filter_complex', 'split[a][b];[a]palettegen[p];[b][p]paletteuse'];
  const reports = await compareAll(
    [
      moment(t, 'moving.gif', '-r', '10', ...palette),
      moment(t, 'moving.png', '-r', '10', '-f', 'apng'),
      moment(t, 'moving.webp', '-r', '10', '-c:v', 'libwebp_anim', '-quality', '90'),
    ],
    { limits: SAME },
  );
  reports.forEach(({ video, frames }) => assert.deepEqual([video.kind, frames.length], ['video', FRAMES]));
});

test('what is not read is refused by its name', async (t) => {
  const box = (brand) => Buffer.concat([Buffer.from('0000001866747970', 'hex'), Buffer.from(`${brand}\0\0\0\0mif1${brand}`)]);
  const made = (name, ...options) => scratch.made(t, name, '-t', '0.2', '-f', 'lavfi', '-i', 'testsrc2=s=96x64', ...options);
  const picture = scratch.made(t, 'whole.jpg', '-i', source, '-frames:v', '1');
  for (const [file, sentence] of [
    [scratch.write('photo.heic', box('heic')), /^photo\.heic: this is a HEIC image, which this browser does not decode; save it/],
    [scratch.write('photo.jxl', Buffer.from('ff0a0000', 'hex')), /this is a JPEG XL image, which this browser does not decode; save it/],
    [made('old.avi', '-c:v', 'mpeg4'), /this is an AVI file, which this browser does not read; convert it/],
    [made('old.ts', '-c:v', 'mpeg2video'), /this browser cannot decode its codec, MPEG-2; convert the video/],
    [made('phone.ts', '-c:v', 'libx265', '-x265-params', 'log-level=none'), /cannot decode its codec, H\.265 \(HEVC\); convert/],
    [made('scan.tiff', '-frames:v', '1'), /this is a TIFF image, which this browser does not decode; save it/],
    [scratch.write('words.gif', 'GIF89a is a format\n'), /this is neither a video nor an image that can be read/],
    [picture && scratch.truncated('cut.jpg', picture, 0.7), /the image does not decode \(it is cut off\); save it again/],
  ]) {
    if (!file) continue;
    const { error } = await score(here.opened.page, file, { frames: 1 });
    assert.match(error?.message ?? 'scored', sentence);
  }
});

test('a damaged WebM is noticed', async (t) => {
  const whole = moment(t, 'whole.webm', ...VP9);
  if (!whole) return;
  const bytes = readFileSync(whole);
  const middle = bytes.length >> 1;
  bytes.fill(0, middle, middle + 200);
  const file = scratch.write('damaged.webm', bytes);
  const { error } = await score(here.opened.page, file, { frames: FRAMES });
  assert.match(error?.message ?? 'scored', /^damaged\.webm: the video is damaged/);
});
