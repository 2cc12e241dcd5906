// Milliseconds a frame on the CPU in Chromium, beside onnxruntime-web's `wasm` backend at the same number of threads.
//
//   cargo xtask web --build-only && cargo build --release
//   (cd tests/browser && npm ci) && npm install --prefix target/ort onnxruntime-web
//   python benches/vit_b16.py target/vit-b16        # says what it needs
//   python benches/onnx_files.py target/onnx efficientnet-lite0
//   target/release/unmask import --from hf-clip --input target/vit-b16/clip.safetensors --output target/vit-b16/detector.safetensors
//   python benches/integers.py target/vit-b16/detector.safetensors target/vit-b16/int8.safetensors
//   node benches/browser_cpu_speed.js [--rounds 5] [--threads 1,2] [--only vit-b16,efficientnet-lite0] [--modules unmask_relaxed]
//
// Ours are helpers, workers that score a frame each; onnxruntime-web's are threads of one worker, for which the page is isolated
// from other origins. All take turns in one browser, a few frames each, and medians count. `--modules` are ours: the one for relaxed
// vector instructions and the one for all browsers; onnxruntime-web computes in f32. A helper's memory is that of its module, which
// never becomes less.

import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ask, launch, machine, median, serve } from './support/browser.js';

const { values: options } = parseArgs({
  options: {
    page: { type: 'string', default: 'target/web' },
    ort: { type: 'string', default: 'target/ort/node_modules/onnxruntime-web/dist' },
    vit: { type: 'string', default: 'target/vit-b16' },
    onnx: { type: 'string', default: 'target/onnx' },
    chromium: { type: 'string', default: '/usr/bin/chromium' },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: '1,2' },
    only: { type: 'string' },
    modules: { type: 'string', default: 'unmask_relaxed,unmask_wasm' },
  },
});

/** Networks: our detector file, the other's, pixels of a side of its input, and frames of a turn for each thread. */
const NETWORKS = {
  'vit-b16': { detector: `${options.vit}/detector.safetensors`, onnx: `${options.vit}/vit_b16.onnx`, side: 224, frames: 2 },
  'vit-b16-int8': { detector: `${options.vit}/int8.safetensors`, onnx: `${options.vit}/vit_b16.onnx`, side: 224, frames: 2 },
  'efficientnet-lite0': { detector: 'models/unmask-lite.safetensors', onnx: `${options.onnx}/efficientnet-lite0.onnx`, side: 160, frames: 50 },
};

/** What each worker answers with: how long its work took, in milliseconds, and the bytes of its module's memory. */
const ANSWERING = `
  let run;
  onmessage = async ({ data }) => {
    try {
      if (data.start) run = await start(data);
      const began = performance.now();
      await run.frames(data.frames);
      postMessage({ took: performance.now() - began, bytes: run.memory?.buffer.byteLength });
    } catch (error) {
      postMessage({ failed: String(error?.message ?? error) });
    }
  };`;

const WORKERS = {
  helper: `
    async function start({ module, detector }) {
      const wasm = await import('/page/' + module + '.js');
      const { memory } = await wasm.default({ module_or_path: new URL('/page/' + module + '_bg.wasm', location.href) });
      const blob = await (await fetch(detector)).blob();
      const { crop } = JSON.parse(wasm.readSpec(blob));
      const scorer = await wasm.Scorer.load(blob, undefined);
      const crops = Uint8Array.from({ length: crop.size ** 2 * 3 }, (_, index) => (index * 7919) % 251);
      const frames = async (count) => {
        for (let frame = 0; frame < count; frame++) await scorer.score(crops);
      };
      return { frames, memory };
    }${ANSWERING}`,
  onnxruntime: `
    import * as ort from '/ort/ort.wasm.min.mjs';
    async function start({ onnx, side, threads }) {
      if (!crossOriginIsolated) throw new Error('the page is not isolated, so there would be one thread');
      Object.assign(ort.env.wasm, { wasmPaths: '/ort/', numThreads: threads });
      const session = await ort.InferenceSession.create(new Uint8Array(await (await fetch(onnx)).arrayBuffer()), { executionProviders: ['wasm'] });
      const pixels = Float32Array.from({ length: 3 * side ** 2 }, (_, index) => ((index * 7919) % 251) / 125 - 1);
      const frames = async (count) => {
        const input = { [session.inputNames[0]]: new ort.Tensor('float32', pixels, [1, 3, side, side]) };
        for (let frame = 0; frame < count; frame++) await session.run(input);
      };
      return { frames };
    }${ANSWERING}`,
};

