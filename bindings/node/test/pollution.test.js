// A member that every object inherits is neither an option, nor a member of a document, nor a variable
// (contract 6.1.6): any package can add one. Each test runs in a process whose Object.prototype is
// polluted before Keystart is loaded.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const { test } = require('node:test');
const { buildStore, temporaryFolder } = require('./store.js');

const INDEX = require.resolve('keystart');
const TESTING = require.resolve('keystart/testing');

/** Calls every public function, and prints the answers. */
const ASK = `
  const { Keystart } = keystart;
  const said = [];
  const tell = (what) => { try { said.push(what()); } catch (error) { said.push(error.code ?? error.stack); } };
  for (const make of [() => keystart, () => keystart.snapshot(), () => new Keystart(), () => new Keystart({}),
                      () => new Keystart({ timeoutMs: 0 }), () => new Keystart({ root: ROOT }).snapshot()]) {
    const reader = make();
    for (const name of ['db', 'config', 'mtls/key', 'none', 'optional', '', '__proto__', 'root']) {
      tell(() => reader.get(name)); tell(() => reader.getBytes(name).toString()); tell(() => reader.getJson(name));
      tell(() => reader.path(name)); tell(() => JSON.stringify(reader.info(name))); tell(() => reader.names(name));
      tell(() => { const one = reader.secret(name);
                   return [String(one), one.name, one.reveal(), one.revealBytes().toString(), one.info.size]; });
    }
    tell(() => { const { cert, key, ...more } = reader.tls('mtls'); return [cert, key[0].pem, Object.keys(more)]; });
    tell(() => reader.names());
  }
  tell(() => new Keystart({ root: '/nowhere', timeoutMs: 0 }).get('db'));
  tell(() => new Keystart({ root: EMPTY, timeoutMs: 0 }).get('db'));
  tell(() => new Keystart({ root: FAILED, timeoutMs: 0 }).get('db'));
  const store = testing.store({ db: 'test' });
  tell(() => keystart.get('db'));
  store.publish({ db: 'next' }, {});
  tell(() => keystart.get('db'));
  store.publish({ db: 'more' }, { unavailable: { other: 'why' } });
  tell(() => keystart.get('other'));
  store.fail('no');
  tell(() => keystart.get('db'));
  store.close();
  tell(() => keystart.get('db'));
  console.log(JSON.stringify(said));
`;

/**
 * Returns text in the form of PEM, of which nothing can be made.
 * @param {string} label
 */
function pem(label) {
  return `-----BEGIN ${label}-----\nMIIB\n-----END ${label}-----\n`;
}

/**
 * @param {import('node:test').TestContext} t
 * @param {string} spoil statements that run before everything else
 */
function ask(t, spoil) {
  const unavailable = { optional: { code: 'Gone', message: 'm' } };
  const root = buildStore(t, {});
  const { publish, prepare, writeState } = require('./store.js');
  publish(
    root,
    2,
    {
      db: 'mine',
      config: '{"a": {"root": 1}}',
      'mtls/cert': pem('CERTIFICATE'),
      'mtls/key': pem('PRIVATE KEY'),
    },
    { unavailable },
  );
  const other = buildStore(t, { db: 'of another store', root: 'x' });
  const [empty, failed] = ['empty', 'failed'].map((name) => path.join(temporaryFolder(t), name));
  for (const folder of [empty, failed]) prepare(folder);
  writeState(failed, 'failed', { message: 'm', failures: { db: { code: 'c', message: 'm' } } });
  const constants = Object.entries({ ROOT: root, OTHER: other, EMPTY: empty, FAILED: failed })
    .map(([name, value]) => `const ${name} = ${JSON.stringify(value)};`)
    .join('\n');
  const script = `${constants}\n${spoil}
    const keystart = require(${JSON.stringify(INDEX)});
    const testing = require(${JSON.stringify(TESTING)});
    ${ASK}`;
  const env = { KEYSTART_DIR: root };
  // Runs have different folders, and the test compares their answers.
  const said = execFileSync(process.execPath, ['-e', script], { env, encoding: 'utf8' });
  return said
    .replaceAll(root, 'ROOT')
    .replaceAll(other, 'OTHER')
    .replace(/"(fetched_at|at)":"[^"]*"/g, '');
}

