// Reads the store by the steps of contract 6.2 and 6.3. It writes nothing, and does not interpret
// what it reads for callers.
import { Buffer, fs, isUtf8 } from './node.mjs';
import { askAndBlock, askToRefresh } from './control.mjs';
import * as errors from './errors.mjs';
import { MAX_FRESHNESS_BYTES, parseCheck } from './freshness.mjs';
import { failureLines, isFailures } from './failure.mjs';
import { isObject, member, parseJson } from './json.mjs';
import { changes, parseManifest } from './manifest.mjs';
import { Patience } from './patience.mjs';
import { Value } from './secret.mjs';
import { parseTime } from './time.mjs';

const MAX_MANIFEST_BYTES = 1_048_576; // limits.toml: manifest.bytes
const MAX_STATE_BYTES = 1_048_576; // limits.toml: state.bytes
const MAX_SOCKET_PATH = 100; // limits.toml: control.path_bytes
const OPEN_FLAGS = fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK; // libuv adds O_CLOEXEC
const STALE_REQUEST_MS = 2_000; // limits.toml: stale.request_ms
const STALE_MARGIN_MS = 60_000; // limits.toml: stale.margin_ms
const SOCKET = 'control.sock';
const TARGET = /^generations\/([1-9][0-9]{0,15})$/;

/** @typedef {import('./manifest.mjs').Manifest} Manifest */
/** @typedef {{ state: unknown, message: string | null, failures: Record<string, import('./failure.mjs').Failure> }} State */

/**
 * A part of a generation is missing. `error` says so, and is right only if the generation is still
 * the published one: otherwise it was collected.
 */
class Missing {
  /** @param {Error} error */
  constructor(error) {
    this.error = error;
  }
}

/** A value was checked too long ago (contract 11.7). `error` says so, as for Missing. */
class Stale extends Missing {}

/** A generation whose manifest was read, and the values that were read from it. */
class Generation {
  /** @type {Map<string, Value>} */
  #values = new Map();
  /** @type {Map<string, number | null>} until when values can be used, as far as it is known; null is forever */
  #usableUntil = new Map();
  #root;
  #folder;
  #timeoutMs;

