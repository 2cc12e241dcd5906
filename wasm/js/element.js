import { Detector } from './detector.js';
import { UnmaskError } from './error.js';
import { detectorNames, opinions } from './opinions.js';
import { part, sentence, VERDICTS } from './words.js';

/** @import { LoadOptions, Progress, Report, ScoreOptions } from './unmask.d.ts' */

/** What stands in a list of an attribute for a detector that needs no such thing. */
const NONE = '-';

const STYLE = `
  :host { display: block; font: inherit; color: var(--unmask-text, CanvasText); }
  :host([hidden]) { display: none; }
  [part=drop] {
    display: grid; gap: 0.5em; justify-items: center; padding: 2em 1em; text-align: center; cursor: pointer;
    border: 2px dashed var(--unmask-border, GrayText); border-radius: var(--unmask-radius, 0.5em);
    background: var(--unmask-background, Canvas);
  }
  [part=drop].over, [part=drop]:focus-within { border-color: var(--unmask-accent, Highlight); }
  [part=drop]:focus-within { outline: 2px solid var(--unmask-accent, Highlight); outline-offset: 2px; }
  input { position: absolute; inline-size: 1px; block-size: 1px; opacity: 0; }
  [part=progress] { inline-size: 100%; accent-color: var(--unmask-accent, auto); }
  [part=status] { margin-block: 1em; }
  [part=verdict] { font-weight: bold; font-size: 1.25em; }
  [part=opinions] { border-collapse: collapse; margin-block: 1em; }
  [part=opinions-title] { text-align: start; font-weight: bold; }
  [part=opinions] th, [part=opinions] td {
    padding: 0.25em 0.75em 0.25em 0; text-align: start; vertical-align: top; overflow-wrap: anywhere;
    border-block-end: 1px solid var(--unmask-border, GrayText);
  }
  [part=opinion] th { font-weight: normal; }
  [part=caveats-title] { margin-block-end: 0; }
  [part=caveats] { margin-block: 0.25em 1em; padding-inline-start: 1.25em; }
  [part=error] { color: var(--unmask-error, light-dark(#b00020, #ff8a80)); }
  [hidden] { display: none; }
`;

const BODY = `
  <label part="drop">
    <slot><span>Choose a video or an image, or drop it here. It stays on this device.</span></slot>
    <input part="input" type="file" accept="video/*,image/*,.mkv">
  </label>
  <div part="status" role="status" aria-live="polite"></div>
  <progress part="progress" aria-label="Progress" hidden></progress>
  <button part="cancel" type="button" hidden>Cancel</button>
`;

/**
 * `<unmask-detector model="unmask-lite.safetensors">`: a field for a file, and the verdict on it.
 *
 * Attributes: `model` (address of the detector file, which is fetched when the first file is given; without it, the
 * bundled one; several addresses are divided by spaces), `frames`, `faces`, `device`, `base`, `sha256`, as for `Detector`
 * (of several detectors in their order, divided by spaces, with `-` for one that needs none). Events, which bubble:
 * `progress`, `result` (detail: the report), `error` (detail: an `UnmaskError`).
 */
export class UnmaskDetectorElement extends HTMLElement {
  /** @type {Record<string, any>} */
  #parts = {};
  /** @type {Detector | null} */
  #detector = null;
  /** The attributes it was loaded for. @type {string | null} */
  #named = null;
  /** @type {AbortController | null} */
  #abort = null;

