/**
 * Frames as pixels: three bytes a pixel, or four whose last is ignored, still to be laid as the orientation asks, which is a
 * number of EXIF.
 *
 * @import { PictureFile, VideoFile } from './unmask_wasm.js'
 *
 * @typedef {{ pixels: Uint8Array, width: number, height: number }} Picture
 * @typedef {Picture & { time: number, orientation: number }} Frame
 * @typedef {{ width: number, height: number }} Size
 * @typedef {(planes: Uint8Array, format: string, size: Size, shown: Size, matrix?: string, fullRange?: boolean) =>
 *   Uint8Array | undefined} Converter makes pixels of planes in the size that is shown, where it knows how
 * @typedef {Size & { stretched: Size, convert: Converter }} Coded
 *   the size of a frame before it is laid, with square pixels; how much these are stretched; and what makes pixels of it
 * @typedef {(code: 'size_changes') => void} Note takes down what weakens the answer
 * @typedef {{ first: number, last: number, wanted: Map<number, number> }} Run
 *   samples to decode one after the other, and the times of the frames wanted of them by what tells frames apart
 */

import { UnmaskError } from './error.js';
import { wasm } from './module.js';

/** Frames that a decoder is given ahead of those that came out of it. */
const DECODE_AHEAD = 8;

/**
 * The sampled frames of an opened video, in order. Some streams decode from their start only, since what the decoder has
 * to know stands there alone: where a later run fails, all that is left is decoded from the first sample.
 *
 * @param {VideoFile} video
 * @param {VideoDecoderConfig} config
 * @param {Note} note
 * @returns {AsyncGenerator<Frame, void, undefined>}
 */
export async function* videoFrames(video, config, note) {
  const runs = Array.from({ length: video.runs }, (_, run) => plannedRun(video, run));
  const sizes = new Sizes(note);
  try {
    for (const run of runs) yield* decodedRun(video, config, run, sizes);
  } catch (error) {
    const left = runs.filter((run) => run.wanted.size > 0);
    if (!(error instanceof DecodingError) || !(left[0]?.first > 0)) throw error;
    const wanted = new Map(left.flatMap((run) => [...run.wanted]));
    yield* decodedRun(video, config, { first: 0, last: left[left.length - 1].last, wanted }, sizes);
  }
}

/** Notices frames of several sizes. */
class Sizes {
  #note;
  /** @type {string | null} */
  #first = null;

  /** @param {Note} note */
  constructor(note) {
    this.#note = note;
  }

  /** @param {VideoFrame} frame */
  see({ visibleRect }) {
    const size = `${visibleRect?.width}x${visibleRect?.height}`;
    this.#first ??= size;
    if (size !== this.#first) this.#note('size_changes');
  }
}

/**
 * @param {VideoFile} video
 * @param {number} run
 * @returns {Run}
 */
function plannedRun(video, run) {
  const [first, last] = video.runSamples(run);
  const times = video.wantedTimes(run);
  return { first, last, wanted: new Map(Array.from(video.wantedKeys(run), (key, index) => [key, times[index]])) };
}

/**
 * @param {VideoFile} video
 * @param {VideoDecoderConfig} config
 * @param {Run} run
 * @param {Sizes} sizes
 * @returns {AsyncGenerator<Frame, void, undefined>}
 */
async function* decodedRun(video, config, run, sizes) {
  const decoding = new Decoding(config, run.wanted, video.isCounted);
  const coded = codedOf(video);
  try {
    for await (const { frame, time, key } of decoding.run(video, run)) {
      try {
        sizes.see(frame);
        yield { time, ...(await pixelsOf(frame, coded)), orientation: video.orientation };
        run.wanted.delete(key);
      } finally {
        frame.close();
      }
    }
  } finally {
    decoding.close();
  }
}

/**
 * How frames of a video are coded.
 * @param {VideoFile} video
 * @returns {Coded}
 */
export function codedOf(video) {
  const { width, height, codedWidth, codedHeight } = video;
  // Pixels that are not square are stretched in every frame.
  const stretched = { width: width / codedWidth, height: height / codedHeight };
  const numbers = ({ width, height }) => Uint32Array.of(width, height);
  /** @type {Converter} */
  const convert = (planes, format, size, shown, ...named) => video.pixels(planes, format, numbers(size), numbers(shown), ...named);
  return { width, height, stretched, convert };
}

/** What the decoder refused. */
class DecodingError extends UnmaskError {}

/**
 * The pictures of a file that is decoded here.
 * @param {PictureFile} pictures
 * @returns {AsyncGenerator<Frame, void, undefined>}
 */
export async function* pictureFrames(pictures) {
  const { width, height } = pictures;
  while (pictures.advance()) yield { time: pictures.time, pixels: pictures.takePixels(), width, height, orientation: 1 };
}

/**
 * The one frame of an image that the browser decodes, turned as it says, over black where it is transparent.
 * @param {Blob} file
 * @param {Error} refusal the error where it does not
 * @returns {AsyncGenerator<Frame, void, undefined>}
 */
export async function* foreignFrame(file, refusal) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: 'from-image' });
  } catch {
    throw refusal;
  }
  try {
    wasm.refuseLarge(bitmap.width, bitmap.height);
    yield { time: 0, ...drawn(bitmap, bitmap.width, bitmap.height), orientation: 1 };
  } finally {
    bitmap.close();
  }
}

