// Errors that drivers threw on real servers are recognised. Nothing that an error has is called.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { classify } from '../src/rejections.mjs';

const contract = new URL('../../../contract/', import.meta.url);
/** @param {string} file */
const read = (file) => JSON.parse(readFileSync(new URL(file, contract), 'utf8'));
const { cases } = read('cases/rejections/node.json');
const refused = () =>
  Object.assign(new Error('password authentication failed for user "app"'), { code: '28P01' });
const locked = () =>
  Object.assign(new Error('Access denied, this account is locked'), { errno: 4151 });

/**
 * Makes an error that carries the same as a recorded one.
 * @param {any} data
 */
function rebuilt({ members, response, cause, errors }) {
  const error = new Error(members.message);
  for (const [key, value] of Object.entries(members))
    Object.defineProperty(error, key, { value, configurable: true });
  if (response) Object.assign(error, { response });
  if (cause) Object.assign(error, { cause: rebuilt(cause) });
  if (errors) Object.assign(error, { errors: errors.map(rebuilt) });
  return error;
}

for (const { id, error, verdict } of cases) {
  test(`${id} is ${verdict}`, () => assert.equal(classify(rebuilt(error)), verdict));
}

test('the sentences of PostgreSQL decide for 28000 and 08P01, and its routines do', () => {
  for (const { text } of read('rejections.json').servers.postgresql.words) {
    const message = text.replace('%s', 'app');
    for (const code of ['28000', '08P01']) {
      assert.equal(classify(Object.assign(new Error(message), { code })), 'rejected', message);
      assert.equal(
        classify(Object.assign(new Error(`${message}, or not`), { code })),
        null,
        message,
      );
    }
    assert.equal(classify(Object.assign(new Error(message), { code: '08006' })), null, message);
  }
  const idle = { code: '28000', routine: 'InitializeSessionUserId' };
  assert.equal(
    classify(Object.assign(new Error('Rolle »app« hat keine Berechtigung zum Einloggen'), idle)),
    'rejected',
  );
});

test('causes are followed eight deep, and a circle of them ends', () => {
  /** @type {Error} */
  let error = refused();
  for (let depth = 1; depth <= 9; depth += 1) {
    error = new Error('outer', { cause: error });
    assert.equal(classify(error), depth <= 8 ? 'rejected' : null);
  }
  const circle = new Error('circle');
  circle.cause = circle;
  assert.equal(classify(circle), null);
});

test('the errors of an AggregateError count, and locked wins', () => {
  assert.equal(classify(new AggregateError([new Error('no'), refused()])), 'rejected');
  assert.equal(classify(new AggregateError([refused(), locked()])), 'locked');
  assert.equal(
    classify(new AggregateError(Array.from({ length: 100_000 }, () => new Error('no')))),
    null,
  );
});

test('what wrappers of drivers call their cause counts', () => {
  for (const key of ['originalError', 'original', 'driverError']) {
    assert.equal(classify(Object.assign(new Error('wrapped'), { [key]: refused() })), 'rejected');
  }
});

test('no getter is called, and what throws when one looks at it is none', () => {
  let called = 0;
  class Hostile extends Error {
    get code() {
      called += 1;
      return '28P01';
    }
  }
  assert.equal(classify(new Hostile('hostile')), null);
  const own = Object.defineProperty(new Error('own'), 'cause', { get: () => (called += 1) });
  assert.equal(classify(own), null);
  assert.equal(called, 0);
  const proxy = new Proxy(new Error('proxy'), {
    getOwnPropertyDescriptor() {
      throw new Error('trap');
    },
  });
  assert.equal(classify(proxy), null);
});

test('what is not an object is none', () => {
  for (const thrown of [undefined, null, 'WRONGPASS no', 18, Symbol('no'), () => {}, {}, []])
    assert.equal(classify(thrown), null);
});

test('the status of a Response that an error has counts', () => {
  for (const [status, verdict] of /** @type {const} */ ([
    [401, 'rejected'],
    [403, null],
  ])) {
    assert.equal(
      classify(Object.assign(new Error('HTTP'), { response: new Response(null, { status }) })),
      verdict,
    );
  }
});
