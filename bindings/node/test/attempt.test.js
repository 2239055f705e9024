// Logins that survive a rotation: what the cases of the contract cannot ask. The writers here say yes to everything.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const vm = require('node:vm');
const { execFile } = require('node:child_process');
const { test } = require('node:test');
const { promisify } = require('node:util');
const keystart = require('keystart');
const { buildStore, canary, collect, publish } = require('./store.js');

const { Keystart, InvalidName, InvalidOption, LoginRefused, SecretNotFound, SnapshotExpired } =
  keystart;

/** An error as a driver throws it when the server refuses a login. */
class DriverError extends Error {
  code = '28P01';
}

/**
 * Answers as a writer does, with these members, and keeps the requests and the number of open connections.
 * @param {import('node:test').TestContext} t
 * @param {string} root
 * @param {(request: any, turn: number) => object} [members]
 */
async function listen(t, root, members = () => ({})) {
  const asked = { requests: /** @type {any[]} */ ([]), open: 0 };
  const server = net.createServer((socket) => {
    asked.open += 1;
    socket.on('close', () => (asked.open -= 1));
    socket.on('error', () => undefined); // a reader that gave up
    socket.once('data', (line) => {
      const { format, ...request } = JSON.parse(line.toString());
      asked.requests.push(request);
      const answer = { format, ok: true, failures: {}, ...members(request, asked.requests.length) };
      socket.write(`${JSON.stringify(answer)}\n`); // and leaves the connection open
    });
  });
  t.after(() => server.close());
  await new Promise((resolve) => server.listen(`${root}/control.sock`, () => resolve(undefined)));
  return asked;
}

/** @param {import('node:test').TestContext} t */
async function rotating(t) {
  const root = buildStore(t, { db: 'old' }, { db: 'pending' });
  fs.rmSync(`${root}/current`);
  fs.symlinkSync('generations/1', `${root}/current`);
  const asked = await listen(t, root, ({ op, generation }) =>
    op === 'try' ? { generation: 1, candidate: generation === null ? null : 2 } : {},
  );
  return { client: new Keystart({ root, timeoutMs: 5000 }), root, asked };
}

/** @param {() => boolean} isSo */
async function until(isSo) {
  for (let count = 0; !isSo() && count < 1000; count++)
    await new Promise((resolve) => setImmediate(() => setTimeout(resolve, 5)));
  assert.ok(isSo());
}

/** @param {string[]} passwords */
function server(...passwords) {
  return (/** @type {keystart.Snapshot} */ secrets) => {
    const password = secrets.get('db');
    if (!passwords.includes(password)) throw new DriverError(`not ${password.length} characters`);
    return password;
  };
}

test('a login that the server refuses is tried with the pending version', async (t) => {
  const { client, asked } = await rotating(t);
  assert.equal(await client.attempt('db', server('pending')), 'pending');
  assert.deepEqual(asked.requests, [
    { op: 'try', name: 'db', generation: null },
    { op: 'rejected', locked: false, name: 'db', generation: 1 },
    { op: 'try', name: 'db', generation: 1 },
    { op: 'accepted', name: 'db', generation: 2 },
  ]);
});

test('the function of the module logs in with the default client', async (t) => {
  const { root } = await rotating(t);
  const script = `
    const keystart = require(${JSON.stringify(require.resolve('keystart'))});
    keystart.attempt('db', async (secrets) => secrets.get('db')).then(console.log);
  `;
  const run = promisify(execFile);
  // The writer leaves its connections open: nothing keeps the process alive after the login.
  const { stdout } = await run(process.execPath, ['-e', script], {
    env: { KEYSTART_DIR: root },
    timeout: 20_000,
  });
  assert.equal(stdout, 'old\n');
});

