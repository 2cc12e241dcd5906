// Scoring by WebGPU, in Chromium's imitation of a graphics device: the CPU's scores, and what happens where it fails.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { assertSameOpinions, nativeTogether, secondDetector } from './several-support.js';
import { changedPage, launch, native, Scratch } from './support.js';

const FLAGS = ['--enable-unsafe-webgpu', '--enable-features=Vulkan,WebGPU', '--use-webgpu-adapter=swiftshader', '--ignore-gpu-blocklist'];
const CLIP = new URL('../../demo/fake.mp4', import.meta.url).pathname;
const FRAMES = 1;

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
  'a device whose scores are no numbers': ['helper.js', `
    queueMicrotask(() => {
      const { start, score } = TASKS;
      let isGpu = false;
      TASKS.start = (message) => {
        isGpu = Boolean(message.gpu);
        return start(message);
      };
      TASKS.score = async (message) => {
        const scores = await score(message);
        return isGpu ? scores.fill(NaN) : scores;
      };
    });`],
  'a device that computes wrong numbers': ['helper.js', `
    const read = GPUBuffer.prototype.getMappedRange;
    GPUBuffer.prototype.getMappedRange = function (...range) {
      const bytes = read.apply(this, range);
      if (this.usage & GPUBufferUsage.MAP_READ) new Uint8Array(bytes).fill(65);
      return bytes;
    };`],
  'a device that makes wrong input': ['helper.js', `
    const make = GPUDevice.prototype.createShaderModule;
    GPUDevice.prototype.createShaderModule = function (described) {
      return make.call(this, { ...described, code: described.code.replace('levels / 255.0', 'levels / 250.0') });
    };`],
};

let browser;
let expected;
const scratch = new Scratch();

before(async () => {
  browser = await launch(...FLAGS);
  expected = native(CLIP, FRAMES);
});

after(async () => {
  await browser?.close();
  scratch.remove();
});

/** A page whose workers find these changes, with the clip and the bundled detector chosen. */
async function open(test, ...changes) {
  const context = await browser.newContext();
  test.after(() => context.close());
  const address = await changedPage(context, Object.fromEntries(changes.map((name) => CHANGES[name])));
  const page = await context.newPage();
  await page.goto(`${address}embed.html`);
  await page.evaluate(() => {
    for (const id of ['clip', 'model']) document.body.append(Object.assign(document.createElement('input'), { type: 'file', multiple: true, id }));
  });
  await page.setInputFiles('#clip', CLIP);
  await page.setInputFiles('#model', process.env.UNMASK_MODEL);
  return page;
}

/** Loads the chosen detector, or several together, for `device` and scores the clip; `{ report, device, changes }`, or `{ error }`. */
function score(page, device) {
  return page.evaluate(async ({ device, frames }) => {
    const { Detector } = await import('/unmask.js');
    const [[clip], models] = ['#clip', '#model'].map((id) => [...document.querySelector(id).files]);
    const changes = [];
    const onProgress = (step) => step.stage === 'device' && changes.push(step);
    try {
      const detector = await Detector.load(models.length > 1 ? models : models[0], { device, onProgress });
      const began = detector.device;
      const report = await detector.score(clip, { frames, onProgress });
      return { report, began, device: detector.device, changes };
    } catch (error) {
      return { error: error.message };
    }
  }, { device, frames: FRAMES });
}

/** Decoders differ by a level or two between a browser and ffmpeg; what computes adds less than that. */
function assertNative({ verdict, score }) {
  assert.equal(verdict, expected.verdict);
  assert.ok(Math.abs(score - expected.score) <= 0.02, `${score} in the page, ${expected.score} in the native program`);
}

/** WebGPU's scores of all faces are the CPU's; gives WebGPU's report. */
async function compareDevices(page) {
  const gpu = await score(page, 'webgpu');
  assert.equal(gpu.error, undefined);
  assert.deepEqual([gpu.began, gpu.device, gpu.changes], ['webgpu', 'webgpu', []]);
  const cpu = await score(page, 'cpu');
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
    await page.setInputFiles('#model', detector);
    await compareDevices(page);
  }
});

test('several detectors are all on the device, and where it is lost all go on on the CPU', async (t) => {
  const models = [process.env.UNMASK_MODEL, secondDetector(scratch)];
  const together = nativeTogether(CLIP, models, '--frames', String(FRAMES));
  for (const [changes, device] of [[[], 'webgpu'], [['a device that is lost'], 'cpu']]) {
    const page = await open(t, ...changes);
    await page.setInputFiles('#model', models);
    const found = await score(page, 'webgpu');
    assert.equal(found.error, undefined);
    assert.deepEqual([found.began, found.device], ['webgpu', device]);
    assertSameOpinions(found.report, together);
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

test('a device whose scores are no numbers gives way to the CPU', async (t) => {
  const { device, changes, report } = await score(await open(t, 'a device whose scores are no numbers'), 'webgpu');
  assert.equal(device, 'cpu');
  assert.match(changes[0].reason, /no number from 0 to 1/);
  assertNative(report);
});

/** The detector file, whose header says that it answers so to the test picture. */
function claiming(logits) {
  const file = readFileSync(process.env.UNMASK_MODEL);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + length));
  const spec = JSON.parse(header.__metadata__.unmask);
  assert.equal(spec.reference.logits.length, 2);
  header.__metadata__.unmask = JSON.stringify({ ...spec, reference: { logits } });
  const changed = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(changed.length));
  return scratch.write('claiming.safetensors', Buffer.concat([size, changed, file.subarray(8 + length)]));
}

test('a device that does not compute the detector as its file says a CPU does gives way to the CPU', async (t) => {
  const page = await open(t);
  await page.setInputFiles('#model', claiming([9, -9]));
  const { error, began, changes, report } = await score(page, 'webgpu');
  assert.equal(error, undefined);
  assert.equal(began, 'cpu');
  assert.equal(changes.length, 1);
  const reason = /^the graphics device answers \[.+\] to a test picture, where a CPU answers \[9.0, -9.0\], so the CPU goes on$/;
  assert.match(changes[0].reason, reason);
  assertNative(report);
});

test('a device that computes wrong numbers is not used', async (t) => {
  const page = await open(t, 'a fast device', 'a device that computes wrong numbers');
  const { device, report } = await score(page, 'auto');
  assert.equal(device, 'cpu');
  assertNative(report);
  const demanded = await score(page, 'webgpu');
  assert.match(demanded.error, /WebGPU cannot be used \(.*it computes a pointwise convolution wrongly\); choose device/);
});

test('a device whose shaders make another input than the CPU is not used', async (t) => {
  const page = await open(t, 'a fast device', 'a device that makes wrong input');
  const { device, report } = await score(page, 'auto');
  assert.equal(device, 'cpu');
  assertNative(report);
  const demanded = await score(page, 'webgpu');
  assert.match(demanded.error, /WebGPU cannot be used \(.*it makes the model's input wrongly\); choose device/);
});