/**
 * What to configure a decoder with; `null` where this browser decodes no such video.
 * @param {VideoFile} video
 * @returns {Promise<VideoDecoderConfig | null>}
 */
export async function decoderConfig(video) {
  const { codec, matrix, description } = video;
  if (!('VideoDecoder' in globalThis) || !codec) return null;
  /** @type {any} */
  const config = {
    codec,
    codedWidth: video.codedWidth,
    codedHeight: video.codedHeight,
    displayAspectWidth: video.width,
    displayAspectHeight: video.height,
    // Scores are of colours as they are coded: only the matrix and the range are undone, as the native program does.
    ...(matrix && { colorSpace: { matrix, fullRange: video.fullRange, primaries: 'bt709', transfer: 'bt709' } }),
    ...(description && { description }),
  };
  const supported = await VideoDecoder.isConfigSupported(config).then((answer) => answer.supported, () => false);
  return supported ? config : null;
}

/** A decoder, and the frames that it gave and nobody took yet. */
class Decoding {
  #decoder;
  /** @type {Error | null} */
  #failure = null;
  /** Times of the frames that have not come yet, by what tells them apart. */
  #wanted;
  /** Whether that is their number among those that came, and not their time stamp. */
  #isCounted;
  #count = 0;
  /** @type {{ frame: VideoFrame, time: number, key: number }[]} */
  #ready = [];
  #wake = () => {};

  /**
   * @param {VideoDecoderConfig} config
   * @param {Map<number, number>} wanted
   * @param {boolean} isCounted
   */
  constructor(config, wanted, isCounted) {
    this.#wanted = new Map(wanted);
    this.#isCounted = isCounted;
    this.#decoder = new VideoDecoder({
      output: (frame) => this.#take(frame),
      error: (error) => {
        this.#failure = error;
        this.#wake();
      },
    });
    this.#decoder.addEventListener('dequeue', () => this.#wake());
    this.#decoder.configure(config);
  }

  /**
   * Decodes one run of samples, and yields the frames wanted of it.
   * @param {VideoFile} video
   * @param {Run} run
   */
  async *run(video, { first, last, wanted }) {
    const [lastKey, lastTime] = [...wanted][wanted.size - 1];
    for (let sample = first; sample <= last; sample++) {
      // Whatever came out is taken first: decoders have few frames to lend.
      while (this.#ready.length > 0 || this.#decoder.decodeQueueSize > DECODE_AHEAD) {
        const ready = this.#ready.shift();
        if (ready) yield ready;
        else await this.#change();
        this.#check();
      }
      this.#check();
      const type = sample === first || video.isKey(sample) ? 'key' : 'delta';
      this.#feed(new EncodedVideoChunk({ type, timestamp: video.timestamp(sample), data: video.data(sample) }));
    }
    await this.#flush();
    for (let ready = this.#ready.shift(); ready; ready = this.#ready.shift()) yield ready;
    if (this.#wanted.has(lastKey)) throw damaged(lastTime, 'its frames there do not decode');
  }

  close() {
    this.#ready.forEach(({ frame }) => frame.close());
    this.#ready = [];
    if (this.#decoder.state !== 'closed') this.#decoder.close();
  }

  /** @param {VideoFrame} frame */
  #take(frame) {
    const key = this.#isCounted ? this.#count++ : frame.timestamp;
    const time = this.#wanted.get(key);
    if (time === undefined) {
      frame.close();
    } else {
      this.#wanted.delete(key);
      this.#ready.push({ frame, time, key });
    }
    this.#wake();
  }

  #change() {
    return new Promise((/** @type {(value?: undefined) => void} */ resolve) => {
      this.#wake = resolve;
    });
  }

  /** @param {EncodedVideoChunk} chunk */
  #feed(chunk) {
    try {
      this.#decoder.decode(chunk);
    } catch (error) {
      this.#failure ??= error;
      this.#check();
    }
  }

  async #flush() {
    try {
      await this.#decoder.flush();
    } catch (error) {
      this.#failure ??= error;
    }
    this.#check();
  }

  #check() {
    if (this.#failure) throw damaged([...this.#wanted.values()][0], this.#failure.message);
  }
}

