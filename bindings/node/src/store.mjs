// Reads the store by the steps of contract 6.2 and 6.3. It writes nothing, and does not interpret
// what it reads for callers.
import { errors } from './messages.mjs';
import { classes } from './classes.mjs';
import { MissingError, checkRoot, insecure, isMissing, lstat, readCurrent } from './files.mjs';
import { Generation, StaleError } from './generation.mjs';
import { onDemand } from './load.mjs';
import { parseManifest } from './manifest.mjs';
import { Buffer } from './node.mjs';

const TARGET = /^generations\/([1-9][0-9]{0,15})$/;

/** @typedef {import('./manifest.mjs').Manifest} Manifest */
/** @typedef {import('./patience.mjs').Patience} Patience */
/** @typedef {{ generation: number, text: string }} Known the manifest that a client has read before */

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

  /** @type {Known | null} until this store has read a manifest itself */
  #known;

  /**
   * @param {{ root: string, timeoutMs: number }} options
   * @param {Known | null} [known]
   */
  constructor({ root, timeoutMs }, known = null) {
    this.root = root;
    this.timeoutMs = timeoutMs;
    this.#known = known;
    this.#hasRead = known !== null;
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
      if (!(error instanceof MissingError)) throw error;
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
    if (this.#known !== null)
      return parseManifest(Buffer.from(this.#known.text), this.#known.generation);
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
   * @param {Patience} [patience]
   * @returns {T}
   */
  read(use, patience) {
    for (;;) {
      try {
        const generation = this.#latest();
        if (generation !== null) return use(generation);
        patience ??= new (onDemand().Patience)(this.timeoutMs);
        this.#wait(patience);
        continue;
      } catch (error) {
        if (!(error instanceof MissingError)) throw error;
        if (readCurrent(this.root).target === this.#target) {
          throw isMissing(`${this.root}/state.json`) ? errors().removed(this.root) : error.error;
        }
      }
      patience ??= new (onDemand().Patience)(this.timeoutMs);
      if (!patience.restart()) throw errors().changing(this.root);
    }
  }

  /** Returns the published generation; null if there is none to be read (contract 6.2.1 to 6.2.5). */
  #latest() {
    const { target, errno } = readCurrent(this.root);
    if (errno !== 'ENOENT') this.#removalIsKnown = false;
    if (target !== null && target === this.#target && this.#generation !== null)
      return this.#generation;
    if (!checkRoot(this.root)) {
      if (!this.#hasRead) throw errors().notAttached(this.root);
      return null;
    }
    if (target !== null || errno === 'EINVAL') return this.#open(target);
    if (errno === 'ENOENT') return null;
    throw errors().storeUnreadable(this.root, errno, 'current');
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
    this.#known = null;
    this.#generation = new Generation(this.root, number, this.timeoutMs);
    return this.#generation;
  }

  /**
   * Waits a little for a `current`, unless state.json or the timeout ends the read (contract 6.2.3).
   * @param {Patience} patience
   */
  #wait(patience) {
    const { readState, waitForWriter } = onDemand();
    const state = readState(this.root);
    if (state === 'missing' && this.#hasRead) {
      this.#waitForRemoved(patience);
      return;
    }
    this.#removalIsKnown = false;
    waitForWriter(this, state, patience);
  }

  /**
   * Waits a little for a writer that may be about to start after the store was removed (contract 6.2.10).
   * @param {Patience} patience
   */
  #waitForRemoved(patience) {
    this.#known = null;
    this.#generation = null; // a new store counts from 1 again
    if (!this.#removalIsKnown && patience.waitForRemoved(this.root)) return;
    this.#removalIsKnown = true;
    throw errors().removed(this.root);
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
      if (!(error instanceof MissingError)) throw error;
      const isThere =
        error instanceof StaleError
          ? readCurrent(this.root).target === this.folder
          : lstat(this.root, this.folder) !== null;
      if (isThere) throw error.error;
      throw errors().snapshotExpired(name, this.#generation.number);
    }
  }
}

export { Instant, Store };
