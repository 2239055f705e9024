// What is published: the reader, its types and its README, and nothing that runs at install.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const { test } = require('node:test');

const FOLDER = path.join(__dirname, '..');
const manifest = JSON.parse(fs.readFileSync(path.join(FOLDER, 'package.json'), 'utf8'));

test('the package holds sources, types, the licence and the README only', () => {
  const packed = execFileSync('npm', ['pack', '--dry-run', '--json'], { cwd: FOLDER, encoding: 'utf8', stdio: 'pipe' });
  const files = JSON.parse(packed)[0].files.map((/** @type {{ path: string }} */ file) => file.path);
  const expected = ['LICENSE', 'README.md', 'package.json'];
  for (const folder of ['src', 'types']) {
    expected.push(...fs.readdirSync(path.join(FOLDER, folder)).map((file) => `${folder}/${file}`));
  }
  assert.deepEqual(files.sort(), expected.sort());
});

test('installing it runs nothing and brings nothing else', () => {
  assert.deepEqual(Object.keys(manifest.scripts).sort(), ['lint', 'test']);
  for (const kind of ['dependencies', 'optionalDependencies', 'peerDependencies', 'bin', 'gypfile']) {
    assert.equal(manifest[kind], undefined, kind);
  }
});

test('what is installed for development is pinned, and from no named host', () => {
  for (const version of Object.values(manifest.devDependencies)) assert.match(version, /^[0-9]+\.[0-9]+\.[0-9]+$/);
  const lock = JSON.parse(fs.readFileSync(path.join(FOLDER, 'package-lock.json'), 'utf8'));
  const resolved = Object.values(lock.packages).map((one) => one.resolved).filter(Boolean);
  assert.deepEqual(resolved, []);
});
