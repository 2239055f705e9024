// Reads that need time, another process or a race, which the shared cases cannot express.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { fork, spawn } = require('node:child_process');
const { once } = require('node:events');
const { test } = require('node:test');
const { Worker } = require('node:worker_threads');
const keystart = require('keystart');
const {
  buildStore,
  canary,
  collect,
  prepare,
  publish,
  temporaryFolder,
  writeState,
} = require('./store.js');

const { Keystart } = keystart;
const A_LONG_TIME_MS = 60_000; // never waited for: a test that waits this long has failed
const INDEX = require.resolve('keystart');

/**
 * Makes a client that does not wait.
 * @param {string} root
 */
function open(root) {
  return new Keystart({ root, timeoutMs: 0 });
}

test('a value is given exactly as it was written', (t) => {
  const bytes = Buffer.from('\uFEFFline\r\nnul\0end\n');
  const client = open(buildStore(t, { text: bytes, empty: '', binary: Buffer.from([0xff, 0x00]) }));
  assert.equal(client.get('text'), bytes.toString());
  assert.deepEqual(client.getBytes('text'), bytes);
  assert.equal(client.get('empty'), '');
  assert.equal(client.getBytes('empty').length, 0);
  assert.deepEqual(client.getBytes('binary'), Buffer.from([0xff, 0x00]));
  assert.throws(() => client.get('binary'), keystart.SecretNotText);
});

test('changing what getBytes returned does not change what it returns next', (t) => {
  const client = open(buildStore(t, { db: 'hunter2' }));
  client.getBytes('db').fill(0);
  client.secret('db').revealBytes().fill(0);
  assert.equal(client.get('db'), 'hunter2');
  assert.equal(client.getBytes('db').toString(), 'hunter2');
});

test('the memory behind given bytes holds that secret only', (t) => {
  const client = open(buildStore(t, { db: 'hunter2' }));
  assert.equal(client.getBytes('db').buffer.byteLength, 'hunter2'.length);
});

test('changing what getJson, names and info returned does not change what they return next', (t) => {
  const client = open(buildStore(t, { config: '{"level": "info"}' }));
  /** @type {any} */ (client.getJson('config')).level = 'debug';
  client.names().length = 0;
  client.info('config').source.id = 'other';
  assert.deepEqual(client.getJson('config'), { level: 'info' });
  assert.deepEqual(client.names(), ['config']);
  assert.equal(client.info('config').source.id, 'prod/config');
});

test('a warm read asks the system once, for the target of current', (t) => {
  const client = open(buildStore(t, { db: 'hunter2' }));
  client.get('db');
  const readlink = t.mock.method(fs, 'readlinkSync');
  for (const call of /** @type {const} */ (['lstatSync', 'openSync', 'readSync'])) {
    t.mock.method(fs, call, () => assert.fail(call));
  }
  assert.equal(client.get('db'), 'hunter2');
  assert.equal(readlink.mock.callCount(), 1);
});

test('a value is read once for its generation and again in the next', (t) => {
  const root = buildStore(t, { db: 'one' });
  const client = open(root);
  assert.equal(client.get('db'), 'one');
  fs.writeFileSync(path.join(root, 'current/secrets/db'), 'eno');
  assert.equal(client.get('db'), 'one');
  publish(root, 2, { db: 'two' });
  assert.equal(client.get('db'), 'two');
});

test('a failure is not remembered', (t) => {
  const root = buildStore(t, { db: 'hunter2' });
  const client = open(root);
  const file = path.join(root, 'current/secrets/db');
  fs.renameSync(file, `${file}.away`);
  assert.throws(() => client.get('db'), keystart.SecretCorrupt);
  fs.renameSync(`${file}.away`, file);
  assert.equal(client.get('db'), 'hunter2');

  const manifest = path.join(root, 'generations/2/manifest.json');
  publish(root, 2, { db: 'hunter3' });
  fs.renameSync(manifest, `${manifest}.away`);
  assert.throws(() => client.get('db'), keystart.ManifestInvalid);
  fs.renameSync(`${manifest}.away`, manifest);
  assert.equal(client.get('db'), 'hunter3');
});

test('a read waits until another process has published', async (t) => {
  const root = path.join(temporaryFolder(t), 'store');
  prepare(root);
  writeState(root, 'starting');
  const reader = startReader(
    root,
    `
    const wait = Atomics.wait;
    Atomics.wait = (...args) => { Atomics.wait = wait; console.log('waiting'); return wait(...args); };
  `,
  );
  await once(reader.stdout, 'data');
  publish(root, 1, { db: 'hunter2' });
  const [said] = await once(reader.stdout, 'data');
  assert.equal(String(said), 'hunter2\n');
});

