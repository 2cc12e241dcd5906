/**
 * Frames of what a video element plays, for whatever the worker cannot decode itself: it asks for them one at a time, and
 * has none of its own, since elements live on pages.
 *
 * @import { Playing, Shown } from './messages.d.ts'
 *
 * @typedef {{ element: HTMLVideoElement, giveBack: () => void }} Borrowed an element with metadata, and what to do with it afterwards
 */
import { UnmaskError } from './error.js';

/** How long an element may take to load or to seek, in milliseconds. */
const PATIENCE = 20_000;

/** How long is waited for a frame to be presented once its element says it is there, in milliseconds. */
const PRESENTATION = 250;

/** Time from one frame of a live picture to the next, in milliseconds: 32 frames see six seconds of it. */
const LIVE_INTERVAL = 200;

/**
 * A player for a `Blob`, or for what an element of the page shows.
 * @param {Blob | HTMLVideoElement} source
 */
export function playerFor(source) {
  if (source instanceof Blob) return new Player(() => blobElement(source));
  return source.srcObject instanceof MediaStream ? new LivePlayer(source.srcObject) : new Player(() => likeElement(source));
}

/**
 * What of an element's source can stand in a report as a name.
 * @param {HTMLVideoElement} element
 */
export function sourceName({ srcObject, currentSrc, src }) {
  if (srcObject) return 'camera';
  const { protocol, pathname } = new URL(currentSrc || src || 'about:blank', document.baseURI);
  const last = pathname.split('/').at(-1);
  return /^https?:$/.test(protocol) && last ? decodeURIComponent(last) : 'video';
}

/** Shows a source frame by frame. */
class Player {
  #borrow;
  /** @type {HTMLVideoElement | null} */
  #element = null;
  #giveBack = () => {};
  #closed = new AbortController();

  /** @param {() => Promise<Borrowed>} borrow */
  constructor(borrow) {
    this.#borrow = borrow;
  }

