// The page with several detectors: choosing them, what it says of their opinions, and the list of detectors beside the page.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { after, before, test } from 'node:test';
import {
  assertAccessible, choose, chooseDetectors, clear, downloaded, examine, finding, openPage, sample,
} from './page-support.js';
import { file, TestServer } from './server.js';
import { assertSameOpinions, nativeTogether, secondDetector } from './several-support.js';
import { launch, PAGE, Scratch } from './support.js';

const { UNMASK_MODEL: bundled } = process.env;
const scratch = new Scratch();
let browser;
let second;

before(async () => {
  browser = await launch();
  second = secondDetector(scratch);
});

after(async () => {
  await browser?.close();
  scratch.remove();
});

/** The page from a server that offers `list`, and lets it fetch from `allowed` besides its own origin. */
async function hosted(t, list, allowed = '') {
  const original = await fetch(PAGE);
  const policy = original.headers.get('content-security-policy').replace("connect-src 'self'", `connect-src 'self' ${allowed}`);
  const headers = { 'Content-Security-Policy': policy, 'Cross-Origin-Embedder-Policy': 'require-corp', 'Cross-Origin-Opener-Policy': 'same-origin' };
  const server = await new TestServer({ '/': dirname(bundled), '/own/': dirname(second) }, headers).start();
  t.after(() => server.stop());
  const type = { 'Content-Type': 'text/html; charset=utf-8', ...headers };
  server.handle('/', (_, response) => response.writeHead(200, type).end(readFileSync(`${dirname(bundled)}/index.html`)));
  server.handle('/detectors.json', (_, response) => (list === null ? response.writeHead(404).end() : response.writeHead(200).end(list)));
  return server;
}

/** The page of a server, with its list. */
async function openHosted(t, server) {
  const opened = await openPage(browser, { address: `${server.origin}/` });
  t.after(() => opened.context.close());
  return opened;
}

/** Another origin that serves one detector to pages of all origins. */
async function elsewhere(t, path, content) {
  const server = await new TestServer().start();
  t.after(() => server.stop());
  server.handle(path, file(content, { tag: '"1"', headers: { 'Access-Control-Allow-Origin': '*' } }));
  return server;
}

function entries(page) {
  return page.locator('.offered li');
}

/** Opens the settings to look at them. */
function openSettings(page) {
  return page.locator('details.settings').evaluate((details) => (details.open = true));
}

