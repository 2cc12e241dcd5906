// Checkpoints of other people: what they become on this device, how that is kept, and what is refused.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { assertSameReport } from './compare.js';
import { sample } from './page-support.js';
import { file } from './server.js';
import { openPage as openDetectorPage, score, Scratch } from './support.js';
import { assertIs, assertOneSentence, load, sha256, visiting } from './weights-support.js';

const { UNMASK_PROGRAM: program } = process.env;

/** Tiny: the heads of its attention follow from no published size, so its `config.json` is needed. */
const CHECKPOINT = golden('gend_tiny.safetensors');
const CONFIG = '{"num_attention_heads": 2}';

const here = visiting(prepare);
const scratch = new Scratch();
let config;
/** What the program makes of the checkpoint. */
let expected;

function golden(name) {
  return readFileSync(new URL(`../goldens/${name}`, import.meta.url));
}

function prepare(server) {
  config = server.handle('/config.json', file(Buffer.from(CONFIG), { tag: '"1"' }));
  scratch.write('config.json', CONFIG);
  const [input, whole, half] = [scratch.write('gend_tiny.safetensors', CHECKPOINT), scratch.path('whole'), scratch.path('half.safetensors')];
  execFileSync(program, ['import', '--from', 'gend', '--input', input, '--name', 'gend-tiny', '--licence', 'MIT', '--output', whole]);
  execFileSync(program, ['quantize', '--model', whole, '--dtype', 'f16', '--output', half]);
  expected = readFileSync(half);
}

after(() => scratch.remove());

/** What the checkpoint does not say of itself. */
function checkpoint(more) {
  return { name: 'gend-tiny', licence: 'MIT', config, ...more };
}

function kept(page) {
  return page.evaluate(() => window.weights.keptDetectors());
}

/** Serves the checkpoint at `/gend_tiny.safetensors` below a path of its own. */
function serve(path, content = CHECKPOINT, tag = '"1"') {
  return here.server.handle(`${path}/gend_tiny.safetensors`, file(content, { tag }));
}

test('a published checkpoint becomes the detector file that the program makes of it, and that is kept in its place', async () => {
  const address = serve('/kept');
  const found = await load(await here.openPage(), address, { checkpoint: checkpoint() });
  assertIs(found, expected);
  const converted = found.progress.filter(({ stage }) => stage === 'convert');
  assert.deepEqual(converted.at(-1), { stage: 'convert', done: expected.length, total: expected.length });
  const page = await here.openPage();
  const [entry, ...others] = await kept(page);
  assert.deepEqual([entry.bytes, entry.complete, entry.converted, others.length], [expected.length, true, true, 0]);
  assert.equal(entry.sha256, sha256(CHECKPOINT));

  const start = here.server.log.length;
  const again = await load(page, address, { checkpoint: checkpoint() });
  assertIs(again, expected);
  assert.deepEqual(again.progress, []);
  const asked = here.server.asked('/kept/gend_tiny.safetensors', start);
  assert.deepEqual(asked.map(({ headers }) => headers['if-none-match']), ['"1"']);

  assert.ok(await page.evaluate((address) => window.weights.forgetDetector(address), address));
  assert.deepEqual(await kept(page), []);
});

test('by the checkpoint’s SHA-256 it is found without a request, and another file is refused', async () => {
  const address = serve('/hashed');
  const options = { sha256: sha256(CHECKPOINT), checkpoint: checkpoint() };
  assertIs(await load(await here.openPage(), address, options), expected);
  const start = here.server.log.length;
  const page = await here.openPage();
  assertIs(await load(page, `${here.server.origin}/moved.safetensors`, options), expected);
  assert.deepEqual(here.server.log.slice(start).filter(({ path }) => /moved|hashed/.test(path)), []);
  const other = await load(page, serve('/other'), { ...options, sha256: sha256(Buffer.from('another')) });
  assertOneSentence(other, 'gend_tiny.safetensors: it is another file than the wanted one', 'wrong_sha256');
});

test('a new version is fetched and converted anew', async () => {
  const address = serve('/changing');
  assertIs(await load(await here.openPage(), address, { checkpoint: checkpoint() }), expected);
  // The last tensor's last byte: a small change of one weight.
  const changed = Buffer.from(CHECKPOINT);
  changed[changed.length - 2] ^= 1;
  serve('/changing', changed, '"2"');
  const page = await here.openPage();
  const found = await load(page, address, { checkpoint: checkpoint() });
  assert.equal(found.size, expected.length);
  assert.notEqual(found.sha256, sha256(expected));
  assert.deepEqual((await kept(page)).map(({ sha256, converted }) => [sha256, converted]), [[sha256(changed), true]]);
});

test('a conversion that is stopped goes on from the checkpoint that is there', async () => {
  const address = serve('/stopped');
  const page = await here.openPage();
  const stopped = await page.evaluate(
    async ({ address, checkpoint }) => {
      const abort = new AbortController();
      const onProgress = ({ stage }) => stage === 'convert' && abort.abort();
      try {
        await window.weights.fetchDetector(address, { checkpoint, onProgress, signal: abort.signal });
      } catch ({ name }) {
        return name;
      }
    },
    { address, checkpoint: checkpoint() },
  );
  assert.equal(stopped, 'AbortError');
  const left = (await kept(page)).map(({ complete, converted, bytes }) => [complete, converted, bytes]);
  assert.deepEqual(left, [[true, false, CHECKPOINT.length]], 'nothing is left of what was begun');
  const found = await load(page, address, { checkpoint: checkpoint() });
  assertIs(found, expected);
  assert.ok(found.progress.every(({ stage }) => stage === 'convert'));
  assert.equal((await kept(page)).length, 1);
});

