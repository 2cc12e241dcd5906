/**
 * Frames as pixels: `{ time, pixels, width, height, rotation }`, four bytes a pixel, `rotation` still to be done.
 */

import { toRgba } from './unmask_wasm.js';

/** Frames that a decoder is given ahead of those that came out of it. */
const DECODE_AHEAD = 8;

/**
 * The sampled frames of an opened video, in order. Some streams decode from their start only, since what the decoder has
 * to know stands there alone: where a later run fails, all that is left is decoded from the first sample.
 */
export async function* videoFrames(video, config) {
  const runs = Array.from({ length: video.runs }, (_, run) => plannedRun(video, run));
  try {
    for (const run of runs) yield* decodedRun(video, config, run);
  } catch (error) {
    const left = runs.filter((run) => run.wanted.size > 0);
    if (!(error instanceof DecodingError) || !(left[0]?.first > 0)) throw error;
    const wanted = new Map(left.flatMap((run) => [...run.wanted]));
    yield* decodedRun(video, config, { first: 0, last: left.at(-1).last, wanted });
  }
}

/** First and last sample of a run, and the times of the frames wanted of it by their stamps. */
function plannedRun(video, run) {
  const [first, last] = video.runSamples(run);
  const times = video.wantedTimes(run);
  return { first, last, wanted: new Map(Array.from(video.wantedTimestamps(run), (stamp, index) => [stamp, times[index]])) };
}

async function* decodedRun(video, config, run) {
  const decoding = new Decoding(config, run.wanted);
  try {
    for await (const { frame, time, stamp } of decoding.run(video, run)) {
      try {
        yield { time, ...(await pixelsOf(frame, video)), rotation: video.rotation };
        run.wanted.delete(stamp);
      } finally {
        frame.close();
      }
    }
  } finally {
    decoding.close();
  }
}

/** What the decoder refused. */
class DecodingError extends Error {}

/** The one frame of an image, turned as its EXIF says, over black where it is transparent. */
export async function* imageFrame(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: 'from-image' });
  } catch {
    throw new Error('the image does not decode in this browser; save it again as PNG or JPEG');
  }
  try {
    yield { time: 0, ...drawn(bitmap, bitmap.width, bitmap.height), rotation: 0 };
  } finally {
    bitmap.close();
  }
}

/** What to configure a decoder with; `null` where this browser decodes no such video. */
export async function decoderConfig(video) {
  if (!('VideoDecoder' in globalThis) || !video.codec) return null;
  const config = {
    codec: video.codec,
    codedWidth: video.codedWidth,
    codedHeight: video.codedHeight,
    displayAspectWidth: video.width,
    displayAspectHeight: video.height,
    // Scores are of colours as they are coded: only the matrix and the range are undone, as the native program does.
    ...(video.matrix && {
      colorSpace: { matrix: video.matrix, fullRange: video.fullRange, primaries: 'bt709', transfer: 'bt709' },
    }),
    ...(video.description && { description: video.description }),
  };
  const supported = await VideoDecoder.isConfigSupported(config).then((answer) => answer.supported, () => false);
  return supported ? config : null;
}

/** A decoder, and the frames that it gave and nobody took yet. */
class Decoding {
  #decoder;
  #failure = null;
  /** Times of the frames that have not come yet, by their stamps. */
  #wanted;
  #ready = [];
  #wake = () => {};

  constructor(config, wanted) {
    this.#wanted = new Map(wanted);
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

  /** Decodes one run of samples, and yields the frames wanted of it. */
  async *run(video, { first, last, wanted }) {
    const [lastStamp, lastTime] = [...wanted].at(-1);
    for (let sample = first; sample <= last; sample++) {
      // Whatever came out is taken first: decoders have few frames to lend.
      while (this.#ready.length > 0 || this.#decoder.decodeQueueSize > DECODE_AHEAD) {
        if (this.#ready.length > 0) yield this.#ready.shift();
        else await this.#change();
        this.#check();
      }
      this.#check();
      const type = sample === first || video.isKey(sample) ? 'key' : 'delta';
      this.#feed(new EncodedVideoChunk({ type, timestamp: video.timestamp(sample), data: video.data(sample) }));
    }
    await this.#flush();
    while (this.#ready.length > 0) yield this.#ready.shift();
    if (this.#wanted.has(lastStamp)) throw damaged(lastTime, 'its frames there do not decode');
  }

  close() {
    this.#ready.forEach(({ frame }) => frame.close());
    this.#ready = [];
    if (this.#decoder.state !== 'closed') this.#decoder.close();
  }

  #take(frame) {
    const time = this.#wanted.get(frame.timestamp);
    if (time === undefined) {
      frame.close();
    } else {
      this.#wanted.delete(frame.timestamp);
      this.#ready.push({ frame, time, stamp: frame.timestamp });
    }
    this.#wake();
  }

  #change() {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

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

function damaged(time, detail) {
  const near = time === undefined ? '' : ` near ${time.toFixed(1)} s`;
  const reason = detail.replace(/[.\s]+$/, '');
  return new DecodingError(`the video is damaged${near} (${reason}); re-encode or re-download it`);
}

/** The pixels of a decoded frame in a size before rotation, by the matrix and range of its `video` where they are known. */
export async function pixelsOf(frame, video) {
  const { width, height } = video;
  const { width: visibleWidth, height: visibleHeight } = frame.visibleRect;
  if (visibleWidth !== width || visibleHeight !== height) return drawn(frame, width, height);
  try {
    const pixels = (await convertedHere(frame, video)) ?? (await copied(frame, { format: 'RGBA', colorSpace: 'srgb' }));
    return { pixels, width, height };
  } catch {
    // Not every browser converts every format while copying.
    return drawn(frame, width, height);
  }
}

/** The pixels as the native program makes them of the decoder's planes; `undefined` where it gives others than we know. */
async function convertedHere(frame, video) {
  const { format, colorSpace } = frame;
  const matrix = video.matrix ?? colorSpace?.matrix;
  if (!PLANAR.includes(format) || !matrix) return undefined;
  const { width, height } = frame.visibleRect;
  const planes = await copied(frame, { layout: gapless(format, width, height) });
  return toRgba(planes, format, width, height, matrix, video.fullRange ?? colorSpace?.fullRange ?? false);
}

async function copied(frame, options) {
  const bytes = new Uint8Array(frame.allocationSize(options));
  await frame.copyTo(bytes, options);
  return bytes;
}

/** Formats whose planes `toRgba` takes. */
const PLANAR = ['I420', 'I422', 'I444', 'NV12', 'I420P10', 'I422P10', 'I444P10'];

/** Where each plane begins and how long its rows are, in bytes, so that there is nothing between them. */
function gapless(format, width, height) {
  const across = format.startsWith('I444') ? width : Math.ceil(width / 2);
  const down = format.startsWith('I444') || format.startsWith('I422') ? height : Math.ceil(height / 2);
  const bytes = format.endsWith('P10') ? 2 : 1;
  const luma = { offset: 0, stride: bytes * width };
  if (format === 'NV12') return [luma, { offset: width * height, stride: 2 * across }];
  const chroma = (index) => ({ offset: bytes * (width * height + index * across * down), stride: bytes * across });
  return [luma, chroma(0), chroma(1)];
}

/** What a canvas of this size shows of a picture that fills it. */
export function drawn(picture, width, height) {
  const context = new OffscreenCanvas(width, height).getContext('2d', { alpha: false, willReadFrequently: true });
  context.drawImage(picture, 0, 0, width, height);
  return { pixels: new Uint8Array(context.getImageData(0, 0, width, height).data.buffer), width, height };
}
