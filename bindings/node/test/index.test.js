// The interface: one instance for import and require, the default client, options, errors as classes.
'use strict';

const assert = require('node:assert/strict');
const path = require('node:path');
const { execFileSync, spawnSync } = require('node:child_process');
const { test } = require('node:test');
const required = require('keystart');
const { buildStore } = require('./store.js');

const FUNCTIONS = [
  'get',
  'getBytes',
  'getJson',
  'info',
  'names',
  'path',
  'secret',
  'snapshot',
  'tls',
];
const { Keystart, InvalidName, InvalidOption, KeystartError } = required;

/**
 * Returns what a script prints in a process with these variables only.
 * @param {string} script
 * @param {Record<string, string>} [env]
 */
function run(script, env) {
  const prelude = `const keystart = require(${JSON.stringify(require.resolve('keystart'))});`;
  return execFileSync(process.execPath, ['-e', prelude + script], {
    env,
    encoding: 'utf8',
  }).trimEnd();
}

test('import and require give the same objects under the same names', async () => {
  const { default: shared, ...named } = await import('keystart');
  assert.equal(shared, required);
  assert.deepEqual(Object.keys(named).sort(), Object.keys(required).sort());
  for (const [name, value] of Object.entries(required))
    assert.equal(Reflect.get(named, name), value, name);
});

test('a client, a snapshot and the module have the functions of contract §7', (t) => {
  const client = new Keystart({ root: buildStore(t, {}) });
  for (const reader of [client, client.snapshot(), required]) {
    assert.deepEqual(
      FUNCTIONS.filter((name) => typeof Reflect.get(reader, name) !== 'function'),
      [],
    );
  }
});

test('each error code has a class, whose name is the code in capitals', () => {
  const exported = Object.values(required).filter(
    (value) => value !== KeystartError && 'code' in value,
  );
  const classes = /** @type {(typeof KeystartError)[]} */ (exported);
  assert(classes.length > 10);
  for (const Class of classes) {
    const error = new Class('what happened', 'db');
    const name = error.code
      .split('_')
      .map((word) => word[0].toUpperCase() + word.slice(1))
      .join('');
    assert(error instanceof KeystartError && error instanceof Error);
    assert.equal(Reflect.get(required, name), Class);
    assert.deepEqual(
      [error.name, error.secret, String(error)],
      [name, 'db', `${name}: what happened`],
    );
    assert.match(String(error.stack), new RegExp(`^${name}: what happened`));
  }
});

test('the default client is made at the first call, and once', (t) => {
  const root = buildStore(t, { db: 'hunter2' });
  const script = `
    process.env.KEYSTART_DIR = ${JSON.stringify(root)};
    const first = keystart.get('db');
    process.env.KEYSTART_DIR = '/nonexistent';
    console.log(first, keystart.get('db'), keystart.getBytes('db').length, keystart.names(), keystart.path('db'),
      String(keystart.secret('db')), keystart.info('db').size, keystart.snapshot().get('db'))`;
  const said = run(script, { KEYSTART_DIR: '/nonexistent' });
  assert.equal(
    said,
    `hunter2 hunter2 7 [ 'db' ] ${root}/current/secrets/db <Secret "db" (redacted)> 7 hunter2`,
  );
});

test('a default client that cannot be made is tried again', (t) => {
  const root = buildStore(t, { db: 'hunter2' });
  const script = `
    try { keystart.get('db'); } catch (error) { console.log(error.name); }
    process.env.KEYSTART_TIMEOUT_MS = '';
    console.log(keystart.get('db'))`;
  assert.equal(
    run(script, { KEYSTART_DIR: root, KEYSTART_TIMEOUT_MS: '1s' }),
    'InvalidOption\nhunter2',
  );
});

test('what is not a string is not a name, whatever it turns into', () => {
  for (const name of [
    undefined,
    null,
    7,
    ['db'],
    { toString: () => 'db' },
    new String('db'),
    Symbol('db'),
    Buffer.from('db'),
  ]) {
    for (const call of FUNCTIONS.filter((name) => name !== 'snapshot' && name !== 'names')) {
      assert.throws(() => Reflect.get(required, call)(name), {
        name: 'InvalidName',
        message: 'The name of a secret must be a string.',
        secret: null,
      });
    }
  }
});

test('a name is quoted by its bytes, the first 64 of them', () => {
  const quoted = (/** @type {string} */ name) => {
    try {
      return required.get(name);
    } catch (error) {
      assert(error instanceof InvalidName);
      return error.message.slice(0, error.message.indexOf(' is not a valid secret name.'));
    }
  };
  assert.equal(quoted('"\\\n\x7f'), '"\\x22\\x5c\\x0a\\x7f"');
  assert.equal(quoted('\ud800'), '"\\xef\\xbf\\xbd"');
  assert.equal(quoted('-'.repeat(64)), `"${'-'.repeat(64)}"`);
  assert.equal(quoted('-'.repeat(65)), `"${'-'.repeat(64)}..."`);
  assert.equal(quoted(`${'-'.repeat(63)}é`), `"${'-'.repeat(63)}\\xc3..."`);
  assert.equal(quoted('😀'.repeat(17)), `"${'\\xf0\\x9f\\x98\\x80'.repeat(16)}..."`);
  assert.equal(quoted('-'.repeat(1e7)), `"${'-'.repeat(64)}..."`);
});

