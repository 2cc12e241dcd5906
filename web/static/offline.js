// Service worker: the network first, so that nobody is left with an old page, and where there is none a complete copy of
// one build. Each online visit makes the copy anew if anything changed, and only a whole copy replaces the one before.

const PREFIX = 'unmask-page-';
/** Written last, so that a copy without it is unfinished. */
const COMPLETE = new URL('./copy-is-complete', self.location.href).href;

/** Files that name other files. */
const TEXT = /\.(?:html|js|css|webmanifest)$|\/$/;
const REFERENCE = /["'(](?:\.\/)?([\w-][\w./-]*\.(?:js|css|wasm|svg|png|webmanifest|safetensors)|detectors\.json)["')]/g;
/** What wasm modules import from looks like a file's name and is none. */
const NO_FILE = /_bg\.js$/;
/** More than half of all bytes, and of use only where the browser has WebGPU. */
const GPU_MODULE = /\/unmask_gpu[^/]*$/;
/** Of these two a browser uses one. */
const RELAXED_MODULE = /\/unmask_relaxed[^/]*$/;
const COMMON_MODULE = /\/unmask_wasm[^/]*$/;

const channel = new BroadcastChannel('unmask-requests');

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

self.addEventListener('message', (event) => {
  if (event.data?.type !== 'keep') return;
  const kept = keep(event.data.relaxed).then(
    (bytes) => ({ type: 'kept', bytes }),
    (error) => ({ type: 'not-kept', reason: error.message }),
  );
  event.waitUntil(kept.then((answer) => event.source.postMessage(answer)));
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const { href, origin } = new URL(request.url);
  channel.postMessage({ address: href, method: request.method });
  if (request.method === 'GET' && origin === self.location.origin) event.respondWith(answer(request));
});

async function answer(request) {
  const { url: address, method } = request;
  try {
    const response = await fetch(request);
    const bytes = Number(response.headers.get('content-length')) || undefined;
    channel.postMessage({ address, method, bytes, fromCopy: false });
    return response;
  } catch (error) {
    const kept = await keptFile(address);
    if (!kept) throw error;
    channel.postMessage({ address, method, fromCopy: true });
    return kept;
  }
}

async function keptFile(address) {
  const url = new URL(address);
  url.search = '';
  url.hash = '';
  // The page goes by two names.
  url.pathname = url.pathname.replace(/\/index\.html$/, '/');
  const copy = await completeCopy();
  return copy?.match(url.href, { ignoreVary: true });
}

async function completeCopy() {
  for (const name of await copies()) {
    const copy = await caches.open(name);
    if (await copy.match(COMPLETE)) return copy;
  }
  return null;
}

async function copies() {
  return (await caches.keys()).filter((name) => name.startsWith(PREFIX));
}

/**
 * Makes the copy of what is served now, with the module that the browser uses; resolves to its size in bytes. Without a network
 * the copy that is there counts.
 */
async function keep(relaxed) {
  let files;
  try {
    files = await ownFiles(relaxed ? COMMON_MODULE : RELAXED_MODULE);
  } catch (error) {
    const copy = await completeCopy();
    if (!copy) throw error;
    return Number(await (await copy.match(COMPLETE)).text());
  }
  const bytes = [...files.values()].reduce((sum, { body }) => sum + body.byteLength, 0);
  const name = PREFIX + (await digest(files));
  const copy = await caches.open(name);
  if (!(await copy.match(COMPLETE))) {
    for (const [address, { body, headers }] of files) await copy.put(address, new Response(body, { headers }));
    await copy.put(COMPLETE, new Response(String(bytes)));
  }
  await Promise.all((await copies()).filter((other) => other !== name).map((other) => caches.delete(other)));
  return bytes;
}

/** Everything that the page consists of: what `index.html` names, what that names, and so on, but for the `unused`. */
async function ownFiles(unused) {
  const files = new Map();
  const asked = new Set();
  const waiting = [self.registration.scope];
  while (waiting.length > 0) {
    const address = waiting.pop();
    if (asked.has(address)) continue;
    asked.add(address);
    const response = await fetch(address, { cache: 'no-cache' });
    channel.postMessage({ address, method: 'GET', bytes: Number(response.headers.get('content-length')) || undefined });
    // Not everything that looks like a file's name is one.
    if (!response.ok) continue;
    const body = await response.arrayBuffer();
    const headers = new Headers(response.headers);
    // They tell how the body travelled, not how it is kept.
    for (const name of ['content-encoding', 'content-length', 'transfer-encoding']) headers.delete(name);
    files.set(address, { body, headers });
    if (TEXT.test(address)) waiting.push(...references(address, new TextDecoder().decode(body), unused));
  }
  return files;
}

function references(address, text, unused) {
  const found = [...text.matchAll(REFERENCE)].map(([, name]) => new URL(name, address).href);
  const ofNoUse = [NO_FILE, unused, ...('gpu' in self.navigator ? [] : [GPU_MODULE])];
  const isOfUse = (reference) => !ofNoUse.some((names) => names.test(reference));
  return found.filter((reference) => reference.startsWith(self.registration.scope) && isOfUse(reference));
}

/** Names a build by its content. */
async function digest(files) {
  const parts = [];
  for (const address of [...files.keys()].sort()) {
    parts.push(address, hexadecimal(await crypto.subtle.digest('SHA-256', files.get(address).body)));
  }
  return hexadecimal(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(parts.join('\n'))));
}

function hexadecimal(buffer) {
  return Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
