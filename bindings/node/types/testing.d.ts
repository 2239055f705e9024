// The types of keystart/testing, the same for require and for import.

/// <reference types="node" />

/** By name: a string is stored as text, bytes as they are, everything else as JSON. */
export type Secrets = Record<string, unknown>;

/** What is published beside the secrets. */
export interface PublishOptions {
  /** Optional entries that could not be fetched: by name, the reason. */
  unavailable?: Record<string, string>;
}

/** A store in a temporary folder and its writer. */
export interface Store {
  /** The absolute path of the store, which `KEYSTART_DIR` holds until it is closed. */
  readonly root: string;
  /**
   * Publishes a whole new set of secrets, as a rotation does, and gives the number of its generation. After `fail` or `stop`
   * it publishes as an extension does that was started again. Throws {@link import('./api.js').InvalidName}, and a
   * `KeystartError` with the code `name_conflict` or `value_too_large`.
   */
  publish(secrets: Secrets, options?: PublishOptions): number;
  /** Ends as an extension that could not fetch: reads throw `PrefetchFailed` with this message. */
  fail(message: string): void;
  /** Removes every secret, as the end of the environment does: reads throw `NotReady`. */
  stop(): void;
  /** Removes the store and puts `KEYSTART_DIR` and the default client back. Done by itself for a store of a test. */
  close(): void;
}

/** What `node:test` gives to a test; any object whose `after` is called with what is to be done at the end. */
export interface Test {
  /** Calls `done` when the test has ended. */
  after(done: () => void): void;
}

/**
 * Publishes secrets in a temporary folder; `KEYSTART_DIR` and the default client are of this store until the test ends.
 *
 * They are those of the whole process. That suits tests that run one after the other, and files, which `node --test` runs in
 * processes of their own. Tests that run at once in one process would read each other's store: there, give
 * `new Keystart({ root: store.root })` to what is tested. What was read before, and a `Keystart` that was made before, stay as
 * they are: import a module that reads at import after this call.
 */
export function store(test: Test, secrets?: Secrets, options?: PublishOptions): Store;
/** The same without a test: call `close()` at the end. */
export function store(secrets?: Secrets, options?: PublishOptions): Store;
