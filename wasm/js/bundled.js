/**
 * The detector that comes with Unmask. Literal, so that bundlers take the file along; with its SHA-256, so that a copy on
 * disk is used without a request.
 */
export const bundled = {
  url: new URL('./unmask-lite.safetensors', import.meta.url),
  sha256: '8243fc556b49b62fa158027c4a32024ea31c9aa583a9c6326f8cb894c53c2cd1',
};
