// Several detectors at once: what each says and what they say together are the native program's, and an error names its file.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { before, test } from 'node:test';
import { assertAccessible, sample } from './page-support.js';
import { TestServer } from './server.js';
import { assertSameOpinions, nativeTogether, secondDetector, untrainedDetector } from './several-support.js';
import { changedPage, inBrowser, launch, PAGE } from './support.js';

const { UNMASK_MODEL: bundled } = process.env;

const here = inBrowser(launch, openEmpty);
const { scratch } = here;
let second;
let fresh;

before(() => {
  second = secondDetector(scratch);
  fresh = untrainedDetector(scratch);
});

/** A page with the module as `window.unmask`, and fields for detectors and for a file to score. */
async function openEmpty(browser, { context: given, address = PAGE } = {}) {
  const context = given ?? (await browser.newContext());
  const page = await context.newPage();
  await page.goto(`${address}embed.html`);
  await page.evaluate(async () => {
    window.unmask = await import('/unmask.js');
    const field = (id) => Object.assign(document.createElement('input'), { type: 'file', multiple: true, id });
    document.body.append(field('models'), field('clip'));
    window.models = () => [...document.querySelector('#models').files];
  });
  return { page, context };
}

/** Loads these detectors together and scores a file with them; `{ report, models, ... }`, or `{ error }`. */
async function score(page, models, file, { load = {}, ...options } = {}) {
  await page.setInputFiles('#models', models);
  await page.setInputFiles('#clip', file);
  return page.evaluate(async ({ load, options }) => {
    const progress = [];
    try {
      const detector = await window.unmask.Detector.load(window.models(), { device: 'cpu', ...load });
      const onProgress = (step) => progress.push(step);
      const report = await detector.score(document.querySelector('#clip').files[0], { ...options, onProgress });
      const { name, sha256, models } = detector;
      detector.dispose();
      return { report, name, sha256, models, progress };
    } catch ({ name, code, message }) {
      return { error: { name, code, message } };
    }
  }, { load, options });
}

/** How loading ended of sources that `sources` makes in the page of the chosen files. */
async function refusal(page, models, sources, options = {}) {
  await page.setInputFiles('#models', models);
  return page.evaluate(async ({ sources, options }) => {
    const made = sources.map((source) => (typeof source === 'number' ? window.models()[source] : source));
    return window.unmask.Detector.load(made, { device: 'cpu', ...options }).then(
      (detector) => detector.dispose(),
      ({ name, code, message }) => ({ name, code, message }),
    );
  }, { sources, options });
}