test('the error of the published version is thrown, and lists the other logins without a message', async (t) => {
  const { client, asked } = await rotating(t);
  const secret = canary();
  const thrown = /** @type {any} */ (
    await client
      .attempt('db', (secrets) => {
        throw Object.assign(new DriverError(secret), { password: secrets.get('db') });
      })
      .catch((error) => error)
  );
  assert.equal(thrown.constructor, DriverError);
  assert.equal(thrown.password, 'old');
  assert.deepEqual(Object.keys(thrown), ['code', 'password']);
  assert.deepEqual(thrown.attempts, [
    { generation: 2, stage: 'AWSCURRENT', versionId: null, class: 'DriverError', code: '28P01' },
    { generation: 2, stage: 'AWSCURRENT', versionId: null, class: 'DriverError', code: '28P01' },
  ]);
  assert.ok(!JSON.stringify(thrown.attempts).includes(secret));
  await until(() => asked.requests.length === 6); // the last report is not waited for
  assert.deepEqual(
    asked.requests.map(({ op }) => op),
    ['try', 'rejected', 'try', 'rejected', 'try', 'rejected'],
  );
});

test('an error that cannot be changed, and one that is not an object, are thrown as they are', async (t) => {
  const { client } = await rotating(t);
  const rejected = () => true;
  const frozen = Object.freeze(new Error('no'));
  await assert.rejects(
    client.attempt('db', (secrets) => (secrets.get('db'), Promise.reject(frozen)), { rejected }),
    frozen,
  );
  const text = (/** @type {keystart.Snapshot} */ secrets) => (
    secrets.get('db'),
    Promise.reject('no')
  );
  assert.equal(await client.attempt('db', text, { rejected }).catch((error) => error), 'no');
});

test('a function that swallows the rejection has logged in', async (t) => {
  const { client, asked } = await rotating(t);
  const swallowing = async (/** @type {keystart.Snapshot} */ secrets) => {
    try {
      return server('pending')(secrets);
    } catch {
      return 'nothing';
    }
  };
  assert.equal(await client.attempt('db', swallowing), 'nothing');
  assert.deepEqual(
    asked.requests.map(({ op }) => op),
    ['try', 'accepted'],
  );
});

test('another error passes through as it is, at once, and nothing is reported', async (t) => {
  const { client, asked } = await rotating(t);
  for (const error of [
    new Error('ECONNREFUSED'),
    'text',
    undefined,
    null,
    new Proxy(
      {},
      {
        get() {
          throw new Error('no');
        },
      },
    ),
  ]) {
    const before = asked.requests.length;
    const caught = await client
      .attempt('db', (secrets) => {
        secrets.get('db');
        throw error;
      })
      .then(
        () => [],
        (one) => [one],
      ); // in a list, because a promise asks its value for a then
    assert.ok(caught.length === 1 && Object.is(caught[0], error));
    assert.deepEqual(
      asked.requests.slice(before).map(({ op }) => op),
      ['try'],
    );
  }
});

test('nothing is reported of a function that reads nothing of the name', async (t) => {
  const root = buildStore(t, { 'db/user': 'me', 'db/password': 'x', dbx: '' });
  const asked = await listen(t, root);
  const client = new Keystart({ root, timeoutMs: 5000 });
  await client.attempt('db', (secrets) => [
    secrets.get('dbx'),
    secrets.names(),
    secrets.info('db/user'),
  ]);
  await assert.rejects(
    client.attempt('db', () => {
      throw new DriverError('x');
    }),
    DriverError,
  );
  assert.deepEqual(
    asked.requests.map(({ op }) => op),
    ['try', 'try'],
  );
  const reads = /** @type {((secrets: keystart.Snapshot) => unknown)[]} */ ([
    (secrets) => secrets.get('db/user'),
    (secrets) => secrets.getBytes('db/user'),
    (secrets) => secrets.secret('db/password'),
    (secrets) => secrets.snapshot().path('db/password'),
  ]);
  for (const read of reads) await client.attempt('db', read);
  assert.deepEqual(
    asked.requests.slice(2).map(({ op }) => op),
    Array(4).fill(['try', 'accepted']).flat(),
  );
});

