// The manifest of one generation (contract §4). It checks the manifest and answers from it, and reads no file.
import { isUtf8 } from './node.mjs';
import { errors } from './messages.mjs';
import { isObject, member, parseJson } from './json.mjs';
import { onDemand } from './load.mjs';
import { isName } from './name.mjs';
import { parseTime } from './time.mjs';
import { version } from './version.mjs';

const FORMAT = 'keystart.manifest/1';
const MAX_VALUE_BYTES = 1_048_576; // limits.toml: value.bytes

/**
 * @typedef {{
 *   path: string,
 *   size: number,
 *   encoding: 'utf-8' | 'binary',
 *   fetched_at: string,
 *   refresh_after: string | null,
 *   source: { provider: string, id: string, [member: string]: unknown },
 * }} Entry
 * @typedef {import('./failures.mjs').Failure} Failure
 */

class Manifest {
  /**
   * @param {number} generation
   * @param {Map<string, Entry>} secrets sorted by name
   * @param {Map<string, Failure>} unavailable
   * @param {number | null} maxStale seconds (contract 4.10)
   */
  constructor(generation, secrets, unavailable, maxStale) {
    this.generation = generation;
    this.secrets = secrets;
    this.unavailable = unavailable;
    this.maxStale = maxStale;
  }

  /**
   * Returns the entry of a secret, or throws the reason why it cannot be read (contract 6.5.6).
   * @param {string} name
   */
  entry(name) {
    const entry = this.secrets.get(name);
    if (entry === undefined) throw onDemand().missing(this, name);
    return entry;
  }

  /** @param {string} [prefix] a folder */
  names(prefix) {
    const names = [...this.secrets.keys()];
    return prefix === undefined ? names : names.filter((name) => name.startsWith(`${prefix}/`));
  }

  /**
   * Returns when a secret was fetched, in milliseconds since 1970.
   * @param {string} name
   */
  fetchedAt(name) {
    return this.time(name, 'fetched_at', this.entry(name).fetched_at);
  }

  /**
   * Returns a time of an entry, or throws because it is none.
   * @param {string} name
   * @param {string} field
   * @param {string} text
   */
  time(name, field, text) {
    const time = parseTime(text);
    if (Number.isNaN(time)) throw wrong(this.generation, `secrets["${name}"].${field}`);
    return time;
  }
}

/**
 * Checks in the order of contract 4.7, and throws the first fault.
 * @param {Buffer} bytes
 * @param {number} generation the number of its folder
 */
function parseManifest(bytes, generation) {
  const document = isUtf8(bytes) ? parseJson(bytes.toString()) : undefined;
  if (document === undefined)
    throw errors().manifestInvalid(generation, 'manifest.json is not JSON');
  if (!isObject(document))
    throw errors().manifestInvalid(generation, 'manifest.json is not an object');

  const format = member(document, 'format');
  if (typeof format !== 'string') throw wrong(generation, 'format');
  if (format !== FORMAT) throw unsupported(generation, format, member(document, 'writer'));
  if (member(document, 'generation') !== generation) throw wrong(generation, 'generation');
  checkStrings(document, ['published_at'], generation, '');
  const writer = member(document, 'writer');
  if (!isObject(writer)) throw wrong(generation, 'writer');
  checkStrings(writer, ['name', 'version'], generation, 'writer.');

  const secrets = readEntries(document, 'secrets', generation, checkEntry);
  const unavailable = readEntries(document, 'unavailable', generation, (name, entry, member) => {
    checkStrings(entry, ['code', 'message'], generation, `${member}.`);
    if (secrets.has(name)) {
      throw errors().manifestInvalid(
        generation,
        `"${name}" is under secrets and under unavailable`,
      );
    }
    return /** @type {Failure} */ (/** @type {unknown} */ (entry));
  });
  const maxStale = Number.isSafeInteger(member(document, 'max_stale'))
    ? Number(member(document, 'max_stale'))
    : -1;
  return new Manifest(generation, secrets, unavailable, maxStale < 0 ? null : maxStale);
}

/**
 * @template T
 * @param {Record<string, unknown>} document
 * @param {'secrets' | 'unavailable'} list
 * @param {number} generation
 * @param {(name: string, entry: Record<string, unknown>, member: string, generation: number) => T} check
 */
function readEntries(document, list, generation, check) {
  const entries = member(document, list);
  if (!isObject(entries)) throw wrong(generation, list);
  const checked = /** @type {Map<string, T>} */ (new Map());
  // sort() compares UTF-16, which differs from the order of bytes only between names that are both invalid
  for (const name of Object.keys(entries).sort()) {
    if (!isName(name))
      throw errors().manifestInvalid(generation, `a name under ${list} is not valid`);
    const entry = entries[name];
    const path = `${list}["${name}"]`;
    if (!isObject(entry)) throw wrong(generation, path);
    checked.set(name, check(name, entry, path, generation));
  }
  return checked;
}

/**
 * @param {string} name
 * @param {Record<string, unknown>} entry
 * @param {string} path
 * @param {number} generation
 */
function checkEntry(name, entry, path, generation) {
  const size = member(entry, 'size');
  const encoding = member(entry, 'encoding');
  const refreshAfter = member(entry, 'refresh_after');
  const source = member(entry, 'source');
  if (member(entry, 'path') !== `secrets/${name}`) throw wrong(generation, `${path}.path`);
  if (!Number.isInteger(size) || Number(size) < 0 || Number(size) > MAX_VALUE_BYTES) {
    throw wrong(generation, `${path}.size`);
  }
  if (encoding !== 'utf-8' && encoding !== 'binary') throw wrong(generation, `${path}.encoding`);
  checkStrings(entry, ['fetched_at'], generation, `${path}.`);
  if (refreshAfter !== null && typeof refreshAfter !== 'string')
    throw wrong(generation, `${path}.refresh_after`);
  if (!isObject(source)) throw wrong(generation, `${path}.source`);
  checkStrings(source, ['provider', 'id'], generation, `${path}.source.`);
  entry.size = Math.abs(Number(size)); // JSON can express -0
  return /** @type {Entry} */ (/** @type {unknown} */ (entry));
}

/**
 * @param {Record<string, unknown>} object
 * @param {string[]} names
 * @param {number} generation
 * @param {string} before how the message names the object
 */
function checkStrings(object, names, generation, before) {
  for (const name of names) {
    if (typeof member(object, name) !== 'string') throw wrong(generation, `${before}${name}`);
  }
}

/**
 * @param {number} generation
 * @param {string} format
 * @param {unknown} writer
 */
function unsupported(generation, format, writer) {
  const wrote = isObject(writer) ? member(writer, 'version') : undefined;
  const by = typeof wrote === 'string' ? errors().writtenBy(wrote) : '';
  return errors().manifestUnsupported(generation, format, by, version);
}

/**
 * @param {number} generation
 * @param {string} path
 */
function wrong(generation, path) {
  return errors().manifestInvalid(generation, `${path} is missing or wrong`);
}

export { Manifest, parseManifest };
