// A request to refresh blocks nobody and leaves nothing behind. The cases of the contract hold its answers.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const { execFile } = require('node:child_process');
const { test } = require('node:test');
const { promisify } = require('node:util');
const keystart = require('keystart');
const { buildStore, publish } = require('./store.js');

const { Keystart, InvalidName, RefreshUnavailable } = keystart;
const DONE = '{"format": "keystart.control/1", "ok": true, "failures": {}}\n';

/**
 * Listens on the control.sock of a store, and keeps the requests.
 * @param {import('node:test').TestContext} t
 * @param {string} root
 * @param {(socket: net.Socket, turn: number) => void} answer
 */
async function listen(t, root, answer) {
  /** @type {string[]} */
  const requests = [];
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined); // a reader that gave up
    socket.once('data', (line) => {
      requests.push(line.toString());
      answer(socket, requests.length);
    });
  });
  t.after(() => server.close());
  await new Promise((resolve) => server.listen(`${root}/control.sock`, () => resolve(undefined)));
  return requests;
}

test('a refresh lets the event loop run, and the next read sees what is new', async (t) => {
  const root = buildStore(t, { db: 'old' });
  const requests = await listen(t, root, (socket) => {
    publish(root, 2, { db: 'newer', other: '' });
    setTimeout(() => socket.end(DONE), 20);
  });
  const client = new Keystart({ root, timeoutMs: 5000 });
  assert.equal(client.get('db'), 'old');
  assert.deepEqual(await client.refresh('db', 'tls'), ['db']); // the server is in this process
  assert.equal(client.get('db'), 'newer');
  assert.deepEqual(requests, [
    '{"format": "keystart.control/1", "op": "refresh", "names": ["db", "tls"]}\n',
  ]);
});

test('a writer that ends before it accepts a connection is unavailable', async (t) => {
  const root = buildStore(t, { db: 'old' });
  const server = net.createServer();
  await new Promise((resolve) => server.listen(`${root}/control.sock`, () => resolve(undefined)));
  const client = new Keystart({ root, timeoutMs: 5000 });
  const refreshed = client.refresh(); // connects at once
  server.close();
  await assert.rejects(refreshed, RefreshUnavailable);
});

test('many refreshes run at once', async (t) => {
  const root = buildStore(t, { db: 'old' });
  const requests = await listen(t, root, (socket) => socket.end(DONE));
  const client = new Keystart({ root, timeoutMs: 5000 });
  assert.deepEqual(
    await Promise.all(Array.from({ length: 50 }, () => client.refresh())),
    Array(50).fill([]),
  );
  assert.equal(requests.length, 50);
});

test('an answer that arrived while the event loop was blocked beyond the timeout counts', async (t) => {
  const root = buildStore(t, { db: 'old' });
  await listen(t, root, (socket) => {
    socket.write(DONE);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400); // like a freeze
  });
  assert.deepEqual(await new Keystart({ root, timeoutMs: 200 }).refresh(), []);
});

test('errors reject, and do not throw', async (t) => {
  const client = new Keystart({ root: buildStore(t, {}), timeoutMs: 50 });
  await assert.rejects(client.refresh('../db'), InvalidName);
  await assert.rejects(client.refresh(), RefreshUnavailable);
  await assert.rejects(keystart.refresh(/** @type {any} */ (5)), InvalidName);
});

test('no descriptor stays open, whatever the answer is', async (t) => {
  const root = buildStore(t, { db: 'old' });
  const answers = [DONE, 'no\n', '', 'half'];
  await listen(t, root, (socket, turn) => {
    const answer = answers[turn % 5];
    if (answer !== undefined) socket.end(answer);
  });
  const client = new Keystart({ root, timeoutMs: 50 });
  await client.refresh().catch(() => undefined); // what Node itself opens at the first use
  const before = fs.readdirSync('/dev/fd').length;
  for (let count = 0; count < 50; count++) {
    await client.refresh().catch((error) => assert.ok(error instanceof RefreshUnavailable));
  }
  await new Promise((resolve) => setTimeout(resolve, 100)); // the server's own sides close
  assert.ok(fs.readdirSync('/dev/fd').length - before < 10);
});

test('node:net is loaded by the first refresh, and nothing keeps the process alive after it', async (t) => {
  const root = buildStore(t, { db: 'old' });
  await listen(t, root, (socket) => socket.write(DONE)); // and leaves the connection open
  const script = `
    const keystart = require(${JSON.stringify(require.resolve('keystart'))});
    const isLoaded = () => process.moduleLoadList.includes('NativeModule net');
    keystart.get('db');
    const before = isLoaded();
    keystart.refresh().then((changed) => console.log(before, isLoaded(), changed.length));
  `;
  const env = { KEYSTART_DIR: root, KEYSTART_TIMEOUT_MS: '100000' };
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, ['-e', script], {
    env,
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.equal(stdout, 'false true 0\n');
});

test('what every object inherits changes no request', async (t) => {
  const root = buildStore(t, { db: 'old' });
  const requests = await listen(t, root, (socket) => socket.end(DONE));
  const script = `
    const keystart = require(${JSON.stringify(require.resolve('keystart'))});
    for (const name of ['toJSON', 'failures', 'error', 'ok', 'names', 'path', 'host', 'port']) {
      Object.defineProperty(Object.prototype, name, { value: name, configurable: true, writable: true });
    }
    keystart.refresh('db').then((changed) => console.log(changed.length));
  `;
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, ['-e', script], {
    env: { KEYSTART_DIR: root },
    encoding: 'utf8',
  });
  assert.equal(stdout, '0\n');
  assert.deepEqual(requests, [
    '{"format": "keystart.control/1", "op": "refresh", "names": ["db"]}\n',
  ]);
});
