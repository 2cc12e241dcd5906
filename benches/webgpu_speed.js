// How long a ViT-B/16 takes on WebGPU in Chromium, beside onnxruntime-web on the same device.
//
//   cargo xtask web --build-only && cargo build --release
//   (cd tests/browser && npm ci) && npm install --prefix target/ort onnxruntime-web
//   python benches/vit_b16.py target/vit-b16        # says what it needs
//   target/release/unmask import --from hf-clip --input target/vit-b16/clip.safetensors --output target/vit-b16/detector.safetensors
//   node benches/webgpu_speed.js [--rounds 3] [--batch 1] [--adapter swiftshader|default] [--only ours|onnxruntime]
//
// `swiftshader` is Chromium's imitation of a graphics device, `default` the machine's own. The two take turns, a batch of frames each, and
// medians count. The first batch compiles pipelines and is told apart, as is what the device's buffers hold and how many pipelines
// are compiled at first and later.

import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ask, launch, machine, median, serve } from './support/browser.js';

const WEBGPU = ['--enable-unsafe-webgpu', '--enable-features=Vulkan,WebGPU', '--ignore-gpu-blocklist'];

const { values: options } = parseArgs({
  options: {
    page: { type: 'string', default: 'target/web' },
    ort: { type: 'string', default: 'target/ort/node_modules/onnxruntime-web/dist' },
    detector: { type: 'string', default: 'target/vit-b16/detector.safetensors' },
    onnx: { type: 'string', default: 'target/vit-b16/vit_b16.onnx' },
    chromium: { type: 'string', default: '/usr/bin/chromium' },
    adapter: { type: 'string', default: 'swiftshader' },
    rounds: { type: 'string', default: '3' },
    batch: { type: 'string', default: '1' },
    only: { type: 'string' },
  },
});

/** What each worker does before its own part: it counts what the device is asked for. */
const COUNTING = `
  const device = { pipelines: 0, bytes: 0, most: 0 };
  for (const name of ['createComputePipeline', 'createComputePipelineAsync']) {
    const make = GPUDevice.prototype[name];
    GPUDevice.prototype[name] = function (...given) {
      device.pipelines += 1;
      return make.apply(this, given);
    };
  }
  const make = GPUDevice.prototype.createBuffer;
  GPUDevice.prototype.createBuffer = function (described) {
    device.bytes += described.size;
    device.most = Math.max(device.most, device.bytes);
    return make.call(this, described);
  };
  const destroy = GPUBuffer.prototype.destroy;
  GPUBuffer.prototype.destroy = function () {
    device.bytes -= this.size;
    return destroy.call(this);
  };
  const seconds = async (work) => {
    const began = performance.now();
    await work();
    return (performance.now() - began) / 1000;
  };
  let run;
  onmessage = async ({ data }) => {
    try {
      const took = await seconds(async () => (data.start ? (run = await start(data.batch)) : run()));
      postMessage({ took, ...device });
    } catch (error) {
      postMessage({ failed: String(error?.message ?? error) });
    }
  };`;

const WORKERS = {
  ours: `
    import init, { Scorer, readSpec } from '/page/unmask_gpu.js';
    async function start(batch) {
      await init({ module_or_path: new URL('/page/unmask_gpu_bg.wasm', location.href) });
      const blob = await (await fetch('/detector')).blob();
      const { crop } = JSON.parse(readSpec(blob));
      const scorer = await Scorer.load(blob, undefined);
      const crops = Uint8Array.from({ length: batch * crop.size ** 2 * 3 }, (_, index) => (index * 7919) % 251);
      return () => scorer.score(crops);
    }${COUNTING}`,
  onnxruntime: `
    import * as ort from '/ort/ort.webgpu.min.mjs';
    async function start(batch) {
      ort.env.wasm.wasmPaths = '/ort/';
      const model = new Uint8Array(await (await fetch('/onnx')).arrayBuffer());
      const session = await ort.InferenceSession.create(model, { executionProviders: ['webgpu'] });
      const pixels = Float32Array.from({ length: batch * 3 * 224 * 224 }, (_, index) => ((index * 7919) % 251) / 125 - 1);
      return () => session.run({ pixels: new ort.Tensor('float32', pixels, [batch, 3, 224, 224]) });
    }${COUNTING}`,
};

const server = await serve({
  folders: { '/page/': resolve(options.page), '/ort/': resolve(options.ort) },
  files: { '/detector': resolve(options.detector), '/onnx': resolve(options.onnx) },
  texts: { '/index.html': '<!doctype html>', ...Object.fromEntries(Object.entries(WORKERS).map(([name, text]) => [`/worker/${name}.js`, text])) },
});
const adapter = options.adapter === 'default' ? [] : [`--use-webgpu-adapter=${options.adapter}`];
const browser = await launch(options.chromium, ...WEBGPU, ...adapter);
try {
  const page = await browser.newPage();
  await page.goto(`${server.origin}/index.html`);
  console.log(`${machine()}, ${options.adapter}, batches of ${options.batch}`);
  await measure(page, Object.keys(WORKERS).filter((name) => !options.only || name === options.only));
} finally {
  await browser.close();
  await server.stop();
}

async function measure(page, names) {
  const found = Object.fromEntries(names.map((name) => [name, { turns: [] }]));
  for (const name of names) {
    found[name].load = await ask(page, { name }, { start: true, batch: Number(options.batch) });
    found[name].first = await ask(page, { name }, {});
    const { load, first } = found[name];
    console.log(`${name}: loaded in ${load.took.toFixed(1)} s, first batch ${first.took.toFixed(1)} s with ${first.pipelines} pipelines`);
  }
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const name of names) found[name].turns.push(await ask(page, { name }, {}));
  }
  const weights = statSync(resolve(options.detector)).size;
  for (const name of names) report(name, found[name], weights);
  if (names.length === 2) {
    console.log(`onnxruntime / ours             ${(seconds(found.onnxruntime.turns) / seconds(found.ours.turns)).toFixed(2)}`);
  }
}

function seconds(turns) {
  return median(turns.map(({ took }) => took));
}

function report(name, { first, turns }, weights) {
  const last = turns.at(-1);
  const frame = seconds(turns) / Number(options.batch);
  console.log(`${name.padEnd(12)} a frame     ${frame.toFixed(2)} s  (${turns.map(({ took }) => took.toFixed(1)).join(', ')} a batch)`);
  console.log(`${name.padEnd(12)} warm-up     ${(first.took - seconds(turns)).toFixed(1)} s: the first batch less a later one`);
  console.log(`${name.padEnd(12)} pipelines   ${first.pipelines}, and ${last.pipelines - first.pipelines} later`);
  console.log(`${name.padEnd(12)} buffers     ${(last.most / 1e6).toFixed(0)} MB at most, ${(last.most / weights).toFixed(2)} of the weights`);
}
