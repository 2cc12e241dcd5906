// Scoring by WebGPU, in Chromium's imitation of a graphics device: the CPU's scores, and what happens where it fails.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { TestServer } from './server.js';
import { native, Scratch } from './support.js';

const FLAGS = [
  '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--enable-unsafe-webgpu', '--enable-features=Vulkan,WebGPU', '--use-webgpu-adapter=swiftshader', '--ignore-gpu-blocklist',
];
const CLIP = new URL('../../demo/fake.mp4', import.meta.url).pathname;
const FRAMES = 1;
/** Where the page was built. */
const FOLDER = dirname(process.env.UNMASK_MODEL);

/** Scripts that stand in front of a worker's own, to change what it finds. */
const CHANGES = {
  // Chromium says honestly that its imitation is one, and two busy cores may need more than a second for the self-test.
  'a fast device': ['worker.js', `
    Object.defineProperty(GPUAdapter.prototype, 'info', { get: () => ({ isFallbackAdapter: false, vendor: 'a maker' }) });
    const wait = self.setTimeout;
    self.setTimeout = (work, limit) => wait(work, 100 * limit);`],
  'a device that is lost': ['helper.js', `
    const request = GPUAdapter.prototype.requestDevice;
    const devices = [];
    GPUAdapter.prototype.requestDevice = async function (...options) {
      const device = await request.apply(this, options);
      devices.push(device);
      return device;
    };
    self.addEventListener('message', ({ data }) => {
      if (data.task === 'score') devices.forEach((device) => device.destroy());
    });`],
  'a device that computes wrong numbers': ['helper.js', `
    const read = GPUBuffer.prototype.getMappedRange;
    GPUBuffer.prototype.getMappedRange = function (...range) {
      const bytes = read.apply(this, range);
      if (this.usage & GPUBufferUsage.MAP_READ) new Uint8Array(bytes).fill(65);
      return bytes;
    };`],
};

let browser;
let expected;
const scratch = new Scratch();

before(async () => {
  const sandbox = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  browser = await chromium.launch({ executablePath: process.env.UNMASK_CHROMIUM, args: [...FLAGS, ...sandbox] });
  expected = native(CLIP, FRAMES);
});

after(async () => {
  await browser?.close();
  scratch.remove();
});

/** A page whose workers find these changes. */
async function open(test, ...changes) {
  const server = await new TestServer({ '/': FOLDER }).start();
  const context = await browser.newContext();
  test.after(async () => {
    await context.close();
    await server.stop();
  });
  for (const [file, script] of changes.map((name) => CHANGES[name])) {
    const changed = `${script}\n${readFileSync(join(FOLDER, file))}`;
    server.handle(`/${file}`, (_, response) => response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(changed));
  }
  const page = await context.newPage();
  await page.goto(`${server.origin}/embed.html`);
  await page.evaluate(() => {
    const input = document.createElement('input');
    input.type = 'file';
    document.body.append(input);
    window.input = input;
  });
  await page.setInputFiles('body > input', CLIP);
  return Object.assign(page, { served: server });
}

/** Loads a detector for `device` and scores the clip; `{ report, device, changes }`, or `{ error }`. */
function score(page, device, model = 'unmask-lite.safetensors') {
  return page.evaluate(async ({ device, frames, model }) => {
    const { Detector } = await import('/unmask.js');
    const changes = [];
    const onProgress = (step) => step.stage === 'device' && changes.push(step);
    try {
      const detector = await Detector.load(model, { device, onProgress });
      const began = detector.device;
      const report = await detector.score(window.input.files[0], { frames, onProgress });
      return { report, began, device: detector.device, changes };
    } catch (error) {
      return { error: error.message };
    }
  }, { device, frames: FRAMES, model });
}

/** Decoders differ by a level or two between a browser and ffmpeg; what computes adds less than that. */
function assertNative({ verdict, score }) {
  assert.equal(verdict, expected.verdict);
  assert.ok(Math.abs(score - expected.score) <= 0.02, `${score} in the page, ${expected.score} in the native program`);
}

/** WebGPU's scores of all faces are the CPU's; gives WebGPU's report. */
async function compareDevices(page, model) {
  const gpu = await score(page, 'webgpu', model);
  assert.equal(gpu.error, undefined);
  assert.deepEqual([gpu.began, gpu.device, gpu.changes], ['webgpu', 'webgpu', []]);
  const cpu = await score(page, 'cpu', model);
  assert.equal(cpu.device, 'cpu');
  const faces = ({ report }) => report.frames.flatMap((frame) => frame.faces.map((face) => face.score));
  assert.ok(faces(cpu).length > 0);
  faces(gpu).forEach((score, index) => assert.ok(Math.abs(score - faces(cpu)[index]) <= 5e-3, `face ${index}: ${score}`));
  return gpu.report;
}

test('WebGPU scores as the CPU does', async (t) => {
  assertNative(await compareDevices(await open(t)));
});

test('WebGPU scores by a CLIP tower and by a branch over clips as the CPU does', async (t) => {
  const page = await open(t);
  const tower = new URL('../goldens/clip_tiny/model.safetensors', import.meta.url).pathname;
  for (const branch of [[], ['--clip-length', '2', '--branch-depth', '1']]) {
    const detector = scratch.path('detector.safetensors');
    const options = ['import', '--from', 'hf-clip', '--input', tower, '--output', detector, ...branch];
    execFileSync(process.env.UNMASK_PROGRAM, options, { stdio: 'ignore' });
    const bytes = readFileSync(detector);
    const address = page.served.handle(`/detector-${branch.length}.safetensors`, (_, response) => response.end(bytes));
    await compareDevices(page, address);
  }
});

test('an imitation of a graphics device is not taken for one unless it is asked for', async (t) => {
  const { device, report } = await score(await open(t), 'auto');
  assert.equal(device, 'cpu');
  assertNative(report);
});

test('a graphics device that works is taken', async (t) => {
  const page = await open(t, 'a fast device');
  const device = await page.evaluate(async () => {
    const { Detector } = await import('/unmask.js');
    return (await Detector.load('/unmask-lite.safetensors')).device;
  });
  assert.equal(device, 'webgpu');
});

test('a device lost midway gives way to the CPU, which says so', async (t) => {
  const { began, device, changes, report, error } = await score(await open(t, 'a device that is lost'), 'webgpu');
  assert.equal(error, undefined);
  assert.deepEqual([began, device], ['webgpu', 'cpu']);
  assert.equal(changes.length, 1);
  assert.match(changes[0].reason, /^the graphics device stopped \(.+\), so the CPU goes on$/);
  assertNative(report);
});

test('a device that computes wrong numbers is not used', async (t) => {
  const page = await open(t, 'a fast device', 'a device that computes wrong numbers');
  const { device, report } = await score(page, 'auto');
  assert.equal(device, 'cpu');
  assertNative(report);
  const demanded = await score(page, 'webgpu');
  assert.match(demanded.error, /WebGPU cannot be used \(.*computes wrong numbers.*\); choose device/);
});
