// The system calls on the files below a root (contract 6.2). It knows neither what they hold nor when to wait.
import { Buffer, fs } from './node.mjs';
import { errors } from './messages.mjs';
import { member } from './json.mjs';

// What opening a socket or a device ends with (contract 8.6). Node has no name for macOS's EOPNOTSUPP.
const NOT_OPENED = ['ENXIO', 'Unknown system error -102'];
const OPEN_FLAGS = fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK; // libuv adds O_CLOEXEC

/**
 * A part of a generation is missing. `error` says so, and is right only if the generation is still
 * the published one: otherwise it was collected.
 */
class MissingError {
  /** @param {Error} error */
  constructor(error) {
    this.error = error;
  }
}

/**
 * Returns where `current` points to, or the errno.
 * @param {string} root
 * @returns {{ target: string, errno: null } | { target: null, errno: string }}
 */
function readCurrent(root) {
  try {
    return { target: fs.readlinkSync(`${root}/current`), errno: null };
  } catch (error) {
    return { target: null, errno: errnoOf(error) };
  }
}

/**
 * Checks the root (contract 6.2.2); false if it does not exist.
 * @param {string} root
 */
function checkRoot(root) {
  const stats = lstat(root, '.');
  if (stats === null) return false;
  if (stats.isSymbolicLink()) throw insecure(root, 'the root is a symbolic link');
  if (!stats.isDirectory()) throw insecure(root, 'the root is not a directory');
  if (stats.uid !== 0 && stats.uid !== process.geteuid?.()) {
    throw insecure(root, 'the root belongs to another user');
  }
  if ((stats.mode & 0o022) !== 0) throw insecure(root, 'the root is writable by group or others');
  return true;
}

/**
 * Makes `LayoutInsecure`. The advice depends on the owner: this user can remove only its own store
 * (contract 8.4).
 * @param {string} root
 * @param {string} what
 */
function insecure(root, what) {
  let owner;
  try {
    owner = fs.lstatSync(root).uid;
  } catch (error) {
    errnoOf(error); // gone, or may not be looked at: then it is not known to be ours
  }
  return owner === process.geteuid?.()
    ? errors().layoutInsecure(root, what)
    : errors().layoutInsecureOfOtherUser(root, what);
}

/**
 * Checks a folder on the way to a file (contract 6.2.4).
 * @param {string} root
 * @param {string} path
 * @param {() => Error} missing
 */
function checkFolder(root, path, missing) {
  const stats = lstat(root, path);
  if (stats === null) throw new MissingError(missing());
  if (stats.isSymbolicLink()) throw insecure(root, `${path} is a symbolic link`);
  if (!stats.isDirectory()) throw insecure(root, `${path} is not a directory`);
}

/**
 * Returns the stat of a path without following links; null if nothing is there.
 * @param {string} root
 * @param {string} path relative to the root
 */
function lstat(root, path) {
  try {
    return fs.lstatSync(path === '.' ? root : `${root}/${path}`);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT') return null;
    throw errors().storeUnreadable(root, errno, path === '.' ? 'the root' : path);
  }
}

/** @param {string} path */
function isMissing(path) {
  try {
    fs.lstatSync(path);
    return false;
  } catch (error) {
    return errnoOf(error) === 'ENOENT';
  }
}

/**
 * Returns the bytes of a regular file; more than `limit` bytes if it is longer than that (contract 6.2.8).
 * @param {string} root
 * @param {string} path relative to the root
 * @param {number} limit
 * @param {(what: string) => Error} broken
 */
function readFile(root, path, limit, broken) {
  let file;
  let bytes = null;
  try {
    file = fs.openSync(`${root}/${path}`, OPEN_FLAGS);
    const stats = fs.fstatSync(file);
    if (stats.isFile()) bytes = readBytes(file, Math.min(stats.size, limit) + 1);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT') throw new MissingError(broken('is missing'));
    if (errno === 'ELOOP') throw insecure(root, `${path} is a symbolic link`);
    if (!NOT_OPENED.includes(errno)) throw errors().storeUnreadable(root, errno, path);
  } finally {
    if (file !== undefined) fs.closeSync(file);
  }
  if (bytes === null) throw broken('is not a regular file');
  return bytes;
}

/**
 * @param {number} file
 * @param {number} most
 */
function readBytes(file, most) {
  const bytes = Buffer.allocUnsafeSlow(most); // not from the pool, which other code can see
  let length = 0;
  let count;
  do {
    count = fs.readSync(file, bytes, length, most - length, null);
    length += count;
  } while (count > 0 && length < most);
  return bytes.subarray(0, length);
}

/**
 * Returns the name of a system error. Any other error is a bug, and only its kind is reported: its
 * message may quote anything.
 * @param {unknown} error
 */
function errnoOf(error) {
  // Not instanceof: in Jest and node:vm, Node's own errors are of another realm than this code.
  const own = /** @type {Record<string, unknown>} */ (Object(error));
  const code = member(own, 'code');
  if (typeof code === 'string') return code;
  const isError = Object.prototype.toString.call(error) === '[object Error]';
  throw errors().internal(isError && typeof own.name === 'string' ? own.name : typeof error);
}

export { MissingError, checkFolder, checkRoot, insecure, isMissing, lstat, readCurrent, readFile };
