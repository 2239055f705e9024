// Publishes stores in temporary folders, so that tests run a function unchanged. It follows
// contract §5 as far as one process that trusts its folder needs: it takes no lock, and overwrites
// nothing that it removes. For tests only.
'use strict';

// As in node.js.
const fs = process.getBuiltinModule?.('node:fs') ?? require('node:fs');
const os = process.getBuiltinModule?.('node:os') ?? require('node:os');
const path = process.getBuiltinModule?.('node:path') ?? require('node:path');
const { Buffer } = process.getBuiltinModule?.('node:buffer') ?? require('node:buffer');
const keystart = require('keystart');
const { version } = require('keystart/package.json');

/**
 * @typedef {import('../types/testing.js').Secrets} Secrets
 * @typedef {import('../types/testing.js').PublishOptions} PublishOptions
 * @typedef {{ name: string, bytes: Buffer, encoding: 'utf-8' | 'binary' }} TestSecret
 */

/**
 * @type {{
 *   checkKnown(own: object, taker: string, known: string[]): void,
 *   checkName(name: string): string,
 *   exchangeClient(client?: object): object | undefined,
 * }}
 */
const { checkKnown, checkName, exchangeClient } = Reflect.get(
  keystart,
  Symbol.for('keystart.testing'),
);

const MAX_VALUE_BYTES = 1_048_576; // limits.toml: value.bytes
/** How long a generation stays after it ceased to be current, and how many do. */
const KEPT_SECONDS = 60; // limits.toml: retention.seconds
const MOST_KEPT = 32; // limits.toml: retention.former

// Codes that only a writer has (contract §8), generated from contract/errors.toml: errors
class NameConflict extends keystart.KeystartError {
  static code = 'name_conflict';
  name = 'NameConflict';
}
class ValueTooLarge extends keystart.KeystartError {
  static code = 'value_too_large';
  name = 'ValueTooLarge';
}

/** @param {string} name */
function nameTwice(name) {
  return `\n  - "${name}" is there twice`;
}

/**
 * @param {string} folder
 * @param {string} name
 */
function nameIsFolder(folder, name) {
  return `\n  - "${folder}" is the folder of "${name}"`;
}

/** @param {string} conflicts */
function nameConflict(conflicts) {
  const text = `These secrets cannot be in one store:${conflicts}\nGive one of each pair another name.`;
  return new NameConflict(text);
}

/**
 * @param {string} name
 * @param {number} size
 */
function valueTooLarge(name, size) {
  const text =
    `The secret "${name}" has ${size} bytes, and 1048576 is the most that can be stored. Make ` +
    'it smaller, or split it.';
  return new ValueTooLarge(text);
}
// end of generated

/** The open stores. The default client reads the last one. node:test closes the first one first. */
const open = /** @type {Store[]} */ ([]);
/** @type {{ variable: string | undefined, client: object | undefined }} */
let before;

class Store {
  #folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keystart-testing-'));
  #last = 0;
  /** @type {number | null} */
  #published = null;
  /**
   * The generations that ceased to be current, and when.
   * @type {{ number: number, at: number }[]}
   */
  #former = [];

