/**
 * The worker behind a `Detector`: decodes, has its helpers find faces and score them, and makes the report.
 */
import init, { lastPanic } from './unmask_wasm.js';
import { openDetector } from './loading.js';
import { scoreInput } from './scoring.js';

/** Requests that are to stop, by their number. */
const cancelled = new Set();
/** The detector that is loaded, with its pool of helpers. */
let detector = null;
/** The module, compiled once for this worker and its helpers. */
const module = WebAssembly.compileStreaming(fetch(new URL('./unmask_wasm_bg.wasm', import.meta.url)));
/** Requests are worked off one after the other. */
let queue = module.then((module) => init({ module_or_path: module }));
queue.catch(() => {});

class Cancelled extends Error {}

self.addEventListener('message', ({ data: request }) => {
  if (request.type === 'cancel') {
    cancelled.add(request.id);
    return;
  }
  queue = queue.then(() => answer(request), (error) => fail(request, error));
});

async function answer(request) {
  const { id } = request;
  const control = {
    tell: (value) => self.postMessage({ id, type: 'progress', value }),
    check: () => {
      if (cancelled.has(id)) throw new Cancelled();
    },
  };
  try {
    control.check();
    const value = request.type === 'load' ? await load(request, control) : await scoreInput(detector, request, control);
    self.postMessage({ id, type: 'result', value });
  } catch (error) {
    fail(request, error);
  } finally {
    cancelled.delete(id);
  }
}

async function load(request, control) {
  detector?.pool.close();
  detector = null;
  detector = await openDetector(await module, request, control);
  return detector.description;
}

function fail({ id, name }, error) {
  // Whoever cancelled does not wait for an answer.
  if (error instanceof Cancelled) return;
  if (error instanceof WebAssembly.RuntimeError || error instanceof WebAssembly.CompileError) {
    const reason = lastPanicOrNull() ?? error.message;
    self.postMessage({ id, type: 'broken', value: `${name}: the detector stopped on this file (${reason}); re-encode it` });
  } else {
    self.postMessage({ id, type: 'error', value: `${name}: ${error.message}` });
  }
}

function lastPanicOrNull() {
  try {
    return lastPanic();
  } catch {
    return null;
  }
}
