// Refuses values that were checked too long ago (contract 11.7). It does not read the values.
import { errors } from './messages.mjs';
import { SOCKET, askAndBlock, isListening } from './control.mjs';
import { readCurrent } from './files.mjs';
import { readCheck } from './freshness.mjs';
import { isUsable, parseTime } from './time.mjs';

const REQUEST_MS = 2_000; // limits.toml: stale.request_ms

/** The age of the values of one generation, once the time in its manifest has passed. */
class Age {
  /** @type {Map<string, number | null>} until when values can be used; null is forever */
  #usableUntil = new Map();
  #root;
  #manifest;
  #maxStale;
  #timeoutMs;

  /**
   * @param {string} root
   * @param {import('./interfaces.mjs').Manifest} manifest
   * @param {number} maxStale in seconds
   * @param {number} timeoutMs
   */
  constructor(root, manifest, maxStale, timeoutMs) {
    this.#root = root;
    this.#manifest = manifest;
    this.#maxStale = maxStale;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Returns the error if a value is too old, after it has asked the writer once; else null.
   * @param {string} name
   */
  check(name) {
    if (this.#isUsable(name)) return null;
    if (readCurrent(this.#root).target === `generations/${this.#manifest.generation}`) {
      this.#ask(name);
      if (this.#isUsable(name)) return null;
    }
    const check = this.#read(name);
    const checkedAt = check?.checked_at ?? this.#manifest.entry(name).fetched_at;
    const failure = check?.failure;
    return failure
      ? errors().secretStaleBecause(name, checkedAt, failure.code, failure.message)
      : errors().secretStale(name, checkedAt);
  }

  /**
   * Returns whether a value may be returned now. It reads freshness.json only if what it knows has passed.
   * @param {string} name
   */
  #isUsable(name) {
    const isAhead = (/** @type {number | null} */ until) =>
      until === null || isUsable(until, this.#maxStale);
    const known = this.#usableUntil.get(name);
    if (known !== undefined && isAhead(known)) return true;
    const check = this.#read(name);
    if (check === null) return false;
    const until = check.usable_until === null ? null : parseTime(check.usable_until);
    this.#usableUntil.set(name, until);
    return isAhead(until);
  }

  /** @param {string} name */
  #ask(name) {
    try {
      if (!isListening(this.#root)) return;
      askAndBlock(`${this.#root}/${SOCKET}`, name, Math.min(this.#timeoutMs, REQUEST_MS));
    } catch {
      // Whatever is answered, and if nobody can be asked, freshness.json decides.
    }
  }

  /** @param {string} name */
  #read(name) {
    return readCheck(this.#root, this.#manifest.generation, name);
  }
}

export { Age };
