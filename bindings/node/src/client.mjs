// The reader's interface (contract §7), as one object. require returns the object; import takes its
// members apart too. It reads a sound store with quick.mjs, and loads reader.mjs for everything else.
import { classes } from './classes.mjs';
import { reader } from './load-reader.mjs';
import { openQuick } from './quick.mjs';

class Keystart {
  /** @type {import('./quick.mjs').Quick | null} null once something was unusual, or more than a value was requested */
  #quick;
  /** @type {InstanceType<ReturnType<typeof reader>['Client']> | null} */
  #client = null;

  /** @param {{ root?: string | null, timeoutMs?: number | null }} [options] */
  constructor(options) {
    this.#quick = openQuick(options);
    if (this.#quick !== null) return;
    const { Client, readOptions } = reader();
    this.#client = new Client(readOptions(options), null);
  }

  /** @param {string} name */
  get(name) {
    return this.#quick?.text(name) ?? this.#whole().get(name);
  }

  /** @param {string} name */
  getBytes(name) {
    return this.#quick?.bytes(name) ?? this.#whole().getBytes(name);
  }

  /**
   * @template [T=unknown]
   * @param {string} name
   */
  getJson(name) {
    const value = this.#quick?.json(name);
    return /** @type {T} */ (value === undefined ? this.#whole().getJson(name) : value);
  }

  /** @param {string} name */
  secret(name) {
    return this.#whole().secret(name);
  }

  /** @param {string} name */
  path(name) {
    return this.#whole().path(name);
  }

  /** @param {string | null} [prefix] */
  names(prefix) {
    return this.#whole().names(prefix);
  }

  /** @param {string} name */
  info(name) {
    return this.#whole().info(name);
  }

  snapshot() {
    return this.#whole().snapshot();
  }

  /** @param {string} prefix */
  tls(prefix) {
    return this.#whole().tls(prefix);
  }

  /** @param {string[]} names */
  async refresh(...names) {
    return this.#whole().refresh(...names);
  }

  /**
   * @template T
   * @param {string} name
   * @param {(secrets: import('../types/api.js').Snapshot) => T | Promise<T>} fn
   * @param {import('../types/api.js').AttemptOptions | null} [options]
   */
  async attempt(name, fn, options) {
    return this.#whole().attempt(name, fn, options);
  }

  /** Returns the client that follows all steps, which this client is from now on. */
  #whole() {
    if (this.#client === null) {
      const quick = /** @type {import('./quick.mjs').Quick} */ (this.#quick);
      this.#client = new (reader().Client)(quick, quick.known);
      this.#quick = null;
    }
    return this.#client;
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
  get: () => ({
    checkKnown: reader().checkKnown,
    checkName: reader().checkName,
    /** @param {Keystart} [client] */
    exchangeClient: (client) => {
      const before = shared;
      shared = client;
      return before;
    },
  }),
});

export default keystart;
