// The options of a client (contract 6.1): arguments first, then variables, then defaults. It opens nothing.
import * as errors from './errors.mjs';
import { member } from './json.mjs';

const DEFAULT_ROOT = '/tmp/keystart';
const DEFAULT_TIMEOUT_MS = 9_000; // limits.toml: timeout.default_ms
const MAX_TIMEOUT_MS = 999_999_999; // limits.toml: timeout.most_ms

/**
 * @param {unknown} options `{ root, timeoutMs }`; undefined or null means not given
 * @returns {{ root: string, timeoutMs: number }}
 */
function readOptions(options) {
  const object = options ?? {};
  if (typeof object !== 'object') throw errors.invalidRoot(); // new Keystart('/a/path')
  // own members only: any package can put `root` on Object.prototype (contract 6.1.6)
  const own = /** @type {Record<string, unknown>} */ (object);
  for (const name of Object.keys(own)) {
    // As Python and Ruby refuse an unknown keyword (contract 6.1.7).
    if (name !== 'root' && name !== 'timeoutMs') throw new TypeError(unknown(name));
  }
  return { root: readRoot(member(own, 'root')), timeoutMs: readTimeout(member(own, 'timeoutMs')) };
}

/** @param {string} name */
function unknown(name) {
  const known = 'The options are root and timeoutMs.';
  if (name === 'timeout') return `keystart has no option timeout. ${known} timeoutMs is in milliseconds.`;
  return `keystart has no such option, of ${name.length} characters. ${known}`;
}

/** @param {unknown} value */
function readRoot(value) {
  const isGiven = value !== undefined && value !== null;
  const root = isGiven ? value : member(process.env, 'KEYSTART_DIR') || DEFAULT_ROOT;
  if (!isPath(root)) throw isGiven ? errors.invalidRoot() : errors.invalidRootVariable();
  const absolute = root.startsWith('/') ? root : `${workingFolder()}/${root}`;
  let end = absolute.length;
  while (end > 1 && absolute[end - 1] === '/') end -= 1;
  return absolute.slice(0, end);
}

/**
 * Checks a path by contract 6.1.2. Node replaces bytes that are not UTF-8 and lone surrogates by
 * U+FFFD, and would open another path than the caller meant.
 * @param {unknown} text
 * @returns {text is string}
 */
function isPath(text) {
  if (typeof text !== 'string' || text === '' || !text.isWellFormed()) return false;
  return !text.includes('\0') && !text.includes('\ufffd');
}

function workingFolder() {
  let folder;
  try {
    folder = process.cwd();
  } catch {
    throw errors.invalidRoot(); // contract 6.1.1: the working directory was removed
  }
  if (!isPath(folder)) throw errors.invalidRoot();
  return folder;
}

/** @param {unknown} value */
function readTimeout(value) {
  if (value !== undefined && value !== null) {
    const timeoutMs = typeof value === 'number' ? Math.round(value) : NaN;
    if (!(timeoutMs >= 0 && timeoutMs <= MAX_TIMEOUT_MS)) throw errors.invalidTimeout();
    return timeoutMs;
  }
  const variable = member(process.env, 'KEYSTART_TIMEOUT_MS');
  if (!variable) return DEFAULT_TIMEOUT_MS;
  if (typeof variable !== 'string' || !/^[0-9]{1,9}$/.test(variable)) throw errors.invalidTimeoutVariable();
  return Number(variable);
}

export { readOptions };