test('a read that waits ends at once when the extension gives up', async (t) => {
  const root = path.join(temporaryFolder(t), 'store');
  prepare(root);
  const reader = startReader(
    root,
    `
    const wait = Atomics.wait;
    Atomics.wait = (...args) => { Atomics.wait = wait; console.log('waiting'); return wait(...args); };
  `,
  );
  await once(reader.stdout, 'data');
  writeState(root, 'failed', {
    message: 'denied',
    failures: { db: { code: 'AccessDenied', message: 'no' } },
  });
  const [said] = await once(reader.stdout, 'data');
  assert.equal(
    String(said),
    'prefetch_failed: The extension could not publish the secrets: denied\n  - "db": AccessDenied: no\n',
  );
});

/**
 * Starts a process that prints the secret `db`, or why it cannot. It waits, as functions do.
 * @param {string} root
 * @param {string} first
 */
function startReader(root, first) {
  const script = `${first}
    const { Keystart } = require(${JSON.stringify(INDEX)});
    const client = new Keystart({ root: ${JSON.stringify(root)}, timeoutMs: ${A_LONG_TIME_MS} });
    try { console.log(client.get('db')); } catch (error) { console.log(error.code + ': ' + error.message); }`;
  return spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
}

test('where there is no root nothing is waited for', (t) => {
  t.mock.method(Atomics, 'wait', () => assert.fail('waited'));
  const root = path.join(temporaryFolder(t), 'store');
  assert.throws(
    () => new Keystart({ root, timeoutMs: A_LONG_TIME_MS }).get('db'),
    keystart.NotAttached,
  );
});

test('a removed store is waited for once, for a second at most, and then reported at once', (t) => {
  for (const timeoutMs of [A_LONG_TIME_MS, 500, 0]) {
    const root = buildStore(t, { db: 'one', api: 'one' });
    const client = new Keystart({ root, timeoutMs });
    const snapshot = client.snapshot();
    client.get('db');
    let now = 0;
    let waited = 0;
    t.mock.method(performance, 'now', () => now);
    t.mock.method(Atomics, 'wait', (/** @type {unknown[]} */ ...[, , , ms]) => {
      waited += Number(ms);
      now += Number(ms);
      return 'timed-out';
    });
    const removed = {
      name: 'NotReady',
      message:
        `The store at ${root} was removed while this process ran. Keep ${root} when you clear /tmp. ` +
        'The secrets come back with the next execution environment; on your own machine, run "keystart pull".',
      secret: null,
    };
    fs.renameSync(root, `${root}-away`);
    assert.throws(() => client.get('db'), removed);
    assert.equal(waited, Math.min(timeoutMs, 1000));
    for (const call of ['get', 'getBytes', 'getJson', 'info', 'path', 'secret', 'tls']) {
      assert.throws(() => Reflect.get(client, call).call(client, 'db'), removed, call);
    }
    assert.throws(() => client.names(), removed);
    assert.throws(() => client.snapshot(), removed);
    assert.throws(() => snapshot.get('api'), { name: 'SnapshotExpired' });
    assert.equal(waited, Math.min(timeoutMs, 1000), 'it waits once');

    fs.renameSync(`${root}-away`, root);
    assert.equal(client.get('db'), 'one');
    for (const name of ['current', 'state.json']) fs.rmSync(path.join(root, name));
    waited = 0;
    assert.throws(() => client.get('db'), removed);
    assert.equal(
      waited,
      Math.min(timeoutMs, 1000),
      'it came back and was removed again, this time its content',
    );
    t.mock.restoreAll();
  }
});

test('a client that found the removed store begun again waits for it as ever', (t) => {
  const root = buildStore(t, { db: 'one' });
  const client = new Keystart({ root, timeoutMs: A_LONG_TIME_MS });
  client.get('db');
  fs.rmSync(root, { recursive: true });
  let waits = 0;
  t.mock.method(Atomics, 'wait', () => {
    waits += 1;
    if (waits === 2) prepare(root);
    if (waits === 3) writeState(root, 'starting');
    if (waits === 500) publish(root, 1, { db: 'two' });
    return 'timed-out';
  });
  assert.equal(client.get('db'), 'two', 'of the same number, and another store');
  assert.equal(waits, 500);
});

/**
 * Makes a clock that only waiting moves, and returns it. Calls `step` after each pause.
 * @param {import('node:test').TestContext} t
 * @param {(now: number, ms: number) => void} step
 */
function clockOfWaits(t, step) {
  const clock = { now: 0 };
  t.mock.method(performance, 'now', () => clock.now);
  t.mock.method(Atomics, 'wait', (/** @type {unknown[]} */ ...[, , , ms]) => {
    clock.now += Number(ms);
    step(clock.now, Number(ms));
    return 'timed-out';
  });
  return clock;
}

