// Other realms, and what test runners and test libraries put in the place of globals.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const vm = require('node:vm');
const { Worker } = require('node:worker_threads');
const keystart = require('keystart');
const { buildStore } = require('./store.js');

const DIST = require.resolve('keystart');
const TESTING = path.join(__dirname, '../src/testing.js');

/**
 * Loads a module as Jest does: in another realm, with process and require of this one.
 * @param {string} file
 * @returns {any}
 */
function load(file, globals = {}) {
  const context = vm.createContext({ ...globals });
  const module = { exports: {} };
  const wrapper = `(function (module, exports, require, process) {${fs.readFileSync(file, 'utf8')}\n})`;
  /** @param {string} name */
  const own = (name) => {
    if (name === 'keystart' || name === './index.js') return keystart;
    return name.startsWith('./')
      ? load(path.join(path.dirname(file), name), globals)
      : require(name);
  };
  vm.runInContext(wrapper, context, { filename: file })(module, module.exports, own, process);
  return module.exports;
}

/** @param {{ get(name: string): string }} client */
function outcome(client) {
  try {
    return client.get('db');
  } catch (caught) {
    const error = /** @type {any} */ (caught);
    return `${error.code}: ${error.message}`;
  }
}

const STORES = /** @type {[string, (t: any) => string][]} */ ([
  ['a store', (t) => buildStore(t, { db: 'x' })],
  ['no store', () => '/nonexistent/store'],
  ['a root that is a file', () => __filename],
  ['a name that is a folder', (t) => buildStore(t, { 'db/x': 'x' })],
  [
    'a store without its file',
    (t) => {
      const root = buildStore(t, { db: 'x' });
      fs.rmSync(path.join(root, 'current/secrets/db'));
      return root;
    },
  ],
]);

test('a reader of another realm answers as this one does', (t) => {
  const { Keystart } = load(DIST);
  for (const [what, make] of STORES) {
    const options = { root: make(t), timeoutMs: 0 };
    const expected = outcome(new keystart.Keystart(options));
    assert.doesNotMatch(expected, /^internal/, what);
    assert.equal(outcome(new Keystart(options)), expected, what);
  }
});

test('a clock that stands still does not stop a wait', (t) => {
  const still = {
    performance: { now: () => 0 },
    Date: class {
      static now() {
        return 0;
      }
    },
    setTimeout: undefined,
  };
  const { Keystart } = load(DIST, still);
  const root = buildStore(t, {});
  fs.rmSync(path.join(root, 'current'));
  const began = performance.now();
  assert.match(outcome(new Keystart({ root, timeoutMs: 50 })), /^not_ready/);
  assert.ok(performance.now() - began >= 45);
});

test('a store of keystart/testing of another realm holds bytes of this one', () => {
  const testing = load(TESTING);
  const store = testing.store({ key: Buffer.from([0xff, 0]), text: 'x' });
  try {
    assert.deepEqual(keystart.getBytes('key'), Buffer.from([0xff, 0]));
    store.fail('Access denied.');
    assert.throws(() => keystart.get('key'), keystart.PrefetchFailed);
  } finally {
    store.close();
  }
});

test('a reader in a worker thread answers as here', async (t) => {
  const root = buildStore(t, { db: 'x' });
  const code = `
    const { parentPort, workerData } = require('node:worker_threads');
    const { Keystart } = require(workerData.module);
    const outcome = ${outcome};
    parentPort.postMessage(workerData.roots.map((root) => outcome(new Keystart({ root, timeoutMs: 0 }))));`;
  const roots = [root, '/nonexistent/store'];
  const worker = new Worker(code, { eval: true, workerData: { module: DIST, roots } });
  const found = await new Promise((resolve, reject) =>
    worker.once('message', resolve).once('error', reject),
  );
  assert.deepEqual(
    found,
    roots.map((one) => outcome(new keystart.Keystart({ root: one, timeoutMs: 0 }))),
  );
});

test('an option that does not exist is refused', () => {
  const wrong = /** @type {any} */ (keystart.Keystart);
  assert.throws(() => new wrong({ timeout: 5 }), {
    name: 'TypeError',
    message:
      'keystart has no option timeout. The options are root and timeoutMs. timeoutMs is in milliseconds.',
  });
  assert.throws(() => new wrong({ timeoutMs: 5, s3cret: 1 }), {
    name: 'TypeError',
    message: 'keystart has no such option, of 6 characters. The options are root and timeoutMs.',
  });
});
