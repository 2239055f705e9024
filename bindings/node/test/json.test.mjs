// JSON by contract 6.4. The shared cases hold the same rules as data; this file tries them in bulk.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseJson } from '../src/json.mjs';

test('what RFC 8259 does not allow is refused', () => {
  for (const text of [
    '',
    ' ',
    '\uFEFF1',
    '01',
    '-',
    '+1',
    '.5',
    '1.',
    '1e',
    'NaN',
    'Infinity',
    '-Infinity',
    "'a'",
    '[1,]',
    '{"a":1,}',
    '{a:1}',
    '// x\n1',
    '1 1',
    '"\n"',
    '"\\x41"',
    '"\\u12"',
    '"',
    '"\\',
    '[',
    '{',
    'nul',
    '\u00a01',
    '1\v',
    '{"a"}',
  ]) {
    assert.equal(parseJson(text), undefined, JSON.stringify(text));
  }
});

test('what RFC 8259 allows is parsed', () => {
  for (const text of [
    ' \t\r\n1 ',
    '-0',
    '1E+2',
    '"\u2028\u007f"',
    '"\\u0000\\/"',
    '[[],{}]',
    'null',
    'false',
    '""',
  ]) {
    assert.deepEqual(parseJson(text), JSON.parse(text), JSON.stringify(text));
  }
});

test('a lone surrogate escape is refused wherever it stands', () => {
  for (const text of [
    '"\\ud800"',
    '"\\udc00"',
    '"\\ud800x"',
    '"\\ud800\\ud800\\udc00"',
    '"\\udc00\\ud800"',
    '"\\uD800\\n"',
    '"\\ud800\\u0041"',
    '{"\\ud800": 1}',
    '{"a": "\\ud800", "a": 1}',
    '["\\\\\\ud800"]',
  ]) {
    assert.equal(parseJson(text), undefined, text);
  }
  assert.equal(parseJson('"\\ud83d\\uDE00"'), '😀');
  assert.equal(parseJson('"\\\\ud800"'), '\\ud800');
});

test('a number that is not a finite double is refused wherever it is', () => {
  for (const text of ['1e309', '-1e309', '[1, 1E400]', '{"a": 1e999, "a": 1}', '9'.repeat(400)]) {
    assert.equal(parseJson(text), undefined, text);
  }
  assert.equal(parseJson('1.7976931348623157e308'), Number.MAX_VALUE);
  assert.equal(parseJson('1e-400'), 0);
  assert.equal(parseJson('"1e999"'), '1e999');
});

test('64 levels are the deepest', () => {
  const nested = (/** @type {number} */ depth) =>
    '[{"a":'.repeat(depth / 2) + '1' + '}]'.repeat(depth / 2);
  assert.notEqual(parseJson(nested(64)), undefined);
  assert.equal(parseJson(`[${nested(64)}]`), undefined);
  assert.equal(parseJson('['.repeat(1_000_000)), undefined);
  assert.deepEqual(parseJson('[' + '[],'.repeat(100) + '"[[["]'), [...Array(100).fill([]), '[[[']);
});

test('of equal members the last wins, and __proto__ is a member like any other', () => {
  assert.deepEqual(parseJson('{"a": 1, "a": 2}'), { a: 2 });
  const value = /** @type {object} */ (parseJson('{"__proto__": {"x": 1}}'));
  assert.deepEqual(Object.keys(value), ['__proto__']);
  assert.equal('x' in value, false);
});