test('a snapshot that expires in the function is taken again', async (t) => {
  const root = buildStore(t, { db: 'old' }, { db: 'new' });
  const asked = await listen(t, root, (_, turn) => ({ generation: turn === 1 ? 1 : 2 }));
  const client = new Keystart({ root, timeoutMs: 5000 });
  let runs = 0;
  const value = await client.attempt('db', async (secrets) => {
    runs += 1;
    if (runs === 1) collect(root, 1);
    return secrets.get('db');
  });
  assert.deepEqual([runs, value], [2, 'new']);
  assert.deepEqual(
    asked.requests.map(({ op, generation }) => [op, generation]),
    [
      ['try', null],
      ['try', null],
      ['accepted', 2],
    ],
  );
});

test('without an extension there is one login, and its error passes through', async (t) => {
  const client = new Keystart({ root: buildStore(t, { db: 'old' }), timeoutMs: 0 });
  assert.equal(await client.attempt('db', server('old')), 'old');
  const error = new DriverError('no');
  await assert.rejects(
    client.attempt('db', (secrets) => {
      secrets.get('db');
      throw error;
    }),
    error,
  );
  assert.equal(Reflect.get(error, 'attempts'), undefined);
});

test('a client that is frozen logs in', async (t) => {
  const { client } = await rotating(t);
  assert.equal(await Object.freeze(client).attempt('db', server('pending')), 'pending');
});

test('each wrong argument is refused before the function runs', async (t) => {
  const { client, asked } = await rotating(t);
  const fn = () => assert.fail('it ran');
  const call = /** @type {any} */ (client.attempt.bind(client));
  await assert.rejects(call('../db', fn), InvalidName);
  await assert.rejects(call('dbx', fn), SecretNotFound);
  for (const budgetMs of [-1, NaN, Infinity, 1e9, true, '2', 2n]) {
    await assert.rejects(call('db', fn, { budgetMs }), InvalidOption, String(budgetMs));
  }
  for (const wrong of [undefined, null, 'db', {}])
    await assert.rejects(call('db', wrong), TypeError);
  for (const rejected of [7, 'Error', {}, [], [DriverError, 'x'], [() => true]]) {
    await assert.rejects(call('db', fn, { rejected }), TypeError);
  }
  await assert.rejects(call('db', fn, 5), TypeError);
  await assert.rejects(call('db', fn, { budget: 2 }), {
    name: 'TypeError',
    message:
      'attempt has no option budget. The options are rejected and budgetMs. budgetMs is in milliseconds.',
  });
  await assert.rejects(call('db', fn, { s3cret: 2 }), {
    name: 'TypeError',
    message: 'attempt has no such option, of 6 characters. The options are rejected and budgetMs.',
  });
  assert.deepEqual(asked.requests, []);
});

test('a budget of 0 logs in once and asks nothing, and the outcome is reported', async (t) => {
  const { client, asked } = await rotating(t);
  assert.equal(await client.attempt('db', server('old'), { budgetMs: 0 }), 'old');
  await assert.rejects(client.attempt('db', server('pending'), { budgetMs: 0 }), DriverError);
  await until(() => asked.requests.length === 2);
  assert.deepEqual(asked.requests, [
    { op: 'accepted', name: 'db', generation: 1 },
    { op: 'rejected', locked: false, name: 'db', generation: 1 },
  ]);
});

test('a call whose budget is shorter than the wait ends at once', async (t) => {
  const root = buildStore(t, { db: 'old' });
  await listen(t, root, () => ({ retry_after_ms: 60_000 }));
  const client = new Keystart({ root, timeoutMs: 5000 });
  await assert.rejects(client.attempt('db', server('old')), (error) => {
    assert.ok(error instanceof LoginRefused);
    assert.equal(
      error.message,
      'The server refused the logins with "db", and the next one is allowed in 60000 ms. The log of the extension lists the versions that it tried. Make the secret and the server agree, then try again.',
    );
    return true;
  });
});

