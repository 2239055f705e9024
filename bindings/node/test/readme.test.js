// Runs the examples of the README unchanged.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const { test } = require('node:test');
const { buildStore, canary, temporaryFolder } = require('./store.js');

const PACKAGE = path.join(__dirname, '..');

/**
 * Makes a project that has the package installed, with the README's examples as its files.
 * @param {import('node:test').TestContext} t
 */
function project(t) {
  const folder = temporaryFolder(t);
  fs.mkdirSync(path.join(folder, 'node_modules'));
  fs.symlinkSync(PACKAGE, path.join(folder, 'node_modules/keystart'));
  const readme = fs.readFileSync(path.join(PACKAGE, 'README.md'), 'utf8');
  const examples = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map((match) => match[1]);
  assert.equal(examples.length, 3);
  ['handler.mjs', 'login.mjs', 'handler.test.mjs'].forEach((file, index) => {
    fs.writeFileSync(path.join(folder, file), examples[index]);
  });
  return folder;
}

test('the function of the README reads its secrets', (t) => {
  const password = canary();
  const root = buildStore(t, {
    db: JSON.stringify({ username: 'orders', password }),
    'stripe/key': `sk_${canary()}`,
  });
  const script =
    "import('./handler.mjs').then((m) => m.handler({ amount: 7 })).then((a) => console.log(JSON.stringify(a)))";
  const env = { ...process.env, KEYSTART_DIR: root };
  const said = execFileSync(process.execPath, ['-e', script], {
    cwd: project(t),
    env,
    encoding: 'utf8',
  });
  assert.deepEqual(JSON.parse(said), {
    user: 'orders',
    charged: '7 with <Secret "stripe/key" (redacted)>',
    ready: true,
  });
});

test('the login of the README reads user and password', (t) => {
  const folder = project(t);
  const password = canary();
  const pg = `
    class Client {
      constructor(options) { this.isRight = options.user === 'orders' && options.password === process.env.PASSWORD; }
      async connect() { if (!this.isRight) throw Object.assign(new Error('no'), { code: '28P01' }); console.log('logged in'); }
    }
    export default { Client };`;
  fs.mkdirSync(path.join(folder, 'node_modules/pg'));
  fs.writeFileSync(path.join(folder, 'node_modules/pg/index.mjs'), pg);
  fs.writeFileSync(path.join(folder, 'node_modules/pg/package.json'), '{"exports": "./index.mjs"}');
  const root = buildStore(t, { db: JSON.stringify({ username: 'orders', password }) });
  const env = { ...process.env, KEYSTART_DIR: root, PASSWORD: password };
  assert.equal(
    execFileSync(process.execPath, ['login.mjs'], { cwd: folder, env, encoding: 'utf8' }),
    'logged in\n',
  );
});

test('the test of the README passes without a store', (t) => {
  const env = { ...process.env, KEYSTART_DIR: '/nonexistent', NODE_TEST_CONTEXT: undefined };
  const said = execFileSync(process.execPath, ['--test', 'handler.test.mjs'], {
    cwd: project(t),
    env,
    encoding: 'utf8',
  });
  assert.match(said, /pass 1\b/);
});
