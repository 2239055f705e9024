// keystart/testing, as people use it to test their own function.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const { test } = require('node:test');
const keystart = require('keystart');
const testing = require('keystart/testing');
const { temporaryFolder } = require('./store.js');

// The machine's own settings must not affect these tests.
for (const name of ['KEYSTART_DIR', 'KEYSTART_TIMEOUT_MS', 'TMPDIR']) delete process.env[name];

test('the default client reads what was published', (t) => {
  const config = { pool: [1, 2], größe: null };
  testing.store(t, {
    db: 'word',
    keytab: Buffer.from([0xff, 0]),
    bytes: new Uint8Array([0xfe]),
    config,
    port: 5432,
  });
  assert.equal(keystart.get('db'), 'word');
  assert.deepEqual(keystart.getBytes('keytab'), Buffer.from([0xff, 0]));
  assert.deepEqual(keystart.getBytes('bytes'), Buffer.from([0xfe]));
  assert.deepEqual(keystart.getJson('config'), config);
  assert.equal(keystart.get('port'), '5432');
  const encodings = keystart.names().map((name) => keystart.info(name).encoding);
  assert.deepEqual(encodings, ['binary', 'utf-8', 'utf-8', 'binary', 'utf-8']);
});

test('a client without options reads it too, and so does a process', (t) => {
  const store = testing.store(t, { db: 'word' });
  assert.equal(new keystart.Keystart().path('db'), `${store.root}/current/secrets/db`);
  const script = "console.log(require(process.argv[1]).get('db'))";
  assert.equal(
    execFileSync(process.execPath, ['-e', script, require.resolve('keystart')], {
      encoding: 'utf8',
    }),
    'word\n',
  );
});

test('the temporary folder may lie below a link', (t) => {
  // As /tmp and the folders of TMPDIR do on macOS.
  const folder = temporaryFolder(t);
  fs.mkdirSync(`${folder}/real`);
  fs.symlinkSync('real', `${folder}/link`);
  process.env.TMPDIR = `${folder}/link`;
  t.after(() => delete process.env.TMPDIR);
  const store = testing.store({ db: 'old', 'tls/key': 'key' });
  t.after(() => store.close());
  assert.equal(path.dirname(path.dirname(store.root)), `${folder}/link`);
  const snapshot = keystart.snapshot();
  store.publish({ db: 'new' });
  assert.equal(keystart.get('db'), 'new');
  assert.equal(snapshot.get('tls/key'), 'key');
  assert.equal(fs.readFileSync(keystart.path('db'), 'utf8'), 'new');
  store.stop();
  store.close();
  assert.deepEqual(fs.readdirSync(`${folder}/real`), []);
});

test('a store is closed with its test', async (t) => {
  /** @type {testing.Store | undefined} */
  let store;
  await t.test('inner', (t) => {
    store = testing.store(t, { db: 'word' });
    assert.equal(keystart.get('db'), 'word');
  });
  assert(store);
  assert.equal(fs.existsSync(path.dirname(store.root)), false);
  assert.equal(process.env.KEYSTART_DIR, undefined);
});

test('when stores are closed, in whatever order, all is as before', (t) => {
  process.env.KEYSTART_DIR = '/nonexistent';
  t.after(() => delete process.env.KEYSTART_DIR);
  for (const order of [
    [0, 1, 2],
    [2, 1, 0],
    [1, 2, 0],
  ]) {
    const stores = ['a', 'b', 'c'].map((db) => testing.store({ db }));
    const left = ['a', 'b', 'c'];
    for (const at of order) {
      stores[at].close();
      stores[at].close();
      left.splice(left.indexOf('abc'[at]), 1);
      if (left.length > 0) assert.equal(keystart.get('db'), left.at(-1));
    }
    assert.equal(process.env.KEYSTART_DIR, '/nonexistent');
    assert.throws(() => keystart.get('db'), keystart.NotAttached);
  }
});

test('a default client that there was before keeps what it read', (t) => {
  const script = `
    const keystart = require(process.argv[1]), testing = require(process.argv[2]);
    keystart.get('db');
    process.env.KEYSTART_DIR = '/nonexistent';
    const store = testing.store({ db: 'inner' });
    console.log(keystart.get('db'));
    store.close();
    console.log(keystart.get('db'));`;
  const outer = testing.store(t, { db: 'outer' });
  const run = ['-e', script, require.resolve('keystart'), require.resolve('keystart/testing')];
  const env = { ...process.env, KEYSTART_DIR: outer.root };
  assert.equal(execFileSync(process.execPath, run, { encoding: 'utf8', env }), 'inner\nouter\n');
});

