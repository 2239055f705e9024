// state.json: what the writer is doing (contract §3), and whether a read waits for it.
import { isUtf8 } from './node.mjs';
import { failureLines, isFailures } from './failures.mjs';
import { MissingError, readFile } from './files.mjs';
import { isObject, member, parseJson } from './json.mjs';
import { errors } from './messages.mjs';

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

/**
 * Waits a little for a `current`, or throws because none is to be expected (contract 6.2.3).
 * @param {{ root: string, timeoutMs: number }} store
 * @param {State | 'missing' | null} state
 * @param {import('./patience.mjs').Patience} patience
 */
function waitForWriter({ root, timeoutMs }, state, patience) {
  if (typeof state !== 'object' || state === null) {
    if (!patience.wait(root)) throw errors().notReady(root, timeoutMs);
    return;
  }
  const { message } = state;
  if (state.state === 'failed') {
    throw errors().prefetchFailed(message ?? errors().NO_REASON, failureLines(state.failures));
  }
  if (state.state === 'stopped') throw errors().stopped(root);
  if (state.state === 'deferred') {
    if (!patience.waitForInvocation(root)) throw errors().deferred(root);
    return;
  }
  if (patience.wait(root)) return;
  throw message === null
    ? errors().notReady(root, timeoutMs)
    : errors().notReadyBecause(root, timeoutMs, message);
}

export { readState, waitForWriter };
