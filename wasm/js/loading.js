import { UnmaskError } from './error.js';
import { BrokenHelper, Pool } from './pool.js';

/**
 * @import { Description, Files } from './messages.d.ts'
 *
 * @typedef {{ spec: string, sha256: string }} Described
 * @typedef {{ pool: Pool, models: Described[], description: Description, listener: (value: any) => void }} Opened
 */

/** The face finder's weights, files beside the module. */
const FACE_WEIGHTS = [new URL('./centerface.safetensors', import.meta.url), new URL('./landmark_refiner.safetensors', import.meta.url)];

/**
 * Opens the detector files (each over its base, where it is an adapter), checks them and loads them into helpers. What is
 * wrong with one of them is told with its name.
 * @param {{ relaxed: boolean, compiled: WebAssembly.Module }} module
 * @param {{ models: Files[], device: string }} request
 * @returns {Promise<Opened>}
 */
export async function openDetectors(module, { models: files, device }, { tell, check }) {
  tell({ stage: 'prepare', done: 0 });
  const faceWeights = await Promise.all(FACE_WEIGHTS.map(bytesOf));
  check();
  /** @type {Opened | null} */
  let opened = null;
  const pool = new Pool({ ...module, faceWeights }, (change) => {
    if (opened) opened.description.device = change.device;
    (opened?.listener ?? tell)({ stage: 'device', ...change });
  });
  try {
    const gpu = useGpu(pool, device);
    // Its failure is heard below, perhaps after another.
    gpu.catch(() => {});
    const models = await Promise.all(files.map((file) => described(pool, file)));
    refuseTwice(files, models);
    await gpu;
    check();
    await pool.prepare(files);
    check();
    return (opened = { pool, models, description: description(models, pool), listener: tell });
  } catch (error) {
    pool.close();
    const { file } = error;
    if (!(error instanceof BrokenHelper) || error.code !== 'stopped') throw error;
    const way = 'try again, with other pages closed';
    throw about(file, new UnmaskError('stopped', `the detector could not be made ready (${error.message}); ${way}`));
  }
}

/**
 * What the page is told.
 * @param {Described[]} models
 * @param {Pool} pool
 * @returns {Description}
 */
function description(models, pool) {
  const specs = models.map(({ spec }) => JSON.parse(spec));
  const named = models.map(({ sha256 }, index) => ({ name: specs[index].name, sha256 }));
  // As many as the one needs that needs most.
  const frames = Math.max(...specs.map(({ sampling }) => sampling.frames));
  return { models: named, frames, workers: pool.size, device: pool.device };
}

/**
 * The error, which is told with the name of that file.
 * @param {string | undefined} file
 * @param {any} error
 */
function about(file, error) {
  return Object.assign(error, { file });
}

/**
 * A detector agrees with itself, which would look like a second opinion.
 * @param {Files[]} files
 * @param {Described[]} models
 */
function refuseTwice(files, models) {
  models.forEach(({ sha256 }, index) => {
    const first = models.findIndex((model) => model.sha256 === sha256);
    if (first === index) return;
    const problem = `it is the same detector as ${files[first].name}, whose opinion would count twice; leave one of them out`;
    throw about(files[index].name, new UnmaskError('wrong_use', problem));
  });
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
 * The description in a file's header and the file's SHA-256, once all that is known of them agrees.
 * @param {Pool} pool
 * @param {Files} file
 * @returns {Promise<Described>}
 */
async function described(pool, file) {
  try {
    return await agreeing(pool, file);
  } catch (error) {
    throw about(file.name, error);
  }
}

/**
 * @param {Pool} pool
 * @param {Files} file
 */
async function agreeing(pool, { model, base, sha256: expected }) {
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
