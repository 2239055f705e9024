// The errors of contract §8, one class for each code, and every word they say. Decides nothing about when.
//
// KeystartError
// ├── InvalidName         InvalidOption
// ├── NotAttached         NotReady             PrefetchFailed
// ├── LayoutInsecure      ManifestInvalid      ManifestUnsupported   StoreUnreadable
// ├── SecretNotFound      SecretUnavailable    SecretCorrupt
// ├── SecretNotText       SecretNotJson        SnapshotExpired
// ├── RefreshUnavailable  RefreshFailed        (reserved, contract §9)
// └── Internal
//
// No error has a `cause`: what JSON.parse throws quotes the text it could not parse.
import { Buffer } from './node.mjs';

class KeystartError extends Error {
  static code = '';

  /**
   * @param {string} message
   * @param {string | null} [secret]
   */
  constructor(message, secret = null) {
    super(message);
    this.code = /** @type {import('../types/api.js').ErrorCode} */ (new.target.code);
    this.secret = secret;
  }
}

class InvalidName extends KeystartError { static code = 'invalid_name'; }
class InvalidOption extends KeystartError { static code = 'invalid_option'; }
class NotAttached extends KeystartError { static code = 'not_attached'; }
class NotReady extends KeystartError { static code = 'not_ready'; }
class PrefetchFailed extends KeystartError { static code = 'prefetch_failed'; }
class LayoutInsecure extends KeystartError { static code = 'layout_insecure'; }
class ManifestInvalid extends KeystartError { static code = 'manifest_invalid'; }
class ManifestUnsupported extends KeystartError { static code = 'manifest_unsupported'; }
class StoreUnreadable extends KeystartError { static code = 'store_unreadable'; }
class SecretNotFound extends KeystartError { static code = 'secret_not_found'; }
class SecretUnavailable extends KeystartError { static code = 'secret_unavailable'; }
class SecretCorrupt extends KeystartError { static code = 'secret_corrupt'; }
class SecretNotText extends KeystartError { static code = 'secret_not_text'; }
class SecretNotJson extends KeystartError { static code = 'secret_not_json'; }
class SnapshotExpired extends KeystartError { static code = 'snapshot_expired'; }
class RefreshUnavailable extends KeystartError { static code = 'refresh_unavailable'; }
class RefreshFailed extends KeystartError { static code = 'refresh_failed'; }
class Internal extends KeystartError { static code = 'internal'; }

const classes = {
  KeystartError,
  InvalidName,
  InvalidOption,
  NotAttached,
  NotReady,
  PrefetchFailed,
  LayoutInsecure,
  ManifestInvalid,
  ManifestUnsupported,
  StoreUnreadable,
  SecretNotFound,
  SecretUnavailable,
  SecretCorrupt,
  SecretNotText,
  SecretNotJson,
  SnapshotExpired,
  RefreshUnavailable,
  RefreshFailed,
  Internal,
};

// Set by hand because a minifier renames classes, and Lambda reports an error by its name.
for (const [name, Class] of Object.entries(classes)) {
  Object.defineProperty(Class.prototype, 'name', { value: name, writable: true, configurable: true });
}

/**
 * Quotes text from outside so that it cannot pass for anything else in a log (contract 8.3).
 * @param {string} text
 */
