// Why a secret that is not in the manifest cannot be read, and which names the caller may have meant (contract 6.5.6).
import { errors } from './messages.mjs';

const MAX_OFFERED = 3; // limits.toml: name.offered

/** @typedef {import('./interfaces.mjs').Manifest} Manifest */

/**
 * Returns the error of a name that the manifest does not hold.
 * @param {Manifest} manifest
 * @param {string} name
 */
function missing(manifest, name) {
  const error = unavailable(manifest, name);
  if (error !== null) return error;
  const below = manifest.names(name);
  if (below.length > 0) return errors().secretIsFolder(name, members(below));
  return errors().secretNotFound(name, hint(nearestNames(name, manifest.names())));
}

/**
 * Returns the error if the name, or a folder it lies in, could not be fetched; else null. It names the longest one.
 * @param {Manifest} manifest
 * @param {string} name
 */
function unavailable(manifest, name) {
  for (let end = name.length; end > 0; end = name.lastIndexOf('/', end - 1)) {
    const entry = name.slice(0, end);
    const failure = manifest.unavailable.get(entry);
    if (failure !== undefined)
      return errors().secretUnavailable(name, entry, failure.code, failure.message);
  }
  return null;
}

/**
 * Returns a hint with the nearest names, if any.
 * @param {string[]} nearest at most three
 */
function hint(nearest) {
  const [first, second, third] = nearest;
  if (third !== undefined) return errors().hintOfThree(first, second, third);
  if (second !== undefined) return errors().hintOfTwo(first, second);
  return first === undefined ? '' : errors().hintOfOne(first);
}

/**
 * Returns a list of what a folder holds.
 * @param {string[]} names sorted, at least one
 */
function members([first, second, third, ...more]) {
  if (more.length > 0) return errors().membersOfMore(first, second, third, more.length);
  if (third !== undefined) return errors().membersOfThree(first, second, third);
  return second === undefined ? errors().membersOfOne(first) : errors().membersOfTwo(first, second);
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

export { missing, nearestNames, unavailable };
