// How detector files are fetched: with progress, checked, kept, resumed, and with the base that an adapter needs.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { bytes, file, TestServer } from './server.js';
import { clip, Scratch } from './support.js';
import { assertIs, assertOneSentence, LARGE, load, MIB, sha256, SMALL, visiting } from './weights-support.js';

const { UNMASK_PROGRAM: program, UNMASK_MODEL: model } = process.env;

let elsewhere;
const scratch = new Scratch();
const here = visiting(async () => {
  elsewhere = await new TestServer().start();
});

after(async () => {
  await elsewhere?.stop();
  scratch.remove();
});

/** `Range` of each request for a path. */
function ranges(path) {
  return here.server.asked(path).map(({ headers }) => headers.range ?? null);
}

test('a download tells how far it is, and gives the file with its name', async () => {
  const address = here.server.handle('/some%20detector.safetensors', file(SMALL, { tag: '"1"' }));
  const found = await load(await here.openPage(), address);
  assertIs(found, SMALL);
  assert.equal(found.name, 'some detector.safetensors');
  assert.equal(found.known, sha256(SMALL));
  assert.deepEqual(found.progress.at(-1), { stage: 'download', done: SMALL.length, total: SMALL.length });
  assert.ok(found.progress.every(({ done }, index) => index === 0 || done > found.progress[index - 1].done));
});

test('without a source, the detector that comes with Unmask is loaded, and its SHA-256 is the one that is written down', async () => {
  const found = await load(await here.openPage(), null);
  assertIs(found, readFileSync(model));
  assert.equal(found.name, 'unmask-lite.safetensors');
});

test('a file with another SHA-256 is refused with one sentence, and is not kept', async () => {
  const address = here.server.handle('/other.safetensors', file(SMALL, { tag: '"1"' }));
  const page = await here.openPage();
  for (const source of [address, address]) {
    assertOneSentence(await load(page, source, { sha256: sha256(LARGE) }), 'other.safetensors: it is another file than the wanted one', 'wrong_sha256');
  }
  assert.equal(here.server.asked('/other.safetensors').length, 2);
  assert.ok(here.server.log.every(({ headers }) => !headers['if-none-match']));
  assert.match((await load(page, address, { sha256: 'abc' })).error.message, /64 hexadecimal digits/);
});

test('a kept file with the wanted SHA-256 is used without a request, whatever its address', async () => {
  const address = here.server.handle('/kept.safetensors', file(LARGE, { tag: '"1"' }));
  assertIs(await load(await here.openPage(), address), LARGE);
  const start = here.server.log.length;
  for (const source of [address, `${here.server.origin}/moved.safetensors`]) {
    const found = await load(await here.openPage(), source, { sha256: sha256(LARGE).toUpperCase() });
    assertIs(found, LARGE);
    assert.deepEqual(found.progress, []);
  }
  assert.deepEqual([...here.server.asked('/kept.safetensors', start), ...here.server.asked('/moved.safetensors')], []);
});

test('a kept file without a known SHA-256 is used if the server says that it is the same, and fetched if it is not', async () => {
  const modified = new Date(0).toUTCString();
  for (const [name, before, now] of [
    ['tag', { tag: '"1"' }, { tag: '"2"' }],
    ['date', { modified }, { modified: new Date(1e6).toUTCString() }],
  ]) {
    const path = `/${name}.safetensors`;
    const address = here.server.handle(path, file(SMALL, before));
    const page = await here.openPage();
    await load(page, address);
    const again = await load(page, address);
    assertIs(again, SMALL);
    assert.deepEqual(again.progress, [], 'nothing was downloaded');
    assert.equal(here.server.asked(path)[1].headers[name === 'tag' ? 'if-none-match' : 'if-modified-since'], before.tag ?? modified);
    here.server.handle(path, file(LARGE, now));
    assertIs(await load(page, address), LARGE);
    assertIs(await load(page, address), LARGE);
  }
});

