// Detector files that are kept on the visitor's device: listed, kept ahead, and deleted.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { file } from './server.js';
import { assertIs, assertOneSentence, LARGE, load, MIB, sha256, SMALL, visiting } from './weights-support.js';

const here = visiting();

/** Calls the module for keeping with these arguments in a page; `{ value }` or `{ error }`. A file is given by its content. */
function keeping(page, name, ...args) {
  return page.evaluate(
    async ({ name, args }) => {
      const given = (arg) => (arg?.content ? new File([new Uint8Array(arg.content)], arg.name) : arg);
      try {
        return { value: await window.weights[name](...args.map(given)) };
      } catch ({ name, code, message }) {
        return { error: { name, code, message } };
      }
    },
    { name, args },
  );
}

const keep = (page, ...args) => keeping(page, 'keepDetector', ...args);
const forget = (page, which) => keeping(page, 'forgetDetector', which);

/** What is kept, but for its identifiers. */
async function kept(page) {
  const { value } = await keeping(page, 'keptDetectors');
  return value.map(({ id, ...facts }) => facts);
}

test('what is kept is listed with its name, its size and its SHA-256, parts of files as well', async () => {
  const page = await here.openPage();
  assert.deepEqual(await kept(page), []);
  const whole = here.server.handle('/whole%20one.safetensors', file(SMALL, { tag: '"1"' }));
  const part = here.server.handle('/part.safetensors', file(LARGE, { tag: '"1"', stallAt: 17 * MIB }));
  await load(page, whole);
  await load(page, part, { stop: 17 * MIB });
  const [first, second, ...more] = await kept(page);
  assert.deepEqual(more, []);
  assert.equal(first.name, 'part.safetensors');
  assert.deepEqual([first.url, first.sha256, first.complete], [part, null, false]);
  assert.ok(first.bytes >= 16 * MIB && first.bytes < LARGE.length, `${first.bytes} bytes`);
  const facts = { name: 'whole one.safetensors', bytes: SMALL.length, sha256: sha256(SMALL), complete: true, converted: false };
  assert.deepEqual(second, { url: whole, ...facts });
});

test('a file is kept without being loaded, and loaded afterwards without a request', async () => {
  const page = await here.openPage();
  const address = here.server.handle('/ahead.safetensors', file(LARGE, { tag: '"1"' }));
  const { value } = await keep(page, address, { sha256: sha256(LARGE) });
  const facts = { url: address, name: 'ahead.safetensors', bytes: LARGE.length, sha256: sha256(LARGE), complete: true, converted: false };
  assert.deepEqual({ ...value, id: undefined }, { ...facts, id: undefined });
  const start = here.server.log.length;
  assertIs(await load(page, address, { sha256: sha256(LARGE) }), LARGE);
  assert.deepEqual((await keep(page, address, { sha256: sha256(LARGE) })).value, value);
  assert.deepEqual(here.server.asked('/ahead.safetensors', start), []);
  assertOneSentence(await keep(page, address, { sha256: sha256(SMALL) }), 'ahead.safetensors: it is another file', 'wrong_sha256');
});

test('a file of the visitor\u2019s own is kept by its SHA-256, and found by it', async () => {
  const page = await here.openPage();
  const own = { name: 'mine.safetensors', content: [...SMALL.subarray(0, 1000)] };
  const hash = sha256(SMALL.subarray(0, 1000));
  await keep(page, own);
  const { value } = await keep(page, own);
  const facts = { url: null, name: 'mine.safetensors', bytes: 1000, sha256: hash, complete: true, converted: false };
  assert.deepEqual(await kept(page), [facts], 'twice the same is kept once');
  assertIs(await load(page, null, { sha256: hash }), SMALL.subarray(0, 1000));
  assertOneSentence(await keep(page, own, { sha256: sha256(LARGE) }), 'mine.safetensors: it is another file', 'wrong_sha256');
  assert.deepEqual(await forget(page, value), { value: true });
  assert.deepEqual(await kept(page), []);
});

test('what is forgotten is gone from the disk, by its description or its address, and fetched anew', async () => {
  const page = await here.openPage();
  const address = here.server.handle('/forgotten.safetensors', file(SMALL, { tag: '"1"' }));
  for (const which of [async () => (await keep(page, address)).value, () => address]) {
    await load(page, address);
    assert.deepEqual(await forget(page, await which()), { value: true });
    assert.deepEqual(await kept(page), []);
    assert.deepEqual(await forget(page, address), { value: false });
  }
  const start = here.server.log.length;
  assertIs(await load(page, address), SMALL);
  assert.equal(here.server.asked('/forgotten.safetensors', start)[0].headers['if-none-match'], undefined);
});

test('a file that is being fetched is not deleted under its download', async () => {
  const page = await here.openPage();
  const address = here.server.handle('/busy.safetensors', file(LARGE, { tag: '"1"', stallAt: 17 * MIB }));
  await page.evaluate(
    (address) => new Promise((resolve) => {
      window.abort = new AbortController();
      const onProgress = ({ done }) => done >= (9 << 20) && resolve();
      window.fetched = window.weights.fetchDetector(address, { onProgress, signal: window.abort.signal }).catch(() => 'stopped');
    }),
    address,
  );
  assertOneSentence(await forget(page, address), 'busy.safetensors: it is being fetched', 'in_use');
  await page.evaluate(() => {
    window.abort.abort();
    return window.fetched;
  });
  assert.deepEqual(await forget(page, address), { value: true });
});

test('keeping rejects where the disk is full or denied, while loading goes on', async () => {
  const address = here.server.handle('/too-large.safetensors', file(LARGE, { tag: '"1"' }));
  const page = await here.openPage();
  const session = await here.context.newCDPSession(page);
  await session.send('Storage.overrideQuotaForOrigin', { origin: here.server.origin, quotaSize: 10 * MIB });
  assertOneSentence(await keep(page, address), 'too-large.safetensors: the browser gives this page no more room', 'disk_full');
  assertIs(await load(page, address), LARGE);
  const denied = await here.openPage({
    prepare: () => {
      navigator.storage.getDirectory = () => Promise.reject(new DOMException('denied', 'SecurityError'));
    },
  });
  assertOneSentence(await keep(denied, address), 'too-large.safetensors: this browser keeps no files', 'no_storage');
  assert.deepEqual([await kept(denied), await forget(denied, address)], [[], { value: false }]);
});
