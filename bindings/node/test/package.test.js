// The published files: the reader, its types and its README, and nothing that runs at install.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const { test } = require('node:test');
const esbuild = require('esbuild');
const { buildStore, canary, temporaryFolder } = require('./store.js');

const FOLDER = path.join(__dirname, '..');
const manifest = JSON.parse(fs.readFileSync(path.join(FOLDER, 'package.json'), 'utf8'));

test('the package holds what was built, types, the licence and the README only', () => {
  const packed = execFileSync('npm', ['pack', '--dry-run', '--json'], {
    cwd: FOLDER,
    encoding: 'utf8',
    stdio: 'pipe',
  });
  const files = JSON.parse(packed)[0].files.map(
    (/** @type {{ path: string }} */ file) => file.path,
  );
  const expected = ['LICENSE', 'README.md', 'package.json', 'src/testing.js'];
  expected.push(
    'dist/errors.js',
    'dist/index.js',
    'dist/index.mjs',
    'dist/index.node.mjs',
    'dist/on-demand.js',
    'dist/reader.js',
  );
  expected.push(...fs.readdirSync(path.join(FOLDER, 'types')).map((file) => `types/${file}`));
  assert.deepEqual(files.sort(), expected.sort());
});

test('installing it runs nothing and brings nothing else', () => {
  assert.deepEqual(Object.keys(manifest.scripts).sort(), [
    'build',
    'lint',
    'prepack',
    'pretest',
    'test',
  ]);
  for (const kind of [
    'dependencies',
    'optionalDependencies',
    'peerDependencies',
    'bin',
    'gypfile',
  ]) {
    assert.equal(manifest[kind], undefined, kind);
  }
});

test('what is installed for development is pinned, and from no named host', () => {
  for (const version of Object.values(manifest.devDependencies))
    assert.match(version, /^[0-9]+\.[0-9]+\.[0-9]+$/);
  const lock = JSON.parse(fs.readFileSync(path.join(FOLDER, 'package-lock.json'), 'utf8'));
  const resolved = Object.values(lock.packages)
    .map((one) => one.resolved)
    .filter(Boolean);
  assert.deepEqual(resolved, []);
});

for (const format of /** @type {const} */ (['esm', 'cjs'])) {
  test(`a function that was bundled into one file as ${format} reads its secrets`, (t) => {
    const value = canary();
    const folder = temporaryFolder(t);
    const file = path.join(folder, format === 'esm' ? 'function.mjs' : 'function.cjs');
    const contents = `
      import keystart, { get } from 'keystart';
      const outcome = keystart.refresh().catch((error) => error instanceof keystart.RefreshUnavailable);
      if (keystart.get('db') === get('db')) console.log(get('db'), keystart.info('db').stale);
      outcome.then(console.log);
    `;
    // with explicit conditions, esbuild leaves out its default ones
    esbuild.buildSync({
      stdin: { contents, resolveDir: FOLDER },
      bundle: true,
      platform: 'node',
      conditions: ['anything'],
      format,
      outfile: file,
    });
    const env = { ...process.env, KEYSTART_DIR: buildStore(t, { db: value }) };
    assert.equal(
      execFileSync(process.execPath, [file], { cwd: folder, env, encoding: 'utf8' }),
      `${value} false\ntrue\n`,
    );
  });
}

test('Node itself imports the reader without a lexer for CommonJS', (t) => {
  const folder = temporaryFolder(t);
  const file = path.join(folder, 'function.mjs');
  fs.mkdirSync(path.join(folder, 'node_modules'));
  fs.symlinkSync(FOLDER, path.join(folder, 'node_modules/keystart'));
  fs.writeFileSync(
    file,
    "import 'keystart';\nconsole.log(JSON.stringify(process.moduleLoadList));\n",
  );
  const loaded = JSON.parse(execFileSync(process.execPath, [file], { encoding: 'utf8' }));
  assert.ok(
    loaded.some((/** @type {string} */ one) => one.includes('internal/modules/esm/loader')),
  );
  assert.deepEqual(
    loaded.filter((/** @type {string} */ one) => one.includes('cjs-module-lexer')),
    [],
  );
});
