// Mutual TLS on loopback with certificates that openssl makes for this run.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const https = require('node:https');
const path = require('node:path');
const util = require('node:util');
const { execFileSync } = require('node:child_process');
const { once } = require('node:events');
const { test } = require('node:test');
const keystart = require('keystart');
const { buildStore, collect, publish, temporaryFolder } = require('./store.js');

const { Keystart } = keystart;

// In the form of PEM, though nothing can be made of them.
const CERT = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
const KEY = '-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n';

/**
 * Makes an authority, and for each name a certificate and key that it has signed.
 * @template {string} T
 * @param {import('node:test').TestContext} t
 * @param {T[]} names
 */
function certificates(t, names) {
  const folder = temporaryFolder(t);
  const openssl = (/** @type {string[]} */ ...args) =>
    execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const read = (/** @type {string} */ file) => fs.readFileSync(path.join(folder, file), 'utf8');
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...key,
    '-keyout',
    'ca.key',
    '-out',
    'ca.crt',
    '-subj',
    '/CN=authority',
    '-days',
    '2',
  );
  fs.writeFileSync(path.join(folder, 'names'), 'subjectAltName=DNS:localhost');
  const made = names.map((name) => {
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    const signing = [
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-extfile',
      'names',
      '-days',
      '2',
    ];
    openssl('x509', '-req', '-in', `${name}.csr`, ...signing, '-out', `${name}.crt`);
    return [name, { cert: read(`${name}.crt`), key: read(`${name}.key`) }];
  });
  const pairs = /** @type {Record<T, { cert: string, key: string }>} */ (Object.fromEntries(made));
  return { ca: read('ca.crt'), ...pairs };
}

/**
 * Starts a server that answers with the name of the client's certificate.
 * @param {import('node:test').TestContext} t
 * @param {https.ServerOptions} options
 */
async function startServer(t, options) {
  const server = https.createServer(
    { ...options, requestCert: true, rejectUnauthorized: true },
    (request, response) => {
      response.end(
        /** @type {import('node:tls').TLSSocket} */ (request.socket).getPeerCertificate().subject
          .CN,
      );
    },
  );
  t.after(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return /** @type {import('node:net').AddressInfo} */ (server.address()).port;
}

/** @param {https.RequestOptions} options */
async function ask(options) {
  const request = https.request({ host: '127.0.0.1', servername: 'localhost', ...options }).end();
  const [response] = await once(request, 'response');
  const chunks = await response.toArray();
  return Buffer.concat(chunks).toString();
}

test('a client and a server made of tls() trust each other', async (t) => {
  const { ca, server, client } = certificates(t, ['server', 'client']);
  const root = buildStore(t, {
    'in/cert': server.cert,
    'in/key': server.key,
    'in/ca': ca,
    'out/cert': client.cert,
    'out/key': client.key,
    'out/ca': ca,
  });
  const store = new Keystart({ root });
  const port = await startServer(t, store.tls('in'));
  assert.equal(await ask({ port, agent: false, ...store.tls('out') }), 'client');

  const agent = new https.Agent({ ...store.tls('out'), keepAlive: true });
  assert.equal(await ask({ port, agent }), 'client');
  const secret = client.key.split('\n')[1];
  const keptSockets = util.inspect([agent.options, Object.keys(agent.freeSockets)], {
    showHidden: true,
    depth: null,
  });
  agent.destroy();
  assert(client.key.includes(secret) && secret.length > 40);
  assert(!keptSockets.includes(secret), 'the agent shows the key');
});

test('the options show their key neither themselves nor in a copy', (t) => {
  const { ca, client } = certificates(t, ['client']);
  const options = new Keystart({
    root: buildStore(t, { 'm/cert': client.cert, 'm/key': client.key, 'm/ca': ca }),
  }).tls('m');
  assert.equal(options.key[0].pem, client.key);
  const secret = client.key.split('\n')[1];
  for (const object of [options, { ...options, host: 'localhost' }, structuredClone(options.key)]) {
    const text =
      util.inspect(object, { showHidden: true, depth: null }) +
      JSON.stringify(object) +
      util.format('%o', object);
    assert(!text.includes(secret), 'the key was shown');
  }
  assert.match(util.inspect(options), /<Secret "m\/key" \(redacted\)>/);
});

test('a ca that node:crypto cannot read is an error of node:crypto, never other trust', (t) => {
  const client = new Keystart({
    root: buildStore(t, { 'm/cert': CERT, 'm/key': KEY, 'm/ca': CERT }),
  });
  assert.throws(
    () => client.tls('m'),
    (error) => !(error instanceof keystart.KeystartError),
  );
});

test('without a ca the default trust stays, and an unavailable one is an error', (t) => {
  const root = buildStore(t, { 'm/cert': CERT, 'm/key': KEY });
  const client = new Keystart({ root });
  assert.deepEqual(Object.keys(client.tls('m')), ['cert', 'key']);
  publish(
    root,
    2,
    { 'm/cert': CERT, 'm/key': KEY },
    { unavailable: { 'm/ca': { code: 'Denied', message: 'no' } } },
  );
  assert.throws(() => client.tls('m'), { name: 'SecretUnavailable', secret: 'm/ca' });
});

test('certificate and key are of one generation, even when a rotation comes between the two reads', (t) => {
  const root = buildStore(t, { 'm/cert': `1\n${CERT}`, 'm/key': `1\n${KEY}` });
  const client = new Keystart({ root });
  const openSync = fs.openSync;
  t.mock.method(fs, 'openSync', (/** @type {[string, number]} */ ...args) => {
    if (!args[0].endsWith('/key')) return openSync(...args);
    t.mock.restoreAll();
    publish(root, 2, { 'm/cert': `2\n${CERT}`, 'm/key': `2\n${KEY}` });
    collect(root, 1);
    return openSync(...args);
  });
  const { cert, key } = client.tls('m');
  assert.deepEqual([cert, key[0].pem], [`2\n${CERT}`, `2\n${KEY}`]);
});

test('the prefix is a name, with room for what is appended', () => {
  const client = new Keystart({ root: '/nonexistent' });
  for (const prefix of ['', '../m', 'a/b/c/d/e/f/g/h', 'x'.repeat(251), /** @type {any} */ (7)]) {
    assert.throws(() => client.tls(prefix), keystart.InvalidName);
  }
  assert.throws(() => client.tls('x'.repeat(250)), keystart.NotAttached);
});
