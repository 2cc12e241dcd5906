/** @import { ErrorCode } from './unmask.d.ts' */

/** What went wrong: a code for programs, and a message of one sentence for people. */
export class UnmaskError extends Error {
  name = 'UnmaskError';

  /**
   * @param {ErrorCode} code
   * @param {string} message
   * @param {ErrorOptions} [options]
   */
  constructor(code, message, options) {
    super(message, options);
    this.code = code;
  }
}

/**
 * The code of anything that was thrown: its own, where it has one, as the modules' errors do.
 * @param {any} error
 * @returns {ErrorCode}
 */
export function codeOf(error) {
  // A `DOMException` has a number there.
  return typeof error?.code === 'string' ? error.code : 'internal';
}

/**
 * What a message between workers can carry of an error: browsers copy no property of one but its sentence.
 * @param {any} error
 * @param {string} [name] the file that it is about, where it does not say another
 * @returns {Told}
 *
 * @typedef {{ code: ErrorCode, message: string }} Told
 */
export function told(error, name) {
  const message = error?.message ?? String(error);
  const file = error?.file ?? name;
  return { code: codeOf(error), message: file ? `${file}: ${message}` : message };
}

/**
 * Whether a module stopped, which cannot be called any more.
 * @param {any} error
 */
export function isBroken(error) {
  return error instanceof WebAssembly.RuntimeError || error instanceof WebAssembly.CompileError;
}

/**
 * What stopped a module, as it says itself where it can.
 * @param {any} error
 * @param {() => string | undefined} lastPanic
 * @returns {Told}
 */
export function stopped(error, lastPanic) {
  let message = error.message;
  try {
    message = lastPanic() ?? message;
  } catch {
    // A module that did not start says nothing.
  }
  return { code: 'stopped', message };
}

/**
 * The error that another worker told of.
 * @param {Told} error
 */
export function heard({ code, message }) {
  return new UnmaskError(code, message);
}
