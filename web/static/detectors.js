// The detectors that whoever serves this page offers beside its own.

/** The list, which `cargo xtask` writes and a host may edit. */
const LIST = new URL('./detectors.json', import.meta.url);

/**
 * The detectors of the list with whole addresses, each with the `origin` that it is fetched from and whether this page is
 * `allowed` to, and the other `origins` that it is, null where there is no list to say so.
 */
export async function offered() {
  const response = await fetch(LIST);
  if (response.status === 404) return { origins: null, detectors: [] };
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  const { allowed_origins: allowed = [], detectors } = await response.json();
  const origins = allowed.map(normal);
  if (!Array.isArray(detectors)) throw new Error('it has no list `detectors`');
  return { origins, detectors: detectors.map((entry) => described(entry, [self.location.origin, ...origins])) };
}

function described({ name, url, config, format, about, licence, bytes, sha256 }, origins) {
  if (typeof name !== 'string' || typeof url !== 'string') throw new Error('a detector in it lacks its `name` or its `url`');
  const address = new URL(url, LIST);
  const described = config == null ? null : new URL(config, LIST);
  const forbidden = [address, described].find((one) => one && !origins.some((allowed) => covers(allowed, one.origin)));
  return {
    name,
    url: address.href,
    config: described?.href ?? null,
    format: format ?? null,
    about: about ?? '',
    licence: licence ?? null,
    bytes: bytes ?? null,
    sha256: sha256?.toLowerCase() ?? null,
    origin: (forbidden ?? address).origin,
    allowed: !forbidden,
  };
}

/** An origin as browsers write it; one with a star stays. */
function normal(origin) {
  return String(origin).includes('*') ? String(origin).toLowerCase() : new URL(origin).origin;
}

/** Whether that is the origin, or all hosts below one as in `https://*.example`, of which it is one. */
function covers(allowed, origin) {
  const [start, end] = String(allowed).split('*');
  return end === undefined ? origin === start : origin.startsWith(start) && origin.endsWith(end);
}
