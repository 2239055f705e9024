// Reads values of a sound store, with little code to compile: V8 compiles each function of ours and of Node's when it is
// first called, and that takes most of a first read. If anything is unusual, it returns undefined. Then reader.mjs reads the
// same by all steps, and reports what is wrong. It returns no value that reader.mjs would not return (test/quick.test.mjs).
import { member } from './json.mjs';
import { Buffer, fs } from './node.mjs';

const DEFAULT_ROOT = '/tmp/keystart';
const DEFAULT_TIMEOUT_MS = 9_000; // limits.toml: timeout.default_ms
const MAX_TIMEOUT_MS = 999_999_999; // limits.toml: timeout.most_ms
const MAX_MANIFEST_BYTES = 1_048_576; // limits.toml: manifest.bytes
const MAX_VALUE_BYTES = 1_048_576; // limits.toml: value.bytes
const MAX_DEPTH = 64; // limits.toml: json.depth
const MAX_SEGMENTS = 8; // limits.toml: name.segments
const MAX_NAME_BYTES = 255; // limits.toml: name.bytes
const ROOT = /^\/[!-~]*[!-.0-~]$/;
const NAMES = /^\w[\w.-]*(?:[/\n]\w[\w.-]*)*$/; // names (name.mjs), one a line
const HUGE = /(?:^|[[:,\s])-?\d[\d.]*[eE][\d+]|[\d.]{99}/; // may be a number that is not finite

/**
 * What a client has read: one generation at a time.
 * @typedef {{
 *   root: string,
 *   timeoutMs: number,
 *   known: import('./store.mjs').Known | null,
 *   target: string,
 *   secrets: Record<string, { size: number }>,
 *   texts: Map<string, string>,
 * }} Quick
 */

/**
 * Returns a reader of the store that these options name; null if they need to be checked (options.mjs).
 * @param {unknown} [options]
 * @returns {Quick | null}
 */
function openQuick(options) {
  const own = /** @type {Record<string, unknown>} */ (options ?? {});
  const { env } = process;
  // A Node without getBuiltinModule (before 20.16) may read text into a pool that other code can see.
  if (process.getBuiltinModule === undefined) return null;
  if (typeof own !== 'object' || Object.hasOwn(env, 'KEYSTART_TIMEOUT_MS')) return null;
  for (const name of Object.keys(own)) if (name !== 'root' && name !== 'timeoutMs') return null;
  const root = member(own, 'root') ?? member(env, 'KEYSTART_DIR') ?? DEFAULT_ROOT;
  const timeoutMs = member(own, 'timeoutMs') ?? DEFAULT_TIMEOUT_MS;
  if (typeof root !== 'string' || !ROOT.test(root)) return null;
  if (!Number.isInteger(timeoutMs) || Number(timeoutMs) < 0 || Number(timeoutMs) > MAX_TIMEOUT_MS)
    return null;
  return {
    root,
    timeoutMs: Number(timeoutMs),
    known: null,
    target: '',
    secrets: {},
    texts: new Map(),
  };
}

/**
 * @param {Quick} quick
 * @param {string} name
 */
function quickText(quick, name) {
  const { root } = quick;
  try {
    const target = fs.readlinkSync(`${root}/current`);
    if (target === quick.target) {
      const known = quick.texts.get(name);
      if (known !== undefined) return known;
    }
    const { mode, uid } = fs.lstatSync(root);
    if ((mode & 0o022) !== 0 || (uid !== 0 && uid !== process.geteuid?.())) return undefined;
    if (target !== quick.target && !openGeneration(quick, target)) return undefined;
    if (typeof name !== 'string' || !Object.hasOwn(quick.secrets, name)) return undefined;
    const { size } = quick.secrets[name];
    const text = readText(root, target, `secrets/${name}`, size);
    if (text === undefined || Buffer.byteLength(text) !== size) return undefined;
    quick.texts.set(name, text);
    return text;
  } catch {
    return undefined; // reader.mjs meets the error again
  }
}

/**
 * @param {Quick} quick
 * @param {string} name
 */
function quickBytes(quick, name) {
  const text = quickText(quick, name);
  if (text === undefined) return undefined;
  const bytes = Buffer.allocUnsafeSlow(quick.secrets[name].size); // its ArrayBuffer holds only this secret
  bytes.write(text);
  return bytes;
}

/**
 * @param {Quick} quick
 * @param {string} name
 */
function quickJson(quick, name) {
  const text = quickText(quick, name);
  if (text === undefined || text.includes('\\')) return undefined;
  if (text.split('{').length + text.split('[').length > MAX_DEPTH) return undefined;
  try {
    const value = JSON.parse(text);
    // What JSON.stringify writes has only finite numbers. It is the usual form, and then V8 compiles no expression.
    return JSON.stringify(value) === text || !HUGE.test(text) ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Reads the manifest of the generation that `current` points to.
 * @param {Quick} quick
 * @param {string} target
 */
function openGeneration(quick, target) {
  const generation = Number(target.slice('generations/'.length));
  if (target !== `generations/${generation}` || generation < 1) return false;
  if (!Number.isSafeInteger(generation)) return false;
  const text = readText(quick.root, target, 'manifest.json', MAX_MANIFEST_BYTES);
  const secrets = text === undefined ? null : readSecrets(text, generation);
  if (text === undefined || secrets === null) return false;
  quick.known = { generation, text };
  quick.target = target;
  quick.secrets = secrets;
  quick.texts = new Map();
  return true;
}

/**
 * Returns the text of a file of a generation; undefined if it, or a folder on the way to it, is unusual (contract 6.2.4 to
 * 6.2.8).
 * @param {string} root
 * @param {string} target
 * @param {string} path
 * @param {number} most bytes
 */
function readText(root, target, path, most) {
  const folder = `${root}/${target}`;
  const file = `${folder}/${path}`;
  // One call looks for links on the whole way. An lstat of each folder takes five times as many instructions.
  if (fs.realpathSync.native(file) !== file) return undefined;
  const { mode, size } = fs.lstatSync(file);
  if ((mode & fs.constants.S_IFMT) !== fs.constants.S_IFREG || size > most) return undefined;
  const flag = fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK;
  const options = /** @type {any} */ ({ __proto__: null, encoding: 'utf8', flag }); // no type has numbers there
  // with an encoding Node opens, reads and closes in one call, and into no memory that other code can see
  const text = String(fs.readFileSync(file, options));
  fs.realpathSync.native(folder); // throws if it is gone, because a writer that stops overwrites files
  return text.includes('\ufffd') ? undefined : text; // which stands for whatever is not UTF-8
}

/**
 * Returns what a manifest says about secrets; null unless it is, byte for byte, what the writer makes of these members
 * (core/store/src/manifest.rs). So none is missing, hidden by a later one of the same name, or of another type.
 * @param {string} text
 * @param {number} generation
 * @returns {Quick['secrets'] | null}
 */
function readSecrets(text, generation) {
  const { published_at, writer, secrets } = JSON.parse(text);
  const names = Object.keys(secrets);
  if (text.includes('\\') || (names.length > 0 && !NAMES.test(names.join('\n')))) return null;
  let entries = '';
  for (const name of names) {
    const { size, encoding, fetched_at, refresh_after, source } = secrets[name];
    const facts = JSON.stringify(source);
    const isSound =
      name.length <= MAX_NAME_BYTES &&
      name.split('/').length <= MAX_SEGMENTS &&
      Number.isInteger(size) &&
      size >= 0 &&
      size <= MAX_VALUE_BYTES &&
      (encoding === 'utf-8' || encoding === 'binary') &&
      typeof member(source, 'id') === 'string' &&
      typeof member(source, 'provider') === 'string' &&
      facts.split('{').length + facts.split('[').length < MAX_DEPTH;
    if (!isSound) return null;
    const after = refresh_after === null ? null : `"${refresh_after}"`;
    entries += `${entries && ','}
    "${name}": {"path": "secrets/${name}", "size": ${size}, "encoding": "${encoding}", "fetched_at": "${fetched_at}", "refresh_after": ${after}, "source": ${facts}}`;
  }
  const written = `{
  "format": "keystart.manifest/1",
  "generation": ${generation},
  "published_at": "${published_at}",
  "writer": {"name": "${writer.name}", "version": "${writer.version}"},
  "secrets": {${entries}
  },
  "unavailable": {
  }
}
`;
  return written === text ? secrets : null;
}

export { openQuick, quickBytes, quickJson, quickText };
