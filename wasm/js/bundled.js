/**
 * The detector that comes with Unmask. Literal, so that bundlers take the file along; with its SHA-256, so that a copy on
 * disk is used without a request.
 */
export const bundled = {
  url: new URL('./unmask-lite.safetensors', import.meta.url),
  sha256: '9dc6432c11252d504dc0fda8e474049365cee7743e2abc3fe3c236ead5476429',
};
