// The page's end of its service worker: the copy for when there is no network, and the record of every request.

/** What the service worker saw, by address: requests of workers are in no list that a page can read. */
const seen = new Map();

const channel = new BroadcastChannel('unmask-requests');
channel.addEventListener('message', ({ data: { address, method } }) => seen.set(address, method));
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
  await navigator.serviceWorker.register('./offline.js', { updateViaCache: 'none' });
  const { active } = await navigator.serviceWorker.ready;
  // After the page is there, so that the copy does not delay it.
  if (document.readyState !== 'complete') {
    await new Promise((resolve) => window.addEventListener('load', resolve, { once: true }));
  }
  active.postMessage({ type: 'keep', also: ['./unmask-lite.safetensors'] });
}

/** Every request so far: `{ address, method, bytes }`, `bytes` over the network where the browser tells. Files that the user chose are not requests. */
export function requests() {
  const found = new Map();
  const entries = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
  for (const { name, transferSize } of entries) {
    const address = new URL(name, document.baseURI);
    if (address.protocol === 'blob:' || address.protocol === 'data:') continue;
    const bytes = (found.get(address.href)?.bytes ?? 0) + transferSize;
    found.set(address.href, { address: address.href, method: seen.get(address.href) ?? 'GET', bytes });
  }
  for (const [address, method] of seen) {
    if (!found.has(address)) found.set(address, { address, method, bytes: null });
  }
  return [...found.values()];
}
