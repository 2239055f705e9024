// Requests to the writer and its answers, over control.sock (contract §9). It looks at no generation.
import { Buffer, isUtf8, net, workers } from './node.mjs';
import { isFailure, isFailures } from './failures.mjs';
import { checkRoot, lstat } from './files.mjs';
import { isObject, member, parseJson } from './json.mjs';
import { LONGEST_PAUSE_MS } from './patience.mjs';
import { clearTimeout, setImmediate, setTimeout } from './timers.mjs';

const FORMAT = 'keystart.control/1';
const SOCKET = 'control.sock';
const MAX_LINE = 65_536; // limits.toml: control.line_bytes
const MAX_PATH = 100; // limits.toml: control.path_bytes
const LINE_FEED = 10;
// ECONNRESET: the writer ended before it accepted the connection, which stood already
const NOBODY = ['ENOENT', 'ECONNREFUSED', 'ECONNRESET'];

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
  socket.on('error', (error) => (error.code === 'EAGAIN' ? setTimeout(connect, ${LONGEST_PAUSE_MS}) : end()));
}
function end() {
  Atomics.store(answered, 0, 1);
  Atomics.notify(answered, 0);
  process.exit();
}
`;

/** @typedef {import('node:net').Socket} Socket */
/** @typedef {import('./patience.mjs').Patience} Patience */
/** @typedef {import('./failures.mjs').Failure} Failure */
/** @typedef {{ ok: true, failures: Record<string, Failure>, own: Record<string, unknown> }} Success */
/** @typedef {Success | { ok: false, error: Failure }} Answer */

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
 * @param {Patience} patience
 * @returns {Promise<Answer | null | string>}
 */
async function askToRefresh(path, names, patience) {
  const socket = await connect(path, patience);
  if (typeof socket === 'string' && NOBODY.includes(socket)) return null;
  if (socket === 'EAGAIN') return 'late';
  if (typeof socket === 'string') return socket;
  socket.write(requestFor(names));
  const answer = await receive(socket, patience.left());
  socket.destroy();
  return answer;
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
 * Returns a connection, or the errno. While the backlog is full (EAGAIN) it tries again.
 * @param {string} path
 * @param {{ pause(): Promise<boolean> }} patience
 * @returns {Promise<Socket | string>}
 */
async function connect(path, patience) {
  for (;;) {
    const socket = net().connect(path);
    const errno = await new Promise((resolve) => {
      socket.once('connect', () => resolve(null));
      // A later error, such as that of a write, ends the connection: 'close' says so.
      socket.on('error', (error) => resolve('code' in error ? String(error.code) : 'EIO'));
    });
    if (errno === null) return socket;
    if (errno !== 'EAGAIN' || !(await patience.pause())) return errno;
  }
}

/**
 * Returns the answer that comes over a connection; null if the connection ends without one, or 'late'.
 * @param {Socket} socket
 * @param {number} leftMs
 * @returns {Promise<Answer | null | 'late'>}
 */
async function receive(socket, leftMs) {
  const line = await receiveLine(socket, leftMs);
  return line === null || line === 'late' ? line : parseAnswer(line);
}

/**
 * @param {Socket} socket
 * @param {number} leftMs
 * @returns {Promise<Buffer | null | 'late'>}
 */
function receiveLine(socket, leftMs) {
  return new Promise((resolve) => {
    let received = Buffer.alloc(0);
    // After a freeze the timer comes first. setImmediate lets an answer that has arrived come before it.
    const timer = setTimeout(() => setImmediate(settle, 'late'), leftMs);

    /** @param {Buffer | null | 'late'} outcome */
    function settle(outcome) {
      clearTimeout(timer);
      resolve(outcome); // only the first outcome counts
    }

    socket.on('data', (data) => {
      received = Buffer.concat([received, data]);
      const end = received.subarray(0, MAX_LINE).indexOf(LINE_FEED);
      if (end < 0 && received.length < MAX_LINE) return;
      socket.pause(); // nothing is read after the line feed
      settle(end >= 0 ? received.subarray(0, end) : null);
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
  if (ok === true && isFailures(failures)) return { ok, failures, own: answer };
  if (ok === false && isFailure(error)) return { ok, error };
  return null;
}

export { FORMAT, SOCKET, askAndBlock, askToRefresh, connect, isListening, receive };