test('a read that waits looks at the state rarely, and reports what the extension said last', (t) => {
  const root = path.join(temporaryFolder(t), 'store');
  prepare(root);
  const clock = clockOfWaits(t, (now) => writeState(root, 'starting', { message: `at ${now}` }));
  const openSync = fs.openSync;
  /** @type {number[]} */
  const looks = [];
  t.mock.method(fs, 'openSync', (/** @type {[string, number]} */ ...args) => {
    if (args[0] === `${root}/state.json`) looks.push(clock.now);
    return openSync(...args);
  });
  assert.throws(() => new Keystart({ root, timeoutMs: 400 }).get('db'), {
    name: 'NotReady',
    message: `The store at ${root} was not ready after 400 ms. The extension says: at 400`,
  });
  assert.deepEqual(looks, [0, 1, 3, 7, 15, 31, 63, 127, 227, 327, 400]);
});

test('a wait ends when `current` exists, which is looked for after each eighth of the time', (t) => {
  const root = path.join(temporaryFolder(t), 'store');
  prepare(root);
  writeState(root, 'starting');
  /** @type {number[]} */
  const late = [];
  const clock = clockOfWaits(t, (now, ms) => {
    late.push(ms / Math.max(1, (now - ms) / 8));
    if (now >= 70 && !fs.existsSync(`${root}/current`)) publish(root, 1, { db: `${now}` });
  });
  assert.equal(new Keystart({ root, timeoutMs: 400 }).get('db'), `${clock.now}`, 'at once');
  assert.ok(clock.now < 80 && Math.max(...late) <= 1, late.join(' '));
  assert.ok(late.length < 32, `${late.length} looks`);
});

// A slash at the end of a root is removed by all steps, so these clients read by them.
test('a generation that is collected while its manifest is read is left for the next', (t) => {
  const root = buildStore(t, { db: 'one' });
  const { openSync } = fs;
  t.mock.method(fs, 'openSync', (/** @type {Parameters<typeof openSync>} */ ...args) => {
    t.mock.restoreAll();
    publish(root, 2, { db: 'two' });
    collect(root, 1);
    return openSync(...args);
  });
  assert.equal(open(`${root}/`).get('db'), 'two');
});

test('a generation that is collected while its manifest is read quickly is left for the next', (t) => {
  const root = buildStore(t, { db: 'one' });
  const { readFileSync } = fs;
  t.mock.method(fs, 'readFileSync', (/** @type {Parameters<typeof readFileSync>} */ ...args) => {
    t.mock.restoreAll();
    publish(root, 2, { db: 'two' });
    collect(root, 1);
    return readFileSync(...args);
  });
  assert.equal(open(root).get('db'), 'two');
});

test('text that was read quickly while its generation went away is thrown away', (t) => {
  const root = buildStore(t, { db: 'one', api: 'one' });
  const client = open(root);
  assert.equal(client.get('db'), 'one');
  const { readFileSync } = fs;
  t.mock.method(fs, 'readFileSync', (/** @type {Parameters<typeof readFileSync>} */ ...args) => {
    t.mock.restoreAll();
    const text = readFileSync(...args);
    publish(root, 2, { api: 'two' });
    collect(root, 1);
    return text;
  });
  assert.equal(client.get('api'), 'two');
});

test('bytes that were read while their generation went away are thrown away', (t) => {
  const root = buildStore(t, { db: 'one' });
  const client = open(root);
  client.names();
  const closeSync = fs.closeSync;
  t.mock.method(fs, 'closeSync', (/** @type {number} */ file) => {
    t.mock.restoreAll();
    closeSync(file);
    publish(root, 2, { db: 'two' });
    collect(root, 1);
  });
  assert.equal(client.get('db'), 'two');
});

test('a store that changes under every try is given up after a hundred', (t) => {
  const root = buildStore(t, { db: 'one' });
  const { openSync } = fs;
  let generation = 1;
  let tries = 0;
  t.mock.method(fs, 'openSync', (/** @type {[string, number]} */ ...args) => {
    if (!args[0].endsWith('manifest.json')) return openSync(...args);
    tries += 1;
    fs.rmSync(path.join(root, `generations/${generation}`), { recursive: true });
    generation += 1;
    fs.mkdirSync(path.join(root, `generations/${generation}`));
    fs.rmSync(path.join(root, 'current'));
    fs.symlinkSync(`generations/${generation}`, path.join(root, 'current'));
    return openSync(...args);
  });
  assert.throws(() => open(`${root}/`).get('db'), {
    name: 'NotReady',
    message: `The store at ${root} changes faster than it can be read. Try again with a longer timeout.`,
  });
  assert.equal(tries, 101);
});

