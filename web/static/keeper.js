// The page's end of its service worker: the copy for when there is no network, and the record of every request.

import { hasRelaxed } from './module.js';

/** What the service worker saw, by address: requests of workers are in no list that a page can read. */
const seen = new Map();

const channel = new BroadcastChannel('unmask-requests');
channel.addEventListener('message', ({ data }) => seen.set(data.address, { ...seen.get(data.address), ...data }));
performance.setResourceTimingBufferSize?.(2000);

/** Has a copy of the page kept on this device; calls back with its size in bytes, or with why there is none. */
export function keep(onKept, onProblem) {
  if (!('serviceWorker' in navigator)) {
    onProblem('this browser keeps no copies of pages that are not served over https');
    return;
  }
  navigator.serviceWorker.addEventListener('message', ({ data }) => {
    if (data?.type === 'kept') onKept(data.bytes);
    if (data?.type === 'not-kept') onProblem(data.reason);
  });
  register().catch((error) => onProblem(error.message));
}

async function register() {
  const registered = await navigator.serviceWorker.register('./offline.js', { updateViaCache: 'none' });
  // Its own file is in no list.
  const script = registered.installing ?? registered.waiting ?? registered.active;
  if (script) seen.set(script.scriptURL, { method: 'GET' });
  const { active } = await navigator.serviceWorker.ready;
  // After the page is there, so that the copy does not delay it.
  if (document.readyState !== 'complete') {
    await new Promise((resolve) => window.addEventListener('load', resolve, { once: true }));
  }
  active.postMessage({ type: 'keep', relaxed: hasRelaxed() });
}

/**
 * Every address that was requested so far: `{ address, method, bytes, fromCopy }`, `bytes` null where nobody tells. Files that
 * the user chose are not requests.
 */
export function requests() {
  const found = new Map();
  const entries = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
  for (const { name, encodedBodySize } of entries) {
    const { href: address, protocol } = new URL(name, document.baseURI);
    if (protocol === 'blob:' || protocol === 'data:') continue;
    found.set(address, { address, method: 'GET', bytes: encodedBodySize || null, fromCopy: false });
  }
  for (const [address, told] of seen) {
    const bytes = told.bytes ?? found.get(address)?.bytes ?? null;
    found.set(address, { address, method: told.method, bytes, fromCopy: told.fromCopy ?? false });
  }
  return [...found.values()];
}
