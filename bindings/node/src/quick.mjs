// Reads values of a sound store, with little code to compile. If anything is unusual, it returns undefined. Then
// reader.mjs reads the same by all steps, and reports what is wrong. It returns no value that reader.mjs would not return
// (test/quick.test.mjs).
import { member } from './json.mjs';
import { isName } from './name.mjs';
import { Buffer, fs, isUtf8 } from './node.mjs';

const DEFAULT_ROOT = '/tmp/keystart';
const DEFAULT_TIMEOUT_MS = 9_000; // limits.toml: timeout.default_ms
const MAX_TIMEOUT_MS = 999_999_999; // limits.toml: timeout.most_ms
const MAX_MANIFEST_BYTES = 1_048_576; // limits.toml: manifest.bytes
const MAX_VALUE_BYTES = 1_048_576; // limits.toml: value.bytes
const MAX_DEPTH = 64; // limits.toml: json.depth
const ROOT = /^(?:\/[\w.-]+)+$/;
const TARGET = /^generations\/([1-9][0-9]{0,14})$/;
const HUGE = /(?:^|[[:,\s])-?\d[\d.]*[eE][\d+]|[\d.]{99}/; // may be a number that is not finite
const MEMBERS = 'path,size,encoding,fetched_at,refresh_after,source';

/** @typedef {{ bytes: Buffer, text: string | undefined }} Value */

/** The values of one generation at a time. */
class Quick {
  /** @type {import('./store.mjs').Known | null} the manifest that was read last */
  known = null;
  #target = '';
  /** @type {Map<string, number>} sizes by name */
  #sizes = new Map();
  /** @type {Map<string, Value>} */
  #values = new Map();

  /**
   * @param {string} root
   * @param {number} timeoutMs
   */
  constructor(root, timeoutMs) {
    this.root = root;
    this.timeoutMs = timeoutMs;
  }

  /** @param {string} name */
  text(name) {
    return this.#value(name)?.text;
  }

  /** @param {string} name */
  bytes(name) {
    const bytes = this.#value(name)?.bytes;
    if (bytes === undefined) return undefined;
    const copy = Buffer.allocUnsafeSlow(bytes.length); // its ArrayBuffer holds only this secret
    bytes.copy(copy);
    return copy;
  }

  /** @param {string} name */
  json(name) {
    const text = this.#value(name)?.text;
    if (text === undefined || !isPlain(text) || text.split(/[[{]/).length > MAX_DEPTH + 1)
      return undefined;
    try {
      return JSON.parse(text);
    } catch {
      return undefined;
    }
  }

  /** @param {string} name */
  #value(name) {
    try {
      const target = fs.readlinkSync(`${this.root}/current`);
      if (target !== this.#target && !this.#open(target)) return undefined;
      return this.#values.get(name) ?? this.#read(name);
    } catch {
      return undefined; // reader.mjs meets the error again
    }
  }

  /** @param {string} target */
  #open(target) {
    const generation = Number(TARGET.exec(target)?.[1]);
    if (Number.isNaN(generation)) return false;
    const bytes = this.#file(target, '/manifest.json', MAX_MANIFEST_BYTES);
    const text = bytes && isUtf8(bytes) ? bytes.toString() : '';
    const sizes = readSizes(text, generation);
    if (sizes === null) return false;
    this.known = { generation, text };
    this.#target = target;
    this.#sizes = sizes;
    this.#values = new Map();
    return true;
  }

  /** @param {string} name */
  #read(name) {
    const size = this.#sizes.get(name);
    const bytes = size === undefined ? null : this.#file(this.#target, `/secrets/${name}`, size);
    if (bytes === null || bytes.length !== size) return undefined;
    const value = { bytes, text: isUtf8(bytes) ? bytes.toString() : undefined };
    this.#values.set(name, value);
    return value;
  }

  /**
   * Returns the bytes of a file of a generation; null if it, or a folder on the way to it, is unusual (contract 6.2.4,
   * 6.2.5).
   * @param {string} target
   * @param {string} path
   * @param {number} limit
   */
  #file(target, path, limit) {
    const { root } = this;
    const stats = fs.lstatSync(root);
    if (!stats.isDirectory() || (stats.mode & 0o022) !== 0) return null;
    if (stats.uid !== 0 && stats.uid !== process.geteuid?.()) return null;
    const folder = `${root}/${target}`;
    if (!fs.lstatSync(`${root}/generations`).isDirectory()) return null;
    for (let end = 0; end >= 0; end = path.indexOf('/', end + 1)) {
      if (!fs.lstatSync(folder + path.slice(0, end)).isDirectory()) return null;
    }
    const { O_NOFOLLOW, O_NONBLOCK } = fs.constants;
    const file = fs.openSync(folder + path, O_NOFOLLOW | O_NONBLOCK);
    try {
      const status = fs.fstatSync(file);
      const { size } = status;
      if (!status.isFile() || size > limit) return null;
      const bytes = Buffer.allocUnsafeSlow(size + 1); // not from the pool, which other code can see
      if (fs.readSync(file, bytes, 0, size + 1, null) !== size) return null;
      fs.lstatSync(folder); // throws if it is gone, because a writer that stops overwrites files
      return bytes.subarray(0, size);
    } finally {
      fs.closeSync(file);
    }
  }
}