test('another origin is asked without headers that it would have to allow, and its answer says whether the file is the same', async () => {
  const allowed = { 'Access-Control-Allow-Origin': '*' };
  const address = elsewhere.handle('/far.safetensors', file(SMALL, { modified: new Date(0).toUTCString(), headers: allowed }));
  const page = await here.openPage();
  await load(page, address);
  const again = await load(page, address);
  assertIs(again, SMALL);
  assert.deepEqual(again.progress, []);
  const broken = elsewhere.handle('/broken.safetensors', breakingOnce(LARGE, { modified: new Date(0).toUTCString(), headers: allowed }));
  assertIs(await load(page, broken), LARGE);
  assert.deepEqual(new Set(elsewhere.log.map(({ method }) => method)), new Set(['GET']));
  assert.match(elsewhere.asked('/broken.safetensors')[1].headers.range, /^bytes=\d+-$/);
  const silent = elsewhere.handle('/silent.safetensors', file(SMALL));
  assertOneSentence(await load(page, silent), 'silent.safetensors: it could not be fetched', 'network');
});

test('a kept file is used where there is no network, and where the server fails', async () => {
  const address = here.server.handle('/offline.safetensors', file(LARGE, { tag: '"1"' }));
  const page = await here.openPage();
  await load(page, address);
  await here.context.setOffline(true);
  assertIs(await load(page, address), LARGE);
  assertOneSentence(await load(page, `${here.server.origin}/never.safetensors`), 'never.safetensors: it could not be fetched', 'network');
  await here.context.setOffline(false);
  here.server.handle('/offline.safetensors', (_, response) => response.writeHead(503).end());
  assertIs(await load(page, address), LARGE);
  here.server.handle('/offline.safetensors', (_, response) => response.writeHead(404).end());
  assertOneSentence(await load(page, address), 'offline.safetensors: the server answered 404', 'bad_response');
});

/** A handler whose first answer breaks off in the middle. */
function breakingOnce(content, options, later = options) {
  let requests = 0;
  return (request, response) => {
    const breakAt = requests++ === 0 ? Math.floor(content.length / 2) : undefined;
    file(content, { ...(breakAt ? options : later), breakAt })(request, response);
  };
}

test('a download whose connection breaks goes on where it broke', async () => {
  const address = here.server.handle('/broken.safetensors', breakingOnce(LARGE, { tag: '"1"' }));
  const found = await load(await here.openPage(), address);
  assertIs(found, LARGE);
  const [first, second, ...more] = ranges('/broken.safetensors');
  assert.deepEqual([first, more], [null, []]);
  // What the browser had not yet handed out is lost with the connection.
  assert.ok(Number(/\d+/.exec(second)[0]) >= 8 * MIB, second);
  assert.equal(here.server.asked('/broken.safetensors')[1].headers['if-range'], '"1"');
  assert.equal(found.progress.at(-1).total, LARGE.length);
});

test('a download begins anew where the server sends no parts, and where the file has changed or cannot be told from others', async () => {
  const page = await here.openPage();
  for (const [name, options, later] of [
    ['whole', { tag: '"1"', ranges: false }],
    ['changed', { tag: '"1"' }, { tag: '"2"' }],
    ['unmarked', {}],
  ]) {
    const address = here.server.handle(`/${name}.safetensors`, breakingOnce(LARGE, options, later));
    assertIs(await load(page, address), LARGE);
    assert.equal(here.server.asked(`/${name}.safetensors`).length, 2, name);
  }
  // Where the SHA-256 is known, parts of two versions would be found out.
  const address = here.server.handle('/known.safetensors', breakingOnce(LARGE, {}));
  assertIs(await load(page, address, { sha256: sha256(LARGE) }), LARGE);
  assert.notEqual(ranges('/known.safetensors')[1], null);
});

test('a download that was stopped by closing the page goes on when it is loaded again', async () => {
  const address = here.server.handle('/closed.safetensors', file(LARGE, { tag: '"1"', stallAt: 17 * MIB }));
  const closed = await here.openPage();
  const arrived = closed.evaluate(
    (address) => new Promise((resolve) => {
      const onProgress = ({ done }) => done >= (17 << 20) && resolve();
      window.weights.fetchDetector(address, { onProgress });
    }),
    address,
  );
  await arrived;
  await closed.close();
  here.server.handle('/closed.safetensors', file(LARGE, { tag: '"1"' }));
  assertIs(await load(await here.openPage(), address), LARGE);
  assert.deepEqual(ranges('/closed.safetensors').length, 2);
  const kept = Number(/\d+/.exec(ranges('/closed.safetensors')[1])[0]);
  assert.ok(kept >= 16 * MIB && kept < 17 * MIB, `${kept} bytes were kept`);
});