  /** @returns {Promise<Playing>} */
  async open() {
    const { element, giveBack } = await this.#borrow();
    [this.#element, this.#giveBack] = [element, giveBack];
    if (this.#closed.signal.aborted) giveBack();
    this.#closed.signal.throwIfAborted();
    if (!element.videoWidth) throw new UnmaskError('no_video', 'it plays sound alone; give a video with pictures');
    element.pause();
    await untilReady(element, this.#closed.signal);
    refuseUnreadable(element);
    const { videoWidth: width, videoHeight: height, duration } = element;
    return { width, height, duration: Number.isFinite(duration) ? duration : null, live: false };
  }

  /**
   * The frame displayed at `time` seconds, once it is open.
   * @param {number} time
   * @returns {Promise<Shown>}
   */
  async frame(time) {
    const element = /** @type {HTMLVideoElement} */ (this.#element);
    const presented = presentation(element);
    const arrived = happened(element, 'seeked', this.#closed.signal);
    element.currentTime = time;
    await arrived;
    const actual = await atMostAWhile(presented);
    this.#closed.signal.throwIfAborted();
    return { picture: await pictureOf(element), time: actual ?? null };
  }

  close() {
    this.#closed.abort();
    if (this.#element) this.#giveBack();
    this.#giveBack = () => {};
  }
}

/** Shows a live picture: each frame is one that comes after it was asked for. */
class LivePlayer {
  #stream;
  /** @type {HTMLVideoElement | null} */
  #element = null;
  #closed = new AbortController();
  /** @type {number | null} */
  #began = null;
  #last = -Infinity;

  /** @param {MediaStream} stream */
  constructor(stream) {
    this.#stream = stream;
  }

  /** @returns {Promise<Playing>} */
  async open() {
    if (!this.#isLive()) throw new UnmaskError('no_video', 'its stream has no live picture; start it first');
    const element = newElement();
    this.#element = element;
    const loaded = happened(element, 'loadeddata', this.#closed.signal);
    element.srcObject = this.#stream;
    await Promise.all([loaded, element.play()]);
    const { videoWidth: width, videoHeight: height } = element;
    return { width, height, duration: null, live: true };
  }

  /** The next frame, with its time since the first; `null` once the stream has ended. @returns {Promise<Shown | null>} */
  async frame() {
    const element = /** @type {HTMLVideoElement} */ (this.#element);
    await delay(this.#last + LIVE_INTERVAL - performance.now());
    await atMostAWhile(presentation(element));
    this.#closed.signal.throwIfAborted();
    if (!this.#isLive()) return null;
    this.#last = performance.now();
    this.#began ??= this.#last;
    return { picture: await pictureOf(element), time: (this.#last - this.#began) / 1000 };
  }

  close() {
    this.#closed.abort();
    if (this.#element) this.#element.srcObject = null;
  }

  #isLive() {
    return this.#stream.getVideoTracks().some((track) => track.readyState === 'live');
  }
}

/** An element of our own that is on no page. */
function newElement() {
  const element = document.createElement('video');
  element.muted = true;
  element.playsInline = true;
  element.preload = 'auto';
  return element;
}

/**
 * @param {Blob} blob
 * @returns {Promise<Borrowed>}
 */
async function blobElement(blob) {
  const url = URL.createObjectURL(blob);
  const element = newElement();
  const giveBack = () => {
    unload(element);
    URL.revokeObjectURL(url);
  };
  return loaded(element, url, giveBack);
}

/**
 * An element that plays the same, so that the one on the page goes on undisturbed; that one itself where there cannot be two.
 * @param {HTMLVideoElement} original
 * @returns {Promise<Borrowed>}
 */
async function likeElement(original) {
  const url = original.currentSrc || original.src;
  if (!url) throw new UnmaskError('no_source', 'the video element has no source; set its `src` first');
  const element = newElement();
  element.crossOrigin = original.crossOrigin;
  try {
    return await loaded(element, url, () => unload(element));
  } catch (error) {
    if (original.readyState < HTMLMediaElement.HAVE_METADATA) throw error;
    return { element: original, giveBack: restorer(original) };
  }
}

/**
 * @param {HTMLVideoElement} element
 * @param {string} url
 * @param {() => void} giveBack
 */
async function loaded(element, url, giveBack) {
  const metadata = happened(element, 'loadedmetadata');
  element.src = url;
  try {
    await metadata;
    return { element, giveBack };
  } catch (error) {
    giveBack();
    throw error;
  }
}

/** @param {HTMLVideoElement} element */
function unload(element) {
  element.removeAttribute('src');
  element.load();
}

/**
 * Puts an element back to where it is now.
 * @param {HTMLVideoElement} element
 */
function restorer(element) {
  const { currentTime, paused } = element;
  return () => {
    element.currentTime = currentTime;
    if (!paused) element.play().catch(() => {});
  };
}

/**
 * What an element shows: as its decoder gave it where the browser hands that out, else as it is drawn.
 * @param {HTMLVideoElement} element
 */
async function pictureOf(element) {
  return globalThis.VideoFrame ? new VideoFrame(element) : createImageBitmap(element);
}

/**
 * @param {HTMLVideoElement} element
 * @param {AbortSignal} signal
 */
async function untilReady(element, signal) {
  if (element.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) await happened(element, 'loadeddata', signal);
  await atMostAWhile(presentation(element));
}

/**
 * Browsers let nobody read the pixels of another origin's video unless that origin agrees.
 * @param {HTMLVideoElement} element
 */
function refuseUnreadable(element) {
  const context = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d');
  context?.drawImage(element, 0, 0, 1, 1);
  try {
    context?.getImageData(0, 0, 1, 1);
  } catch {
    throw new UnmaskError(
      'cross_origin',
      'the browser lets no page read a video of another origin; serve it with CORS headers and give the element `crossorigin`',
    );
  }
}

/**
 * Resolves at an element's next event of this type; rejects where the element fails first, or `signal` stops it.
 * @param {HTMLVideoElement} element
 * @param {string} type
 * @param {AbortSignal} [signal]
 */
function happened(element, type, signal) {
  return new Promise((resolve, reject) => {
    const listening = new AbortController();
    const settle = (settled, /** @type {any} */ value = undefined) => {
      listening.abort();
      clearTimeout(timer);
      settled(value);
    };
    const stalled = 'the browser’s player does not get on with it; try again, or convert it';
    const slow = () => settle(reject, new UnmaskError('stalled', stalled));
    const timer = setTimeout(slow, PATIENCE);
    const on = (target, event, handler) => target?.addEventListener(event, handler, { signal: listening.signal });
    on(element, type, () => settle(resolve));
    on(element, 'error', () => settle(reject, failure(element.error)));
    on(signal, 'abort', () => settle(reject, signal?.reason));
  });
}

/** @param {MediaError | null} error */
function failure(error) {
  const detail = error?.message ? ` (${error.message.replace(/[.\s]+$/, '')})` : '';
  if (error?.code === MediaError.MEDIA_ERR_DECODE) {
    return new UnmaskError('damaged', `the video is damaged${detail}; re-encode or re-download it`);
  }
  const problem = `the browser’s player does not play it${detail}; convert it (\`ffmpeg -i in -c:v libx264 out.mp4\`)`;
  return new UnmaskError('unsupported_codec', problem);
}

/**
 * Resolves once a frame is presented, to its time in seconds; never where the browser does not tell.
 * @param {HTMLVideoElement} element
 * @returns {Promise<number>}
 */
function presentation(element) {
  return new Promise((resolve) => element.requestVideoFrameCallback?.((_, { mediaTime }) => resolve(mediaTime)));
}

/**
 * What `promise` resolves to, or `undefined`: a hidden page presents nothing, and no frame is presented twice.
 * @param {Promise<number>} promise
 * @returns {Promise<number | undefined>}
 */
function atMostAWhile(promise) {
  return Promise.race([promise, delay(PRESENTATION)]);
}

/**
 * @param {number} milliseconds
 * @returns {Promise<undefined>}
 */
function delay(milliseconds) {
  return new Promise((/** @type {(value?: undefined) => void} */ resolve) => setTimeout(resolve, Math.max(0, milliseconds)));
}
