// How long one read may take: the waits between looks, and the retries on a changing store. During a wait it looks for
// `current`, and for nothing else.
import { fs, monotonic } from './node.mjs';
import { setTimeout } from './timers.mjs';

const MAX_RESTARTS_WITHOUT_TIMEOUT = 100; // limits.toml: waiting.restarts
const LONGEST_PAUSE_MS = 20; // limits.toml: waiting.longest_pause_ms
const LONGEST_WAIT_MS = 100; // limits.toml: waiting.longest_wait_ms
const REMOVAL_WAIT_MS = 1_000; // limits.toml: waiting.removed_ms
const DEFERRED_WAIT_MS = 500; // limits.toml: waiting.deferred_ms

/** How long one read may still wait. Its clock starts at the first need: a warm read needs none. */
class Patience {
  #timeoutMs;
  #end = 0;
  #start = 0;
  #wait = 1;
  #restarts = 0;
  #removalEnd = 0;

  /** @param {number} timeoutMs */
  constructor(timeoutMs) {
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Waits a little for a `current` below the root; false if the time is over.
   * @param {string} root
   */
  wait(root) {
    return this.#waitWithin(root, this.left());
  }

  /** Waits a little and blocks nobody; false if the time is over. */
  async pause() {
    const left = this.left();
    if (left <= 0) return false;
    await new Promise((resolve) => setTimeout(resolve, Math.min(this.#wait, left)));
    this.#wait = Math.min(this.#wait * 2, LONGEST_PAUSE_MS);
    return true;
  }

  /**
   * Does the same while the store is removed.
   * @param {string} root
   */
  waitForRemoved(root) {
    const left = this.left();
    const now = monotonic();
    this.#removalEnd ||= now + REMOVAL_WAIT_MS;
    return this.#waitWithin(root, Math.min(left, this.#removalEnd - now));
  }

  /**
   * Does the same while the first invocation may be on its way.
   * @param {string} root
   */
  waitForInvocation(root) {
    const left = this.left();
    return this.#waitWithin(root, Math.min(left, DEFERRED_WAIT_MS - (this.#timeoutMs - left)));
  }

  /**
   * @param {string} root
   * @param {number} left
   */
  #waitWithin(root, left) {
    if (left <= 0) return false;
    const end = monotonic() + Math.min(this.#wait, left);
    // blocks this thread, as a read must: Atomics.wait on memory that nobody will ever notify
    const memory = new Int32Array(new SharedArrayBuffer(4));
    // A look at `current` alone costs a tenth of one at the whole store, and the writer may have to share the CPU.
    do {
      const now = monotonic();
      const pause = Math.min(Math.max((now - this.#start) / 8, 1), LONGEST_PAUSE_MS);
      Atomics.wait(memory, 0, 0, Math.min(pause, end - now));
    } while (monotonic() < end && !fs.existsSync(`${root}/current`));
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
    if (this.#end === 0) {
      this.#start = now;
      this.#end = now + this.#timeoutMs;
    }
    return this.#end - now;
  }
}

export { LONGEST_PAUSE_MS, Patience };
