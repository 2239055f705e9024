// The types of keystart/testing, the same for require and for import.

/// <reference types="node" />

/** Secrets by name: a string is stored as text, bytes as they are, everything else as JSON. */
export type Secrets = Record<string, unknown>;

/** What to publish besides the secrets. */
export interface PublishOptions {
  /** Optional entries that could not be fetched: the reason, by name. */
  unavailable?: Record<string, string>;
}

/** A store in a temporary folder and its writer. */
export interface Store {
  /** The absolute path of the store. `KEYSTART_DIR` holds it until the store is closed. */
  readonly root: string;
  /**
   * Publishes a whole new set of secrets, as a rotation does, and returns the number of its
   * generation. After `fail` or `stop` it publishes as a restarted extension does. Throws {@link
   * import('./api.js').InvalidName}, and a `KeystartError` with the code `name_conflict` or
   * `value_too_large`.
   */
  publish(secrets: Secrets, options?: PublishOptions): number;
  /** Ends like an extension that could not fetch: reads throw `PrefetchFailed` with this message. */
  fail(message: string): void;
  /** Removes every secret, as at the end of the environment: reads throw `NotReady`. */
  stop(): void;
  /** Removes the store, and restores `KEYSTART_DIR` and the default client. A store of a test closes itself. */
  close(): void;
}

/** A test of `node:test`, or any object whose `after` takes what is to be done at the end. */
export interface Test {
  /** Calls `done` after the test has ended. */
  after(done: () => void): void;
}

/**
 * Publishes secrets in a temporary folder. `KEYSTART_DIR` and the default client use this store
 * until the test ends.
 *
 * Both belong to the whole process. That suits tests that run one after the other, and test files,
 * which `node --test` runs in separate processes. Tests that run at the same time in one process
 * would read each other's store. In such tests, pass `new Keystart({ root: store.root })` to the
 * tested code. Values read before, and a `Keystart` made before, do not change: if a module reads
 * at import, import it after this call.
 */
export function store(test: Test, secrets?: Secrets, options?: PublishOptions): Store;
/** Does the same without a test: call `close()` at the end. */
export function store(secrets?: Secrets, options?: PublishOptions): Store;
