// No way of showing an object may show a secret. Values are made at run time, so finding one means a leak.
'use strict';

const assert = require('node:assert/strict');
const util = require('node:util');
const v8 = require('node:v8');
const { Console } = require('node:console');
const { Writable } = require('node:stream');
const { spawnSync } = require('node:child_process');
const { test } = require('node:test');
const keystart = require('keystart');
const { buildStore, canary } = require('./store.js');

/**
 * Returns everything that people and loggers do with an object, as text.
 * @param {any} object
 */
function shown(object) {
  let text = '';
  const sink = new Writable({
    write(chunk, _, done) {
      text += chunk;
      done();
    },
  });
  const console = new Console(sink);
  console.log(object, [object], { object });
  console.log('%s %d %i %f %j %o %O', object, object, object, object, object, object, object);
  console.dir(object, { showHidden: true, depth: null });
  console.table([object]);
  text += util.inspect(object, {
    showHidden: true,
    depth: null,
    customInspect: false,
    getters: false,
  });
  text += util.inspect(new Map([[object, new Error('x', { cause: object })]]), { depth: null });
  text += JSON.stringify({ object, spread: { ...object } });
  text += `${String(object)} ${object + ''} ${Object.entries(object)}`;
  text += util.inspect(structuredClone(object)) + v8.serialize(object).toString('latin1');
  return text;
}

/**
 * @param {string} text
 * @param {string} value
 */
function assertHides(text, value) {
  const bytes = Buffer.from(value);
  const start = bytes.subarray(0, 12);
  for (const form of [
    value,
    start.toString('hex'),
    start.toString('hex').replace(/..(?=.)/g, '$& '),
  ]) {
    assert(!text.includes(form), 'the value was shown');
  }
  assert(!text.includes(start.toString('base64')), 'the value was shown in base64');
}

test('a secret shows its name instead of its value', (t) => {
  const value = canary();
  const secret = new keystart.Keystart({ root: buildStore(t, { db: value }) }).secret('db');
  assert.equal(secret.reveal(), value);
  assert.equal(secret.revealBytes().toString(), value);
  assert.equal(secret.name, 'db');
  for (const text of [String(secret), util.inspect(secret), JSON.parse(JSON.stringify(secret))]) {
    assert.equal(text, '<Secret "db" (redacted)>');
  }
  assertHides(shown(secret), value);
});

test('what finds leaks finds one', () => {
  const value = canary();
  for (const leak of [{ value }, { bytes: Buffer.from(value) }]) {
    assert.throws(() => assertHides(shown(leak), value), /the value was shown/);
  }
});

test('clients and snapshots do not show what they read', (t) => {
  const value = canary();
  const client = new keystart.Keystart({ root: buildStore(t, { db: value }) });
  const snapshot = client.snapshot();
  client.get('db');
  snapshot.get('db');
  for (const reader of [client, snapshot]) {
    assertHides(
      util.inspect(reader, { showHidden: true, depth: null }) + JSON.stringify(reader),
      value,
    );
  }
});

test('facts do not show the value', (t) => {
  const value = canary();
  const client = new keystart.Keystart({ root: buildStore(t, { db: value }) });
  assertHides(shown(client.info('db')), value);
});

test('an error does not show the value that it is about', (t) => {
  const value = canary();
  const secrets = {
    text: `{"password": ${value}}`,
    bytes: Buffer.concat([Buffer.from(value), Buffer.from([0xff])]),
  };
  const client = new keystart.Keystart({ root: buildStore(t, secrets) });
  for (const read of [
    () => client.getJson('text'),
    () => client.get('bytes'),
    () => client.secret('bytes').reveal(),
  ]) {
    assert.throws(read, (error) => {
      assert(error instanceof keystart.KeystartError);
      assert.equal(error.cause, undefined);
      assertHides(
        util.inspect(error, { showHidden: true, depth: null }) +
          error.stack +
          JSON.stringify(error),
        value,
      );
      return true;
    });
  }
});

test('a process that ends with an uncaught error does not print the value', (t) => {
  const value = canary();
  const root = buildStore(t, { db: `[${value}` });
  const script = `new (require(${JSON.stringify(require.resolve('keystart'))}).Keystart)().getJson('db')`;
  const ended = spawnSync(process.execPath, ['-e', script], {
    env: { ...process.env, KEYSTART_DIR: root },
  });
  assert.equal(ended.status, 1);
  assert.match(String(ended.stderr), /SecretNotJson: The secret "db" is not valid JSON/);
  assertHides(String(ended.stderr) + String(ended.stdout), value);
});
