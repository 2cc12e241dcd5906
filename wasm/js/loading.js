import { Pool } from './pool.js';

/** The face finder's weights, files beside the module. */
const FACE_WEIGHTS = [new URL('./mtcnn.safetensors', import.meta.url), new URL('./landmark_refiner.safetensors', import.meta.url)];

/**
 * Opens the detector file `model` (over `base`, where it is an adapter), checks it and loads it into helpers.
 * Gives `{ pool, spec, sha256, description }`.
 */
export async function openDetector(module, { model, base, sha256: expected, device }, { tell, check }) {
  tell({ stage: 'prepare', done: 0 });
  const faceWeights = await Promise.all(FACE_WEIGHTS.map(bytesOf));
  check();
  const detector = { pool: null, listener: tell };
  const pool = new Pool({ module, faceWeights }, (change) => {
    detector.description.device = change.device;
    detector.listener({ stage: 'device', ...change });
  });
  detector.pool = pool;
  detector.description = { workers: pool.size, device: 'cpu' };
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
    Object.assign(detector, { spec, sha256 });
    Object.assign(detector.description, { name, sha256, frames: sampling.frames, device: pool.device });
    return detector;
  } catch (error) {
    pool.close();
    throw error;
  }
}

async function bytesOf(url) {
  const name = url.pathname.split('/').pop();
  let response;
  try {
    response = await fetch(url);
  } catch (error) {
    throw new Error(`${name} could not be fetched (${error.message}); check the connection`);
  }
  if (!response.ok) throw new Error(`${name} is not there (${response.status}); serve all of Unmask's files`);
  return response.arrayBuffer();
}

/** The description in the file's header and the file's SHA-256, once all that is known of them agrees. */
async function described(pool, { model, base, expected }) {
  const describe = async (blob) => (await pool.run('describe', { blob })).value;
  const { spec, sha256 } = await describe(model);
  if (expected && sha256 !== expected) {
    throw new Error(`its SHA-256 is ${sha256} and not ${expected} as expected; do not use it, and fetch it again`);
  }
  const wanted = JSON.parse(spec).adapter?.base_sha256;
  if (wanted && base) {
    const { sha256: found } = await describe(base);
    if (found !== wanted) {
      throw new Error(`it is an adapter for the detector with SHA-256 ${wanted}, and the base has ${found}; give the right base`);
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
    if (demanded) throw new Error(`WebGPU cannot be used (${error.message}); choose device \`auto\` or \`cpu\``);
  }
}

/** Whether the CPU plays the graphics device, as slowly as that is. Not every such adapter says so of itself. */
function isImitation({ info = {}, isFallbackAdapter }) {
  const names = [info.vendor, info.architecture, info.device, info.description].join(' ');
  return (info.isFallbackAdapter ?? isFallbackAdapter) || /swiftshader|llvmpipe|basic render/i.test(names);
}
