// A page's program in TypeScript, which is compiled and never run: what the declarations allow, and what they do not.

import { Detector as Written } from '../../../wasm/js/detector.js';
import { UnmaskDetectorElement as WrittenElement } from '../../../wasm/js/element.js';
import { UnmaskError as WrittenError } from '../../../wasm/js/error.js';
import { known as writtenKnown } from '../../../wasm/js/known.js';
import {
  bundled,
  type CaveatCode,
  Detector,
  type ErrorCode,
  type Kept,
  known,
  type Opinion,
  type Report,
  UnmaskDetectorElement,
  UnmaskError,
} from '../../../wasm/js/unmask.js';

/** The classes as they are written are those that are declared. */
export const declared = {
  detector: (written: Written): Detector => written,
  element: (written: WrittenElement): UnmaskDetectorElement => written,
  error: (written: WrittenError): UnmaskError => written,
  known: (): typeof known => writtenKnown,
  statics: (written: typeof Written): Pick<typeof Detector, 'load' | 'keep' | 'kept' | 'forget'> => written,
};

/** An error is told from others by its code, and a caveat by its own. */
export async function scored(file: File, signal: AbortSignal): Promise<Report | ErrorCode> {
  try {
    const detector = await Detector.load(bundled.url, { device: 'auto', sha256: bundled.sha256, signal });
    const report = await detector.score(file, { frames: 8, faces: 'all', onProgress: ({ stage }) => console.log(stage) });
    const weak: CaveatCode = 'weak_detector';
    const isWeak = report.caveats.some(({ code }) => code === weak) || report.model.reliability.grade === 'weak';
    if (isWeak && report.video.kind !== 'still' && report.model.training === 'trained') detector.dispose();
    return report;
  } catch (error) {
    if (error instanceof UnmaskError && error.code === 'unsupported_codec') return error.code;
    throw error;
  }
}

/** Several detectors are loaded by a list, with their options in its order. */
export async function opinions(file: File): Promise<Opinion[]> {
  const [other] = known;
  const detector = await Detector.load([null, other.url], { sha256: [bundled.sha256, other.sha256], checkpoint: [null, other] });
  console.log(detector.models.map(({ name }) => name), other.licence);
  return (await detector.score(file)).opinions ?? [];
}

export async function forgetIncomplete(): Promise<void> {
  const unfinished: Kept[] = (await Detector.kept()).filter(({ complete }) => !complete);
  for (const one of unfinished) await Detector.forget(one);
}

/** Events carry what their name says. */
export function listen(element: HTMLElementTagNameMap['unmask-detector']): void {
  element.addEventListener('result', ({ detail }) => console.log(detail.verdict, detail.score?.toFixed(2)));
  element.addEventListener('error', ({ detail }) => console.log(detail.code, detail.message));
  element.addEventListener('progress', ({ detail }) => {
    console.log(detail.stage === 'device' ? detail.reason : detail.done);
  });
  element.addEventListener('click', ({ clientX }) => console.log(clientX));
}

export function wrong(element: UnmaskDetectorElement, report: Report): void {
  // @ts-expect-error there is no such device
  Detector.load(null, { device: 'abacus' });
  // @ts-expect-error a number is no source
  Detector.load([null, 7]);
  // @ts-expect-error detectors are loaded, not made
  new Detector();
  // @ts-expect-error a result has no such field
  element.addEventListener('result', ({ detail }) => detail.likelihood);
  // @ts-expect-error there is no such verdict
  console.log(report.verdict === 'real');
  // @ts-expect-error there is no such grade
  console.log(report.model.reliability.grade === 'good');
  // @ts-expect-error there is no such code
  throw new UnmaskError('oh_no', 'a sentence');
}
