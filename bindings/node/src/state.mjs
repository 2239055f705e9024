// state.json: what the writer is doing (contract §3).
import { isUtf8 } from './node.mjs';
import { isFailures } from './failures.mjs';
import { MissingError, readFile } from './files.mjs';
import { isObject, member, parseJson } from './json.mjs';

const FORMAT = 'keystart.state/1';
const MAX_STATE_BYTES = 1_048_576; // limits.toml: state.bytes

/** @typedef {{ state: unknown, message: string | null, failures: Record<string, import('./failures.mjs').Failure> }} State */

/**
 * Returns the state; null if it is broken, for whatever reason (contract 3.5).
 * @param {string} root
 * @returns {State | 'missing' | null}
 */
function readState(root) {
  let bytes;
  try {
    bytes = readFile(root, 'state.json', MAX_STATE_BYTES, (what) => new Error(what));
  } catch (error) {
    return error instanceof MissingError ? 'missing' : null; // broken counts as "wait": the writer may be about to replace it
  }
  const state =
    bytes.length <= MAX_STATE_BYTES && isUtf8(bytes) ? parseJson(bytes.toString()) : undefined;
  return isState(state) ? state : null;
}

/**
 * @param {unknown} state
 * @returns {state is State}
 */
function isState(state) {
  if (!isObject(state) || member(state, 'format') !== FORMAT) return false;
  const message = member(state, 'message');
  return (
    ['starting', 'deferred', 'ready', 'failed', 'stopped'].some(
      (word) => word === member(state, 'state'),
    ) &&
    (message === null || typeof message === 'string') &&
    isFailures(member(state, 'failures'))
  );
}

export { readState };
