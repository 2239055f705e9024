// freshness.json: when a secret was checked, and why it could not be (contract 11.8).
import { isUtf8 } from './node.mjs';
import { readFile } from './files.mjs';
import { isObject, member, parseJson } from './json.mjs';
import { parseTime } from './time.mjs';

const FORMAT = 'keystart.freshness/1';
const MAX_FRESHNESS_BYTES = 4_194_304; // limits.toml: freshness.bytes

/**
 * @typedef {{ code: string, message: string, at: string }} Failure
 * @typedef {{ checked_at: string, refresh_after: string | null, usable_until: string | null, failure: Failure | null }} Check
 */

/**
 * Returns the last check of a secret; null if freshness.json is missing or broken.
 * @param {string} root
 * @param {number} generation
 * @param {string} name
 */
function readCheck(root, generation, name) {
  try {
    const bytes = readFile(root, 'freshness.json', MAX_FRESHNESS_BYTES, () => new Error('ignored'));
    return parseCheck(bytes, generation, name);
  } catch {
    return null;
  }
}

/**
 * Returns all facts about a secret except its value (contract 6.5.5): a new object each time, so that callers cannot
 * change what others get.
 * @param {string} root
 * @param {import('./interfaces.mjs').Manifest} manifest
 * @param {string} name
 */
function readInfo(root, manifest, name) {
  const { path, size, encoding, fetched_at, refresh_after, source } = manifest.entry(name);
  manifest.time(name, 'fetched_at', fetched_at);
  if (refresh_after !== null) manifest.time(name, 'refresh_after', refresh_after);
  const check = readCheck(root, manifest.generation, name);
  const last = check ?? { checked_at: fetched_at, refresh_after, failure: null };
  const isDue = last.refresh_after !== null && parseTime(last.refresh_after) <= Date.now();
  return {
    path,
    size,
    encoding,
    fetched_at,
    refresh_after: last.refresh_after,
    source: copy(source),
    checked_at: last.checked_at,
    failure: last.failure,
    stale: isDue || last.failure !== null,
  };
}

/**
 * Returns the last check of a secret; null if the document is broken, or about another generation.
 * @param {Buffer} bytes
 * @param {number} generation
 * @param {string} name
 * @returns {Check | null}
 */
function parseCheck(bytes, generation, name) {
  const document =
    bytes.length <= MAX_FRESHNESS_BYTES && isUtf8(bytes) ? parseJson(bytes.toString()) : undefined;
  if (!isObject(document) || member(document, 'format') !== FORMAT) return null;
  if (member(document, 'generation') !== generation) return null;
  const secrets = member(document, 'secrets');
  const check = isObject(secrets) ? member(secrets, name) : undefined;
  if (!isObject(check)) return null;
  const times = ['checked_at', 'refresh_after', 'usable_until'].map((key) => member(check, key));
  const failure = member(check, 'failure');
  const isSound =
    isTime(times[0]) &&
    times.slice(1).every((time) => time === null || isTime(time)) &&
    isFailure(failure);
  if (!isSound) return null;
  const [checked_at, refresh_after, usable_until] =
    /** @type {[string, string | null, string | null]} */ (times);
  return {
    checked_at,
    refresh_after,
    usable_until,
    failure: failure === null ? null : copyFailure(failure),
  };
}

/** @param {unknown} value */
function isTime(value) {
  return !Number.isNaN(parseTime(value));
}

/** @param {unknown} value */
function isFailure(value) {
  if (value === null) return true;
  const isText = (/** @type {string} */ key) =>
    isObject(value) && typeof member(value, key) === 'string';
  return isText('code') && isText('message') && isObject(value) && isTime(member(value, 'at'));
}

/** @param {any} failure */
function copyFailure({ code, message, at }) {
  return { code, message, at };
}

/**
 * Returns a copy of parsed JSON. JSON.stringify would call a `toJSON` that any package can put on
 * Object.prototype.
 * @template T
 * @param {T} value
 * @returns {T}
 */
function copy(value) {
  if (Array.isArray(value)) return /** @type {T} */ (value.map(copy));
  if (!isObject(value)) return value;
  return /** @type {T} */ (
    Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, copy(inner)]))
  );
}

export { readCheck, readInfo };
