// The camera of this device: a picture to look at, and a recording of a few seconds as a file. Nothing leaves the page.

/** Formats to record in, the one that every player takes first. */
const FORMATS = ['video/mp4;codecs=avc1.42E01F', 'video/webm;codecs=vp8', 'video/webm', 'video/mp4'];

/** Why a camera cannot be used, by the name of what the browser threw. */
const PROBLEMS = {
  NotAllowedError: 'The browser was not allowed to use the camera. Allow it for this page, beside the address, and try again.',
  NotFoundError: 'No camera was found. Connect one, or choose a file instead.',
  NotReadableError: 'The camera cannot be read; another program may be using it. Close that, and try again.',
  OverconstrainedError: 'No camera gives a picture that can be used. Choose a file instead.',
};

/** An open camera. */
export class Camera {
  #stream;

  constructor(stream) {
    this.#stream = stream;
  }

  /** Asks for a camera; rejects with one sentence for the user. */
  static async open() {
    if (!navigator.mediaDevices?.getUserMedia || typeof MediaRecorder === 'undefined') {
      throw new Error('This browser gives pages no camera to record from; it needs a current version, over https. Choose a file instead.');
    }
    const video = { facingMode: 'user', width: { ideal: 1280 }, height: { ideal: 720 } };
    try {
      return new Camera(await navigator.mediaDevices.getUserMedia({ video, audio: false }));
    } catch (error) {
      throw new Error(PROBLEMS[error.name] ?? `The camera did not start (${error.message}). Choose a file instead.`);
    }
  }

  /** Shows what it sees in a video element. */
  show(element) {
    element.srcObject = this.#stream;
  }

  /** Records some seconds, telling each second how many are left; resolves to a file. */
  async record(seconds, onLeft) {
    const mimeType = FORMATS.find((format) => MediaRecorder.isTypeSupported(format));
    const recorder = new MediaRecorder(this.#stream, { mimeType, videoBitsPerSecond: 8_000_000 });
    const parts = [];
    recorder.addEventListener('dataavailable', ({ data }) => parts.push(data));
    const stopped = new Promise((resolve, reject) => {
      recorder.addEventListener('stop', resolve, { once: true });
      recorder.addEventListener('error', ({ error }) => reject(new Error(`The recording broke off (${error?.message}). Try again.`)));
    });
    recorder.start();
    for (let left = seconds; left > 0 && recorder.state === 'recording'; left--) {
      onLeft(left);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    if (recorder.state === 'recording') recorder.stop();
    await stopped;
    const type = recorder.mimeType.split(';')[0];
    const time = new Date().toTimeString().slice(0, 8).replaceAll(':', '-');
    return new File(parts, `camera-${time}.${type.endsWith('mp4') ? 'mp4' : 'webm'}`, { type });
  }

  /** Turns it off; its light goes out. */
  close() {
    for (const track of this.#stream.getTracks()) track.stop();
  }
}
