// Starts the page.
import init from './unmask-web.js';

await init({ module_or_path: new URL('./unmask-web_bg.wasm', import.meta.url) });
