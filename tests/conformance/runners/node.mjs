// Asks the Node reader the harness's questions, one JSON object a line. It judges nothing.
//
// With the argument `vm` the reader that is shipped runs in another realm, as in Jest, and with `worker` in another
// thread.

import { createRequire } from 'node:module';
import { createSecureContext } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { Worker, isMainThread } from 'node:worker_threads';

import source from '../../../bindings/node/src/client.mjs';
import { loadInRealm } from './realm.mjs';

const surroundings = process.argv[2];
const shipped = fileURLToPath(new URL('../../../bindings/node/dist/index.js', import.meta.url));
/** @type {Record<string, () => typeof source>} */
const ways = {
  vm: () => loadInRealm(shipped),
  worker: () => createRequire(import.meta.url)(shipped),
};
const keystart = ways[surroundings]?.() ?? source;
const { Keystart, KeystartError, SecretNotText, SnapshotExpired } = keystart;

/** @typedef {import('../../../bindings/node/types/api.js').Reader} Reader */

/**
 * Returns the value object of contract 7.2. Its text is null if it has none.
 * @param {Reader} reader
 * @param {any} name
 */
function secret(reader, name) {
  const found = reader.secret(name);
  return {
    name: found.name,
    text: textOf(found),
    bytes_base64: found.revealBytes().toString('base64'),
  };
}

/** @param {ReturnType<Reader['secret']>} found */
function textOf(found) {
  try {
    return found.reveal();
  } catch (error) {
    if (error instanceof SecretNotText) return null;
    throw error;
  }
}

/** @param {import('node:tls').SecureContextOptions} options */
function tls(options) {
  // Throws unless the certificate and the key are a pair.
  createSecureContext(options);
  return { usable: true };
}

/**
 * Logs in as the case says, and returns what each run read and which one decided.
 * @param {InstanceType<typeof Keystart>} reader
 * @param {any} asked
 */
async function attempt(reader, asked) {
  const { reads = [asked.name], logins = ['accepted'], takes_ms: takesMs } = asked.fn ?? {};
  /** @type {string[]} */
  const texts = [];
  /** @type {unknown[]} */
  const raised = [];
  let runs = 0;
  const fn = async (/** @type {Reader} */ secrets) => {
    runs += 1;
    texts.push(reads.map((/** @type {string} */ name) => secrets.get(name)).join(''));
    if (takesMs !== undefined) await new Promise((resolve) => setTimeout(resolve, takesMs));
    const login = logins[Math.min(runs, logins.length) - 1];
    if (login === 'accepted') return runs;
    raised[runs] = login === 'expired' ? new SnapshotExpired('expired') : new Error(login);
    throw raised[runs];
  };
  const rejected = (/** @type {Error} */ { message }) =>
    message === 'locked' ? 'locked' : message === 'rejected';
  try {
    return {
      logins: texts,
      returned: await reader.attempt(asked.name, fn, { rejected, budgetMs: asked.budget_ms }),
    };
  } catch (error) {
    if (!raised.includes(error)) throw error;
    return { logins: texts, raised: raised.indexOf(error) };
  }
}

/** @type {Record<string, (reader: any, asked: any) => unknown>} */
const CALLS = {
  text: (reader, asked) => reader.get(asked.name),
  bytes: (reader, asked) => ({ base64: reader.getBytes(asked.name).toString('base64') }),
  json: (reader, asked) => reader.getJson(asked.name),
  path: (reader, asked) => reader.path(asked.name),
  names: (reader, asked) => reader.names(asked.prefix),
  info: (reader, asked) => reader.info(asked.name),
  refresh: (reader, asked) => reader.refresh(...(asked.names ?? [])),
  attempt,
  secret: (reader, asked) => secret(reader, asked.name),
  tls: (reader, asked) => tls(reader.tls(asked.prefix)),
};

/**
 * Makes a new reader with exactly the requested arguments and variables.
 * @param {any} asked
 */
function readerFor(asked) {
  delete process.env.KEYSTART_DIR;
  delete process.env.KEYSTART_TIMEOUT_MS;
  Object.assign(process.env, asked.env);
  const client = new Keystart({ root: asked.root, timeoutMs: asked.timeout_ms });
  return asked.via === 'snapshot' ? client.snapshot() : client;
}

/**
 * Returns the value, the error of the contract, or whatever else happened.
 * @template T
 * @param {() => T | Promise<T>} question
 * @returns {Promise<{ value: T } | { error: object } | { crash: string }>}
 */
async function outcome(question) {
  try {
    return { value: await question() };
  } catch (error) {
    if (error instanceof KeystartError) {
      const { code, message, secret, name } = error;
      return { error: { code, message, secret, class: name } };
    }
    return { crash: String(error) };
  }
}

/**
 * In Node on Linux a write to a pipe is synchronous, so an answer is out before the next line is read.
 * @param {object} line
 */
function write(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/**
 * Not node:readline, which also ends a line at U+2028: JSON may hold that character unescaped.
 * @param {NodeJS.ReadStream} stream
 */
async function* linesOf(stream) {
  let rest = '';
  for await (const chunk of stream.setEncoding('utf8')) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  if (rest !== '') yield rest;
}

/**
 * @param {any} asked
 * @param {AsyncGenerator<string>} lines
 */
async function answer(asked, lines) {
  const made = await outcome(() => readerFor(asked));
  if (!('value' in made)) return made;
  const ask = () => CALLS[asked.call](made.value, asked);
  for (let { pause } = asked; pause !== undefined;) {
    if (pause === 'asked') await outcome(ask);
    write({ id: asked.id, paused: true });
    ({ pause } = JSON.parse(/** @type {string} */ ((await lines.next()).value)));
  }
  return outcome(ask);
}

async function run() {
  const lines = linesOf(process.stdin);
  for (let line = await lines.next(); !line.done; line = await lines.next()) {
    const asked = JSON.parse(line.value);
    write({ id: asked.id, ...(await answer(asked, lines)) });
  }
}

if (surroundings === 'worker' && isMainThread) {
  const worker = new Worker(new URL(import.meta.url), { argv: [surroundings], stdin: true });
  if (worker.stdin !== null) process.stdin.pipe(worker.stdin);
} else {
  await run();
}
