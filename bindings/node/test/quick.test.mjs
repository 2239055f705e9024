// The quick way through a store returns what the strict one returns, or nothing.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { openQuick, quickBytes, quickJson, quickText } from '../src/quick.mjs';
import { reader } from '../src/reader.mjs';
import store from './store.js';

const { Client } = reader;
const SECRETS = {
  db: '{"user": "a", "list": [1, 2.5]}',
  'mtls/key': 'line\nline',
  bytes: Buffer.from([0xff]),
  empty: '',
};
const NAMES = [...Object.keys(SECRETS), 'mtls', 'none', '../state.json', ''];
/** Pieces that make a manifest wrong, or only look so. */
const PIECES = [
  ...[
    '{',
    '}',
    '[',
    ']',
    '"',
    ',',
    ':',
    '-',
    '0',
    '9',
    '.5',
    'e9',
    'E999',
    '1e999',
    'null',
    '{}',
    '[]',
  ],
  ...[
    '\\',
    '\\ud800',
    '\\u0064b',
    '\u00e9',
    '9'.repeat(120),
    '"db"',
    '"path"',
    '"x":1,',
    '"size":0,',
  ],
  ...['"__proto__":{},', '"secrets":{},', '"unavailable":"{",', '"max_stale":1,', '"writer":{"a":'],
  ...['true', ' ', '\n', '/', '_', '-0', '"source":{}', '"format":"keystart.manifest/2",'],
];

/**
 * Returns numbers below a limit, the same ones in each run (Lehmer's generator).
 * @param {number} seed
 */
function numbers(seed) {
  return (/** @type {number} */ below) => {
    seed = (seed * 48271) % 0x7fffffff;
    return seed % below;
  };
}

/**
 * Asks both ways for all values. Returns how many the quick one returned.
 * @param {string} root
 * @param {string} what
 */
function compare(root, what) {
  const quick = openQuick({ root });
  assert.ok(quick);
  const strict = new Client({ root, timeoutMs: 0 }, null);
  let found = 0;
  for (const name of NAMES) {
    for (const [read, same] of /** @type {const} */ ([
      [quickText, 'get'],
      [quickBytes, 'getBytes'],
      [quickJson, 'getJson'],
    ])) {
      /** @type {unknown} */
      const value = read(quick, name);
      if (value === undefined) continue;
      found += 1;
      assert.deepEqual(value, strict[same](name), `${same} ${name}: ${what}`);
    }
  }
  return found;
}

test('the quick way answers for each text of a sound store', (t) => {
  assert.equal(compare(store.buildStore(t, SECRETS), 'sound'), 3 + 3 + 1); // bytes that are not text are read by all steps
});

test('a manifest that was changed anywhere is read as by the strict way, or not', (t) => {
  const root = store.buildStore(t, SECRETS);
  const file = path.join(root, 'current/manifest.json');
  const sound = fs.readFileSync(file, 'utf8');
  const next = numbers(20261129);
  let [answered, refused] = [0, 0];
  for (let round = 0; round < 4_000; round += 1) {
    let text = sound;
    for (let change = next(3); change >= 0; change -= 1) {
      const at = next(text.length);
      const piece = PIECES[next(PIECES.length)];
      text = text.slice(0, at) + piece + text.slice(at + next(2) * next(12));
    }
    fs.writeFileSync(file, text);
    if (compare(root, text) > 0) answered += 1;
    else refused += 1;
  }
  assert.ok(answered > 20, `${answered} manifests were read`);
  assert.ok(refused > 1_000, `${refused} manifests were refused`);
});