test('two detectors of a list give a joint verdict with the rule, and each opinion with what it is worth', async (t) => {
  const other = await elsewhere(t, '/third.safetensors', readFileSync(secondDetector(scratch, 'third', ({ training }) => delete training.reliability)));
  const detectors = [
    { name: 'second', url: 'own/second.safetensors', about: 'cuts wider', licence: 'MIT', bytes: 7_000_000 },
    { name: 'third', url: `${other.origin}/third.safetensors`, about: 'nobody fitted it' },
    { name: 'wide', url: 'https://cdn.wide.example/wide.safetensors', about: 'lies below an allowed host' },
    { name: 'far', url: 'https://far.example/wide.example', about: 'is not allowed', licence: 'unknown' },
  ];
  const server = await hosted(t, JSON.stringify({ allowed_origins: [other.origin, 'https://*.wide.example'], detectors }), other.origin);
  const { page, requests } = await openHosted(t, server);
  await openSettings(page);
  const rows = entries(page);
  await rows.first().waitFor();
  assert.equal(await rows.count(), 4);
  assert.match(await rows.first().innerText(), /^second\s+7\.0 MB\s+cuts wider\. Licence: MIT\.$/);
  assert.deepEqual(await rows.getByRole('checkbox').evaluateAll((all) => all.map((box) => box.disabled)), [false, false, false, true]);
  assert.match(
    await rows.last().innerText(),
    /cannot be chosen: whoever serves this page has not allowed it to fetch from https:\/\/far\.example \(cargo xtask dist --model-origin https:\/\/far\.example does\)\.$/,
  );
  await assertAccessible(page, 'a list of detectors');
  await chooseDetectors(page, 'unmask-lite', 'second', 'third');
  assert.match(await page.locator('.settings .drawer-note').innerText(), /^unmask-lite and second and third, /);
  await examine(page, sample('fake'));
  const { content: report } = await downloaded(page, 'Download the report (JSON)');
  assertSameOpinions(report, nativeTogether(sample('fake'), [bundled, second, scratch.path('third.safetensors')], '--frames', '4', '--faces', 'all'));
  const found = await finding(page);
  const headlines = { likely_fake: 'Probably manipulated', likely_real: 'No sign of manipulation', uncertain: 'Cannot tell' };
  assert.equal(found.headline, headlines[report.verdict]);
  assert.equal(found.caveat, 'mean of 3 detectors: 2 weak, 1 uncalibrated');
  const table = page.getByRole('table', { name: 'What each detector says' });
  const cells = await table.getByRole('row').evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.innerText)));
  const words = { likely_fake: 'likely fake', likely_real: 'likely real', uncertain: 'uncertain' };
  const grades = ['weak', 'weak', 'uncalibrated'];
  const expected = report.opinions.map(({ model, verdict, score }, index) => [model.name, words[verdict], score.toFixed(2), grades[index]]);
  assert.deepEqual(cells, [['Detector', 'Verdict', 'Score', 'Grade'], ...expected]);
  const said = await page.locator('.finding').innerText();
  assert.match(said, /The joint verdict is likely fake or likely real only where every detector says so by its own thresholds, and uncertain where they do not agree\./);
  for (const { model } of report.opinions) assert.ok(said.includes(`With ${model.name}: `), said);
  assert.match(await page.getByRole('region', { name: 'Scores over time, by unmask-lite' }).innerText(), /those of unmask-lite, the first of the detectors/);
  assert.match(await page.locator('figcaption').innerText(), /^score 0\.\d+ by unmask-lite \(weak detector\) at /);
  await page.getByText('What was computed, and where').click();
  const facts = await page.locator('.facts dl').innerText();
  for (const { model } of report.opinions) assert.ok(facts.includes(model.sha256), facts);
  await assertAccessible(page, 'three opinions');
  await openSettings(page);
  await rows.first().getByText('7.0 MB, kept on this device').waitFor();
  await page.locator('details.proof').evaluate((details) => (details.open = true));
  assert.ok((await page.locator('.proof .prose').innerText()).includes(`is refused, but for detectors from ${other.origin} and https://*.wide.example, as whoever serves`));
  const origins = new Set(requests.filter((url) => url.startsWith('http')).map((url) => new URL(url).origin));
  assert.deepEqual([...origins].sort(), [server.origin, other.origin].sort(), 'nothing else is fetched from');
});

test('detectors that are kept on this device can be chosen wherever they are from', async (t) => {
  const content = readFileSync(second);
  const sha256 = createHash('sha256').update(content).digest('hex');
  const detectors = [{ name: 'far', url: 'https://far.example/far.safetensors', about: 'is far', sha256 }];
  const server = await hosted(t, JSON.stringify({ detectors }));
  const { page } = await openHosted(t, server);
  await openSettings(page);
  const box = entries(page).getByRole('checkbox');
  assert.equal(await box.isDisabled(), true);
  await page.evaluate(async () => {
    const { Detector } = await import('/unmask.js');
    await Detector.keep('/own/second.safetensors');
  });
  // Whoever opens the settings sees what is kept at that moment.
  await page.locator('details.settings').evaluate((details) => (details.open = false));
  await openSettings(page);
  await entries(page).getByText('kept on this device').waitFor();
  await chooseDetectors(page, 'far');
  await examine(page, sample('no_face'));
  assert.equal((await finding(page)).headline, 'No face to judge');
});