test('what every object inherits changes no answer', (t) => {
  const plain = ask(t, '');
  assert(
    plain.includes('mine') &&
      plain.includes('secret_not_found') &&
      plain.includes('prefetch_failed'),
  );
  const inherited = {
    root: '`${OTHER}`',
    timeoutMs: '"no number"',
    unavailable: '{ db: "polluted" }',
    after: '() => {}',
    db: '{ path: "secrets/db" }',
    secrets: '{ root: {} }',
    state: '"failed"',
    message: '"polluted"',
    encoding: '"latin1"',
    bigint: 'true',
    recursive: 'false',
    ca: '"polluted"',
    none: '{}',
    code: '"ENOENT"',
    length: '7',
  };
  for (const [name, value] of Object.entries(inherited)) {
    assert.equal(ask(t, `Object.prototype[${JSON.stringify(name)}] = ${value};`), plain, name);
  }
  const all = Object.entries(inherited).map(
    ([name, value]) => `Object.prototype.${name} = ${value};`,
  );
  assert.equal(ask(t, all.join('\n')), plain);
});

test('a variable that process.env inherits is not set', (t) => {
  const root = buildStore(t, { db: 'of another store' });
  const script = `
    Object.prototype.KEYSTART_DIR = ${JSON.stringify(root)};
    Object.prototype.KEYSTART_TIMEOUT_MS = 'wrong';
    const keystart = require(${JSON.stringify(INDEX)});
    try { keystart.get('db'); } catch (error) { console.log(error.message.split('.')[0]); }
    const testing = require(${JSON.stringify(TESTING)});
    testing.store({ db: 'x' }).close();
    console.log(Object.hasOwn(process.env, 'KEYSTART_DIR'));`;
  const said = execFileSync(process.execPath, ['-e', script], { env: {}, encoding: 'utf8' });
  assert.equal(said, 'There is no store at /tmp/keystart\nfalse\n');
});

test('a toJSON that every object inherits does not change the facts', (t) => {
  const root = buildStore(t, { db: 'x' });
  const script = `
    Object.prototype.toJSON = () => 'polluted';
    const { Keystart } = require(${JSON.stringify(INDEX)});
    const { source } = new Keystart({ root: ${JSON.stringify(root)} }).info('db');
    console.log(source.provider, source.id, source.version_stages.length);`;
  const said = execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' });
  assert.equal(said, 'secretsmanager prod/db 1\n');
});

test('no function looks at a member that only Object.prototype has', (t) => {
  // A getter for each word in the sources finds out who reads it: the caller right behind it in the stack.
  const dist = ['index.js', 'reader.js', 'errors.js', 'on-demand.js'];
  const sources = [...dist.map((file) => path.join(path.dirname(INDEX), file)), TESTING]
    .map((file) => fs.readFileSync(file, 'utf8'))
    .join();
  const words = [...new Set(sources.match(/[A-Za-z_$][A-Za-z0-9_$]*/g))].filter(
    (word) => !(word in Object.prototype),
  );
  // The language refuses a descriptor that has both a getter and a value, wherever it is used.
  const descriptor = ['get', 'set', 'value', 'writable', 'enumerable', 'configurable'];
  // The language reads the `return` of an iterator wherever a list is destructured.
  const watched = words.filter((word) => ![...descriptor, 'return'].includes(word));
  assert(
    ['root', 'timeoutMs', 'unavailable', 'after', 'KEYSTART_DIR', 'secrets', 'ca'].every((word) =>
      watched.includes(word),
    ),
  );
  const spoil = `
    const seen = new Set();
    const plain = (value) => ({ __proto__: null, value, writable: true, enumerable: true, configurable: true });
    for (const word of ${JSON.stringify(watched)}) {
      Object.defineProperty(Object.prototype, word, {
        __proto__: null,
        configurable: true,
        get() {
          const caller = new Error().stack.split('\\n')[2] ?? '';
          if (caller.includes(${JSON.stringify(path.dirname(INDEX))}) || caller.includes(${JSON.stringify(TESTING)})) {
            seen.add(word + caller);
          }
        },
        set(value) { Object.defineProperty(this, word, plain(value)); },
      });
    }
    process.on('exit', () => console.log([...seen].join('\\n')));`;
  const [answers, ...seen] = ask(t, spoil).trimEnd().split('\n');
  assert.equal(`${answers}\n`, ask(t, ''));
  // testing.store reads `after` of a test's context, which its class has, and compares.
  assert.deepEqual(
    seen.filter((line) => !line.startsWith('after')),
    [],
  );
});
