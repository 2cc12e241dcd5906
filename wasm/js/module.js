/**
 * The module that a worker computes with: the one for relaxed vector instructions where this browser has them, which are faster, or
 * the one for all browsers. They have the same exports. No file of the other is fetched.
 */

/** The module's exports, once it is ready. @type {typeof import('./unmask_wasm.js')} */
export let wasm;

/** A module of one function: `i32x4.relaxed_dot_i8x16_i7x16_add_s` of its three vectors. */
const WITH_RELAXED = Uint8Array.of(
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...[1, 8, 1, 0x60, 3, 0x7b, 0x7b, 0x7b, 1, 0x7b],
  ...[3, 2, 1, 0],
  ...[10, 13, 1, 11, 0, 0x20, 0, 0x20, 1, 0x20, 2, 0xfd, 0x93, 2, 11],
);

/** Whether this browser has relaxed vector instructions. A module with them is none to a browser that has not. */
export function hasRelaxed() {
  return WebAssembly.validate(WITH_RELAXED);
}

/**
 * Makes the module ready in this worker.
 * @param {{ relaxed?: boolean, compiled?: WebAssembly.Module }} [given] which of the two, and what it was compiled to where that has
 *   been done
 */
export async function start({ relaxed = hasRelaxed(), compiled } = {}) {
  // To a checker of types the classes of two modules are never the same.
  /** @type {any} */
  const chosen = relaxed ? await import('./unmask_relaxed.js') : await import('./unmask_wasm.js');
  wasm = chosen;
  await wasm.default({ module_or_path: compiled ?? address(relaxed) });
}

/**
 * The compiled module, which other workers can be given.
 * @param {boolean} relaxed
 */
export function compile(relaxed) {
  return WebAssembly.compileStreaming(fetch(address(relaxed)));
}

/** @param {boolean} relaxed */
function address(relaxed) {
  return relaxed ? new URL('./unmask_relaxed_bg.wasm', import.meta.url) : new URL('./unmask_wasm_bg.wasm', import.meta.url);
}
