/**
 * The detector that comes with Unmask. Literal, so that bundlers take the file along; with its SHA-256, so that a copy on
 * disk is used without a request.
 */
export const bundled = {
  url: new URL('./unmask-lite.safetensors', import.meta.url),
  sha256: 'c23893f8c00ef6601752b35e749b5c9030cdcc063e1ee088ccc0f5959d339dec',
};
