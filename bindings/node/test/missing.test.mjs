// The nearest names (contract 6.5.6): the same ones as from the whole table, for less work.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearestNames } from '../src/missing.mjs';

/**
 * Returns Levenshtein's distance from the whole table.
 * @param {string} a
 * @param {string} b
 */
function plainDistance(a, b) {
  const table = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    table.push([i]);
    for (let j = 1; j <= b.length; j++) {
      const changed = table[i - 1][j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      table[i].push(Math.min(changed, table[i - 1][j] + 1, table[i][j - 1] + 1));
    }
  }
  return table[a.length][b.length];
}

/**
 * @param {string} asked
 * @param {string[]} names sorted
 */
function plainNearest(asked, names) {
  const most = Math.max(2, Math.floor(asked.length / 3));
  const near = names.map((name) => ({ name, distance: plainDistance(asked, name) }));
  const kept = near
    .filter(({ distance }) => distance <= most)
    .sort((a, b) => a.distance - b.distance);
  return kept.slice(0, 3).map(({ name }) => name);
}

/** Returns numbers that are the same in each run (mulberry32). */
function numbers(seed = 1) {
  return (/** @type {number} */ below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

test('the nearest names are those of the plain algorithm', () => {
  const below = numbers();
  const word = (/** @type {number} */ most) =>
    Array.from({ length: 1 + below(most) }, () => 'ab/'[below(3)]).join('');
  let found = 0;
  for (let round = 0; round < 2000; round++) {
    const most = [4, 12, 40][round % 3];
    const asked = word(most);
    const names = [...new Set(Array.from({ length: below(9) }, () => word(most)))].sort();
    const nearest = nearestNames(asked, names);
    assert.deepEqual(nearest, plainNearest(asked, names), JSON.stringify({ asked, names }));
    found += nearest.length;
  }
  assert(found > 1000, String(found));
});

test('long names cost no more than a band each', () => {
  let looks = 0;
  const counted = (/** @type {string} */ name) =>
    new Proxy(/** @type {any} */ (Object(name)), {
      get: (target, key) => {
        if (/^[0-9]+$/.test(String(key))) looks += 1;
        return target[key];
      },
    });
  const asked = 'ab/'.repeat(80);
  const long = 'ab_'.repeat(80);
  nearestNames(asked, [counted(long)]);
  assert(looks > 0 && looks <= asked.length * (2 * (asked.length / 3) + 1), String(looks));
  looks = 0;
  nearestNames(asked, [counted('a'.repeat(159)), counted('b')]);
  assert.equal(looks, 0, 'lengths alone say that these are too far');
  nearestNames('abcdef', [counted('xxxxxx')]);
  assert(looks < 6 * 5, `${looks}: a row that is too far ends the work`);
});
