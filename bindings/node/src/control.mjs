// One request to the writer and its answer, over control.sock (contract §9). It looks at no generation.
import { Buffer, isUtf8, net, workers } from './node.mjs';
import { isFailure, isFailures } from './failure.mjs';
import { checkRoot, lstat } from './files.mjs';
import { isObject, member, parseJson } from './json.mjs';
import { LONGEST_WAIT_MS } from './patience.mjs';

const FORMAT = 'keystart.control/1';
const SOCKET = 'control.sock';
const MAX_LINE = 65_536; // limits.toml: control.line_bytes
const MAX_PATH = 100; // limits.toml: control.path_bytes
const LINE_FEED = 10;

/** The program of the thread that asks. It does not look at the answer. */
const ASKING = `
const { path, request, timeoutMs, answered } = require('node:worker_threads').workerData;
const timer = setTimeout(end, timeoutMs);
let socket;
connect();
function connect() {
  socket = require('node:net').connect(path, () => socket.write(request));
  socket.on('data', (data) => data.includes(${LINE_FEED}) && end());
  socket.on('end', end);
  // EAGAIN: the backlog is full
  socket.on('error', (error) => (error.code === 'EAGAIN' ? setTimeout(connect, ${LONGEST_WAIT_MS}) : end()));
}
function end() {
  Atomics.store(answered, 0, 1);
  Atomics.notify(answered, 0);
  process.exit();
}
`;

/** @typedef {import('./failure.mjs').Failure} Failure */
/** @typedef {{ ok: true, failures: Record<string, Failure> } | { ok: false, error: Failure }} Answer */

/**
 * Returns whether a writer may listen there (contract 9.9).
 * @param {string} root
 */
function isListening(root) {
  if (!checkRoot(root) || Buffer.byteLength(`${root}/${SOCKET}`) > MAX_PATH) return false;
  return lstat(root, SOCKET)?.isSocket() ?? false;
}

/**
 * Asks for secrets and folders, or for all if no name is given. Returns null if nobody answers,
 * 'late' if the time is over, and the errno if the system refuses the connection.
 * @param {string} path
 * @param {string[]} names
 * @param {import('./patience.mjs').Patience} patience
 * @returns {Promise<Answer | null | string>}
 */
async function askToRefresh(path, names, patience) {
  const request = requestFor(names);
  let outcome;
  do {
    outcome = await exchange(path, request, patience.left());
    if (outcome === 'ENOENT' || outcome === 'ECONNREFUSED') return null;
  } while (outcome === 'EAGAIN' && (await patience.pause())); // EAGAIN: the backlog is full
  if (outcome === 'EAGAIN') return 'late';
  return outcome === null || typeof outcome === 'string' ? outcome : parseAnswer(outcome);
}

/**
 * Asks for a secret and blocks until an answer is there or the time is over. Node has no blocking
 * sockets, so another thread asks.
 * @param {string} path
 * @param {string} name
 * @param {number} timeoutMs
 */
function askAndBlock(path, name, timeoutMs) {
  const answered = new Int32Array(new SharedArrayBuffer(4));
  const worker = new (workers().Worker)(ASKING, {
    eval: true,
    env: {},
    execArgv: [],
    workerData: { path, request: requestFor([name]), timeoutMs, answered },
  });
  worker.on('error', () => undefined); // no answer
  worker.unref();
  Atomics.wait(answered, 0, 0, timeoutMs);
}

/** @param {string[]} names */
function requestFor(names) {
  // names are checked, so they need no escapes; JSON.stringify would look for toJSON
  /** @param {string} text */
  const line = (text) => `{"format": "${FORMAT}", "op": "refresh", "names": ${text}}\n`;
  const listed = line(`[${names.map((name) => `"${name}"`).join(', ')}]`);
  return names.length === 0 || listed.length > MAX_LINE ? line('null') : listed;
}

/**
 * Sends the request and returns the line of the answer; null if the connection ends before it, 'late',
 * or the errno of a failed connect.
 * @param {string} path
 * @param {string} request
 * @param {number} leftMs
 * @returns {Promise<Buffer | null | string>}
 */
function exchange(path, request, leftMs) {
  return new Promise((resolve) => {
    const socket = net().connect(path);
    let isConnected = false;
    let received = Buffer.alloc(0);
    // After a freeze the timer comes first. setImmediate lets an answer that is there come before it.
    const timer = setTimeout(() => setImmediate(settle, 'late'), leftMs);

    /** @param {Buffer | null | string} outcome */
    function settle(outcome) {
      clearTimeout(timer);
      socket.destroy();
      resolve(outcome); // only the first outcome counts
    }

    socket.on('connect', () => {
      isConnected = true;
      socket.write(request);
    });
    socket.on('data', (data) => {
      received = Buffer.concat([received, data]);
      const end = received.subarray(0, MAX_LINE).indexOf(LINE_FEED);
      if (end >= 0) settle(received.subarray(0, end));
      else if (received.length >= MAX_LINE) settle(null);
    });
    socket.on('error', (error) => {
      settle(isConnected || !('code' in error) ? null : String(error.code));
    });
    socket.on('close', () => settle(null));
  });
}

/**
 * Reads an answer (contract 9.4); null if it is none.
 * @param {Buffer} line
 * @returns {Answer | null}
 */
function parseAnswer(line) {
  const answer = isUtf8(line) ? parseJson(line.toString()) : undefined;
  if (!isObject(answer) || member(answer, 'format') !== FORMAT) return null;
  const ok = member(answer, 'ok');
  const failures = member(answer, 'failures');
  const error = member(answer, 'error');
  if (ok === true && isFailures(failures)) return { ok, failures };
  if (ok === false && isFailure(error)) return { ok, error };
  return null;
}

export { SOCKET, askAndBlock, askToRefresh, isListening };
