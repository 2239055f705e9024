// Values of other types, and objects that pretend: contract 8.5 for each function and each option.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const keystart = require('keystart');
const { buildStore } = require('./store.js');

const { Keystart } = keystart;

function refusing() {
  const refuse = () => assert.fail('a value was asked what it is');
  return { toString: refuse, valueOf: refuse, toJSON: refuse, [Symbol.toPrimitive]: refuse };
}

function revoked() {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

class Text extends String {}

const VALUES = /** @type {any[]} */ ([
  ...[
    true,
    false,
    7,
    7n,
    NaN,
    Symbol('db'),
    [],
    ['db'],
    {},
    () => 'db',
    class {},
    /db/,
    new Date(0),
    Buffer.from('db'),
  ],
  ...[
    new String('db'),
    new Text('db'),
    Object.create(null),
    Object.freeze({ length: 2 }),
    refusing(),
    revoked(),
  ],
  ...[
    new Proxy(
      {},
      { get: () => assert.fail('a proxy was asked'), has: () => assert.fail('a proxy was asked') },
    ),
  ],
]);

test('hostile values are refused in the words of the contract', (t) => {
  const client = new Keystart({ root: buildStore(t, { db: 'x' }), timeoutMs: 0 });
  const name = {
    name: 'InvalidName',
    message: 'The name of a secret must be a string.',
    secret: null,
  };
  const root = {
    name: 'InvalidOption',
    message: /^The root must be a path: text in UTF-8 without NUL bytes, /,
  };
  const timeout = {
    name: 'InvalidOption',
    message: /^The timeout must be a number from 0 to 999999999 milliseconds\./,
  };
  for (const value of VALUES) {
    for (const reader of [client, client.snapshot()]) {
      for (const call of ['get', 'getBytes', 'getJson', 'info', 'names', 'path', 'secret', 'tls']) {
        assert.throws(() => Reflect.get(reader, call).call(reader, value), name, call);
      }
    }
    assert.throws(() => new Keystart({ root: value }), root);
    if (value !== 7)
      assert.throws(() => new Keystart({ root: '/nowhere', timeoutMs: value }), timeout);
  }
  for (const options of ['/tmp/keystart', 7, 7n, true, Symbol('root'), () => ({ root: '/' })]) {
    assert.throws(() => new Keystart(/** @type {any} */ (options)), root);
  }
});
