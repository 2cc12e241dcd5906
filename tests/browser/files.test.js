// Files as people have them: each is made here, and gets the native report in the page.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { cmykJpeg } from './cmyk.js';
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

test('transport streams that begin amid a group of pictures count times from the first that is whole', async (t) => {
  const plain = moment(t, 'whole.ts', ...H264, '-g', '5', '-f', 'mpegts');
  if (!plain) return;
  const reports = await compareAll([scratch.write('cut.ts', readFileSync(plain).subarray(188 * 20 + 50))]);
  assert.equal(reports[0].frames[0].time_s, 0);
});

/** Groups of five frames that begin with a recovery point, whose first frames refer to the group before. */
const OPEN = [...H264, '-x264-params', 'open-gop=1:keyint=5:min-keyint=1:scenecut=0:bframes=2:b-adapt=0:aud=1', '-f', 'mpegts'];

test('transport streams whose groups of pictures are open get the native report, also where they begin with a recovery point', async (t) => {
  const open = scratch.made(t, 'open.ts', '-t', '0.8', '-i', source, ...OPEN);
  if (!open) return;
  await compareAll([open], { frames: 8 });
  // After such a start ffmpeg passes over a frame; it is none of these three.
  await compareAll([scratch.write('points.ts', readFileSync(open).subarray(188 * 20))]);
});

test('transport streams in which nothing says where decoding can begin are refused by what they lack', async (t) => {
  const open = moment(t, 'silent.ts', ...OPEN, '-bsf:v', 'filter_units=remove_types=6');
  if (!open) return;
  const cut = scratch.write('nothing.ts', readFileSync(open).subarray(188 * 20));
  const { error } = await score(here.opened.page, cut, { frames: FRAMES });
  assert.equal(error?.code, 'unsupported_codec', error?.message);
  assert.match(error.message, /^nothing\.ts: this browser cannot decode its codec, H\.264 without a picture to begin with; convert/);
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
  const spread = ['-vf', varied, '-fps_mode', 'vfr'];
  const reports = await compareAll([moment(t, 'varied.mp4', ...spread, ...H264), moment(t, 'varied.webm', ...spread, ...VP9)]);
  reports.forEach((report) => assert.deepEqual(codes(report), []));
  const still = moment(t, 'still.mkv', ...H264, '-bsf:v', 'setts=pts=100:dts=100');
  for (const report of await compareAll([still])) {
    assert.deepEqual(codes(report), ['bad_times']);
    assert.equal(report.frames.length, FRAMES);
  }
});

/** Two videos of these filters, one after the other in one stream. */
function joined(t, name, ...filters) {
  const parts = filters.map((filter, index) => moment(t, `${name}-${index}.webm`, '-vf', filter, ...VP9));
  if (parts.some((part) => !part)) return null;
  const list = scratch.write('list.txt', parts.map((part) => `file '${part}'\n`).join(''));
  return scratch.made(t, name, '-f', 'concat', '-safe', '0', '-i', list, '-c', 'copy');
}