test('a rotation is seen by the next read and not by a snapshot', (t) => {
  const store = testing.store(t, { db: 'old', gone: 'x' });
  const snapshot = keystart.snapshot();
  assert.equal(store.publish({ db: 'new' }), 2);
  assert.deepEqual([keystart.get('db'), snapshot.get('db')], ['new', 'old']);
  assert.deepEqual(keystart.names(), ['db']);
  // 32 former generations stay, as with the real writer.
  for (let rotation = 0; rotation < 31; rotation++) store.publish({ db: 'newer' });
  assert.equal(snapshot.get('gone'), 'x');
  const other = keystart.snapshot();
  for (let rotation = 0; rotation < 33; rotation++) store.publish({ db: 'newest' });
  assert.throws(() => other.get('db'), keystart.SnapshotExpired);
});

test('an option that does not exist is refused', () => {
  assert.throws(() => testing.store({ db: 'x' }, /** @type {any} */ ({ availability: {} })), {
    name: 'TypeError',
    message: 'keystart/testing has no such option, of 12 characters. The option is unavailable.',
  });
});

test('an entry is unavailable for the reason given', (t) => {
  testing.store(t, { db: 'x' }, { unavailable: { flags: 'Nobody has them.' } });
  assert.throws(() => keystart.get('flags/new-checkout'), {
    name: 'SecretUnavailable',
    message: /: Unavailable: Nobody has them\.$/,
  });
});

test('a prefetch that failed is reported until the next publish', (t) => {
  const store = testing.store(t, { db: 'x' });
  store.fail('Access denied.');
  assert.throws(() => keystart.get('db'), { name: 'PrefetchFailed', message: /Access denied\./ });
  assert.equal(store.publish({ db: 'y' }), 2);
  assert.equal(keystart.get('db'), 'y');
});

test('a store that was stopped is reported until the next publish', (t) => {
  const store = testing.store(t, { db: 'x' });
  store.stop();
  assert.throws(() => keystart.get('db'), { name: 'NotReady', message: /was stopped/ });
  store.stop();
  store.fail('Again.');
  store.publish({ db: 'y' });
  assert.equal(keystart.get('db'), 'y');
});

/** @type {Record<string, { secrets: Record<string, unknown>, error: { name: string, message: RegExp, code?: import('keystart').ErrorCode } }>} */
const WRONG = {
  'no name': {
    secrets: { '../db': 'x' },
    error: { name: 'InvalidName', message: /^"\.\.\/db" is not a valid secret name\./ },
  },
  'a name in a name': {
    secrets: { 'db/user': 'y', db: 'x' },
    error: {
      name: 'NameConflict',
      code: 'name_conflict',
      message: /\n {2}- "db" is the folder of "db\/user"\n/,
    },
  },
  'too long': {
    secrets: { db: 'x'.repeat(1_048_577) },
    error: {
      name: 'ValueTooLarge',
      code: 'value_too_large',
      message: /^The secret "db" has 1048577 bytes, /,
    },
  },
  'no JSON': {
    secrets: { db: undefined },
    error: { name: 'TypeError', message: /^The value of the secret "db" is not / },
  },
};

for (const [what, { secrets, error }] of Object.entries(WRONG)) {
  test(`what cannot be published is reported and changes nothing: ${what}`, (t) => {
    const folder = temporaryFolder(t);
    t.after(() => delete process.env.TMPDIR);
    process.env.TMPDIR = folder;
    const store = testing.store(t, { db: 'kept' });
    assert.throws(() => testing.store(secrets), error);
    assert.throws(() => store.publish(secrets), error);
    assert.equal(keystart.get('db'), 'kept');
    assert.equal(process.env.KEYSTART_DIR, store.root);
    assert.equal(fs.readdirSync(folder).length, 1);
  });
}

test('a name is listed once', () => {
  const twice = () => testing.store({ db: 'x' }, { unavailable: { db: 'no' } });
  assert.throws(twice, { code: 'name_conflict', message: /\n {2}- "db" is there twice\n/ });
});

test('import and require give the same, and the reader does not load it', async () => {
  const imported = await import('keystart/testing');
  assert.equal(imported.store, testing.store);
  assert.equal(imported.default.store, testing.store);
  const script = 'require(process.argv[1]); console.log(Object.keys(require.cache).join())';
  const loaded = execFileSync(process.execPath, ['-e', script, require.resolve('keystart')], {
    encoding: 'utf8',
  });
  assert(!loaded.includes('testing'));
});
