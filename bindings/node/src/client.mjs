// The reader's interface (contract §7), as one object. require returns the object; import takes its
// members apart too. store.mjs reads the store.
import { classes } from './classes.mjs';
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

class Keystart extends Reader {
  #store;

  /** @param {{ root?: string | null, timeoutMs?: number | null }} [options] */
  constructor(options) {
    const store = new Store(readOptions(options));
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

/** @type {Keystart | undefined} */
let shared;

/** Returns the default client. It is made at the first call, which reads the variables (contract 6.1.5). */
function client() {
  shared ??= new Keystart();
  return shared;
}

const keystart = {
  /** @param {string} name */
  get: (name) => client().get(name),
  /** @param {string} name */
  getBytes: (name) => client().getBytes(name),
  /**
   * @template [T=unknown]
   * @param {string} name
   * @returns {T}
   */
  getJson: (name) => client().getJson(name),
  /** @param {string} name */
  secret: (name) => client().secret(name),
  /** @param {string} name */
  path: (name) => client().path(name),
  /** @param {string | null} [prefix] */
  names: (prefix) => client().names(prefix),
  /** @param {string} name */
  info: (name) => client().info(name),
  snapshot: () => client().snapshot(),
  /** @param {string} prefix */
  tls: (prefix) => client().tls(prefix),
  /** @param {string[]} names */
  refresh: async (...names) => client().refresh(...names),
  /**
   * @template T
   * @param {string} name
   * @param {(secrets: import('../types/api.js').Snapshot) => T | Promise<T>} fn
   * @param {import('../types/api.js').AttemptOptions | null} [options]
   */
  attempt: async (name, fn, options) => client().attempt(name, fn, options),
  Keystart,
  ...classes,
};

/** For keystart/testing alone. It is neither in the types nor enumerable, so it is not part of the interface. */
Object.defineProperty(keystart, Symbol.for('keystart.testing'), {
  value: {
    checkKnown,
    checkName,
    /** @param {Keystart} [client] */
    exchangeClient: (client) => {
      const before = shared;
      shared = client;
      return before;
    },
  },
});

export default keystart;
