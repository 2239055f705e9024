// Names of secrets (contract §2): what a name is, and which names are near a misspelt one. Knows no store.
import * as errors from './errors.mjs';

const NAME = /^\w[\w.-]*(?:\/\w[\w.-]*)*$/; // \w is ASCII; a count in it would make V8 compile it eight times over
const MAX_SEGMENTS = 8;
const MAX_BYTES = 255; // a name is ASCII: as many characters

/** @param {string} text */
function isName(text) {
  return text.length <= MAX_BYTES && NAME.test(text) && text.split('/').length <= MAX_SEGMENTS;
}

/**
 * Gives the name back, or throws InvalidName (contract 6.2.0).
 * @param {unknown} name
 */
function checkName(name) {
  if (typeof name !== 'string') throw errors.nameNotText();
  if (!isName(name)) throw errors.invalidName(name);
  return name;
}

/**
 * The names that may have been meant, at most three, the nearest first (contract 6.5.6).
 * @param {string} asked
 * @param {readonly string[]} names sorted
 */
function nearestNames(asked, names) {
  const most = Math.max(2, Math.floor(asked.length / 3));
  return names
    .filter((name) => Math.abs(name.length - asked.length) <= most)
    .map((name) => ({ name, distance: distance(asked, name, most) }))
    .filter((near) => near.distance <= most)
    .sort((a, b) => a.distance - b.distance) // stable: equal ones stay sorted by bytes
    .slice(0, 3)
    .map((near) => near.name);
}

/**
 * Levenshtein's distance with unit costs, or any number above `most` when it is above that.
 * @param {string} a
 * @param {string} b
 * @param {number} most
 */
function distance(a, b, most) {
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = above[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(change, above[j] + 1, row[j - 1] + 1));
    }
    if (Math.min(...row) > most) return Infinity; // no later row gets smaller
    above = row;
  }
  return above[b.length];
}

export { isName, checkName, nearestNames };
