// Reads the store by the steps of contract 6.2 and 6.3. It writes nothing, and does not interpret
// what it reads for callers.
import { isUtf8 } from './node.mjs';
import * as errors from './errors.mjs';
import { classes } from './classes.mjs';
import { failureLines, isFailures } from './failure.mjs';
import {
  Missing,
  checkFolder,
  checkRoot,
  insecure,
  isMissing,
  lstat,
  readCurrent,
  readFile,
} from './files.mjs';
import { isObject, member, parseJson } from './json.mjs';
import { onDemand } from './load.mjs';
import { parseManifest } from './manifest.mjs';
import { Patience } from './patience.mjs';
import { Value } from './secret.mjs';
import { isUsable } from './time.mjs';

const MAX_MANIFEST_BYTES = 1_048_576; // limits.toml: manifest.bytes
const MAX_STATE_BYTES = 1_048_576; // limits.toml: state.bytes
const TARGET = /^generations\/([1-9][0-9]{0,15})$/;

/** @typedef {import('./manifest.mjs').Manifest} Manifest */
/** @typedef {{ state: unknown, message: string | null, failures: Record<string, import('./failure.mjs').Failure> }} State */

/** A value was checked too long ago (contract 11.7). `error` says so, as for Missing. */
class Stale extends Missing {}

/** A generation whose manifest was read, and the values that were read from it. */
class Generation {
  /** @type {Map<string, Value>} */
  #values = new Map();
  /** @type {import('./age.mjs').Age | null} */
  #age = null;
  #root;
  #folder;
  #timeoutMs;
  #hasAge;

  /**
   * @param {string} root
   * @param {number} number
   * @param {number} timeoutMs
   * @param {boolean} [isCandidate] whose age nothing knows (contract 12.4.3)
   */
  constructor(root, number, timeoutMs, isCandidate = false) {
    this.number = number;
    this.#root = root;
    this.#timeoutMs = timeoutMs;
    this.#hasAge = !isCandidate;
    this.#folder = `generations/${number}`;
    this.#checkFolders();
    const file = `${this.#folder}/manifest.json`;
    const bytes = this.#read(file, MAX_MANIFEST_BYTES, (what) =>
      errors.manifestInvalid(number, `manifest.json ${what}`),
    );
    if (bytes.length > MAX_MANIFEST_BYTES) {
      throw errors.manifestInvalid(
        number,
        `manifest.json is longer than ${MAX_MANIFEST_BYTES} bytes`,
      );
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
    this.#checkAge(name);
    return value;
  }

  /**
   * Returns all facts about a secret except its value (contract 6.5.5).
   * @param {string} name
   */
  info(name) {
    return this.manifest.info(name, onDemand().readCheck(this.#root, this.number, name));
  }

  /**
   * Throws if a value was checked too long ago (contract 11.7).
   * @param {string} name
   */
  #checkAge(name) {
    const { maxStale } = this.manifest;
    if (maxStale === null || !this.#hasAge) return;
    if (isUsable(this.manifest.fetchedAt(name) + maxStale * 1000, maxStale)) return;
    this.#age ??= new (onDemand().Age)(this.#root, this.manifest, maxStale, this.#timeoutMs);
    const error = this.#age.check(name);
    if (error !== null) throw new Stale(error);
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
    const bytes = this.#read(`${this.#folder}/secrets/${name}`, size, (what) =>
      corrupt(`its file ${what}`),
    );
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
  }

  instant() {
    return this.read((generation) => new Instant(this.root, generation));
  }

  /**
   * Returns a generation by its number, published or not; null if it does not exist. It does not wait.
   * @param {number} number
   * @param {boolean} isCandidate
   */
  instantOf(number, isCandidate) {
    try {
      if (!checkRoot(this.root)) return null;
      return new Instant(this.root, new Generation(this.root, number, this.timeoutMs, isCandidate));
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
      if (lstat(this.root, `generations/${number}`) !== null) throw error.error;
      return null;
    }
  }

  /** @param {string} name */
  path(name) {
    this.read((generation) => generation.manifest.entry(name));
    return `${this.root}/current/secrets/${name}`;
  }

  /** Returns the manifest that was read last, else the one that is published now, if it can be read at once. */
  knownManifest() {
    return this.#generation?.manifest ?? this.#glance();
  }

  /** Reads the published manifest. This reader forgets it, and whatever it knows about removals stays. */
  #glance() {
    try {
      return new Store({ root: this.root, timeoutMs: 0 }).read((generation) => generation.manifest);
    } catch (error) {
      if (error instanceof classes.KeystartError) return null;
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
      if (target !== null && target === this.#target && this.#generation !== null)
        return this.#generation;
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
    if (state.state === 'deferred') {
      if (!patience.waitForInvocation()) throw errors.deferred(this.root);
      return;
    }
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
    this.number = generation.number;
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
  path(name) {
    this.manifest.entry(name);
    return `${this.root}/${this.folder}/secrets/${name}`;
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
        error instanceof Stale
          ? readCurrent(this.root).target === this.folder
          : lstat(this.root, this.folder) !== null;
      if (isThere) throw error.error;
      throw errors.snapshotExpired(name, this.#generation.number);
    }
  }
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
  const state =
    bytes.length <= MAX_STATE_BYTES && isUtf8(bytes) ? parseJson(bytes.toString()) : undefined;
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
    ['starting', 'deferred', 'ready', 'failed', 'stopped'].some(
      (word) => word === member(state, 'state'),
    ) &&
    (message === null || typeof message === 'string') &&
    isFailures(member(state, 'failures'))
  );
}

export { Instant, Store };
