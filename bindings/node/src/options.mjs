// The options of a client (contract 6.1): arguments first, then variables, then defaults. It opens nothing.
import { errors } from './messages.mjs';
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
  if (typeof object !== 'object') throw errors().invalidRoot(); // new Keystart('/a/path')
  // own members only: any package can put `root` on Object.prototype (contract 6.1.6)
  const own = /** @type {Record<string, unknown>} */ (object);
  checkKnown(own, 'keystart', ['root', 'timeoutMs']);
  return { root: readRoot(member(own, 'root')), timeoutMs: readTimeout(member(own, 'timeoutMs')) };
}

/**
 * Refuses an option that does not exist, as Python and Ruby refuse an unknown keyword (contract 6.1.7).
 * @param {object} own
 * @param {string} taker
 * @param {string[]} known
 */
function checkKnown(own, taker, known) {
  for (const name of Object.keys(own)) {
    if (known.includes(name)) continue;
    const options =
      known.length === 1 ? `The option is ${known[0]}.` : `The options are ${known.join(' and ')}.`;
    if (!known.includes(`${name}Ms`)) {
      throw new TypeError(`${taker} has no such option, of ${name.length} characters. ${options}`);
    }
    throw new TypeError(`${taker} has no option ${name}. ${options} ${name}Ms is in milliseconds.`);
  }
}

/** @param {unknown} value */
function readRoot(value) {
  const isGiven = value !== undefined && value !== null;
  const root = isGiven ? value : member(process.env, 'KEYSTART_DIR') || DEFAULT_ROOT;
  if (!isPath(root)) throw isGiven ? errors().invalidRoot() : errors().invalidRootVariable();
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
    throw errors().invalidRoot(); // contract 6.1.1: the working directory was removed
  }
  if (!isPath(folder)) throw errors().invalidRoot();
  return folder;
}

/** @param {unknown} value */
function readTimeout(value) {
  const given = readMilliseconds(value, () => errors().invalidTimeout());
  if (given !== null) return given;
  const variable = member(process.env, 'KEYSTART_TIMEOUT_MS');
  if (!variable) return DEFAULT_TIMEOUT_MS;
  if (typeof variable !== 'string' || !/^[0-9]{1,9}$/.test(variable))
    throw errors().invalidTimeoutVariable();
  return Number(variable);
}

/**
 * Returns a number of contract 6.1.4; null if it is not given.
 * @param {unknown} value
 * @param {() => Error} invalid
 */
function readMilliseconds(value, invalid) {
  if (value === undefined || value === null) return null;
  const milliseconds = typeof value === 'number' ? Math.round(value) : NaN;
  if (!(milliseconds >= 0 && milliseconds <= MAX_TIMEOUT_MS)) throw invalid();
  return Math.abs(milliseconds); // -0.5 rounds to -0
}

export { checkKnown, readMilliseconds, readOptions };
