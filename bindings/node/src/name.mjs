// Names of secrets (contract §2): which names are valid, and which are near a misspelt one. It knows no store.
import * as errors from './errors.mjs';

const NAME = /^\w[\w.-]*(?:\/\w[\w.-]*)*$/; // \w is ASCII; with a count V8 would compile it eight times
const MAX_SEGMENTS = 8; // limits.toml: name.segments
const MAX_BYTES = 255; // limits.toml: name.bytes
const MAX_OFFERED = 3; // limits.toml: name.offered

/** @param {string} text */
function isName(text) {
  return text.length <= MAX_BYTES && NAME.test(text) && text.split('/').length <= MAX_SEGMENTS;
}

/**
 * Returns the name, or throws InvalidName (contract 6.2.0).
 * @param {unknown} name
 */
function checkName(name) {
  if (typeof name !== 'string') throw errors.nameNotText();
  if (!isName(name)) throw errors.invalidName(name);
  return name;
}

/**
 * Returns at most three names that the caller may have meant, the nearest first (contract 6.5.6).
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
    .slice(0, MAX_OFFERED)
    .map((near) => near.name);
}

/**
 * Returns Levenshtein's distance with unit costs, or any number above `most` if it is above that.
 * It computes one row of the table at a time, and only the cells at most `most` away from the
 * diagonal: a path through any other cell is too long.
 * @param {string} a
 * @param {string} b
 * @param {number} most
 */
function distance(a, b, most) {
  const tooFar = most + 1;
  const row = Array.from({ length: b.length + 1 }, (_, column) => Math.min(column, tooFar));
  for (let i = 0; i < a.length; i++) {
    const start = Math.max(0, i - most);
    const end = Math.min(b.length, i + tooFar);
    let diagonal = row[start];
    row[start] = start === 0 ? i + 1 : tooFar;
    let least = row[start];
    for (let j = start; j < end; j++) {
      const replaced = diagonal + (a[i] === b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = Math.min(replaced, row[j] + 1, diagonal + 1);
      least = Math.min(least, row[j + 1]);
    }
    if (least > most) return tooFar; // no later row gets smaller
  }
  return row[b.length];
}

export { isName, checkName, nearestNames };
