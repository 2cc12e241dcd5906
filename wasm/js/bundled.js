/**
 * The detector that comes with Unmask. Literal, so that bundlers take the file along; with its SHA-256, so that a copy on
 * disk is used without a request.
 */
export const bundled = {
  url: new URL('./unmask-lite.safetensors', import.meta.url),
  sha256: 'dd0669cac25551d6767f8b8c17f5917789b0e1f776c85ef5ce2053af181a98f8',
};