test('a size that changes within the video is a caveat, and a shape that changes stays the frame’s own', async (t) => {
  const smaller = joined(t, 'smaller.webm', 'scale=480:-2', 'scale=320:-2');
  const taller = joined(t, 'taller.webm', 'scale=480:-2', 'crop=320:480');
  const reports = await compareAll([smaller, taller], { frames: 4 });
  reports.forEach((report) => assert.deepEqual(codes(report), ['size_changes']));
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

/** A JPEG with this colour profile, behind the start of the image. */
function withProfile(name, file, profile) {
  const bytes = readFileSync(file);
  const content = Buffer.concat([Buffer.from('ICC_PROFILE\0\x01\x01', 'latin1'), profile]);
  const marker = Buffer.from([0xff, 0xe2, (content.length + 2) >> 8, (content.length + 2) & 255]);
  return scratch.write(name, Buffer.concat([bytes.subarray(0, 2), marker, content, bytes.subarray(2)]));
}

/** A profile for displays whose red, green and blue are those of another in turn: what follows it shows other colours. */
function swappedProfile() {
  const fixed = (...numbers) => Buffer.concat(numbers.map((number) => word(Math.round(number * 65536))));
  const word = (number) => Buffer.from(new Int32Array([number]).buffer).swap32();
  const xyz = (...numbers) => Buffer.concat([Buffer.from('XYZ \0\0\0\0', 'latin1'), fixed(...numbers)]);
  const curve = Buffer.concat([Buffer.from('curv\0\0\0\0', 'latin1'), word(1), Buffer.from([2, 0x33, 0, 0])]);
  const tags = Object.entries({
    wtpt: xyz(0.9642, 1, 0.8249),
    rXYZ: xyz(0.3851, 0.7169, 0.0971),
    gXYZ: xyz(0.1431, 0.0606, 0.7141),
    bXYZ: xyz(0.4361, 0.2225, 0.0139),
    rTRC: curve,
    gTRC: curve,
    bTRC: curve,
  });
  let end = 132 + 12 * tags.length;
  const table = tags.map(([name, value]) => {
    const entry = Buffer.concat([Buffer.from(name), word(end), word(value.length)]);
    end += value.length;
    return entry;
  });
  const header = Buffer.alloc(128);
  header.writeUInt32BE(end, 0);
  header.writeUInt32BE(0x02400000, 8);
  header.write('mntrRGB XYZ ', 12, 'latin1');
  header.write('acsp', 36, 'latin1');
  fixed(0.9642, 1, 0.8249).copy(header, 68);
  return Buffer.concat([header, word(tags.length), ...table, ...tags.map(([, value]) => value)]);
}

test('JPEGs of four inks and with colour profiles get the native report', async (t) => {
  const crop = ['-frames:v', '1', '-vf', 'crop=400:480'];
  const rgb = scratch.made(t, 'face.rgb', '-i', source, ...crop, '-f', 'rawvideo', '-pix_fmt', 'rgb24');
  const plain = scratch.made(t, 'face.jpg', '-i', source, ...crop, '-q:v', '2');
  if (!rgb || !plain) return;
  const inks = scratch.write('inks.jpg', cmykJpeg(readFileSync(rgb), 400, 480));
  const files = [plain, inks, withProfile('profile.jpg', plain, swappedProfile())];
  const [first, ...others] = await compareAll(files, { frames: 1, limits: SAME });
  for (const { score } of others) assert.ok(Math.abs(score - first.score) < 0.1, `${score} beside ${first.score}`);
});

test('AVIF is decoded by the browser to nearly the native report', async (t) => {
  const still = ['-c:v', 'libaom-av1', '-still-picture', '1', '-cpu-used', '8', '-crf', '10'];
  const avif = (name, ...options) => scratch.made(t, name, '-i', source, '-frames:v', '1', ...options, ...still);
  const files = [avif('face.avif'), avif('high.avif', '-vf', 'crop=400:480'), avif('full.avif', '-vf', 'format=yuv444p')];
  await compareAll(files, { frames: 1 });
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
  for (const [file, code, sentence] of [
    [scratch.write('photo.heic', box('heic')), 'unsupported_image', /^photo\.heic: this is a HEIC image, which this browser does not decode; save it/],
    [scratch.write('photo.jxl', Buffer.from('ff0a0000', 'hex')), 'unsupported_image', /this is a JPEG XL image, which this browser does not decode; save it/],
    [made('old.avi', '-c:v', 'mpeg4'), 'unsupported_container', /this is an AVI file, which this browser does not read; convert it/],
    [made('old.ts', '-c:v', 'mpeg2video'), 'unsupported_codec', /this browser cannot decode its codec, MPEG-2; convert the video/],
    [made('phone.ts', '-c:v', 'libx265', '-x265-params', 'log-level=none'), 'unsupported_codec', /cannot decode its codec, H\.265 \(HEVC\); convert/],
    [made('scan.tiff', '-frames:v', '1'), 'unsupported_image', /this is a TIFF image, which this browser does not decode; save it/],
    [scratch.write('words.gif', 'GIF89a is a format\n'), 'not_media', /this is neither a video nor an image that can be read/],
    [picture && scratch.truncated('cut.jpg', picture, 0.7), 'damaged', /the image does not decode \(it is cut off\); save it again/],
  ]) {
    if (!file) continue;
    const { error } = await score(here.opened.page, file, { frames: 1 });
    assert.match(error?.message ?? 'scored', sentence);
    assert.equal(error.code, code, error.message);
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
