// Makes the pictures of docs/page.md: each state of the page, as `docs/page.md` says how to call it. ffmpeg turns them into WebP.

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import {
  changedDetector, choose, chooseDetectors, examine, launchWithCamera, lookAt, openPage, sample, still, twoPeople,
} from './page-support.js';
import { secondDetector } from './several-support.js';
import { Scratch } from './support.js';

const FOLDER = new URL('../../docs/images/', import.meta.url).pathname;
const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 360, height: 740 };

/** Those to make; all where none is named. */
const WANTED = process.argv.slice(2);

const scratch = new Scratch();
const browser = await launchWithCamera();

/** Opens the page in a size and a colour scheme, and takes a picture of what `show` made of it, or of a part of that. */
async function picture(name, viewport, colorScheme, show, part = null) {
  if (WANTED.length > 0 && !WANTED.includes(name)) return;
  const { page, context } = await openPage(browser, { viewport, colorScheme, reducedMotion: 'reduce', frames: 32 });
  await page.getByText(/works without a network \(/).waitFor();
  await show(page);
  await still(page);
  const png = scratch.path(`${name}.png`);
  if (part) await page.locator(part).screenshot({ path: png });
  else await page.screenshot({ path: png, fullPage: true });
  const quality = ['-c:v', 'libwebp', '-quality', '62', '-compression_level', '6'];
  execFileSync('ffmpeg', ['-v', 'error', '-y', '-i', png, ...quality, `${FOLDER}page-${name}.webp`]);
  await context.close();
}

/** A detector that decides nothing where the bundled one does, so that there is such a picture to show. */
function undecidedDetector() {
  const changed = changedDetector((description) => {
    description.name = 'example';
    Object.assign(description.calibration, { real_below: 0.05, fake_above: 0.95, measured: undefined });
  });
  return scratch.write('example.safetensors', changed);
}

/** Examines the fake sample by the bundled detector and another that nobody fitted. */
async function examineTogether(page) {
  const other = secondDetector(scratch, 'wider-crops', (description) => {
    delete description.training.reliability;
    Object.assign(description.calibration, { real_below: 0.05, fake_above: 0.98 });
  });
  await choose(page, 'input[aria-label="Detector file"]', (input) => input.setInputFiles(other));
  await chooseDetectors(page, 'unmask-lite', 'A file of your own');
  await examine(page, sample('fake'));
}

/** Examines the fake sample by that detector. */
async function examineUndecided(page) {
  await choose(page, 'input[aria-label="Detector file"]', (input) => input.setInputFiles(undecidedDetector()));
  await chooseDetectors(page, 'A file of your own');
  await examine(page, sample('fake'));
}

mkdirSync(FOLDER, { recursive: true });
try {
  await picture('empty', WIDE, 'light', () => {});
  await picture('empty-narrow', NARROW, 'dark', () => {});
  await picture('working', WIDE, 'light', async (page) => {
    await lookAt(page, 64);
    await page.setInputFiles('#files', sample('fake'));
    await page.locator('.stage-detail', { hasText: /[12]\d of 64 frames/ }).waitFor();
  });
  await picture('uncertain', WIDE, 'light', examineUndecided);
  await picture('uncertain-narrow', NARROW, 'light', examineUndecided);
  await picture('opinions', WIDE, 'light', examineTogether);
  await picture('fake', WIDE, 'dark', async (page) => {
    await examine(page, sample('fake'));
    await page.getByText('What was computed, and where').click();
  });
  await picture('no-face', NARROW, 'dark', (page) => examine(page, sample('no_face')));
  await picture('people', WIDE, 'light', async (page) => {
    execFileSync('ffmpeg', ['-v', 'error', '-y', ...twoPeople(960), scratch.path('two people.mp4')]);
    await examine(page, scratch.path('two people.mp4'));
  });
  await picture('several', WIDE, 'dark', async (page) => {
    const letter = scratch.write('letter.mp4', 'This is no video.');
    await page.setInputFiles('#files', [sample('real'), sample('no_face'), letter]);
    await page.locator('.file-status', { hasText: 'Could not' }).waitFor();
    await page.locator('.row').nth(2).click();
  });
  await picture('detectors', WIDE, 'light', (page) => page.locator('.settings summary').click(), '.settings');
  await picture('help', WIDE, 'light', (page) => page.locator('.help summary').click(), '.help');
  await picture('settings-and-proof', WIDE, 'dark', async (page) => {
    await page.locator('.settings summary').click();
    await page.locator('.proof summary').click();
  });
  await picture('camera', WIDE, 'light', async (page) => {
    await page.locator('#use-camera').click();
    await page.getByText(/The camera is on/).waitFor();
    await page.waitForTimeout(500);
  });
} finally {
  await browser.close();
  scratch.remove();
}
