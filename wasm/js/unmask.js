/** Tells whether the face in a video was manipulated, without the video leaving the machine. */
export { bundled } from './bundled.js';
export { Detector } from './detector.js';
export { UnmaskDetectorElement } from './element.js';
export { UnmaskError } from './error.js';
export { known } from './known.js';