test('a cancelled download rejects at once, and goes on when it is loaded again', async () => {
  const address = here.server.handle('/cancelled.safetensors', file(LARGE, { tag: '"1"', stallAt: 5 * MIB }));
  const page = await here.openPage();
  const { error } = await load(page, address, { stop: 4 * MIB });
  assert.equal(error.name, 'AbortError');
  here.server.handle('/cancelled.safetensors', file(LARGE, { tag: '"1"' }));
  assertIs(await load(page, address), LARGE);
  assert.ok(Number(/\d+/.exec(ranges('/cancelled.safetensors')[1])[0]) >= 4 * MIB);
});

test('a file that two ask for at once is downloaded once', async () => {
  const address = here.server.handle('/twice.safetensors', file(LARGE, { tag: '"1"' }));
  const [page, other] = [await here.openPage(), await here.openPage()];
  for (const found of await Promise.all([load(page, address), load(page, address), load(other, address)])) assertIs(found, LARGE);
  assert.equal(here.server.asked('/twice.safetensors').filter(({ headers }) => !headers['if-none-match']).length, 1);
});

test('a connection that breaks again and again ends in one sentence', async () => {
  const address = here.server.handle('/hopeless.safetensors', file(SMALL, { tag: '"1"', ranges: false, breakAt: 1000 }));
  // Waits pass fifty times as fast.
  const page = await here.openPage({
    prepare: () => {
      const { setTimeout } = window;
      window.setTimeout = (work, milliseconds) => setTimeout(work, milliseconds / 50);
    },
  });
  assertOneSentence(await load(page, address), 'hopeless.safetensors: the download broke off', 'network');
  assert.equal(here.server.asked('/hopeless.safetensors').length, 6);
});

test('a full disk does not keep a file from being loaded', async () => {
  const address = here.server.handle('/full.safetensors', file(LARGE, { tag: '"1"' }));
  const page = await here.openPage();
  const session = await here.context.newCDPSession(page);
  await session.send('Storage.overrideQuotaForOrigin', { origin: here.server.origin, quotaSize: 10 * MIB });
  assertIs(await load(page, address), LARGE);
  assertIs(await load(page, address), LARGE);
  assert.deepEqual(ranges('/full.safetensors'), [null, `bytes=${8 * MIB}-`], 'what had room is there');
});

test('a browser that denies its disk does not keep a file from being loaded', async () => {
  const address = here.server.handle('/denied.safetensors', breakingOnce(LARGE, { tag: '"1"' }));
  const prepare = () => {
    navigator.storage.getDirectory = () => Promise.reject(new DOMException('denied', 'SecurityError'));
  };
  assertIs(await load(await here.openPage({ prepare }), address, { sha256: sha256(LARGE) }), LARGE);
});

test('outside of a secure context files are loaded and nothing is kept', async () => {
  await here.context.route('http://unmask.test/**', async (route) => {
    const url = route.request().url().replace('http://unmask.test', here.server.origin);
    await route.fulfill({ response: await route.fetch({ url }) });
  });
  here.server.handle('/insecure.safetensors', file(SMALL, { tag: '"1"' }));
  const page = await here.openPage({ origin: 'http://unmask.test' });
  const found = await page.evaluate(async () => {
    const { blob, name, sha256 } = await window.weights.fetchDetector('/insecure.safetensors');
    return { secure: isSecureContext, size: blob.size, name, sha256 };
  });
  assert.deepEqual(found, { secure: false, size: SMALL.length, name: 'insecure.safetensors', sha256: null });
});

test('a file that is too large for the memory is checked as well, and found by its SHA-256', async () => {
  const content = bytes(65 * MIB);
  const address = here.server.handle('/huge.safetensors', file(content, { tag: '"1"' }));
  const page = await here.openPage();
  const wrong = await load(page, address, { sha256: sha256(LARGE) });
  assertOneSentence(wrong, 'huge.safetensors: it is another file than the wanted one', 'wrong_sha256');
  assertIs(await load(page, address), content);
  const start = here.server.log.length;
  assertIs(await load(page, address, { sha256: sha256(content) }), content);
  assert.deepEqual(here.server.asked('/huge.safetensors', start), []);
});

