// How long the first verdict takes in a browser, beside the native program on the same machine.
//
//   cargo xtask web --build-only && cargo build --release
//   (cd tests/browser && npm ci)
//   node benches/browser_speed.js --page target/web --program target/release/unmask [--rounds 3] [--chromium PATH]
//
// A video of 10 s in 1280 × 720 is made of demo/real.mp4, whose face stays in the picture. Each round opens a browser of its
// own, whose caches are empty, and times: from opening the page to the verdict on 32 frames, with everything fetched from
// a server on this machine; the longest task of the page's main thread meanwhile; and `unmask score` of the same file.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { launch, machine, median as middle, serve } from './support/browser.js';

const { values: options } = parseArgs({
  options: {
    page: { type: 'string', default: 'target/web' },
    program: { type: 'string', default: 'target/release/unmask' },
    chromium: { type: 'string', default: '/usr/bin/chromium' },
    rounds: { type: 'string', default: '3' },
  },
});

const scratch = mkdtempSync(join(tmpdir(), 'unmask-bench-'));
const server = await serve({ folders: { '/': resolve(options.page) } });
try {
  const clip = makeClip();
  const rounds = [];
  for (let round = 0; round < Number(options.rounds); round++) rounds.push({ ...(await inBrowser(clip)), ...natively(clip) });
  report(rounds);
} finally {
  await server.stop();
  rmSync(scratch, { recursive: true });
}

function makeClip() {
  const clip = join(scratch, 'clip.mp4');
  const source = new URL('../demo/real.mp4', import.meta.url).pathname;
  const picture = ['-t', '10', '-vf', 'scale=1280:720:force_original_aspect_ratio=decrease,pad=1280:720:-1:-1,fps=25'];
  execFileSync('ffmpeg', ['-v', 'error', '-stream_loop', '-1', '-i', source, ...picture, '-c:v', 'libx264', '-pix_fmt', 'yuv420p', '-an', clip]);
  return clip;
}

async function inBrowser(clip) {
  const browser = await launch(options.chromium);
  try {
    const page = await browser.newPage();
    const began = performance.now();
    await page.goto(`${server.origin}/embed.html`);
    await page.evaluate(() => {
      window.longest = 0;
      new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) window.longest = Math.max(window.longest, duration);
      }).observe({ type: 'longtask', buffered: true });
      window.reported = new Promise((resolve) => addEventListener('result', ({ detail }) => resolve(detail)));
    });
    await page.setInputFiles('unmask-detector input', clip);
    const { timing_s: timing, frames } = await page.evaluate(() => window.reported);
    const firstVerdict = (performance.now() - began) / 1000;
    const longest = await page.evaluate(() => window.longest);
    return { frames: frames.length, firstVerdict, ...timing, longestTask: longest };
  } finally {
    await browser.close();
  }
}

function natively(clip) {
  const began = performance.now();
  execFileSync(options.program, ['score', clip, '--json'], { stdio: ['ignore', 'ignore', 'inherit'] });
  return { native: (performance.now() - began) / 1000 };
}

function report(rounds) {
  const median = (key) => middle(rounds.map((round) => round[key]));
  const seconds = (key) => `${median(key).toFixed(1)} s`;
  const all = (key) => rounds.map((round) => round[key].toFixed(1)).join(', ');
  console.log(`${machine()}, ${median('frames')} frames, medians of ${rounds.length} rounds`);
  console.log(`first verdict in the browser   ${seconds('firstVerdict')}  (${all('firstVerdict')})`);
  console.log(`  of it scoring                ${seconds('total')}  (work of all workers: decoding ${seconds('decode')}, faces ${seconds('detect')}, model ${seconds('score')})`);
  console.log(`the native program             ${seconds('native')}  (${all('native')})`);
  console.log(`browser / native               ${(median('firstVerdict') / median('native')).toFixed(2)}`);
  console.log(`longest task of the page       ${median('longestTask').toFixed(0)} ms  (0: none over 50 ms)`);
}
