// The reader's interface (contract §7), as one object. require returns the object; import takes its
// members apart too. It reads a sound store with quick.mjs, and loads reader.mjs for everything else.
import { classes } from './classes.mjs';
import { reader } from './load-reader.mjs';
import { openQuick, quickBytes, quickJson, quickText } from './quick.mjs';

/** @typedef {InstanceType<ReturnType<typeof reader>['Client']>} Client */

class Keystart {
  /**
   * `quick` is null once something was unusual, or more than a value was requested.
   * @type {{ quick: import('./quick.mjs').Quick | null, client: Client | null }}
   */
  #reader;

  /** @param {{ root?: string | null, timeoutMs?: number | null }} [options] */
  constructor(options) {
    const quick = openQuick(options);
    this.#reader = { quick, client: null };
    if (quick !== null) return;
    const { Client, readOptions } = reader();
    this.#reader.client = new Client(readOptions(options), null);
  }

  /** @param {string} name */
  get(name) {
    const { quick } = this.#reader;
    return (quick && quickText(quick, name)) ?? whole(this.#reader).get(name);
  }

  /** @param {string} name */
  getBytes(name) {
    const { quick } = this.#reader;
    return (quick && quickBytes(quick, name)) ?? whole(this.#reader).getBytes(name);
  }

  /**
   * @template [T=unknown]
   * @param {string} name
   */
  getJson(name) {
    const { quick } = this.#reader;
    const value = quick === null ? undefined : quickJson(quick, name);
    return /** @type {T} */ (value === undefined ? whole(this.#reader).getJson(name) : value);
  }

  /** @param {string} name */
  secret(name) {
    return whole(this.#reader).secret(name);
  }

  /** @param {string} name */
  path(name) {
    return whole(this.#reader).path(name);
  }

  /** @param {string | null} [prefix] */
  names(prefix) {
    return whole(this.#reader).names(prefix);
  }

  /** @param {string} name */
  info(name) {
    return whole(this.#reader).info(name);
  }

  snapshot() {
    return whole(this.#reader).snapshot();
  }

  /** @param {string} prefix */
  tls(prefix) {
    return whole(this.#reader).tls(prefix);
  }

  /** @param {string[]} names */
  async refresh(...names) {
    return whole(this.#reader).refresh(...names);
  }

  /**
   * @template T
   * @param {string} name
   * @param {(secrets: import('../types/api.js').Snapshot) => T | Promise<T>} fn
   * @param {import('../types/api.js').AttemptOptions | null} [options]
   */
  async attempt(name, fn, options) {
    return whole(this.#reader).attempt(name, fn, options);
  }
}

/**
 * Returns the client that follows all steps, which a client uses from now on.
 * @param {{ quick: import('./quick.mjs').Quick | null, client: Client | null }} own
 */
function whole(own) {
  if (own.client === null) {
    const quick = /** @type {import('./quick.mjs').Quick} */ (own.quick);
    own.client = new (reader().Client)(quick, quick.known);
    own.quick = null;
  }
  return own.client;
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
