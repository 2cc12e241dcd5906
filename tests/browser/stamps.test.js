// Videos whose time stamps cannot be right: frames count by their number, so the same ones are looked at as natively.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertSameReport } from './compare.js';
import { sample } from './page-support.js';
import { inBrowser, native, openPage, score } from './support.js';

const FRAMES = 5;

/** Two seconds, with a key frame amid what follows a jump and frames that refer to later ones. */
const CODED = {
  webm: ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-g', '20'],
  mp4: ['-c:v', 'libx264', '-preset', 'veryfast', '-bf', '2', '-g', '20'],
};

/** What ffmpeg's `setts` makes of the stamps: of all from frame `number` on, `seconds` more. */
const later = (number, seconds) => {
  const jump = `if(gte(N\\,${number})\\,${seconds}/TB\\,0)`;
  return `setts=pts='PTS+${jump}':dts='DTS+${jump}'`;
};
// Decoding times go on, two seconds early, since no container takes those that run back.
const back = (number, seconds) => `setts=pts='PTS-if(gte(N\\,${number})\\,${seconds}/TB\\,0)':dts='DTS-2/TB'`;

/** What is done to stamps, and whether they are believed all the same. */
const STAMPS = [
  ['forward', later(25, 1000), false],
  ['backward', back(30, 1), false],
  ['equal', 'setts=ts=100', false],
  ['paused', later(20, 9), true],
];

const here = inBrowser();
const { scratch } = here;

/** The video with these stamps in a file by this name; null, and the test skipped aloud, where it cannot be made. */
function stamped(t, name, stamps) {
  const ending = name.split('.').at(-1);
  const plain = scratch.made(t, `plain.${ending}`, '-t', '2', '-i', sample('fake'), '-vf', 'scale=320:-2', ...CODED[ending]);
  return plain && scratch.made(t, name, '-i', plain, '-c', 'copy', '-bsf:v', stamps);
}

function codes({ caveats }) {
  return caveats.map(({ code }) => code).filter((code) => !code.endsWith('_detector'));
}

/** The report with frames by their numbers, where their times were made up of those, and without what else depends on times. */
function numbered(report) {
  const { fps } = report.video;
  const frames = report.frames.map(({ time_s: time, faces }) => ({ time_s: Math.round(time * fps), faces }));
  return { ...report, frames, video: { ...report.video, fps: null, duration_s: null } };
}

/** The frames that are looked at of fifty. */
const NUMBERS = [0, 12, 24, 36, 49];

for (const [name, stamps, believed] of STAMPS) {
  test(`stamps that are ${name} leave the same frames as natively, in WebM and MP4`, async (t) => {
    for (const ending of Object.keys(CODED)) {
      const file = stamped(t, `${name}.${ending}`, stamps);
      if (!file) continue;
      const { report, error } = await score(here.opened.page, file, { frames: FRAMES });
      assert.equal(error, undefined, error?.message);
      assert.deepEqual(codes(report), believed ? [] : ['bad_times'], file);
      assert.ok(report.frames.every(({ faces }) => faces.length === 1), file);
      const expected = native(file, FRAMES);
      if (believed) {
        assertSameReport(report, expected);
        continue;
      }
      const [ours, theirs] = [report, expected].map(numbered);
      assertSameReport(ours, theirs);
      assert.deepEqual(ours.frames.map(({ time_s: number }) => number), NUMBERS, file);
    }
  });
}

test('a player, which goes by stamps, shows no frame twice where they cannot be right, and that is told', async (t) => {
  const { page, context } = await openPage(here.browser, { inFront: { 'worker.js': 'delete self.VideoDecoder;' } });
  t.after(() => context.close());
  for (const [name, stamps, believed] of STAMPS) {
    if (believed) continue;
    for (const ending of Object.keys(CODED)) {
      const file = stamped(t, `${name}.${ending}`, stamps);
      if (!file) continue;
      const { report, error } = await score(page, file, { frames: FRAMES });
      // A browser's player need not take such a file at all.
      if (error) {
        assert.match(error.code, /^(unsupported_codec|damaged|stalled)$/, error.message);
        continue;
      }
      const pictures = new Set(report.frames.map(({ faces }) => JSON.stringify(faces)));
      assert.equal(pictures.size, report.frames.length, `${file}: a frame counts twice`);
      const { words } = report.caveats.find(({ code }) => code === 'bad_times') ?? {};
      assert.match(words, /player goes by them/, file);
    }
  }
});