test('a manifest whose members were replaced is read as by the strict way, or not', (t) => {
  const root = store.buildStore(t, SECRETS);
  const file = path.join(root, 'current/manifest.json');
  const sound = fs.readFileSync(file, 'utf8');
  const values = [
    'null',
    '0',
    '-1',
    '1.5',
    '""',
    '"{"',
    '[]',
    '{}',
    '{"id":"i","provider":"p"}',
    '9e999',
    'true',
  ];
  const next = numbers(7);
  for (const { index, 0: member } of sound.matchAll(/"[\w/]+": ?/g)) {
    for (const value of values) {
      const end = index + member.length;
      for (const text of [
        `${sound.slice(0, end)}${value},${member}${sound.slice(end)}`,
        sound.slice(0, index) +
          sound.slice(index).replace(/: ?("[^"]*"|[\w.-]+|\{[^{}]*\})/, `: ${value}`),
        sound.slice(0, index) + sound.slice(index + next(member.length)),
      ]) {
        fs.writeFileSync(file, text);
        compare(root, text);
      }
    }
  }
});

test('files and folders that are not as they should be are not read quickly', (t) => {
  const changes = /** @type {((root: string) => void)[]} */ ([
    (root) => fs.chmodSync(root, 0o777),
    (root) => {
      fs.renameSync(root, `${root}-real`);
      fs.symlinkSync(`${root}-real`, root);
    },
    (root) => {
      fs.renameSync(`${root}/generations`, `${root}/elsewhere`);
      fs.symlinkSync('elsewhere', `${root}/generations`);
    },
    (root) => {
      fs.renameSync(`${root}/generations/1`, `${root}/generations/2`);
      fs.symlinkSync('2', `${root}/generations/1`);
    },
    (root) => {
      fs.renameSync(`${root}/current/secrets`, `${root}/secrets`);
      fs.symlinkSync('../../secrets', `${root}/current/secrets`);
    },
    (root) => fs.truncateSync(`${root}/current/manifest.json`, 10),
    (root) => fs.appendFileSync(`${root}/current/manifest.json`, ' '.repeat(1_048_576)),
    (root) => fs.rmSync(`${root}/current`),
    (root) => fs.rmSync(`${root}/generations`, { recursive: true }),
    (root) => {
      fs.rmSync(`${root}/current`);
      fs.symlinkSync('generations/01', `${root}/current`);
    },
    ...[0, -1].map((number) => (/** @type {string} */ root) => {
      fs.renameSync(`${root}/generations/1`, `${root}/generations/${number}`);
      const file = `${root}/generations/${number}/manifest.json`;
      const text = fs.readFileSync(file, 'utf8');
      fs.writeFileSync(file, text.replace(/"generation": 1/, `"generation": ${number}`));
      fs.rmSync(`${root}/current`);
      fs.symlinkSync(`generations/${number}`, `${root}/current`);
    }),
  ]);
  for (const change of changes) {
    const root = store.buildStore(t, SECRETS);
    change(root);
    assert.equal(compare(root, String(change)), 0, String(change));
  }
});

test('a value whose file is a link, too long or too short is not read quickly', (t) => {
  for (const change of /** @type {((file: string) => void)[]} */ ([
    (file) => {
      fs.renameSync(file, `${file}-real`);
      fs.symlinkSync(`${file}-real`, file);
    },
    (file) => fs.appendFileSync(file, 'x'),
    (file) => fs.truncateSync(file, 1),
    (file) => fs.rmSync(file),
    (file) => {
      fs.rmSync(file);
      fs.mkdirSync(file);
    },
  ])) {
    const root = store.buildStore(t, SECRETS);
    change(path.join(root, 'current/secrets/db'));
    const quick = openQuick({ root });
    assert.ok(quick);
    assert.equal(quickText(quick, 'db'), undefined, String(change));
  }
});

test('a client that has read quickly says that the store was removed', (t) => {
  const root = store.buildStore(t, SECRETS);
  const quick = openQuick({ root });
  assert.ok(quick);
  assert.equal(quickText(quick, 'db'), SECRETS.db);
  fs.rmSync(root, { recursive: true });
  assert.equal(quickText(quick, 'db'), undefined);
  const client = new Client({ root, timeoutMs: 0 }, quick.known);
  assert.throws(() => client.get('db'), /was removed/);
});

test('options that need a check are not taken quickly', () => {
  for (const options of [
    1,
    { timeoutMs: 1.5 },
    { timeoutMs: -1 },
    { root: 'x' },
    { root: '/x/' },
    { more: 1 },
  ])
    assert.equal(openQuick(options), null, JSON.stringify(options));
});

test('a Node that reads text into its shared pool does not read quickly', (t) => {
  const { getBuiltinModule } = process;
  t.after(() => Object.assign(process, { getBuiltinModule }));
  assert.ok(openQuick({ root: '/x' }));
  Object.assign(process, { getBuiltinModule: undefined });
  assert.equal(openQuick({ root: '/x' }), null);
});