/** Who takes turns on a network with so many threads: each by its name, with the workers that it has. */
function sides(network, threads) {
  const { detector, onnx, side } = NETWORKS[network];
  const files = { detector: `/files/${detector}`, onnx: `/files/${onnx}`, side, threads };
  const ours = options.modules.split(',').map((module) => {
    const workers = Array.from({ length: threads }, (_, helper) => ({ name: `${module}-${helper}`, kind: 'helper' }));
    return { name: module, workers, start: { ...files, module } };
  });
  return [...ours, { name: 'onnxruntime', workers: [{ name: 'onnxruntime', kind: 'onnxruntime' }], start: files }];
}

const names = options.only?.split(',') ?? Object.keys(NETWORKS);
const files = names.flatMap((name) => [NETWORKS[name].detector, NETWORKS[name].onnx]);
const server = await serve({
  folders: { '/page/': resolve(options.page), '/ort/': resolve(options.ort) },
  files: Object.fromEntries(files.map((file) => [`/files/${file}`, resolve(file)])),
  texts: { '/index.html': '<!doctype html>', ...Object.fromEntries(Object.entries(WORKERS).map(([kind, text]) => [`/worker/${kind}.js`, text])) },
  headers: { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' },
});
const browser = await launch(options.chromium);
try {
  console.log(`${machine()}; ms a frame, batches of one: median (least to most) of ${options.rounds} turns; ratio: above 1, ours is faster`);
  console.log('| network | threads | ours | onnxruntime-web, f32 | ratio | memory of a helper |\n|---|---|---|---|---|---|');
  for (const network of names) {
    for (const threads of options.threads.split(',').map(Number)) await measure(network, threads);
  }
} finally {
  await browser.close();
  await server.stop();
}

/** Has all sides take turns in a page of its own, and prints a line for each of ours. */
async function measure(network, threads) {
  const page = await browser.newPage();
  await page.goto(`${server.origin}/index.html`);
  const all = sides(network, threads).map((side) => ({ ...side, turns: [] }));
  const { frames } = NETWORKS[network];
  // The first frame is not counted, since code is compiled and weights are laid out in it.
  for (const { workers, start } of all) await Promise.all(workers.map((worker) => ask(page, worker, { ...start, start: true, frames: 1 })));
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const side of all) {
      const { workers, turns } = side;
      // One worker with threads does as many frames as helpers together.
      const each = (frames * threads) / workers.length;
      const answers = await Promise.all(workers.map((worker) => ask(page, worker, { frames: each })));
      turns.push(Math.max(...answers.map(({ took }) => took)) / (frames * threads));
      side.bytes = answers[0].bytes;
    }
  }
  await page.close();
  const theirs = all.at(-1).turns;
  for (const { name, turns, bytes } of all.slice(0, -1)) {
    const ratio = (median(theirs) / median(turns)).toFixed(2);
    console.log(`| ${network}, ${name} | ${threads} | ${shown(turns)} | ${shown(theirs)} | ${ratio} | ${Math.round(bytes / 1e6)} MB |`);
  }
}

function shown(turns) {
  return `${median(turns).toFixed(1)} (${Math.min(...turns).toFixed(1)} to ${Math.max(...turns).toFixed(1)})`;
}
