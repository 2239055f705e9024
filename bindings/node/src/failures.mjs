// Why entries could not be fetched, by name: in state.json and in answers of the writer.
import { Buffer } from './node.mjs';
import { errors } from './messages.mjs';
import { isObject, member } from './json.mjs';

/** @typedef {{ code: string, message: string }} Failure */

/**
 * @param {unknown} failures
 * @returns {failures is Record<string, Failure>}
 */
function isFailures(failures) {
  return isObject(failures) && Object.values(failures).every(isFailure);
}

/**
 * @param {unknown} failure
 * @returns {failure is Failure}
 */
function isFailure(failure) {
  return (
    isObject(failure) &&
    typeof member(failure, 'code') === 'string' &&
    typeof member(failure, 'message') === 'string'
  );
}

/**
 * Returns a line for each, in the order of the names' bytes.
 * @param {Record<string, Failure>} failures
 */
function failureLines(failures) {
  const sorted = Object.entries(failures);
  sorted.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return sorted
    .map(([name, { code, message }]) => errors().failureLine(name, code, message))
    .join('');
}

export { failureLines, isFailure, isFailures };
