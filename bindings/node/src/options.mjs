// What a client is made of (contract 6.1): arguments first, then variables, then defaults. Opens nothing.
import * as errors from './errors.mjs';

const DEFAULT_ROOT = '/tmp/keystart';
const DEFAULT_TIMEOUT_MS = 9_000; // Lambda ends an Init after 10 s, and then the reason would never be printed
const MAX_TIMEOUT_MS = 999_999_999;

/**
 * @param {unknown} options `{ root, timeoutMs }`; what is undefined or null was not given
 * @returns {{ root: string, timeoutMs: number }}
 */
function readOptions(options) {
  const given = options ?? {};
  if (typeof given !== 'object') throw errors.invalidRoot(); // new Keystart('/a/path')
  const { root, timeoutMs } = /** @type {{ root?: unknown, timeoutMs?: unknown }} */ (given);
  return { root: readRoot(root), timeoutMs: readTimeout(timeoutMs) };
}

/** @param {unknown} given */
function readRoot(given) {
  const root = given ?? (process.env.KEYSTART_DIR || DEFAULT_ROOT);
  if (typeof root !== 'string' || root === '' || root.includes('\0')) throw errors.invalidRoot();
  // Node would put U+FFFD for a lone surrogate, and open another path than the one that was given
  if (!root.isWellFormed()) throw errors.invalidRoot();
  const absolute = root.startsWith('/') ? root : `${workingFolder()}/${root}`;
  let end = absolute.length;
  while (end > 1 && absolute[end - 1] === '/') end -= 1;
  return absolute.slice(0, end);
}

function workingFolder() {
  try {
    return process.cwd();
  } catch {
    throw errors.invalidRoot(); // contract 6.1.1: it was removed
  }
}

/** @param {unknown} given */
function readTimeout(given) {
  if (given !== undefined && given !== null) {
    const timeoutMs = typeof given === 'number' ? Math.round(given) : NaN;
    if (!(timeoutMs >= 0 && timeoutMs <= MAX_TIMEOUT_MS)) throw errors.invalidTimeout();
    return timeoutMs;
  }
  const variable = process.env.KEYSTART_TIMEOUT_MS;
  if (!variable) return DEFAULT_TIMEOUT_MS;
  if (!/^[0-9]{1,9}$/.test(variable)) throw errors.invalidTimeoutVariable();
  return Number(variable);
}

export { readOptions };