/** A tiny detector, and an adapter for it, by the native program. */
function baseAndAdapter() {
  const golden = (name) => new URL(`../goldens/clip_tiny/${name}.safetensors`, import.meta.url).pathname;
  const [base, adapter] = [scratch.path('base.safetensors'), scratch.path('adapter.safetensors')];
  const common = ['import', '--from', 'hf-clip', '--input', golden('model')];
  execFileSync(program, [...common, '--output', base, '--head-kind', '2mlp'], { stdio: 'ignore' });
  const adapting = ['--head', golden('head1'), '--output', adapter, '--adapter-for', base];
  execFileSync(program, [...common, ...adapting], { stdio: 'ignore' });
  return { base: readFileSync(base), adapter: readFileSync(adapter) };
}

test('an adapter comes with the base that is given, or that is cached, and with no other', async () => {
  const { base, adapter } = baseAndAdapter();
  const [baseAddress, address] = [here.server.handle('/base.safetensors', file(base)), here.server.handle('/adapter.safetensors', file(adapter))];
  const page = await here.openPage();
  const lonely = await load(page, address);
  assertOneSentence(lonely, 'adapter.safetensors: it is an adapter for the detector with SHA-256', 'base_needed');
  assert.match(lonely.error.message, new RegExp(`${sha256(base)}.*give it as \`base\``));
  const mistaken = await load(page, address, { base: address });
  assertOneSentence(mistaken, 'adapter.safetensors: it is an adapter for the detector with SHA-256', 'wrong_base');
  assert.match(mistaken.error.message, new RegExp(`${sha256(base)}.*give the right base`));
  const given = await load(page, address, { base: baseAddress });
  assertIs(given, adapter);
  assert.equal(given.base, sha256(base));
  const start = here.server.log.length;
  assert.equal((await load(page, address)).base, sha256(base));
  assert.deepEqual(here.server.asked('/base.safetensors', start), [], 'the cached base is used');
  assert.equal((await load(page, baseAddress)).base, null);
  assertOneSentence(await load(page, baseAddress, { base: address }), 'base.safetensors: it is a whole detector', 'wrong_base');
});

test('an adapter over its cached base scores as the native program does', async (t) => {
  const video = clip(t, 'real_liveportrait_d1_512_0.5s.mp4');
  const image = video && scratch.made(t, 'face.png', '-i', video, '-frames:v', '1');
  if (!image) return;
  const { base, adapter } = baseAndAdapter();
  const addresses = [here.server.handle('/base.safetensors', file(base)), here.server.handle('/adapter.safetensors', file(adapter))];
  const page = await here.openPage();
  const report = await page.evaluate(
    async ({ addresses, image }) => {
      const { Detector } = await import('/unmask.js');
      (await Detector.load(addresses[0], { device: 'cpu' })).dispose();
      const detector = await Detector.load(addresses[1], { device: 'cpu' });
      return detector.score(await (await fetch(`data:image/png;base64,${image}`)).blob());
    },
    { addresses, image: readFileSync(image, 'base64') },
  );
  const options = ['--model', scratch.path('adapter.safetensors'), '--base', scratch.path('base.safetensors'), '--json'];
  const expected = JSON.parse(execFileSync(program, ['score', image, ...options]));
  assert.notEqual(expected.score, null);
  assert.ok(Math.abs(report.score - expected.score) < 1e-3, `${report.score} is not ${expected.score}`);
  assert.equal(report.model.sha256, expected.model.sha256);
});

test('bytes and files are taken as they are, with the name they have', async () => {
  const outcome = await (await here.openPage()).evaluate(async () => {
    const { fetchDetector } = window.weights;
    const facts = async (source) => {
      const { blob, name, base } = await fetchDetector(source);
      return { size: blob.size, name, base };
    };
    const content = new Uint8Array(10);
    return Promise.all([new File([content], 'mine.safetensors'), new Blob([content]), content.buffer, content.subarray(2)].map(facts));
  });
  const nameless = { name: 'the detector file', base: null };
  assert.deepEqual(outcome, [
    { size: 10, name: 'mine.safetensors', base: null },
    { size: 10, ...nameless },
    { size: 10, ...nameless },
    { size: 8, ...nameless },
  ]);
});
