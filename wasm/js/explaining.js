import { UnmaskError } from './error.js';
import { wasm } from './module.js';
import { openSource } from './sources.js';

/**
 * @import { Report } from './unmask.d.ts'
 *
 * @typedef {{ index: number, landmarks: [number, number][] }} Cut a face to cut out of the frame with this number
 * @typedef {{ cuts: Cut[], track: number, score: number, middle: number }} Clip faces that the detector saw together
 */

/**
 * Where the first of the detectors in `opened` looked in some faces of an input whose `report` is theirs; it is decoded once more.
 * Gives for each the frame, its time, track and score, and pictures as PNG: the face, what speaks for a fake and what for a real one.
 */
export async function explainInput(opened, { file, report, faces }, control) {
  const { spec } = opened.models[0];
  const length = wasm.explainedTogether(spec);
  if (length === undefined) {
    const way = 'the command `unmask explain` shows it';
    throw new UnmaskError('cannot_explain', `a page cannot show where a transformer such as ${opened.description.models[0].name} looked; ${way}`);
  }
  const clips = chosen(report, length, faces);
  const crops = await cutOut(file, report, clips, spec, control);
  const found = [];
  for (const clip of clips) {
    control.check();
    const cut = clip.cuts.map(({ index }) => /** @type {Uint8Array} */ (crops.get(key(index, clip.track))));
    while (cut.length < length) cut.push(cut[cut.length - 1]);
    const { value } = await opened.pool.explain(joined(cut), 0);
    const { index } = clip.cuts[clip.middle];
    const pictures = await Promise.all([cut[clip.middle], value.fake, value.real].map((pixels) => picture(pixels, value.size)));
    const [face, fake, real] = pictures;
    found.push({ frame: index, time_s: report.frames[index].time_s, track: clip.track, score: clip.score, face, fake, real });
  }
  return found;
}

/**
 * Clips of whoever has the highest score, evenly spaced over the input.
 * @param {Report} report
 * @param {number} length
 * @param {number} count
 * @returns {Clip[]}
 */
function chosen({ tracks, frames }, length, count) {
  const decides = tracks
    .filter(({ score }) => score !== null)
    .reduce((highest, track) => (Number(track.score) > Number(highest?.score ?? -1) ? track : highest), /** @type {Report['tracks'][0] | null} */ (null));
  if (!decides) return [];
  const cuts = frames.flatMap((frame, index) =>
    frame.faces.filter(({ track, score }) => track === decides.id && score !== null).map(({ landmarks, score }) => ({ index, landmarks, score })),
  );
  /** @type {Clip[]} */
  const clips = [];
  for (let start = 0; start < cuts.length; start += length) {
    const own = cuts.slice(start, start + length);
    const middle = Math.min(length >> 1, own.length - 1);
    clips.push({ cuts: own, track: decides.id, score: /** @type {number} */ (own[middle].score), middle });
  }
  const some = Math.min(count, clips.length);
  return Array.from({ length: some }, (_, place) => clips[Math.floor((place * (clips.length - 1)) / Math.max(some - 1, 1))]);
}

/**
 * The crops of all faces in `clips`, by `key`.
 * @param {Blob} file
 * @param {Report} report
 * @param {Clip[]} clips
 * @param {string} spec
 */
async function cutOut(file, report, clips, spec, control) {
  const source = await openSource(file, report.frames.length, control.ask);
  /** @type {Map<string, Uint8Array>} */
  const crops = new Map();
  try {
    let index = 0;
    for await (const { time, pixels, width, height, orientation } of source.frames) {
      control.check();
      if (report.frames[index]?.time_s !== time) break;
      for (const { cuts, track } of clips) {
        for (const cut of cuts) {
          if (cut.index !== index) continue;
          crops.set(key(index, track), wasm.cropFace(pixels, width, height, orientation, Float32Array.from(cut.landmarks.flat()), spec));
        }
      }
      index++;
      control.tell({ stage: 'score', done: index, total: report.frames.length });
    }
  } finally {
    source.free();
  }
  const wanted = clips.flatMap(({ cuts, track }) => cuts.map(({ index }) => key(index, track)));
  if (wanted.every((face) => crops.has(face))) return crops;
  throw new UnmaskError('unreadable', 'it shows other frames than those that were scored; score it again');
}

/** What a face is found by. */
function key(index, track) {
  return `${index} ${track}`;
}

/** @param {Uint8Array[]} parts */
function joined(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let end = 0;
  for (const part of parts) {
    all.set(part, end);
    end += part.length;
  }
  return all;
}

/**
 * A PNG of pixels of three bytes each.
 * @param {Uint8Array} pixels
 * @param {number} size
 */
function picture(pixels, size) {
  const data = new ImageData(size, size);
  for (let pixel = 0; pixel < size * size; pixel++) {
    data.data.set(pixels.subarray(3 * pixel, 3 * pixel + 3), 4 * pixel);
    data.data[4 * pixel + 3] = 255;
  }
  const canvas = new OffscreenCanvas(size, size);
  /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d')).putImageData(data, 0, 0);
  return canvas.convertToBlob({ type: 'image/png' });
}
