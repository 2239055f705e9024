// How long one read may take: the pauses between looks, and the retries on a changing store. It does not look itself.
import { monotonic } from './node.mjs';
import { setTimeout } from './timers.mjs';

const MAX_RESTARTS_WITHOUT_TIMEOUT = 100; // limits.toml: waiting.restarts
const LONGEST_WAIT_MS = 20; // limits.toml: waiting.longest_pause_ms
const REMOVAL_WAIT_MS = 1_000; // limits.toml: waiting.removed_ms
const DEFERRED_WAIT_MS = 500; // limits.toml: waiting.deferred_ms

/** How long one read may still wait. Its clock starts at the first need: a warm read needs none. */
class Patience {
  #timeoutMs;
  #end = 0;
  #wait = 1;
  #restarts = 0;
  #removalEnd = 0;

  /** @param {number} timeoutMs */
  constructor(timeoutMs) {
    this.#timeoutMs = timeoutMs;
  }

  /** Waits a little; false if the time is over. */
  wait() {
    return this.#waitWithin(this.left());
  }

  /** Waits a little and blocks nobody; false if the time is over. */
  async pause() {
    const left = this.left();
    if (left <= 0) return false;
    await new Promise((resolve) => setTimeout(resolve, Math.min(this.#wait, left)));
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS);
    return true;
  }

  /** Waits a little while the store is removed; false if the time is over. */
  waitForRemoved() {
    const left = this.left();
    const now = monotonic();
    this.#removalEnd ||= now + REMOVAL_WAIT_MS;
    return this.#waitWithin(Math.min(left, this.#removalEnd - now));
  }

  /** Waits a little for the first invocation; false if it is not on its way. */
  waitForInvocation() {
    const left = this.left();
    return this.#waitWithin(Math.min(left, DEFERRED_WAIT_MS - (this.#timeoutMs - left)));
  }

  /** @param {number} left */
  #waitWithin(left) {
    if (left <= 0) return false;
    // blocks this thread, as a read must: Atomics.wait on memory that nobody will ever notify
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.min(this.#wait, left));
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS);
    return true;
  }

  /** Returns whether there is time for another round. */
  restart() {
    this.#restarts += 1;
    return this.#timeoutMs === 0 ? this.#restarts <= MAX_RESTARTS_WITHOUT_TIMEOUT : this.left() > 0;
  }

  /** Returns how many milliseconds are left. The first call starts the clock. */
  left() {
    const now = monotonic();
    this.#end ||= now + this.#timeoutMs;
    return this.#end - now;
  }
}

export { LONGEST_WAIT_MS, Patience };