test('names that are members of every object are names like any other', (t) => {
  const names = ['__proto__', 'constructor', 'hasOwnProperty', 'toString'];
  const empty = new Keystart({ root: buildStore(t, {}) });
  const full = new Keystart({
    root: buildStore(t, Object.fromEntries(names.map((name) => [name, name]))),
  });
  for (const name of names) {
    assert.throws(() => empty.get(name), required.SecretNotFound);
    assert.throws(() => empty.info(name), required.SecretNotFound);
    assert.equal(full.get(name), name);
    assert.equal(full.info(name).source.id, `prod/${name}`);
  }
  assert.deepEqual(full.names(), names.sort());
});

test('options that cannot be used are refused', () => {
  for (const root of [
    '',
    'a\0b',
    7,
    {},
    true,
    Buffer.from('/tmp'),
    new URL('file:///tmp'),
    '/tmp/\ud800',
  ]) {
    assert.throws(() => new Keystart(/** @type {any} */ ({ root })), InvalidOption, String(root));
  }
  for (const timeoutMs of [-1, NaN, Infinity, 1e9, 999_999_999.5, '5', true, 5n, {}]) {
    assert.throws(
      () => new Keystart(/** @type {any} */ ({ timeoutMs })),
      InvalidOption,
      String(timeoutMs),
    );
  }
  assert.throws(() => new Keystart(/** @type {any} */ ('/tmp/keystart')), InvalidOption);
});

test('a root of the environment that is not UTF-8 is refused', () => {
  const script =
    "try { keystart.get('db'); } catch (error) { console.log(error.name, error.message); }";
  const prelude = `const keystart = require(${JSON.stringify(require.resolve('keystart'))});`;
  // Only a shell can set a variable that is not text for Node.
  const command = 'KEYSTART_DIR=$(printf "/tmp/\\377") exec "$0" -e "$1"';
  const said = execFileSync('sh', ['-c', command, process.execPath, prelude + script], {
    encoding: 'utf8',
  });
  assert.equal(said, 'InvalidOption KEYSTART_DIR must be a path in UTF-8. Correct or unset it.\n');
});

test('members that are inherited are not options', (t) => {
  const root = buildStore(t, { db: 'hunter2' });
  const inherited = Object.create({ root: '/nonexistent', timeoutMs: -1 });
  assert.equal(
    run(
      `
    const inherited = Object.create({ root: '/nonexistent', timeoutMs: -1 });
    console.log(new keystart.Keystart(inherited).get('db'))`,
      { KEYSTART_DIR: root },
    ),
    'hunter2',
  );
  assert.equal(new Keystart(Object.assign(inherited, { root, timeoutMs: 0 })).get('db'), 'hunter2');
});

test('the timeout is rounded to milliseconds, a half up', () => {
  for (const timeoutMs of [-0.5, 0, 0.4, 999_999_999.4])
    new Keystart({ root: '/nonexistent', timeoutMs });
  assert.throws(() => new Keystart({ timeoutMs: -0.6 }), InvalidOption);
});

test('a root is made absolute and otherwise left alone', (t) => {
  const root = buildStore(t, { db: 'hunter2' });
  const folder = path.dirname(root);
  const before = process.cwd();
  t.after(() => process.chdir(before));
  process.chdir(folder);
  const paths = ['store', 'store//', './store', `${root}/`].map((given) =>
    new Keystart({ root: given }).path('db'),
  );
  const roots = [`${folder}/store`, `${folder}/store`, `${folder}/./store`, root];
  assert.deepEqual(
    paths,
    roots.map((root) => `${root}/current/secrets/db`),
  );
});

test('a working folder that is gone is an error of ours', () => {
  const script = `
    const fs = require('node:fs');
    const folder = fs.mkdtempSync(require('node:os').tmpdir() + '/keystart-node-');
    process.chdir(folder);
    fs.rmdirSync(folder);
    try { new keystart.Keystart({ root: 'store' }); } catch (error) { console.log(error.name, error.message); }`;
  assert.match(run(script), /^InvalidOption The root must be a path: /);
});

test('loading the package loads nothing of Node that was not loaded', () => {
  const script = `
    const before = new Set(process.moduleLoadList);
    require(process.argv[1]);
    console.log(process.moduleLoadList.filter((name) => !before.has(name)).join());`;
  const { stdout } = spawnSync(process.execPath, ['-e', script, require.resolve('keystart')], {
    encoding: 'utf8',
  });
  assert.equal(stdout, '\n');
});
