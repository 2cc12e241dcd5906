import { Detector } from './detector.js';

const VERDICTS = {
  likely_fake: 'Likely fake',
  likely_real: 'Likely real',
  uncertain: 'Uncertain',
  no_face: 'No face found',
};

/** What is said beside a score of a detector whose scores mean little. */
const CAVEATS = {
  untrained: 'This detector is untrained: its score means nothing.',
  imported: 'This detector was trained by others, and its thresholds are not calibrated.',
};

/** The bundled detector is trained, and weak all the same. */
const WEAK = 'This detector is weak: it learnt from photographs and has never seen a manipulated video.';

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
  [part=error] { color: var(--unmask-error, #b00020); }
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
 * bundled one), `frames`, `faces`, `device`, `base`, `sha256`, as for `Detector`. Events, which bubble: `progress`,
 * `result` (detail: the report), `error` (detail: the Error).
 */
export class UnmaskDetectorElement extends HTMLElement {
  #parts = {};
  #detector = null;
  /** The attributes it was loaded for. */
  #named = null;
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

  /** Scores a file as if it had been chosen; resolves to the report, or to null where it was cancelled or failed. */
  async score(file) {
    this.cancel();
    const abort = new AbortController();
    this.#abort = abort;
    const options = { signal: abort.signal, onProgress: (progress) => this.#showProgress(abort, progress) };
    this.#begin(file);
    try {
      const detector = await this.#loaded(options);
      const report = await detector.score(file, { ...options, frames: this.#frames(), faces: this.#faces() });
      if (this.#abort === abort) this.#end(abort, () => this.#showReport(report, detector));
      this.#tell('result', report);
      return report;
    } catch (error) {
      if (abort.signal.aborted) return null;
      this.#end(abort, () => this.#showError(error));
      this.#tell('error', error);
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
    return this.getAttribute('faces') ?? undefined;
  }

  /** The detector that the attributes name, loaded anew where they have changed. */
  async #loaded(options) {
    const [model, device, base, sha256] = ['model', 'device', 'base', 'sha256'].map((name) => this.getAttribute(name) ?? undefined);
    const named = JSON.stringify([model, device, base, sha256]);
    if (this.#detector && this.#named === named) return this.#detector;
    this.#release();
    const detector = await Detector.load(model, { ...options, device, base, sha256 });
    [this.#detector, this.#named] = [detector, named];
    return detector;
  }

  #release() {
    this.#detector?.dispose();
    [this.#detector, this.#named] = [null, null];
  }

  #begin(file) {
    this.#say(document.createTextNode(`Looking at ${file.name ?? 'the file'} …`));
    this.#parts.progress.removeAttribute('value');
    this.#parts.progress.hidden = false;
    this.#parts.cancel.hidden = false;
  }

  #end(abort, show) {
    if (this.#abort !== abort) return;
    this.#abort = null;
    this.#parts.progress.hidden = true;
    this.#parts.cancel.hidden = true;
    show();
  }

  #showProgress(abort, progress) {
    if (this.#abort !== abort) return;
    const { done, total } = progress;
    if (total) {
      this.#parts.progress.max = total;
      this.#parts.progress.value = done;
    }
    this.#tell('progress', progress);
  }

  #showReport(report, detector) {
    const verdict = part('p', 'verdict', VERDICTS[report.verdict] ?? report.verdict);
    const score = report.score === null ? [] : [part('p', 'score', `P(fake) = ${report.score.toFixed(2)}`)];
    const words = report.model.name === 'unmask-lite' ? WEAK : CAVEATS[report.model.training];
    const caveat = words && report.score !== null ? [part('p', 'caveat', words)] : [];
    const reason = report.reason ? [part('p', 'reason', `Because ${report.reason}.`)] : [];
    const { frames_sampled: frames } = report.video;
    const seen = `${frames} ${frames === 1 ? 'frame' : 'frames'}, ${report.timing_s.total.toFixed(1)} s`;
    const summary = part('p', 'summary', `${seen} on the ${detector.device.toUpperCase()}, model ${report.model.name}`);
    this.#say(verdict, ...score, ...caveat, ...reason, summary);
  }

  #showError(error) {
    this.#say(part('p', 'error', error.message));
  }

  #say(...nodes) {
    this.#parts.status.replaceChildren(...nodes);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }
}

function part(tag, name, text) {
  const element = document.createElement(tag);
  element.part = name;
  element.textContent = text;
  return element;
}

if (!customElements.get('unmask-detector')) customElements.define('unmask-detector', UnmaskDetectorElement);
