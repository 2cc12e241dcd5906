/**
 * Starts one of Unmask's workers from a file beside this one.
 *
 * Browsers start a worker only from the page's own origin. Where Unmask's files come from another one, a module of one
 * line, made by the page, imports the worker from there. The literal `new Worker(new URL(…))` stays with the caller, since
 * bundlers follow it by its text, and a worker that led back to the file it is started from would be a circle to them:
 *
 * ```js
 * spawn('worker.js', () => new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'unmask' }));
 * ```
 *
 * @param {string} file the worker's name
 * @param {() => Worker} start starts it where it has the page's origin
 * @returns {Worker}
 */
export function spawn(file, start) {
  return isFromElsewhere() ? new Worker(importing(file), { type: 'module', name: file }) : start();
}

/** Whether this file has another origin than the page. A bundler may give it an address that is none on the web. */
function isFromElsewhere() {
  const { protocol, origin } = new URL(import.meta.url);
  return /^https?:$/.test(protocol) && origin !== self.origin;
}

/** The one-line modules, by the worker's name. They are never revoked: a worker may read its own at any time. */
const modules = new Map();

function importing(file) {
  if (!modules.has(file)) {
    const source = `import ${JSON.stringify(new URL(file, import.meta.url).href)};`;
    modules.set(file, URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
  }
  return modules.get(file);
}
