/**
 * The worker behind a `Detector`: decodes, has its helpers find faces and score them, and makes the report.
 */
import { heard, told, UnmaskError } from './error.js';
import { explainInput } from './explaining.js';
import { openDetectors } from './loading.js';
import { compile, hasRelaxed, start as startModule, wasm } from './module.js';
import { scoreInput } from './scoring.js';

/** Requests that are to stop, by their number. */
const cancelled = new Set();
/**
 * The detectors that are loaded, with their pool of helpers.
 * @type {Awaited<ReturnType<typeof openDetectors>> | null}
 */
let opened = null;
/** The module, compiled once for this worker and its helpers. */
const relaxed = hasRelaxed();
const module = compile(relaxed);
/** Requests are worked off one after the other. */
let queue = start();
queue.catch(() => {});

/** Questions to the page that it has not answered, by their number: `{ id, resolve, reject }`. */
const questions = new Map();
let nextQuestion = 0;

/** What is done, by the type of a request. */
const TASKS = {
  load,
  score: (request, control) => scoreInput(opened, request, control),
  explain: (request, control) => explainInput(opened, request, control),
};

class Cancelled extends Error {
  name = 'Cancelled';
}

self.addEventListener('message', (/** @type {MessageEvent} */ { data: request }) => {
  if (request.type === 'cancel') {
    cancel(request.id);
    return;
  }
  if (request.type === 'answer') {
    hear(request);
    return;
  }
  queue = queue.then(() => answer(request), (error) => fail(request, error));
});

async function start() {
  try {
    await startModule({ relaxed, compiled: await module });
  } catch (error) {
    const way = "check that all of Unmask's files are served, and try again";
    throw new UnmaskError('missing_files', `Unmask's module could not be started (${error.message}); ${way}`);
  }
}

function cancel(id) {
  cancelled.add(id);
  for (const [number, question] of questions) {
    if (question.id !== id) continue;
    questions.delete(number);
    question.reject(new Cancelled());
  }
}

/** Asks the page's player for something, for one request. */
function ask(id, what, time) {
  const number = nextQuestion++;
  return new Promise((resolve, reject) => {
    questions.set(number, { id, resolve, reject });
    self.postMessage({ id, type: 'ask', value: { number, what, time } });
  });
}

function hear({ number, value, error }) {
  const question = questions.get(number);
  questions.delete(number);
  if (!question) value?.picture?.close();
  else if (error === undefined) question.resolve(value);
  else question.reject(heard(error));
}

async function answer(request) {
  const { id } = request;
  const control = {
    tell: (value) => self.postMessage({ id, type: 'progress', value }),
    ask: (what, time) => {
      control.check();
      return ask(id, what, time);
    },
    check: () => {
      if (cancelled.has(id)) throw new Cancelled();
    },
  };
  try {
    control.check();
    const value = await TASKS[request.type](request, control);
    self.postMessage({ id, type: 'result', value });
  } catch (error) {
    fail(request, error);
  } finally {
    cancelled.delete(id);
  }
}

async function load(request, control) {
  await hold(request.lock);
  opened?.pool.close();
  opened = null;
  opened = await openDetectors({ relaxed, compiled: await module }, request, control);
  return opened.description;
}

/** Holds a lock from now on. The page waits for it, and so learns when this worker ends. */
function hold(lock) {
  if (!lock) return undefined;
  return new Promise((/** @type {(held?: any) => void} */ resolve) => {
    const held = () => {
      resolve();
      return new Promise(() => {});
    };
    navigator.locks.request(lock, held).catch(resolve);
  });
}

function fail({ id, name }, error) {
  // Whoever cancelled does not wait for an answer.
  if (error instanceof Cancelled) return;
  if (error instanceof WebAssembly.RuntimeError || error instanceof WebAssembly.CompileError) {
    const reason = lastPanicOrNull() ?? error.message;
    const stopped = new UnmaskError('stopped', `the detector stopped on this file (${reason}); re-encode it`);
    self.postMessage({ id, type: 'broken', value: told(stopped, name) });
  } else {
    self.postMessage({ id, type: 'error', value: told(error, name) });
  }
}

function lastPanicOrNull() {
  try {
    return wasm.lastPanic();
  } catch {
    return null;
  }
}