  constructor() {
    super();
    const root = this.attachShadow({ mode: 'open' });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    root.innerHTML = BODY;
    for (const element of root.querySelectorAll('[part]')) this.#parts[element.part[0]] = element;
    const { drop, input, cancel } = this.#parts;
    input.addEventListener('change', () => this.#given(input.files));
    cancel.addEventListener('click', () => this.cancel());
    drop.addEventListener('dragover', (event) => {
      event.preventDefault();
      drop.classList.add('over');
    });
    drop.addEventListener('dragleave', () => drop.classList.remove('over'));
    drop.addEventListener('drop', (event) => {
      event.preventDefault();
      drop.classList.remove('over');
      this.#given(event.dataTransfer.files);
    });
  }

  disconnectedCallback() {
    // A move within the page disconnects and connects again at once.
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.cancel();
      this.#release();
    });
  }

  /**
   * Scores a file as if it had been chosen; resolves to the report, or to null where it was cancelled or failed.
   * @param {File | Blob | HTMLVideoElement} file
   */
  async score(file) {
    this.cancel();
    const abort = new AbortController();
    this.#abort = abort;
    /** @param {Progress} progress */
    const onProgress = (progress) => this.#showProgress(abort, progress);
    const options = { signal: abort.signal, onProgress };
    this.#begin(file);
    try {
      const detector = await this.#loaded(options);
      const report = await detector.score(file, { ...options, frames: this.#frames(), faces: this.#faces() });
      if (this.#abort === abort) this.#end(abort, () => this.#showReport(report, detector));
      this.#tell('result', report);
      return report;
    } catch (error) {
      if (abort.signal.aborted) return null;
      // What an attribute says wrongly is the page's mistake, of which it is told like of everything else.
      const problem = error instanceof UnmaskError ? error : new UnmaskError('wrong_use', error.message, { cause: error });
      this.#end(abort, () => this.#showError(problem));
      this.#tell('error', problem);
      return null;
    }
  }

  /** Stops what is going on. */
  cancel() {
    if (!this.#abort) return;
    const abort = this.#abort;
    this.#end(abort, () => this.#say(document.createTextNode('Cancelled.')));
    abort.abort();
  }

  #given(files) {
    const file = files?.[0];
    if (file) this.score(file);
    // The same file can be chosen again.
    this.#parts.input.value = '';
  }

  #frames() {
    return this.hasAttribute('frames') ? Number(this.getAttribute('frames')) : undefined;
  }

  #faces() {
    return /** @type {ScoreOptions['faces']} */ (this.getAttribute('faces') ?? undefined);
  }

  /**
   * The detector that the attributes name, loaded anew where they have changed.
   * @param {LoadOptions} options
   */
  async #loaded(options) {
    const [model, device, base, sha256] = ['model', 'device', 'base', 'sha256'].map((name) => this.getAttribute(name) ?? undefined);
    const named = JSON.stringify([model, device, base, sha256]);
    if (this.#detector && this.#named === named) return this.#detector;
    this.#release();
    const chosen = { ...options, device: /** @type {LoadOptions['device']} */ (device) };
    const sources = listed(model);
    const detector = await (sources.length > 1
      ? Detector.load(sources, { ...chosen, base: inOrder('base', base, sources), sha256: inOrder('sha256', sha256, sources) })
      : Detector.load(model, { ...chosen, base, sha256 }));
    [this.#detector, this.#named] = [detector, named];
    return detector;
  }

  #release() {
    this.#detector?.dispose();
    [this.#detector, this.#named] = [null, null];
  }

  /** @param {File | Blob | HTMLVideoElement} file */
  #begin(file) {
    const name = file instanceof File ? file.name : 'the file';
    this.#say(document.createTextNode(`Looking at ${name} …`));
    this.#parts.progress.removeAttribute('value');
    this.#parts.progress.hidden = false;
    this.#parts.cancel.hidden = false;
  }

  /**
   * Shows how something ended, unless something else has begun since.
   * @param {AbortController} abort
   * @param {() => void} show
   */
  #end(abort, show) {
    if (this.#abort !== abort) return;
    this.#abort = null;
    this.#parts.progress.hidden = true;
    this.#parts.cancel.hidden = true;
    show();
  }

  /**
   * @param {AbortController} abort
   * @param {Progress} progress
   */
  #showProgress(abort, progress) {
    if (this.#abort !== abort) return;
    if (progress.stage !== 'device' && progress.total) {
      this.#parts.progress.max = progress.total;
      this.#parts.progress.value = progress.done;
    }
    this.#tell('progress', progress);
  }

  /**
   * @param {Report} report
   * @param {Detector} detector
   */
  #showReport(report, detector) {
    const verdict = part('p', 'verdict', VERDICTS[report.verdict] ?? report.verdict);
    const unsure = report.uncertainty === undefined ? '' : `, uncertainty ${report.uncertainty.toFixed(2)}`;
    const figure = report.opinions ? 'Mean P(fake)' : 'P(fake)';
    const score = report.score === null ? [] : [part('p', 'score', `${figure} = ${report.score.toFixed(2)}${unsure}`)];
    const reason = report.reason ? [part('p', 'reason', sentence(`because ${report.reason}`))] : [];
    const { frames_sampled: frames } = report.video;
    const seen = `${frames} ${frames === 1 ? 'frame' : 'frames'}, ${report.timing_s.total.toFixed(1)} s`;
    const models = report.opinions ? `models ${detectorNames(report.opinions).join(', ')}` : `model ${report.model.name}`;
    const summary = part('p', 'summary', `${seen} on the ${detector.device.toUpperCase()}, ${models}`);
    this.#say(verdict, ...score, ...reason, ...opinions(report), ...caveats(report), summary);
  }

  /** @param {UnmaskError} error */
  #showError(error) {
    this.#say(part('p', 'error', error.message));
  }

  /** @param {Node[]} nodes */
  #say(...nodes) {
    this.#parts.status.replaceChildren(...nodes);
  }

  /**
   * @param {string} type
   * @param {Progress | Report | UnmaskError} detail
   */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }
}

/**
 * What an attribute lists, divided by spaces.
 * @param {string} [text]
 */
function listed(text = '') {
  return text.split(/\s+/).filter(Boolean);
}

/**
 * What an attribute lists for each of several detectors; nothing where it is absent.
 * @param {string} name
 * @param {string | undefined} text
 * @param {string[]} sources
 */
function inOrder(name, text, sources) {
  if (text === undefined) return undefined;
  const values = listed(text);
  if (values.length !== sources.length) {
    const problem = `\`model\` names ${sources.length} detectors and \`${name}\` lists ${values.length}`;
    throw new TypeError(`${problem}; give one for each in their order, or \`${NONE}\``);
  }
  return values.map((value) => (value === NONE ? null : value));
}

/**
 * What weakens the answer, in a list where there is anything.
 * @param {Report} report
 */
function caveats(report) {
  if (report.caveats.length === 0) return [];
  const list = part('ul', 'caveats');
  list.append(...report.caveats.map(({ words }) => part('li', 'caveat', sentence(words))));
  return [part('p', 'caveats-title', 'What weakens this answer:'), list];
}

if (!customElements.get('unmask-detector')) customElements.define('unmask-detector', UnmaskDetectorElement);