test('classes say what a rejection is, also in a cause, and so does a function', async (t) => {
  const { client } = await rotating(t);
  class Wrong extends Error {}
  const foreign = vm.runInNewContext('class Foreign extends Error {}; Foreign');
  const wrapped = [
    new Wrong('x'),
    new Error('pool', { cause: new Error('x', { cause: new Wrong('x') }) }),
    new foreign('x'),
  ];
  for (const error of wrapped) {
    for (const rejected of [[Wrong, foreign], (/** @type {any} */ one) => one === error]) {
      /** @type {string[]} */
      const used = [];
      const fn = (/** @type {keystart.Snapshot} */ secrets) => {
        used.push(secrets.get('db'));
        throw error;
      };
      assert.equal(await client.attempt('db', fn, { rejected }).catch((one) => one), error);
      assert.deepEqual(used, ['old', 'pending', 'pending']);
    }
  }
  await assert.rejects(client.attempt('db', server('pending'), { rejected: Wrong }), DriverError); // replaces the table
  const later = /** @type {any} */ (async () => true);
  await assert.rejects(client.attempt('db', server('pending'), { rejected: later }), TypeError);
});

test('a locked account ends the call, and the writer hears of it', async (t) => {
  const { client, asked } = await rotating(t);
  await assert.rejects(
    client.attempt('db', server('pending'), { rejected: () => 'locked' }),
    DriverError,
  );
  await until(() => asked.requests.length === 2);
  assert.deepEqual(asked.requests[1], { op: 'rejected', locked: true, name: 'db', generation: 1 });
});

test('the connection of the question stays open while the function runs, and no longer', async (t) => {
  const { client, asked } = await rotating(t);
  await client.attempt('db', async (secrets) => {
    assert.equal(asked.open, 1);
    return secrets.get('db');
  });
  await until(() => asked.open === 0);
  await assert.rejects(client.attempt('db', async () => Promise.reject(new Error('other'))));
  await until(() => asked.open === 0);
});

test('many callers log in at once, and leave no descriptor open', async (t) => {
  const { client, asked } = await rotating(t);
  const count = () => fs.readdirSync('/dev/fd').length;
  await client.attempt('db', server('old')); // what Node itself opens at the first use
  await until(() => asked.open === 0);
  const before = count();
  const passwords = await Promise.all(
    Array.from({ length: 50 }, () => client.attempt('db', server('pending'))),
  );
  assert.deepEqual(passwords, Array(50).fill('pending'));
  await until(() => asked.open === 0 && count() <= before);
});

test('a read of the function sees one generation, whatever is published meanwhile', async (t) => {
  const root = buildStore(t, { db: 'old' });
  await listen(t, root, () => ({ generation: 1 }));
  const client = new Keystart({ root, timeoutMs: 5000 });
  const value = await client.attempt('db', async (secrets) => {
    publish(root, 2, { db: 'new' });
    return [secrets.get('db'), client.get('db')];
  });
  assert.deepEqual(value, ['old', 'new']);
});

test('clocks and timers that a test library stopped stop no call', async (t) => {
  const { client } = await rotating(t);
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'setImmediate', 'Date'] });
  assert.equal(await client.attempt('db', server('pending')), 'pending');
});

test('what every object inherits changes no call', async (t) => {
  const { root, asked } = await rotating(t);
  const script = `
    const keystart = require(${JSON.stringify(require.resolve('keystart'))});
    const names = ['rejected', 'budgetMs', 'generation', 'candidate', 'retry_after_ms', 'failures', 'ok', 'message',
      'version_id', 'version_stages', 'toJSON', 'then_'];
    for (const name of names) {
      Object.defineProperty(Object.prototype, name, { value: 5, configurable: true, writable: true, enumerable: true });
    }
    keystart.attempt('db', (secrets) => secrets.get('db'), {}).then(console.log, console.log);
  `;
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, ['-e', script], {
    env: { KEYSTART_DIR: root },
    encoding: 'utf8',
  });
  assert.equal(stdout, 'old\n');
  assert.deepEqual(
    asked.requests.map(({ op }) => op),
    ['try', 'accepted'],
  );
});

test('SnapshotExpired of a function that never succeeds comes out after three runs', async (t) => {
  const { client } = await rotating(t);
  let runs = 0;
  const fn = () => {
    runs += 1;
    throw new SnapshotExpired('expired');
  };
  await assert.rejects(client.attempt('db', fn), SnapshotExpired);
  assert.equal(runs, 3);
});
