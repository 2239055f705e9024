// Builds stores as an extension would leave them, for tests only. It does not check what it is asked to build.
'use strict';

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { randomUUID } = require('node:crypto');

const TIME = '2026-11-23T09:20:00.180Z';

/**
 * Makes a folder that is removed after the test.
 * @param {import('node:test').TestContext} test
 */
function temporaryFolder(test) {
  // The quick way reads below no link, and macOS has its temporary folders below one.
  const folder = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'keystart-node-'));
  test.after(() => {
    test.mock.restoreAll(); // a mock of node:fs must not reach the removal
    fs.rmSync(folder, { recursive: true });
  });
  return folder;
}

/**
 * Makes a root with one generation for each set of secrets, the last one published.
 * @param {import('node:test').TestContext} test
 * @param {...Record<string, string | Buffer>} generations
 */
function buildStore(test, ...generations) {
  const root = path.join(temporaryFolder(test), 'store');
  prepare(root);
  generations.forEach((secrets, index) => publish(root, index + 1, secrets));
  return root;
}

/** @param {string} root */
function prepare(root) {
  fs.mkdirSync(path.join(root, 'generations'), { recursive: true, mode: 0o700 });
}

/**
 * Does steps 4 to 7 of contract §5.
 * @param {string} root
 * @param {number} generation
 * @param {Record<string, string | Buffer>} secrets
 * @param {{ refreshAfter?: string, unavailable?: Record<string, { code: string, message: string }>, maxStale?: number }} [more]
 */
function publish(root, generation, secrets, { refreshAfter, unavailable = {}, maxStale } = {}) {
  const folder = path.join(root, `generations/${generation}`);
  const making = path.join(root, `generations/.new-${generation}`);
  fs.mkdirSync(path.join(making, 'secrets'), { recursive: true, mode: 0o700 });
  const entries = Object.entries(secrets).map(([name, value]) => {
    const file = path.join(making, 'secrets', name);
    fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    fs.writeFileSync(file, value, { mode: 0o600 });
    const facts = entry(name, Buffer.byteLength(value), refreshAfter ?? null);
    return /** @type {[string, typeof facts]} */ ([name, facts]);
  });
  const more = maxStale === undefined ? '' : `,\n  "max_stale": ${maxStale}`;
  const manifest = `{
  "format": "keystart.manifest/1",
  "generation": ${generation},
  "published_at": "${TIME}",
  "writer": {"name": "test", "version": "0"},
  "secrets": {${lines(entries)}
  },
  "unavailable": {${lines(Object.entries(unavailable))}
  }${more}
}
`;
  fs.writeFileSync(path.join(making, 'manifest.json'), manifest, { mode: 0o600 });
  fs.renameSync(making, folder);
  const link = path.join(root, `.current-${generation}`);
  fs.symlinkSync(`generations/${generation}`, link);
  fs.renameSync(link, path.join(root, 'current'));
  writeState(root, 'ready');
}

/**
 * Returns members as the writer sets them out.
 * @param {[string, Record<string, unknown>][]} members
 */
function lines(members) {
  return members
    .map(([name, { source, ...facts }]) => {
      const written = Object.entries({ ...facts, source }).filter(
        ([, value]) => value !== undefined,
      );
      const inner = written.map(([key, value]) => `"${key}": ${JSON.stringify(value)}`);
      return `\n    ${JSON.stringify(name)}: {${inner.join(', ')}}`;
    })
    .join(',');
}

/**
 * @param {string} name
 * @param {number} size
 * @param {string | null} refresh_after
 */
function entry(name, size, refresh_after) {
  const source = { provider: 'secretsmanager', id: `prod/${name}`, version_stages: ['AWSCURRENT'] };
  return {
    path: `secrets/${name}`,
    size,
    encoding: 'utf-8',
    fetched_at: TIME,
    refresh_after,
    source,
  };
}

/**
 * Does step 8: readers find the folder whole or not at all.
 * @param {string} root
 * @param {number} generation
 */
function collect(root, generation) {
  const old = path.join(root, `generations/.old-${generation}`);
  fs.renameSync(path.join(root, `generations/${generation}`), old);
  fs.rmSync(old, { recursive: true });
}

/**
 * @param {string} root
 * @param {'starting' | 'ready' | 'failed' | 'stopped'} state
 * @param {{ message?: string, failures?: Record<string, { code: string, message: string }> }} [more]
 */
function writeState(root, state, { message, failures = {} } = {}) {
  const content = {
    format: 'keystart.state/1',
    state,
    generation: 0,
    pid: process.pid,
    at: TIME,
    message: message ?? null,
    failures,
  };
  fs.writeFileSync(path.join(root, 'state.json.new'), JSON.stringify(content), { mode: 0o600 });
  fs.renameSync(path.join(root, 'state.json.new'), path.join(root, 'state.json'));
}

/** Returns a value that occurs nowhere else, so finding it means that it was shown. */
function canary() {
  return `canary-${randomUUID()}`;
}

module.exports = { buildStore, canary, collect, prepare, publish, temporaryFolder, writeState };
