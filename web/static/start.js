// Starts the page, and keeps a copy of it for when there is no network.
import init from './unmask-web.js';

await init({ module_or_path: new URL('./unmask-web_bg.wasm', import.meta.url) });
if ('serviceWorker' in navigator) {
  navigator.serviceWorker.register('./offline.js').catch((error) => console.warn('works online only:', error));
}