  /**
   * @param {string} root
   * @param {number} number
   * @param {number} timeoutMs
   */
  constructor(root, number, timeoutMs) {
    this.number = number;
    this.#root = root;
    this.#timeoutMs = timeoutMs;
    this.#folder = `generations/${number}`;
    this.#checkFolders();
    const file = `${this.#folder}/manifest.json`;
    const bytes = this.#read(file, MAX_MANIFEST_BYTES, (what) =>
      errors.manifestInvalid(number, `manifest.json ${what}`),
    );
    if (bytes.length > MAX_MANIFEST_BYTES) {
      throw errors.manifestInvalid(number, `manifest.json is longer than ${MAX_MANIFEST_BYTES} bytes`);
    }
    this.manifest = parseManifest(bytes, number);
  }

  /** @param {string} name */
  value(name) {
    let value = this.#values.get(name);
    if (value === undefined) {
      value = new Value(name, this.#readSecret(name), this);
      this.#values.set(name, value);
    }
    if (this.manifest.maxStale !== null) this.#checkAge(name, this.manifest.maxStale * 1000);
    return value;
  }

  /**
   * Returns all facts about a secret except its value (contract 6.5.5).
   * @param {string} name
   */
  info(name) {
    return this.manifest.info(name, this.#check(name));
  }

  /**
   * Returns the last check of a secret by freshness.json; null if that is missing or broken.
   * @param {string} name
   */
  #check(name) {
    try {
      const ignored = () => new Error('ignored');
      const bytes = readFile(this.#root, 'freshness.json', MAX_FRESHNESS_BYTES, ignored);
      return parseCheck(bytes, this.number, name);
    } catch {
      return null;
    }
  }

  /**
   * Throws if a value was checked too long ago, after it has asked the writer once (contract 11.7).
   * @param {string} name
   * @param {number} maxStaleMs
   */
  #checkAge(name, maxStaleMs) {
    if (this.#isUsable(name, maxStaleMs)) return;
    if (readCurrent(this.#root).target === this.#folder) {
      try {
        if (isListening(this.#root)) {
          askAndBlock(`${this.#root}/${SOCKET}`, name, Math.min(this.#timeoutMs, STALE_REQUEST_MS));
        }
      } catch {
        // Whatever is answered, and if nobody can be asked, freshness.json decides.
      }
      if (this.#isUsable(name, maxStaleMs)) return;
    }
    const check = this.#check(name);
    const checkedAt = check?.checked_at ?? this.manifest.entry(name).fetched_at;
    const failure = check?.failure;
    throw new Stale(
      failure
        ? errors.secretStaleBecause(name, checkedAt, failure.code, failure.message)
        : errors.secretStale(name, checkedAt),
    );
  }

  /**
   * Returns whether a value may be returned now. It reads freshness.json only if what it knows has passed.
   * @param {string} name
   * @param {number} maxStaleMs
   */
  #isUsable(name, maxStaleMs) {
    const now = Date.now();
    const isAhead = (/** @type {number | null} */ until) =>
      until === null || (now < until && until <= now + maxStaleMs + STALE_MARGIN_MS);
    let until = this.#usableUntil.get(name);
    if (until === undefined) until = this.manifest.fetchedAt(name) + maxStaleMs;
    if (isAhead(until)) return true;
    const check = this.#check(name);
    if (check === null) return false;
    until = check.usable_until === null ? null : parseTime(check.usable_until);
    this.#usableUntil.set(name, until);
    return isAhead(until);
  }

  /** @param {string} name */
  #readSecret(name) {
    const { size } = this.manifest.entry(name);
    if (!checkRoot(this.#root)) throw new Missing(errors.notAttached(this.#root));
    this.#checkFolders();
    /** @param {string} what */
    const corrupt = (what) => errors.secretCorrupt(name, this.number, what);
    const segments = `secrets/${name}`.split('/');
    for (let depth = 1; depth < segments.length; depth++) {
      const folder = `${this.#folder}/${segments.slice(0, depth).join('/')}`;
      checkFolder(this.#root, folder, () => corrupt('its file is missing'));
    }
    const bytes = this.#read(`${this.#folder}/secrets/${name}`, size, (what) => corrupt(`its file ${what}`));
    if (bytes.length !== size) throw corrupt(`its file does not have ${size} bytes`);
    return bytes;
  }

  /**
   * Returns the bytes of a file. Discards them if the folder is gone, because a writer that stops
   * overwrites files.
   * @param {string} path
   * @param {number} limit
   * @param {(what: string) => Error} broken
   */
  #read(path, limit, broken) {
    const bytes = readFile(this.#root, path, limit, broken);
    if (lstat(this.#root, this.#folder) === null) throw new Missing(this.#folderMissing());
    return bytes;
  }

  #checkFolders() {
    checkFolder(this.#root, 'generations', () => this.#folderMissing());
    checkFolder(this.#root, this.#folder, () => this.#folderMissing());
  }

  #folderMissing() {
    return errors.manifestInvalid(this.number, `${this.#folder} is missing`);
  }
}

/** The published generation, whichever that is at the moment. */
class Store {
  /** @type {Generation | null} */
  #generation = null;
  /** @type {string | null} the target of `current` that led to it */
  #target = null;
  /** This reader has found a generation once, so a missing root was removed (contract 6.2.10). */
  #hasRead = false;
  /** A read has reported the removal. No read waits for the store until it exists again. */
  #removalIsKnown = false;

  /** @param {{ root: string, timeoutMs: number }} options */
  constructor({ root, timeoutMs }) {
    this.root = root;
    this.timeoutMs = timeoutMs;
    this.folder = 'current';
  }

  instant() {
    return this.read((generation) => new Instant(this.root, generation));
  }

  /**
   * Asks the writer to fetch now, and returns the names that changed (contract 7.3).
   * @param {string[]} names checked
   */
  async refresh(names) {
    const patience = new Patience(this.timeoutMs);
    patience.left(); // starts its clock
    const before = this.#generation?.manifest ?? this.#glance();
    const answer = isListening(this.root) ? await askToRefresh(`${this.root}/${SOCKET}`, names, patience) : null;
    if (answer === null) throw errors.refreshUnavailable(this.root);
    if (answer === 'late') {
      // the writer may have published before the answer was lost, as in a freeze
      const changed = this.#changesAtLast(before, names, patience);
      if (changed.length === 0) throw errors.refreshTimedOut(this.timeoutMs);
      return changed;
    }
    if (typeof answer === 'string') throw errors.storeUnreadable(this.root, answer, SOCKET);
    if (!answer.ok) throw errors.refreshRefused(answer.error.code, answer.error.message);
    const failures = failureLines(answer.failures);
    if (failures !== '') throw errors.refreshFailed(failures);
    return this.read((generation) => changes(before, generation.manifest, names), patience);
  }

  /**
   * @param {Manifest | null} before
   * @param {string[]} names
   * @param {Patience} patience
   */
  #changesAtLast(before, names, patience) {
    try {
      return this.read((generation) => changes(before, generation.manifest, names), patience);
    } catch (error) {
      if (error instanceof errors.classes.KeystartError) return [];
      throw error;
    }
  }

  /**
   * Returns the manifest that is published now, if it can be read at once. This reader forgets it, and
   * whatever it knows about removals stays.
   */
  #glance() {
    try {
      return new Store({ root: this.root, timeoutMs: 0 }).read((generation) => generation.manifest);
    } catch (error) {
      if (error instanceof errors.classes.KeystartError) return null;
      throw error;
    }
  }

  /**
   * Uses the published generation, and starts again if it is collected meanwhile (contract 6.2.7).
   * @template T
   * @param {(generation: Generation) => T} use
   * @returns {T}
   */
  read(use, patience = new Patience(this.timeoutMs)) {
    for (;;) {
      try {
        return use(this.#published(patience));
      } catch (error) {
        if (!(error instanceof Missing)) throw error;
        if (readCurrent(this.root).target === this.#target) {
          throw isMissing(`${this.root}/state.json`) ? errors.removed(this.root) : error.error;
        }
      }
      if (!patience.restart()) throw errors.changing(this.root);
    }
  }

  /**
   * Returns the published generation (contract 6.2.1 to 6.2.5).
   * @param {Patience} patience
   */
  #published(patience) {
    for (;;) {
      const { target, errno } = readCurrent(this.root);
      if (errno !== 'ENOENT') this.#removalIsKnown = false;
      if (target !== null && target === this.#target && this.#generation !== null) return this.#generation;
      if (!checkRoot(this.root)) {
        if (!this.#hasRead) throw errors.notAttached(this.root);
        this.#waitForRemoved(patience);
      } else if (target !== null || errno === 'EINVAL') {
        return this.#open(target);
      } else if (errno === 'ENOENT') {
        this.#wait(patience);
      } else {
        throw errors.storeUnreadable(this.root, errno, 'current');
      }
    }
  }

  /** @param {string | null} target null when `current` is not a link */
  #open(target) {
    const number = Number(TARGET.exec(target ?? '')?.[1]);
    if (!Number.isSafeInteger(number)) {
      throw insecure(this.root, 'current does not point to a generation');
    }
    this.#hasRead = true;
    this.#target = target;
    this.#generation = null;
    this.#generation = new Generation(this.root, number, this.timeoutMs);
    return this.#generation;
  }

  /**
   * Waits a little for a `current`, unless state.json or the timeout ends the read (contract 6.2.3).
   * @param {Patience} patience
   */
  #wait(patience) {
    const state = readState(this.root);
    if (state === 'missing' && this.#hasRead) {
      this.#waitForRemoved(patience);
      return;
    }
    this.#removalIsKnown = false;
    if (typeof state !== 'object' || state === null) {
      if (!patience.wait()) throw this.#notReady(null);
      return;
    }
    if (state.state === 'failed') {
      throw errors.prefetchFailed(state.message ?? errors.NO_REASON, failureLines(state.failures));
    }
    if (state.state === 'stopped') throw errors.stopped(this.root);
    if (!patience.wait()) throw this.#notReady(state.message);
  }

  /** @param {string | null} message what state.json says */
  #notReady(message) {
    if (message === null) return errors.notReady(this.root, this.timeoutMs);
    return errors.notReadyBecause(this.root, this.timeoutMs, message);
  }

  /**
   * Waits a little for a writer that may be about to start after the store was removed (contract 6.2.10).
   * @param {Patience} patience
   */
  #waitForRemoved(patience) {
    this.#generation = null; // a new store counts from 1 again
    if (!this.#removalIsKnown && patience.waitForRemoved()) return;
    this.#removalIsKnown = true;
    throw errors.removed(this.root);
  }
}

/** One generation, whatever is published later (contract 6.3). */
class Instant {
  #generation;

  /**
   * @param {string} root
   * @param {Generation} generation
   */
  constructor(root, generation) {
    this.root = root;
    this.folder = `generations/${generation.number}`;
    this.manifest = generation.manifest;
    this.#generation = generation;
  }

  instant() {
    return this;
  }

  /**
   * @template T
   * @param {(generation: Instant) => T} use
   * @returns {T}
   */
  read(use) {
    return use(this);
  }

  /** @param {string} name */
  info(name) {
    return this.#generation.info(name);
  }

  /** @param {string} name */
  value(name) {
    try {
      return this.#generation.value(name);
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
      const isThere =
        error instanceof Stale ? readCurrent(this.root).target === this.folder : lstat(this.root, this.folder) !== null;
      if (isThere) throw error.error;
      throw errors.snapshotExpired(name, this.#generation.number);
    }
  }
}

/**
 * Returns where `current` points to, or the errno.
 * @param {string} root
 * @returns {{ target: string, errno: null } | { target: null, errno: string }}
 */
function readCurrent(root) {
  try {
    return { target: fs.readlinkSync(`${root}/current`), errno: null };
  } catch (error) {
    return { target: null, errno: errnoOf(error) };
  }
}

/**
 * Checks the root (contract 6.2.2); false if it does not exist.
 * @param {string} root
 */
function checkRoot(root) {
  const stats = lstat(root, '.');
  if (stats === null) return false;
  if (stats.isSymbolicLink()) throw insecure(root, 'the root is a symbolic link');
  if (!stats.isDirectory()) throw insecure(root, 'the root is not a directory');
  if (stats.uid !== 0 && stats.uid !== process.geteuid?.()) {
    throw insecure(root, 'the root belongs to another user');
  }
  if ((stats.mode & 0o022) !== 0) throw insecure(root, 'the root is writable by group or others');
  return true;
}

/**
 * Returns whether a writer may listen there (contract 9.9).
 * @param {string} root
 */
function isListening(root) {
  if (!checkRoot(root) || Buffer.byteLength(`${root}/${SOCKET}`) > MAX_SOCKET_PATH) return false;
  return lstat(root, SOCKET)?.isSocket() ?? false;
}

/**
 * Makes `LayoutInsecure`. The advice depends on the owner: this user can remove only its own store
 * (contract 8.4).
 * @param {string} root
 * @param {string} what
 */
function insecure(root, what) {
  let owner;
  try {
    owner = fs.lstatSync(root).uid;
  } catch (error) {
    errnoOf(error); // gone, or may not be looked at: then it is not known to be ours
  }
  return owner === process.geteuid?.() ? errors.layoutInsecure(root, what) : errors.layoutInsecureOfOtherUser(root, what);
}

/**
 * Checks a folder on the way to a file (contract 6.2.4).
 * @param {string} root
 * @param {string} path
 * @param {() => Error} missing
 */
function checkFolder(root, path, missing) {
  const stats = lstat(root, path);
  if (stats === null) throw new Missing(missing());
  if (stats.isSymbolicLink()) throw insecure(root, `${path} is a symbolic link`);
  if (!stats.isDirectory()) throw insecure(root, `${path} is not a directory`);
}

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
    return error instanceof Missing ? 'missing' : null; // broken counts as "wait": the writer may be about to replace it
  }
  const state = bytes.length <= MAX_STATE_BYTES && isUtf8(bytes) ? parseJson(bytes.toString()) : undefined;
  return isState(state) ? state : null;
}

/**
 * @param {unknown} state
 * @returns {state is State}
 */
function isState(state) {
  if (!isObject(state) || member(state, 'format') !== 'keystart.state/1') return false;
  const message = member(state, 'message');
  return (
    ['starting', 'ready', 'failed', 'stopped'].some((word) => word === member(state, 'state')) &&
    (message === null || typeof message === 'string') &&
    isFailures(member(state, 'failures'))
  );
}

/**
 * Returns the stat of a path without following links; null if nothing is there.
 * @param {string} root
 * @param {string} path relative to the root
 */
function lstat(root, path) {
  try {
    return fs.lstatSync(path === '.' ? root : `${root}/${path}`);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT') return null;
    throw errors.storeUnreadable(root, errno, path);
  }
}

/** @param {string} path */
function isMissing(path) {
  try {
    fs.lstatSync(path);
    return false;
  } catch (error) {
    return errnoOf(error) === 'ENOENT';
  }
}

/**
 * Returns the bytes of a regular file; more than `limit` bytes if it is longer than that (contract 6.2.8).
 * @param {string} root
 * @param {string} path relative to the root
 * @param {number} limit
 * @param {(what: string) => Error} broken
 */
function readFile(root, path, limit, broken) {
  let file;
  let bytes = null;
  try {
    file = fs.openSync(`${root}/${path}`, OPEN_FLAGS);
    const stats = fs.fstatSync(file);
    if (stats.isFile()) bytes = readBytes(file, Math.min(stats.size, limit) + 1);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT') throw new Missing(broken('is missing'));
    if (errno === 'ELOOP') throw insecure(root, `${path} is a symbolic link`);
    if (errno !== 'ENXIO') throw errors.storeUnreadable(root, errno, path); // ENXIO: a socket, contract 8.6
  } finally {
    if (file !== undefined) fs.closeSync(file);
  }
  if (bytes === null) throw broken('is not a regular file');
  return bytes;
}

/**
 * @param {number} file
 * @param {number} most
 */
function readBytes(file, most) {
  const bytes = Buffer.allocUnsafeSlow(most); // not from the pool, which other code can see
  let length = 0;
  let count;
  do {
    count = fs.readSync(file, bytes, length, most - length, null);
    length += count;
  } while (count > 0 && length < most);
  return bytes.subarray(0, length);
}

/**
 * Returns the name of a system error. Any other error is a bug, and only its kind is reported: its
 * message may quote anything.
 * @param {unknown} error
 */
function errnoOf(error) {
  // Not instanceof: in Jest and node:vm, Node's own errors are of another realm than this code.
  const own = /** @type {Record<string, unknown>} */ (Object(error));
  const code = member(own, 'code');
  if (typeof code === 'string') return code;
  const isError = Object.prototype.toString.call(error) === '[object Error]';
  throw errors.internal(isError && typeof own.name === 'string' ? own.name : typeof error);
}

export { Store };