test('at least one detector has to be chosen, and a file of one\u2019s own stands beside the bundled one', async (t) => {
  const server = await hosted(t, null);
  const { page } = await openHosted(t, server);
  assert.equal(await entries(page).count(), 0, 'without a list none is offered');
  await chooseDetectors(page);
  await openSettings(page);
  await page.getByRole('alert').getByText('Choose at least one detector.').waitFor();
  await assertAccessible(page, 'no detector');
  await examine(page, sample('no_face'));
  assert.match(await page.locator('.detail').getByRole('alert').innerText(), /No detector is chosen: choose at least one in the settings/);
  await choose(page, 'input[aria-label="Detector file"]', (input) => input.setInputFiles(second));
  await chooseDetectors(page, 'unmask-lite', 'A file of your own');
  await clear(page);
  await examine(page, sample('real'));
  assert.equal(await page.getByRole('rowheader').count(), 2);
  await choose(page, 'input[aria-label="Detector file"]', (input) => input.setInputFiles(bundled));
  await page.getByRole('button', { name: 'Examine again' }).click();
  await page.getByText(/unmask-lite\.safetensors: it is the same detector as unmask-lite\.safetensors/).waitFor();
});

test('a list that cannot be read is said to be so, and the bundled detector still works', async (t) => {
  for (const list of ['no JSON', '{"detectors": [{"name": "nowhere"}]}', '{}']) {
    const server = await hosted(t, list);
    const { page, problems } = await openHosted(t, server);
    await openSettings(page);
    await page.getByText(/^The list of detectors beside this page cannot be read \(.+\); tell whoever serves it\.$/).waitFor();
    assert.deepEqual(problems, []);
    await examine(page, sample('no_face'));
    assert.equal((await finding(page)).headline, 'No face to judge', await page.locator('.detail').innerText());
  }
});

test('the page as it is made lists the known detectors of the API, none of which it may fetch', async (t) => {
  const { page, context } = await openPage(browser);
  t.after(() => context.close());
  await openSettings(page);
  await entries(page).first().waitFor();
  const known = await page.evaluate(async () => (await import('/unmask.js')).known);
  const list = await (await fetch(new URL('detectors.json', PAGE))).json();
  assert.deepEqual(list, { allowed_origins: [], detectors: known });
  assert.equal(await entries(page).count(), known.length);
  assert.ok(await entries(page).getByRole('checkbox').evaluateAll((all) => all.every((box) => box.disabled)));
  for (const words of await entries(page).allInnerTexts()) assert.match(words, /not allowed it to fetch from https:\/\/huggingface\.co \(/);
});

test('a published checkpoint of a list becomes a detector on this device, and judges beside the bundled one by its listed name', async (t) => {
  const checkpoint = readFileSync(new URL('../goldens/gend_tiny.safetensors', import.meta.url));
  const other = await elsewhere(t, '/model.safetensors', checkpoint);
  // Its tiny tower is of no published size, so that its shapes do not tell the heads of its attention.
  const config = Buffer.from('{"num_attention_heads": 2}');
  other.handle('/config.json', file(config, { headers: { 'Access-Control-Allow-Origin': '*' } }));
  const listed = { name: 'gend-tiny', url: `${other.origin}/model.safetensors`, config: `${other.origin}/config.json`, format: 'gend', about: 'is tiny', licence: 'MIT' };
  const server = await hosted(t, JSON.stringify({ allowed_origins: [other.origin], detectors: [listed] }), other.origin);
  const { page } = await openHosted(t, server);
  await openSettings(page);
  await chooseDetectors(page, 'unmask-lite', 'gend-tiny');
  await examine(page, sample('real'));
  const { content: report } = await downloaded(page, 'Download the report (JSON)');
  const [, { model, score }] = report.opinions;
  assert.deepEqual([model.name, model.training], ['gend-tiny', 'imported']);
  assert.ok(score > 0 && score < 1);
  await openSettings(page);
  await entries(page).getByText('kept on this device').waitFor();
  const kept = await page.evaluate(async () => (await import('/unmask.js')).Detector.kept());
  const [entry] = kept.filter(({ url }) => url === listed.url);
  assert.ok(entry.complete && entry.converted && entry.bytes < checkpoint.length, JSON.stringify(entry));
});