/**
 * Returns a reader of the store that these options name; null if they need to be checked (options.mjs).
 * @param {unknown} [options]
 */
function openQuick(options) {
  const own = /** @type {Record<string, unknown>} */ (options ?? {});
  const { env } = process;
  if (typeof own !== 'object' || Object.hasOwn(env, 'KEYSTART_TIMEOUT_MS')) return null;
  for (const name of Object.keys(own)) if (name !== 'root' && name !== 'timeoutMs') return null;
  const root = member(own, 'root') ?? member(env, 'KEYSTART_DIR') ?? DEFAULT_ROOT;
  const timeoutMs = member(own, 'timeoutMs') ?? DEFAULT_TIMEOUT_MS;
  if (typeof root !== 'string' || !ROOT.test(root)) return null;
  if (!Number.isInteger(timeoutMs) || Number(timeoutMs) < 0 || Number(timeoutMs) > MAX_TIMEOUT_MS)
    return null;
  return new Quick(root, Number(timeoutMs));
}

/**
 * Returns the sizes of all secrets; null if a member is unusual.
 * @param {string} text
 * @param {number} generation
 */
function readSizes(text, generation) {
  if (!isPlain(text)) return null;
  const manifest = JSON.parse(text);
  if (Object.keys(manifest).join() !== 'format,generation,published_at,writer,secrets,unavailable')
    return null;
  const { format, published_at, writer, secrets, unavailable } = manifest;
  if (format !== 'keystart.manifest/1' || manifest.generation !== generation) return null;
  if (!areStrings([published_at, writer.name, writer.version])) return null;
  if (Object.keys(writer).join() !== 'name,version') return null;
  if (typeof secrets !== 'object' || typeof unavailable !== 'object') return null;
  if (Object.keys(unavailable).length > 0) return null;
  const sizes = new Map();
  let lists = 0;
  for (const [name, entry] of Object.entries(secrets)) {
    const { path, size, encoding, fetched_at, refresh_after, source } = entry;
    const isSound =
      Object.keys(entry).join() === MEMBERS &&
      isName(name) &&
      path === `secrets/${name}` &&
      Number.isInteger(size) &&
      size >= 0 &&
      size <= MAX_VALUE_BYTES &&
      (encoding === 'utf-8' || encoding === 'binary') &&
      areStrings([fetched_at, refresh_after ?? '']) &&
      Object.hasOwn(source, 'id') &&
      Object.hasOwn(source, 'provider') &&
      areStrings([source.id, source.provider]);
    if (!isSound) return null;
    const facts = Object.values(source);
    if (facts.flat().some((fact) => typeof fact === 'object' && fact !== null)) return null;
    lists += facts.filter(Array.isArray).length;
    sizes.set(name, size);
  }
  // As many objects and lists as were checked: so none is deeper, or hidden by a later member of the same name.
  return text.split('{').length === 5 + 2 * sizes.size && text.split('[').length === 1 + lists
    ? sizes
    : null;
}

/**
 * Returns whether a text has no escapes, and no number that may not be finite.
 * @param {string} text
 */
function isPlain(text) {
  return !text.includes('\\') && !HUGE.test(text);
}

/** @param {unknown[]} values */
function areStrings(values) {
  return values.every((value) => typeof value === 'string');
}

export { Quick, openQuick };
