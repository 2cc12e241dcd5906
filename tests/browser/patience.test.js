// A test that waits in vain ends, and says for what.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { patiently } from './patience.js';
import { TestServer } from './server.js';
import { launchPlain } from './support.js';

let browser;
const server = new TestServer();

before(async () => {
  await server.start();
  browser = patiently(await launchPlain(), { coming: 1000, work: 1000 });
});

after(async () => {
  await browser?.close();
  await server.stop();
});

test('a page that never comes is named with the request that has no answer', async () => {
  const page = await browser.newPage();
  server.handle('/stuck.js', () => {});
  const html = '<!doctype html><link rel="icon" href="data:,"><script src="/stuck.js"></script>';
  const address = server.handle('/page.html', (_, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end(html));
  await assert.rejects(page.goto(address), {
    message: `${address} did not load within 1 s; unanswered: ${server.origin}/stuck.js`,
  });
});

test('a script that never ends is named with its page', async () => {
  const page = await browser.newPage();
  await assert.rejects(page.evaluate(() => new Promise(() => {})), {
    message: 'a script in about:blank did not end within 1 s; unanswered: no request',
  });
});
