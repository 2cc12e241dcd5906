import { UnmaskError } from './error.js';
import { BrokenHelper, Pool } from './pool.js';

/**
 * @typedef {{ spec: string, sha256: string }} Described
 * @typedef {{ name: string, sha256: string, frames: number, workers: number, device: 'cpu' | 'webgpu' }} Description what the page is told
 * @typedef {{ pool: Pool, spec: string, sha256: string, description: Description, listener: (value: any) => void }} Opened
 */

/** The face finder's weights, files beside the module. */
const FACE_WEIGHTS = [new URL('./centerface.safetensors', import.meta.url), new URL('./landmark_refiner.safetensors', import.meta.url)];

/**
 * Opens the detector file `model` (over `base`, where it is an adapter), checks it and loads it into helpers.
 * @returns {Promise<Opened>}
 */
export async function openDetector(module, { model, base, sha256: expected, device }, { tell, check }) {
  tell({ stage: 'prepare', done: 0 });
  const faceWeights = await Promise.all(FACE_WEIGHTS.map(bytesOf));
  check();
  /** @type {Opened | null} */
  let opened = null;
  const pool = new Pool({ module, faceWeights }, (change) => {
    if (opened) opened.description.device = change.device;
    (opened?.listener ?? tell)({ stage: 'device', ...change });
  });
  try {
    const gpu = useGpu(pool, device);
    // Its failure is heard below, perhaps after another.
    gpu.catch(() => {});
    const { spec, sha256 } = await described(pool, { model, base, expected });
    await gpu;
    check();
    await pool.prepare({ model, base });
    check();
    const { name, sampling } = JSON.parse(spec);
    const description = { name, sha256, frames: sampling.frames, workers: pool.size, device: pool.device };
    return (opened = { pool, spec, sha256, description, listener: tell });
  } catch (error) {
    pool.close();
    if (!(error instanceof BrokenHelper) || error.code !== 'stopped') throw error;
    const way = 'try again, with other pages closed';
    throw new UnmaskError('stopped', `the detector could not be made ready (${error.message}); ${way}`);
  }
}

/** @param {URL} url */
async function bytesOf(url) {
  const name = url.pathname.split('/').pop();
  try {
    const response = await fetch(url);
    if (response.ok) return await response.arrayBuffer();
    throw new UnmaskError('missing_files', `${name} is not there (${response.status}); serve all of Unmask's files`);
  } catch (error) {
    if (error instanceof UnmaskError) throw error;
    throw new UnmaskError('network', `${name} could not be fetched (${error.message}); check the connection`);
  }
}

/**
 * The description in the file's header and the file's SHA-256, once all that is known of them agrees.
 * @returns {Promise<Described>}
 */
async function described(pool, { model, base, expected }) {
  /** @returns {Promise<Described>} */
  const describe = async (blob) => (await pool.run('describe', { blob })).value;
  const { spec, sha256 } = await describe(model);
  if (expected && sha256 !== expected) {
    const way = 'do not use it, and fetch it again';
    throw new UnmaskError('wrong_sha256', `its SHA-256 is ${sha256} and not ${expected} as expected; ${way}`);
  }
  const wanted = JSON.parse(spec).adapter?.base_sha256;
  if (wanted && base) {
    const { sha256: found } = await describe(base);
    if (found !== wanted) {
      const problem = `it is an adapter for the detector with SHA-256 ${wanted}, and the base has ${found}`;
      throw new UnmaskError('wrong_base', `${problem}; give the right base`);
    }
  }
  return { spec, sha256 };
}

/** Has the pool score by WebGPU where that is asked for, or works and is no mere imitation of a graphics device. */
async function useGpu(pool, device) {
  if (device === 'cpu') return;
  const demanded = device === 'webgpu';
  try {
    const adapter = await navigator.gpu?.requestAdapter();
    if (!adapter) throw new Error('this browser gives no graphics device');
    if (isImitation(adapter) && !demanded) return;
    await pool.useGpu(demanded);
  } catch (error) {
    if (!demanded) return;
    const way = 'choose device `auto` or `cpu`';
    throw new UnmaskError('no_webgpu', `WebGPU cannot be used (${error.message}); ${way}`);
  }
}

/**
 * Whether the CPU plays the graphics device, as slowly as that is. Not every such adapter says so of itself.
 * @param {GPUAdapter & { isFallbackAdapter?: boolean }} adapter older browsers give it no `info`
 */
function isImitation(adapter) {
  const info = adapter.info ?? {};
  const names = [info.vendor, info.architecture, info.device, info.description].join(' ');
  return (info.isFallbackAdapter ?? adapter.isFallbackAdapter) || /swiftshader|llvmpipe|basic render/i.test(names);
}