function sha256(file) {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

test('two detectors give the native program\u2019s opinions and joint verdict, in their order', async () => {
  const { page } = here.opened;
  for (const [name, models] of [['fake', [bundled, second]], ['fake', [second, bundled]], ['real', [bundled, second]]]) {
    const { report, error, ...loaded } = await score(page, models, sample(name), { frames: 6 });
    assert.equal(error, undefined, error?.message);
    assertSameOpinions(report, nativeTogether(sample(name), models, '--frames', '6'));
    const names = models.map((model) => (model === bundled ? 'unmask-lite' : 'second'));
    assert.deepEqual(loaded.models, models.map((model, index) => ({ name: names[index], sha256: sha256(model) })));
    assert.deepEqual([loaded.name, loaded.sha256], [names[0], sha256(models[0])]);
    assert.deepEqual(loaded.progress.at(-1), { stage: 'score', done: 6, total: 6 });
  }
});

test('one that sees single frames and an untrained one that sees two together leave nothing decided, as natively', async () => {
  const models = [bundled, fresh, second];
  const { report, error } = await score(here.opened.page, models, sample('fake'), { frames: 5 });
  assert.equal(error, undefined, error?.message);
  // A random head makes more of a level that differs than a trained one does.
  assertSameOpinions(report, nativeTogether(sample('fake'), models, '--frames', '5'));
  assert.equal(report.verdict, 'uncertain');
  assert.match(report.reason, /fresh uncertain \(0\.\d\d, untrained\)/);
});

test('without a face all say so, and a list of one gives the report of one', async () => {
  const { page } = here.opened;
  const together = await score(page, [bundled, second], sample('no_face'), { frames: 3 });
  assertSameOpinions(together.report, nativeTogether(sample('no_face'), [bundled, second], '--frames', '3'));
  assert.deepEqual([together.report.verdict, together.report.score], ['no_face', null]);
  const alone = await score(page, [bundled], sample('no_face'), { frames: 3 });
  assert.equal('opinions' in alone.report, false);
  assert.equal(alone.models.length, 1);
});

test('as many frames are looked at as the detector needs that needs most', async () => {
  const few = secondDetector(scratch, 'few', ({ sampling }) => (sampling.frames = 3));
  const more = secondDetector(scratch, 'more', ({ sampling }) => (sampling.frames = 5));
  const { report, error } = await score(here.opened.page, [few, more], sample('no_face'));
  assert.equal(error, undefined, error?.message);
  assert.equal(report.video.frames_sampled, 5);
  assert.equal(nativeTogether(sample('no_face'), [few, more]).video.frames_sampled, 5);
});

test('an error names the one file among several that it is about', async () => {
  const { page } = here.opened;
  const text = scratch.write('text.safetensors', 'no detector at all');
  const misfit = secondDetector(scratch, 'misfit', ({ architecture }) => (architecture.width = 1281));
  for (const [models, sources, options, start, code] of [
    [[bundled], [0, '/missing.safetensors'], {}, 'missing.safetensors: the server answered 404', 'bad_response'],
    [[], ['/unmask-lite.safetensors', '/no/unmask-lite.safetensors'], {}, `${PAGE}no/unmask-lite.safetensors: the server answered 404`, 'bad_response'],
    [[text, bundled], [1, 0], {}, 'text.safetensors: is not a complete safetensors file', 'bad_detector'],
    [[bundled, misfit, second], [0, 1, 2], {}, 'misfit.safetensors: ', 'bad_detector'],
    [[bundled, second], [0, 1], { sha256: [null, '0'.repeat(64)] }, 'second.safetensors: it is another file', 'wrong_sha256'],
    [[bundled, second], [0, 1], { base: [null, '/unmask-lite.safetensors'] }, 'second.safetensors: it is a whole detector', 'wrong_base'],
  ]) {
    const error = await refusal(page, models, sources, options);
    assert.equal(error?.code, code, error?.message);
    assert.ok(error.message.startsWith(start), error.message);
    assert.ok(!error.message.includes('\n') && !/\.\s/.test(error.message), `one sentence: ${error.message}`);
  }
});

test('the same detector twice is refused under whatever names, as natively', async () => {
  const copy = scratch.path('copy.safetensors');
  copyFileSync(second, copy);
  const { page } = here.opened;
  const error = await refusal(page, [second, bundled, copy], [0, 1, 2]);
  assert.equal(error?.code, 'wrong_use');
  assert.match(error.message, /^copy\.safetensors: it is the same detector as second\.safetensors, .*; leave one of them out$/);
  const own = await refusal(page, [bundled], [null, 0]);
  assert.equal(own?.code, 'wrong_use', 'null is the detector that comes with the package');
});

test('options of several sources are lists in their order, and anything else is a TypeError', async () => {
  const { page } = here.opened;
  const right = { sha256: [sha256(bundled), null] };
  assert.equal(await refusal(page, [bundled, second], [0, 1], right), undefined, 'each has its own');
  for (const [models, sources, options, words] of [
    [[], [], {}, /no source in the list/],
    [[bundled, second], [0, 1], { sha256: sha256(bundled) }, /`sha256` is a list in the same order/],
    [[bundled, second], [0, 1], { sha256: [sha256(bundled)] }, /`sha256` is a list in the same order/],
    [[bundled, second], [0, 1], { base: ['/a', null, null] }, /`base` is a list in the same order/],
  ]) {
    const error = await refusal(page, models, sources, options);
    assert.equal(error?.name, 'TypeError', JSON.stringify(error));
    assert.match(error.message, words);
  }
  const single = await page.evaluate(() => window.unmask.Detector.load(null, { sha256: ['a'] }).catch(({ name, message }) => ({ name, message })));
  assert.equal(single.name, 'TypeError');
  assert.match(single.message, /`sha256` is a list, and there is one source/);
});

test('downloads tell which of the files they are of', async () => {
  const steps = await here.opened.page.evaluate(async () => {
    const steps = [];
    const onProgress = ({ stage, model, models }) => stage === 'download' && steps.push(`${model} of ${models}`);
    const sources = [null, new File(['no detector'], 'text.safetensors'), '/unmask-lite.safetensors?again'];
    await window.unmask.Detector.load(sources, { device: 'cpu', onProgress }).catch(() => {});
    return [...new Set(steps)];
  });
  assert.equal(steps.at(-1), '2 of 3');
  assert.ok(!steps.includes('1 of 3'), 'a file of the visitor\u2019s own is not fetched');
});

test('helpers hold no more copies than fit, counted by the sizes of all files together', async (t) => {
  const loads = async (count) => {
    const context = await here.browser.newContext();
    t.after(() => context.close());
    // In the worker that shares the work out, eight cores, and files of 100 MB each: 200 MB in memory.
    const address = await changedPage(context, {
      'worker.js': `Object.defineProperty(Blob.prototype, 'size', { get: () => 100 << 20 });
        Object.defineProperty(navigator, 'hardwareConcurrency', { get: () => 8 });`,
      'helper.js': `self.addEventListener('message', ({ data }) => {
        if (data.task === 'load') new BroadcastChannel('loads').postMessage(data.message.index);
      });`,
    });
    const { page } = await openEmpty(here.browser, { context, address });
    await page.setInputFiles('#models', [bundled, second].slice(0, count));
    return page.evaluate(async () => {
      const loads = [];
      const channel = new BroadcastChannel('loads');
      channel.onmessage = ({ data }) => loads.push(data);
      const detector = await window.unmask.Detector.load(window.models(), { device: 'cpu' });
      await new Promise((resolve) => setTimeout(resolve, 200));
      detector.dispose();
      return { workers: detector.workers, loads: loads.sort() };
    });
  };
  // A gigabyte holds five of one, and two of both.
  assert.deepEqual(await loads(1), { workers: 8, loads: [0, 0, 0, 0, 0] });
  assert.deepEqual(await loads(2), { workers: 8, loads: [0, 0, 1, 1] });
});

/** A page of the package's files and of `second` with one element on the CPU that looks at two frames, of these attributes. */
async function openElement(t, attributes) {
  const folders = { '/': dirname(bundled), '/own/': dirname(second) };
  const server = await new TestServer(folders).start();
  t.after(() => server.stop());
  const context = await here.browser.newContext();
  t.after(() => context.close());
  const { page } = await openEmpty(here.browser, { context, address: `${server.origin}/` });
  await page.evaluate((attributes) => {
    document.querySelector('unmask-detector').remove();
    const element = document.querySelector('main').appendChild(document.createElement('unmask-detector'));
    for (const [name, value] of Object.entries({ device: 'cpu', frames: 2, ...attributes })) element.setAttribute(name, value);
  }, attributes);
  await page.setInputFiles('#clip', sample('fake'));
  return page;
}

/** Has the element score the chosen file; its report, or its error. */
function scoredByElement(page) {
  return page.evaluate(async () => {
    const element = document.querySelector('unmask-detector');
    const error = new Promise((resolve) => element.addEventListener('error', ({ detail: { code, message } }) => resolve({ code, message }), { once: true }));
    const report = await element.score(document.querySelector('#clip').files[0]);
    return report ? { report } : { error: await error };
  });
}

test('the element takes several detectors and shows the joint verdict with what each says in a table', async (t) => {
  const model = 'unmask-lite.safetensors\n  /own/second.safetensors';
  const page = await openElement(t, { model, sha256: `- ${sha256(second)}` });
  const { report, error } = await scoredByElement(page);
  assert.equal(error, undefined, error?.message);
  assertSameOpinions(report, nativeTogether(sample('fake'), [bundled, second], '--frames', '2'));
  const element = page.locator('unmask-detector');
  const words = { likely_fake: 'Likely fake', likely_real: 'Likely real', uncertain: 'Uncertain' };
  const table = element.getByRole('table', { name: 'What each detector says' });
  const cells = await table.getByRole('row').evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
  const expected = report.opinions.map(({ model, verdict, score }) => [model.name, words[verdict], score.toFixed(2), 'weak']);
  assert.deepEqual(cells, [['Detector', 'Verdict', 'P(fake)', 'Grade'], ...expected]);
  assert.equal(await table.getByRole('rowheader').count(), 2);
  const status = await element.getByRole('status').innerText();
  assert.ok(status.includes(words[report.verdict]) && status.includes(`Mean P(fake) = ${report.score.toFixed(2)}`), status);
  assert.match(status, /The joint verdict is likely fake or likely real only where every detector says so/);
  assert.match(status, /models unmask-lite, second/);
  await page.evaluate(() => document.querySelectorAll('input').forEach((input) => input.remove()));
  await assertAccessible(page, 'the element with two opinions');
});

test('the element says which of its detectors is not there, and what its lists lack', async (t) => {
  const model = 'unmask-lite.safetensors /own/missing.safetensors';
  const page = await openElement(t, { model });
  const { error } = await scoredByElement(page);
  assert.deepEqual([error.code, error.message.split(':')[0]], ['bad_response', 'missing.safetensors']);
  for (const name of ['sha256', 'base']) {
    await page.evaluate((name) => document.querySelector('unmask-detector').setAttribute(name, '-'), name);
    const { error } = await scoredByElement(page);
    assert.deepEqual([error.code, error.message.startsWith(`\`model\` names 2 detectors and \`${name}\` lists 1;`)], ['wrong_use', true], error.message);
    await page.evaluate((name) => document.querySelector('unmask-detector').removeAttribute(name), name);
  }
});
