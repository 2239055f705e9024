// Names of secrets (contract §2): which names are valid. It knows no store.
import { errors } from './messages.mjs';

const NAME = /^\w[\w.-]*(?:\/\w[\w.-]*)*$/; // \w is ASCII; with a count V8 would compile it eight times
const MAX_SEGMENTS = 8; // limits.toml: name.segments
const MAX_BYTES = 255; // limits.toml: name.bytes

/** @param {string} text */
function isName(text) {
  return text.length <= MAX_BYTES && NAME.test(text) && text.split('/').length <= MAX_SEGMENTS;
}

/**
 * Returns the name, or throws InvalidName (contract 6.2.0).
 * @param {unknown} name
 */
function checkName(name) {
  if (typeof name !== 'string') throw errors().nameNotText();
  if (!isName(name)) throw errors().invalidName(name);
  return name;
}

export { isName, checkName };
