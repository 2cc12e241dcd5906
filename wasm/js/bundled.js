/**
 * The detector that comes with Unmask. Literal, so that bundlers take the file along; with its SHA-256, so that a copy on
 * disk is used without a request.
 */
export const bundled = {
  url: new URL('./unmask-lite.safetensors', import.meta.url),
  sha256: '57ddff6663148d04b71a8e1a3a196bde6370ce382e599f812b1ace99a6b02dec',
};