test('two pages that load a checkpoint at once both get the detector, which is made once', async () => {
  const address = serve('/twice');
  const pages = [await here.openPage(), await here.openPage()];
  // Kept as it was fetched, so that both find it there by its SHA-256.
  await pages[0].evaluate(async ({ address }) => {
    const abort = new AbortController();
    const onProgress = ({ stage }) => stage === 'convert' && abort.abort();
    await window.weights.fetchDetector(address, { onProgress, signal: abort.signal }).catch(() => {});
  }, { address });
  const options = { sha256: sha256(CHECKPOINT), checkpoint: checkpoint() };
  const found = await Promise.all(pages.map((page) => load(page, address, options)));
  for (const one of found) assertIs(one, expected);
  assert.equal(found.filter(({ progress }) => progress.some(({ stage }) => stage === 'convert')).length, 1);
  assert.equal((await kept(pages[0])).length, 1);
});

test('said otherwise of a checkpoint, it is converted anew, and with nothing said what is there serves', async () => {
  const address = serve('/renamed');
  const page = await here.openPage();
  assertIs(await load(page, address, { checkpoint: checkpoint() }), expected);
  const renamed = await load(page, address, { checkpoint: checkpoint({ name: 'another' }) });
  assert.ok(renamed.progress.some(({ stage }) => stage === 'convert') && renamed.sha256 !== sha256(expected));
  const again = await load(page, address);
  assert.deepEqual([again.sha256, again.progress], [renamed.sha256, []]);
  assert.equal((await kept(page)).length, 1);
});

test('an adapter finds the detector that a checkpoint became, and a wish for another checkpoint leaves it alone', async () => {
  const address = serve('/based');
  const page = await here.openPage();
  const found = await load(page, address, { checkpoint: checkpoint() });
  assert.equal(found.known, sha256(expected));
  const header = JSON.stringify({ __metadata__: { unmask: JSON.stringify({ adapter: { base_sha256: sha256(expected) } }) } });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const adapter = here.server.handle('/small.safetensors', file(Buffer.concat([length, Buffer.from(header)])));
  assert.equal((await load(page, adapter)).base, sha256(expected));
  const other = await load(page, address, { sha256: sha256(Buffer.from('another')) });
  assertOneSentence(other, `gend_tiny.safetensors: it is another file than the wanted one (its SHA-256 is ${sha256(CHECKPOINT)}`, 'wrong_sha256');
  assert.equal((await kept(page)).find(({ url }) => url === address).sha256, sha256(CHECKPOINT));
});

test('a file of the visitor\u2019s own is kept as the detector that it becomes', async () => {
  const page = await here.openPage();
  const keep = () =>
    page.evaluate(
      ({ bytes, config }) => {
        const own = new File([Uint8Array.from(bytes)], 'gend_tiny.safetensors');
        return window.weights.keepDetector(own, { checkpoint: { name: 'gend-tiny', licence: 'MIT', config: new Blob([config]) } });
      },
      { bytes: [...CHECKPOINT], config: CONFIG },
    );
  for (const { name, bytes, sha256: of, converted, complete } of [await keep(), await keep()]) {
    const wanted = ['gend_tiny.safetensors', expected.length, sha256(CHECKPOINT), true, true];
    assert.deepEqual([name, bytes, of, converted, complete], wanted);
  }
  assert.equal((await kept(page)).length, 1);
});

test('a checkpoint that is given as bytes scores as the program scores it', async () => {
  const { page, context: pages } = await openDetectorPage(here.browser);
  const model = await page.evaluate(
    async ({ bytes, config }) => {
      window.test.detector.dispose();
      const blob = new File([Uint8Array.from(bytes)], 'gend_tiny.safetensors');
      const checkpoint = { name: 'gend-tiny', licence: 'MIT', config: new Blob([config]) };
      window.test.detector = await window.test.Detector.load(blob, { checkpoint, device: 'cpu' });
      return { name: window.test.detector.name, sha256: window.test.detector.sha256 };
    },
    { bytes: [...CHECKPOINT], config: CONFIG },
  );
  assert.deepEqual(model, { name: 'gend-tiny', sha256: sha256(expected) });
  const { report, error } = await score(page, sample('real'), { frames: 4 });
  assert.equal(error, undefined, error?.message);
  const options = ['score', sample('real'), '--model', scratch.path('half.safetensors'), '--frames', '4', '--json'];
  assertSameReport(report, JSON.parse(execFileSync(program, options)));
  await pages.close();
});

test('what cannot become a detector is refused with one sentence that names it', async () => {
  const page = await here.openPage();
  const refused = async (content, start, options) => {
    const address = here.server.handle('/refused.safetensors', file(content));
    assertOneSentence(await load(page, address, options), `refused.safetensors: ${start}`, 'bad_detector');
  };
  await refused(golden('clip_tiny/model.safetensors'), 'has no head');
  await refused(golden('thesis_tiny_1mlp.pth'), 'it is a checkpoint of PyTorch');
  await refused(golden('geometry.safetensors'), 'is neither a detector file nor a checkpoint');
  await refused(CHECKPOINT, 'has the shapes of no published CLIP');
  await refused(CHECKPOINT, 'does not look like', { checkpoint: checkpoint({ format: 'commfor' }) });
  await refused(CHECKPOINT, 'is said to be a checkpoint of the format `gendd`', { checkpoint: checkpoint({ format: 'gendd' }) });
  const missing = await load(page, serve('/missing'), { checkpoint: { config: `${here.server.origin}/none.json` } });
  assertOneSentence(missing, `${here.server.origin}/none.json: the server answered 404`, 'bad_response');
});