function quote(text) {
  const bytes = Buffer.from(text.slice(0, 65)); // 65 characters are more than 64 bytes
  let quoted = '';
  for (const byte of bytes.subarray(0, 64)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x22 && byte !== 0x5c;
    quoted += plain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return `"${quoted}${bytes.length > 64 ? '...' : ''}"`;
}

/** @param {string} name */
function invalidName(name) {
  return new InvalidName(
    `${quote(name)} is not a valid secret name. A name is 1 to 8 segments separated by "/", at most 255 bytes in all; ` +
      'a segment starts with a letter, a digit or "_" and goes on with letters, digits, "_", "." or "-".',
  );
}

function nameNotText() {
  return new InvalidName('The name of a secret must be a string.');
}

function invalidRoot() {
  return new InvalidOption(
    'The root must be a path: text in UTF-8 without NUL bytes, and not empty. ' +
      'Give an absolute path, or leave it out to use KEYSTART_DIR or /tmp/keystart.',
  );
}

function invalidRootVariable() {
  return new InvalidOption('KEYSTART_DIR must be a path in UTF-8. Correct or unset it.');
}

function invalidTimeout() {
  return new InvalidOption(
    'The timeout must be a number from 0 to 999999999 milliseconds. Give 0 to not wait at all.',
  );
}

function invalidTimeoutVariable() {
  return new InvalidOption(
    'KEYSTART_TIMEOUT_MS must be 1 to 9 digits, a number of milliseconds. Correct or unset it.',
  );
}

/** @param {string} root */
function notAttached(root) {
  return new NotAttached(
    `There is no store at ${root}. Attach the Keystart extension to this function, check that KEYSTART_DIR is the ` +
      'same for both, or run "keystart pull" on your own machine.',
  );
}

/**
 * @param {string} root
 * @param {number} timeoutMs
 * @param {string | null} message what state.json says
 */
function notReady(root, timeoutMs, message) {
  const advice =
    message === null ? 'Look for [keystart] in the log of the function.' : `The extension says: ${message}`;
  return new NotReady(`The store at ${root} was not ready after ${timeoutMs} ms. ${advice}`);
}

/** @param {string} root */
function stopped(root) {
  return new NotReady(
    `The store at ${root} was stopped and its secrets were removed. ` +
      'Start the extension again, or run "keystart pull" on your own machine.',
  );
}

/** @param {string} root */
function removed(root) {
  return new NotReady(
    `The store at ${root} was removed while this process ran. Keep ${root} when you clear /tmp. ` +
      'The secrets come back with the next execution environment; on your own machine, run "keystart pull".',
  );
}

/** @param {string} root */
function changing(root) {
  return new NotReady(
    `The store at ${root} changes faster than it can be read. Try again with a longer timeout.`,
  );
}

/**
 * @param {string | null} message
 * @param {{ name: string, code: string, message: string }[]} failures
 */
function prefetchFailed(message, failures) {
  const reasons = failures.map((failure) => `\n  - ${quote(failure.name)}: ${failure.code}: ${failure.message}`);
  return new PrefetchFailed(
    `The extension could not publish the secrets: ${message ?? 'no reason was given'}${reasons.join('')}`,
  );
}

/**
 * @param {string} root
 * @param {string} what
 * @param {boolean} ours whether the root belongs to this user, whom others' roots do not let remove them
 */
function layoutInsecure(root, what, ours) {
  const advice = ours
    ? 'Remove it and start the extension again.'
    : 'Let the same user run the extension and this process, or set KEYSTART_DIR to another path for both.';
  return new LayoutInsecure(`The store at ${root} is not safe to read: ${what}. ${advice}`);
}

/**
 * @param {number} generation
 * @param {string} what
 */
function manifestInvalid(generation, what) {
  return new ManifestInvalid(
    `The manifest of generation ${generation} is not valid: ${what}. ` +
      'Start the extension again; if it happens again, report it.',
  );
}

/**
 * @param {number} generation
 * @param {string} format
 * @param {string} known
 */
function manifestUnsupported(generation, format, known) {
  return new ManifestUnsupported(
    `The manifest of generation ${generation} has the format ${quote(format)}, and this reader knows only "${known}". ` +
      'Use the same version of Keystart for the reader and the extension.',
  );
}

/**
 * @param {string} root
 * @param {string} errno
 * @param {string} path relative to the root
 */
function storeUnreadable(root, errno, path) {
  return new StoreUnreadable(
    `The store at ${root} cannot be read: ${errno} at ${path}. Check that this process may read it.`,
  );
}

/**
 * @param {string} name
 * @param {string[]} nearest at most three
 */
function secretNotFound(name, nearest) {
  const quoted = nearest.map((near) => `"${near}"`);
  const last = quoted.pop();
  const choice = quoted.length > 0 ? `${quoted.join(', ')} or ${last}` : last;
  const hint = last === undefined ? '' : ` Did you mean ${choice}?`;
  return new SecretNotFound(
    `There is no secret "${name}" in the store.${hint} Add it to the configuration of the extension.`,
    name,
  );
}

/**
 * @param {string} name
 * @param {string} entry
 * @param {{ code: string, message: string }} reason
 */
function secretUnavailable(name, entry, reason) {
  return new SecretUnavailable(
    `The secret "${name}" is not available: the optional entry "${entry}" could not be fetched: ` +
      `${reason.code}: ${reason.message}`,
    name,
  );
}

/**
 * @param {string} name
 * @param {number} generation
 * @param {string} what
 */
function secretCorrupt(name, generation, what) {
  return new SecretCorrupt(
    `The secret "${name}" is damaged in generation ${generation}: ${what}. Start the extension again.`,
    name,
  );
}

/** @param {string} name */
function secretNotText(name) {
  return new SecretNotText(`The secret "${name}" is not valid UTF-8 text. Read it as bytes.`, name);
}

/** @param {string} name */
function secretNotJson(name) {
  return new SecretNotJson(
    `The secret "${name}" is not valid JSON. Read it as text or bytes, or correct the secret.`,
    name,
  );
}

/**
 * @param {string} name
 * @param {number} generation
 */
function snapshotExpired(name, generation) {
  return new SnapshotExpired(
    `The snapshot of generation ${generation} has expired because the store moved on. Take a new snapshot.`,
    name,
  );
}

/** @param {string} what */
function internal(what) {
  return new Internal(`Keystart failed in a way it should not: ${what}. Please report it.`);
}

export {
  classes,
  invalidName,
  nameNotText,
  invalidRoot,
  invalidRootVariable,
  invalidTimeout,
  invalidTimeoutVariable,
  notAttached,
  notReady,
  stopped,
  removed,
  changing,
  prefetchFailed,
  layoutInsecure,
  manifestInvalid,
  manifestUnsupported,
  storeUnreadable,
  secretNotFound,
  secretUnavailable,
  secretCorrupt,
  secretNotText,
  secretNotJson,
  snapshotExpired,
  internal,
};
