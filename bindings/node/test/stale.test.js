// Values that were checked too long ago, when the writer can hardly be asked. The cases of the contract hold the rest.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const { once } = require('node:events');
const { test } = require('node:test');
const { Worker } = require('node:worker_threads');
const { Keystart, SecretStale } = require('keystart');
const { buildStore, publish } = require('./store.js');

/** @param {import('node:test').TestContext} t */
function oldStore(t) {
  const root = buildStore(t, {});
  publish(root, 2, { db: 'old' }, { maxStale: 20 }); // its time is in the past
  return root;
}

/** @param {number} seconds from now */
function freshness(seconds) {
  const time = new Date(Date.now() + seconds * 1000).toISOString();
  const db = { checked_at: time, refresh_after: null, usable_until: time, failure: null };
  return JSON.stringify({ format: 'keystart.freshness/1', generation: 2, secrets: { db } });
}

test('an old value under a root that became unsafe is stale: nobody is asked there', (t) => {
  const root = oldStore(t);
  fs.writeFileSync(`${root}/freshness.json`, freshness(15));
  const client = new Keystart({ root, timeoutMs: 500 });
  assert.equal(client.get('db'), 'old');
  fs.rmSync(`${root}/freshness.json`);
  t.mock.method(Date, 'now', () => Date.parse('2050-01-01T00:00:00.000Z'));
  fs.chmodSync(root, 0o777);
  assert.throws(() => client.get('db'), SecretStale);
});

test('an old value is checked by a writer whose backlog was full at first', async (t) => {
  const root = oldStore(t);
  const path = `${root}/control.sock`;
  const filled = new Int32Array(new SharedArrayBuffer(4));
  const code = `
    const { parentPort, workerData } = require('node:worker_threads');
    const fs = require('node:fs');
    const { root, path, fresh, filled } = workerData;
    const server = require('node:net').createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => {
        fs.writeFileSync(root + '/freshness.json', fresh);
        socket.end('{"format": "keystart.control/1", "ok": true, "failures": {}}\\n');
      });
    });
    server.listen({ path, backlog: 1 }, () => {
      parentPort.postMessage('listens');
      Atomics.wait(filled, 0, 0);
      Atomics.wait(filled, 0, 1, 500); // the reader finds the backlog full
    });`;
  const writer = new Worker(code, {
    eval: true,
    workerData: { root, path, fresh: freshness(15), filled },
  });
  t.after(() => writer.terminate());
  await once(writer, 'message');
  const fillers = Array.from({ length: 8 }, () => net.connect(path));
  const refused = fillers.map(
    (filler) =>
      new Promise((resolve) => {
        filler.on('connect', () => resolve(false)).on('error', () => resolve(true));
      }),
  );
  Atomics.store(filled, 0, 1);
  Atomics.notify(filled, 0);
  assert.equal(new Keystart({ root, timeoutMs: 5000 }).get('db'), 'old');
  assert.ok((await Promise.all(refused)).includes(true)); // it was full
  fillers.forEach((filler) => filler.destroy());
});