test('a snapshot stays with its generation', (t) => {
  const root = buildStore(t, { db: 'one', api: 'one' });
  const snapshot = open(root).snapshot();
  assert.equal(snapshot.get('db'), 'one');
  publish(root, 2, { db: 'two', api: 'two' });
  assert.equal(snapshot.get('api'), 'one');
  assert.equal(snapshot.path('db'), `${root}/generations/1/secrets/db`);
  assert.equal(snapshot.snapshot(), snapshot);
});

test('a snapshot of a store that is gone has expired', (t) => {
  const root = buildStore(t, { db: 'one' });
  const snapshot = open(root).snapshot();
  fs.rmSync(root, { recursive: true });
  assert.throws(() => snapshot.get('db'), { name: 'SnapshotExpired', secret: 'db' });
});

test('a snapshot that expired still returns what was read, and a new one cures it', (t) => {
  const root = buildStore(t, { db: 'one', api: 'one' });
  const client = open(root);
  const snapshot = client.snapshot();
  snapshot.get('db');
  publish(root, 2, { db: 'two', api: 'two' });
  collect(root, 1);
  assert.equal(snapshot.get('db'), 'one');
  assert.throws(() => snapshot.get('api'), { name: 'SnapshotExpired', secret: 'api' });
  assert.equal(client.snapshot().get('api'), 'two');
});

test('a secret and its facts come from the same generation', (t) => {
  const root = buildStore(t, { db: 'one' });
  const secret = open(root).secret('db');
  publish(root, 2, { db: 'second' });
  collect(root, 1);
  assert.equal(secret.reveal(), 'one');
  assert.equal(secret.info.size, 'one'.length);
});

test('a refusal of the system is reported by its name', (t) => {
  const root = buildStore(t, { db: 'one' });
  t.mock.method(fs, 'readSync', () => {
    throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });
  });
  assert.throws(() => open(`${root}/`).get('db'), {
    name: 'StoreUnreadable',
    message:
      `The store at ${root} cannot be read: EIO at generations/1/manifest.json. ` +
      'Check that this process may read it.',
  });
});

test('a bug comes out as internal, without the words of the exception', (t) => {
  const root = buildStore(t, { db: 'one' });
  const value = canary();
  t.mock.method(fs, 'readSync', () => {
    throw new RangeError(value);
  });
  assert.throws(
    () => open(`${root}/`).get('db'),
    (error) => {
      assert(error instanceof keystart.Internal);
      assert.equal(
        error.message,
        'Keystart failed in a way it should not: RangeError. Please report it.',
      );
      return !String(error.stack).includes(value) && error.cause === undefined;
    },
  );
});

test('a socket is not a regular file, by the error of Linux and by that of macOS', (t) => {
  const root = buildStore(t, { db: 'x' });
  const opened = fs.openSync;
  t.after(() => {
    fs.openSync = opened;
  });
  for (const code of ['ENXIO', 'Unknown system error -102']) {
    fs.openSync = () => {
      throw Object.assign(new Error(code), { code });
    };
    const manifest = 'manifest.json is not a regular file';
    assert.throws(
      () => open(root).names(),
      (error) => String(error).includes(manifest),
    );
  }
});

test('files that were opened are closed, also after an error', (t) => {
  const root = buildStore(t, { db: 'one', odd: 'x' });
  fs.rmSync(path.join(root, 'current/secrets/odd'));
  fs.mkdirSync(path.join(root, 'current/secrets/odd'));
  const client = open(root);
  const before = fs.readdirSync('/dev/fd').length;
  client.get('db');
  assert.throws(() => client.get('odd'), keystart.SecretCorrupt);
  assert.equal(fs.readdirSync('/dev/fd').length, before);
});

test('worker threads and forked processes read for themselves', async (t) => {
  const root = buildStore(t, { db: 'hunter2' });
  const script = path.join(temporaryFolder(t), 'read.js');
  fs.writeFileSync(
    script,
    `const { Keystart } = require(${JSON.stringify(INDEX)});
     const value = new Keystart({ root: ${JSON.stringify(root)} }).get('db');
     const { parentPort } = require('node:worker_threads');
     parentPort ? parentPort.postMessage(value) : process.send(value);`,
  );
  open(root).get('db');
  const readers = [new Worker(script), new Worker(script), fork(script)];
  const said = await Promise.all(
    readers.map((reader) => once(/** @type {any} */ (reader), 'message')),
  );
  assert.deepEqual(
    said.flat().filter((value) => typeof value === 'string'),
    ['hunter2', 'hunter2', 'hunter2'],
  );
});
