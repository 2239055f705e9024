// A client and a snapshot by all steps of the contract. store.mjs reads the store. client.mjs has what a function calls.
import { onDemand } from './load.mjs';
import { checkName } from './name.mjs';
import { checkKnown, readOptions } from './options.mjs';
import { Secret } from './secret.mjs';
import { Store } from './store.mjs';

/** What a client and a snapshot have in common. Their sources differ. */
class Reader {
  #source;

  /** @param {Store | import('./store.mjs').Instant | import('./attempt.mjs').Watched} source */
  constructor(source) {
    this.#source = source;
  }

  /** @param {string} name */
  get(name) {
    return this.#value(name).text();
  }

  /** @param {string} name */
  getBytes(name) {
    return this.#value(name).bytes();
  }

  /**
   * @template [T=unknown]
   * @param {string} name
   */
  getJson(name) {
    return /** @type {T} */ (this.#value(name).json());
  }

  /** @param {string} name */
  secret(name) {
    return new Secret(name, this.#value(name));
  }

  /** @param {string} name */
  path(name) {
    return this.#source.path(checkName(name));
  }

  /** @param {string | null} [prefix] */
  names(prefix) {
    const folder = prefix ?? undefined;
    if (folder !== undefined) checkName(folder);
    return this.#manifest().names(folder);
  }

  /** @param {string} name */
  info(name) {
    checkName(name);
    return this.#source.read((generation) => generation.info(name));
  }

  /** @returns {Snapshot} */
  snapshot() {
    return new Snapshot(this.#source.instant());
  }

  /**
   * Returns options for node:tls, node:https and node:http2 (contract 6.5.7).
   * @param {string} prefix
   */
  tls(prefix) {
    checkName(`${checkName(prefix)}/cert`);
    return this.#source.read((generation) => onDemand().tlsOptions(generation, prefix));
  }

  /** @param {string} name */
  #value(name) {
    checkName(name);
    return this.#source.read((generation) => generation.value(name));
  }

  #manifest() {
    return this.#source.read((generation) => generation.manifest);
  }
}

class Client extends Reader {
  #store;

  /**
   * @param {{ root: string, timeoutMs: number }} options checked
   * @param {import('./store.mjs').Known | null} known what this client has read before
   */
  constructor(options, known) {
    const store = new Store(options, known);
    super(store);
    this.#store = store;
  }

  /** @param {string[]} names */
  async refresh(...names) {
    return onDemand().refresh(this.#store, names.map(checkName));
  }

  /**
   * @template T
   * @param {string} name
   * @param {(secrets: import('../types/api.js').Snapshot) => T | Promise<T>} fn
   * @param {import('../types/api.js').AttemptOptions | null} [options]
   */
  async attempt(name, fn, options) {
    return onDemand().attempt(
      this.#store,
      checkName(name),
      fn,
      options,
      (source) => new Snapshot(source),
    );
  }
}

class Snapshot extends Reader {
  snapshot() {
    return this;
  }
}

const reader = { Client, checkKnown, checkName, readOptions };

export { reader };