  /**
   * @param {Secrets} [secrets]
   * @param {PublishOptions} [options]
   */
  constructor(secrets = {}, options = {}) {
    try {
      makeFolder(this.root);
      makeFolder(`${this.root}/generations`);
      write(`${this.root}/lock`, '');
      this.publish(secrets, options);
    } catch (error) {
      fs.rmSync(this.#folder, { recursive: true });
      throw error;
    }
    if (open.length === 0) {
      const variable = Object.hasOwn(process.env, 'KEYSTART_DIR')
        ? process.env.KEYSTART_DIR
        : undefined;
      before = { variable, client: exchangeClient() };
    }
    open.push(this);
    pointTo(this.root);
  }

  get root() {
    return `${this.#folder}/store`;
  }

  /**
   * The numbers are those of contract §5.
   * @param {Secrets} secrets
   * @param {PublishOptions} [options]
   */
  publish(secrets, options = {}) {
    checkKnown(options, 'keystart/testing', ['unavailable']);
    const unavailable = (Object.hasOwn(options, 'unavailable') && options.unavailable) || {};
    const values = Object.entries(secrets).map(([name, value]) => toBytes(checkName(name), value));
    const reasons = Object.entries(unavailable).map(
      ([name, message]) =>
        /** @type {const} */ ([checkName(name), { code: 'Unavailable', message }]),
    );
    checkConflicts(Object.keys(secrets).sort(), Object.keys(unavailable));

    // (4)
    const number = ++this.#last;
    const making = `${this.root}/generations/.new-${number}`;
    makeFolder(`${making}/secrets`);
    for (const { name, bytes } of values) {
      const file = `${making}/secrets/${name}`;
      makeFolder(path.dirname(file));
      write(file, bytes);
    }
    const manifest = {
      format: 'keystart.manifest/1',
      generation: number,
      published_at: now(),
      writer: { name: 'keystart-testing', version },
      secrets: Object.fromEntries(values.map(entry)),
      unavailable: Object.fromEntries(reasons),
    };
    write(`${making}/manifest.json`, JSON.stringify(manifest));

    // (5)
    fs.renameSync(making, `${this.root}/generations/${number}`);

    // (6)
    fs.symlinkSync(`generations/${number}`, `${this.root}/.current-${number}`);
    fs.renameSync(`${this.root}/.current-${number}`, `${this.root}/current`);

    // (7)
    this.#say('ready', null);

    // (8)
    const at = process.uptime(); // a realm that is not the first one may have no clock
    if (this.#published !== null) this.#former.push({ number: this.#published, at });
    this.#former = this.#former.filter((one) => at - one.at < KEPT_SECONDS).slice(-MOST_KEPT);
    this.#collect([number, ...this.#former.map((one) => one.number)]);
    this.#published = number;
    return number;
  }

  /** @param {string} message */
  fail(message) {
    this.#end('failed', message);
  }

  stop() {
    this.#end('stopped', null);
  }

  close() {
    const at = open.indexOf(this);
    if (at === -1) return;
    open.splice(at, 1);
    const last = open.at(-1);
    pointTo(last ? last.root : before.variable, last ? undefined : before.client);
    // The test may have removed the folder above it.
    fs.rmSync(this.#folder, { recursive: true, force: true });
  }

  /**
   * @param {'failed' | 'stopped'} state
   * @param {string | null} message
   */
  #end(state, message) {
    fs.rmSync(`${this.root}/current`, { force: true });
    this.#say(state, message);
    this.#collect([]);
    this.#former = [];
    this.#published = null;
  }

  /**
   * @param {'ready' | 'failed' | 'stopped'} state
   * @param {string | null} message
   */
  #say(state, message) {
    const format = 'keystart.state/1';
    const document = {
      format,
      state,
      generation: this.#last,
      pid: process.pid,
      at: now(),
      message,
      failures: {},
    };
    write(`${this.root}/.state.json`, JSON.stringify(document));
    fs.renameSync(`${this.root}/.state.json`, `${this.root}/state.json`);
  }

  /**
   * Renames a generation before removing it, so that readers find it whole or not at all.
   * @param {(number | null)[]} kept
   */
  #collect(kept) {
    const folder = `${this.root}/generations`;
    for (const number of fs.readdirSync(folder).filter((name) => !kept.includes(Number(name)))) {
      fs.renameSync(`${folder}/${number}`, `${folder}/.old-${number}`);
      fs.rmSync(`${folder}/.old-${number}`, { recursive: true });
    }
  }
}

/**
 * @param {string | undefined} root
 * @param {object} [client]
 */
function pointTo(root, client) {
  if (root === undefined) delete process.env.KEYSTART_DIR;
  else process.env.KEYSTART_DIR = root;
  exchangeClient(client);
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {TestSecret}
 */
function toBytes(name, value) {
  const binary = Object.prototype.toString.call(value) === '[object Uint8Array]'; // of any realm
  const text =
    typeof value === 'string' || binary
      ? /** @type {string | Uint8Array} */ (value)
      : JSON.stringify(value);
  if (text === undefined)
    throw new TypeError(`The value of the secret "${name}" is not text, bytes, or JSON.`);
  const bytes = Buffer.from(text);
  if (bytes.length > MAX_VALUE_BYTES) throw valueTooLarge(name, bytes.length);
  return { name, bytes, encoding: binary ? 'binary' : 'utf-8' };
}

/**
 * Checks contract 2.4 and 5.9.
 * @param {string[]} secrets sorted
 * @param {string[]} unavailable
 */
function checkConflicts(secrets, unavailable) {
  const twice = unavailable.filter((name) => secrets.includes(name)).map(nameTwice);
  const nested = secrets.flatMap((name) =>
    secrets
      .filter((folder) => name.startsWith(`${folder}/`))
      .map((folder) => nameIsFolder(folder, name)),
  );
  const conflicts = [...twice, ...nested];
  if (conflicts.length > 0) throw nameConflict(conflicts.join(''));
}

/**
 * @param {TestSecret} secret
 * @returns {[string, Omit<import('../types/api.js').SecretInfo, 'checked_at' | 'failure' | 'stale'>]}
 */
function entry({ name, bytes, encoding }) {
  const source = { provider: 'test', id: name };
  return [
    name,
    {
      path: `secrets/${name}`,
      size: bytes.length,
      encoding,
      fetched_at: now(),
      refresh_after: null,
      source,
    },
  ];
}

/** @param {string} folder */
function makeFolder(folder) {
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
}

/**
 * @param {string} file
 * @param {string | Buffer} content
 */
function write(file, content) {
  fs.writeFileSync(file, content, { encoding: 'utf8', flag: 'wx', mode: 0o600 });
}

function now() {
  return new Date().toISOString();
}

/**
 * `store(t, secrets, options)` or `store(secrets, options)`. Only a test's context has `after`,
 * so a call with a context is recognised by it.
 * @param {...any} parameters
 */
function store(...parameters) {
  const after = parameters[0]?.after;
  // a context inherits it from its class, never from Object.prototype, where any package can put one
  const test =
    typeof after === 'function' && after !== Reflect.get(Object.prototype, 'after')
      ? parameters.shift()
      : null;
  const [secrets, options] = parameters;
  const newStore = new Store(secrets, options);
  test?.after(() => newStore.close());
  return newStore;
}

module.exports = { store };