/**
 * @param {number | undefined} time
 * @param {string} detail
 */
function damaged(time, detail) {
  const near = time === undefined ? '' : ` near ${time.toFixed(1)} s`;
  const reason = detail.replace(/[.\s]+$/, '');
  return new DecodingError('damaged', `the video is damaged${near} (${reason}); re-encode or re-download it`);
}

/**
 * The pixels of a decoded frame, by the matrix and range of its video where they are known.
 * @param {VideoFrame} frame
 * @param {Coded} coded
 * @returns {Promise<Picture>}
 */
export async function pixelsOf(frame, coded) {
  const { width, height } = shownSize(frame, coded);
  try {
    const pixels = await convertedHere(frame, { width, height }, coded.convert);
    if (pixels) return { pixels, width, height };
    if (frame.visibleRect?.width === width && frame.visibleRect.height === height) {
      return { pixels: await copied(frame, { format: 'RGBA', colorSpace: 'srgb' }), width, height };
    }
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) throw error;
    // Not every browser converts every format while copying.
  }
  return drawn(frame, width, height);
}

/** How far the shape of a frame may be off, as a part of it, to be that of the video: sizes are whole numbers. */
const SAME_SHAPE = 0.02;

/**
 * The size to see a frame in: the video's, as players do, unless its shape is another.
 * @param {VideoFrame} frame
 * @param {Coded} coded
 * @returns {Size}
 */
function shownSize({ visibleRect }, { width, height, stretched }) {
  if (!visibleRect) return { width, height };
  const own = { width: Math.round(visibleRect.width * stretched.width), height: Math.round(visibleRect.height * stretched.height) };
  const isSame = Math.abs(own.width * height - own.height * width) <= SAME_SHAPE * own.width * height;
  return isSame ? { width, height } : own;
}

/**
 * The pixels as the native program makes them of the decoder's planes; `undefined` where it gives others than we know.
 * @param {VideoFrame} frame
 * @param {Size} shown what size they are to have
 * @param {Converter} convert
 */
async function convertedHere(frame, shown, convert) {
  const { format, colorSpace, visibleRect } = frame;
  if (!format || !visibleRect || !PLANAR.includes(format)) return undefined;
  const { width, height } = visibleRect;
  const planes = await copied(frame, { layout: gapless(format, width, height) });
  const { matrix, fullRange } = colorSpace ?? {};
  return convert(planes, format, { width, height }, shown, matrix ?? undefined, fullRange ?? undefined);
}

/**
 * @param {VideoFrame} frame
 * @param {any} options
 */
async function copied(frame, options) {
  const bytes = new Uint8Array(frame.allocationSize(options));
  await frame.copyTo(bytes, options);
  return bytes;
}

/** Formats whose planes the module takes. */
const PLANAR = ['', 'P10', 'P12'].flatMap((deep) => ['I420', 'I422', 'I444'].map((name) => name + deep)).concat('NV12');

/**
 * Where each plane begins and how long its rows are, in bytes, so that there is nothing between them.
 * @param {string} format
 * @param {number} width
 * @param {number} height
 */
function gapless(format, width, height) {
  const across = format.startsWith('I444') ? width : Math.ceil(width / 2);
  const down = format.startsWith('I444') || format.startsWith('I422') ? height : Math.ceil(height / 2);
  const bytes = /P1\d$/.test(format) ? 2 : 1;
  const luma = { offset: 0, stride: bytes * width };
  if (format === 'NV12') return [luma, { offset: width * height, stride: 2 * across }];
  const chroma = (/** @type {number} */ index) => ({
    offset: bytes * (width * height + index * across * down),
    stride: bytes * across,
  });
  return [luma, chroma(0), chroma(1)];
}

/**
 * What a canvas of this size shows of a picture that fills it.
 * @param {VideoFrame | ImageBitmap} picture
 * @param {number} width
 * @param {number} height
 * @returns {Picture}
 */
export function drawn(picture, width, height) {
  const context = new OffscreenCanvas(width, height).getContext('2d', { alpha: false, willReadFrequently: true });
  if (!context) {
    throw new UnmaskError('too_large', `the browser draws no picture of ${width}x${height} pixels; scale it down first`);
  }
  context.drawImage(picture, 0, 0, width, height);
  return { pixels: new Uint8Array(context.getImageData(0, 0, width, height).data.buffer), width, height };
}
