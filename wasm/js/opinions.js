/**
 * What several detectors say beside each other, as nodes that the element shows.
 *
 * @import { Opinion, Report } from './unmask.d.ts'
 */

import { part, sentence, VERDICTS } from './words.js';

/** How several detectors come to one verdict. */
const RULE =
  'the joint verdict is likely fake or likely real only where every detector says so by its own thresholds, and uncertain where they do not agree';

/** How much of a SHA-256 tells detectors of one name apart. */
const DIGITS = 8;

const COLUMNS = ['Detector', 'Verdict', 'P(fake)', 'Grade'];

/**
 * A table of what each detector says, and the rule by which that makes one verdict; nothing of one detector.
 * @param {Report} report
 */
export function opinions({ opinions }) {
  if (!opinions) return [];
  const table = part('table', 'opinions');
  const head = part('tr', '');
  head.append(...COLUMNS.map((name) => header('col', name)));
  const names = detectorNames(opinions);
  table.append(part('caption', 'opinions-title', 'What each detector says'), head, ...opinions.map((one, index) => row(one, names[index])));
  return [table, part('p', 'rule', sentence(RULE))];
}

/**
 * What to call the detectors: by their names, with the beginning of a file's SHA-256 where two have the same.
 * @param {Opinion[]} opinions
 */
export function detectorNames(opinions) {
  const isShared = (name) => opinions.filter(({ model }) => model.name === name).length > 1;
  return opinions.map(({ model: { name, sha256 } }) => (isShared(name) ? `${name} (${sha256.slice(0, DIGITS)}…)` : name));
}

/**
 * @param {Opinion} opinion
 * @param {string} name
 */
function row({ model, verdict, score, uncertainty }, name) {
  const unsure = uncertainty === undefined ? '' : `, uncertainty ${uncertainty.toFixed(2)}`;
  const figure = score === null ? '–' : `${score.toFixed(2)}${unsure}`;
  const cells = [VERDICTS[verdict] ?? verdict, figure, model.reliability.grade];
  const row = part('tr', 'opinion');
  row.append(header('row', name), ...cells.map((cell) => part('td', '', cell)));
  return row;
}

/**
 * @param {'col' | 'row'} scope
 * @param {string} text
 */
function header(scope, text) {
  const cell = part('th', '', text);
  cell.setAttribute('scope', scope);
  return cell;
}
