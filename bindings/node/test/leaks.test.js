// A function lives for hours and sees many rotations: the values it read before must not pile up.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { setTimeout } = require('node:timers/promises');
const v8 = require('node:v8');
const vm = require('node:vm');
const { Keystart } = require('keystart');
const { buildStore, collect, publish } = require('./store.js');

const GENERATIONS = 1000;
const READS = 100;
const WARM = 200; // by then V8 has compiled everything it will

v8.setFlagsFromString('--expose-gc');
const collectGarbage = vm.runInNewContext('gc');

test('100,000 reads over 1,000 generations leak neither memory nor descriptors', async (t) => {
  const value = 'x'.repeat(16_384); // a generation that is kept is noticed: all of them would be 16 MB
  const root = buildStore(t, { db: value, key: '1' });
  const keystart = new Keystart({ root, timeoutMs: 0 });
  let before = await used();
  for (let generation = 2; generation <= GENERATIONS; generation++) {
    publish(root, generation, { db: value, key: String(generation) });
    if (generation > 2) collect(root, generation - 2);
    for (let read = 0; read < READS; read += 4) {
      keystart.get('db');
      keystart.getBytes('db');
      keystart.secret('key');
      keystart.snapshot().get('key');
    }
    if (generation === WARM) before = await used();
  }
  const after = await used();
  assert.equal(keystart.get('key'), String(GENERATIONS));
  assert.equal(after.descriptors, before.descriptors);
  assert.ok(after.heap < before.heap * 1.1, `from ${before.heap} to ${after.heap} bytes of heap`);
  assert.ok(
    after.outside < before.outside + 4 * value.length,
    `from ${before.outside} to ${after.outside} bytes of buffers`,
  );
});

/** Returns the memory left after V8 has collected. V8 frees buffers later, on a separate thread. */
async function used() {
  let left = { heap: Infinity, outside: Infinity };
  for (let round = 0; round < 50; round++) {
    collectGarbage();
    await setTimeout(10);
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    left = { heap: Math.min(left.heap, heapUsed), outside: Math.min(left.outside, arrayBuffers) };
  }
  return { ...left, descriptors: fs.readdirSync('/dev/fd').length };
}
