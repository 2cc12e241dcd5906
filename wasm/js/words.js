/** What the element's words are made of. */

/** The verdicts in words. */
export const VERDICTS = {
  likely_fake: 'Likely fake',
  likely_real: 'Likely real',
  uncertain: 'Uncertain',
  no_face: 'No face found',
};

/**
 * What begins small and has no full stop, as a sentence.
 * @param {string} words
 */
export function sentence(words) {
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}

/**
 * An element with a text in it, which pages style by the name of its part where it has one.
 * @param {string} tag
 * @param {string} name
 */
export function part(tag, name, text = '') {
  const element = document.createElement(tag);
  if (name) element.setAttribute('part', name);
  element.textContent = text;
  return element;
}
