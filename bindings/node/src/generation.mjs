// One generation (contract 6.2.4 to 6.2.6): its manifest, read at once, and its values, read on demand and kept. It never
// waits, and never looks which generation is published.
import { errors } from './messages.mjs';
import { MissingError, checkFolder, checkRoot, lstat, readFile } from './files.mjs';
import { onDemand } from './load.mjs';
import { parseManifest } from './manifest.mjs';
import { Value } from './secret.mjs';
import { isUsable } from './time.mjs';

const MAX_MANIFEST_BYTES = 1_048_576; // limits.toml: manifest.bytes

/** A value was checked too long ago (contract 11.7). `error` says so, as for MissingError. */
class StaleError extends MissingError {}

/** A generation whose manifest was read, and the values that were read from it. */
class Generation {
  /** @type {Map<string, Value>} */
  #values = new Map();
  /** @type {import('./age.mjs').Age | null} */
  #age = null;
  #root;
  #folder;
  #timeoutMs;
  #hasAge;

  /**
   * @param {string} root
   * @param {number} number
   * @param {number} timeoutMs
   * @param {boolean} [isCandidate] whose age nothing knows (contract 12.4.3)
   */
  constructor(root, number, timeoutMs, isCandidate = false) {
    this.number = number;
    this.#root = root;
    this.#timeoutMs = timeoutMs;
    this.#hasAge = !isCandidate;
    this.#folder = `generations/${number}`;
    this.#checkFolders();
    const file = `${this.#folder}/manifest.json`;
    const bytes = this.#read(file, MAX_MANIFEST_BYTES, (what) =>
      errors().manifestInvalid(number, `manifest.json ${what}`),
    );
    if (bytes.length > MAX_MANIFEST_BYTES) {
      throw errors().manifestInvalid(
        number,
        `manifest.json is longer than ${MAX_MANIFEST_BYTES} bytes`,
      );
    }
    this.manifest = parseManifest(bytes, number);
  }

  /** @param {string} name */
  value(name) {
    let value = this.#values.get(name);
    if (value === undefined) {
      value = new Value(name, this.#readSecret(name), this);
      this.#values.set(name, value);
    }
    this.#checkAge(name);
    return value;
  }

  /**
   * Returns all facts about a secret except its value (contract 6.5.5).
   * @param {string} name
   */
  info(name) {
    return onDemand().readInfo(this.#root, this.manifest, name);
  }

  /**
   * Throws if a value was checked too long ago (contract 11.7).
   * @param {string} name
   */
  #checkAge(name) {
    const { maxStale } = this.manifest;
    if (maxStale === null || !this.#hasAge) return;
    if (isUsable(this.manifest.fetchedAt(name) + maxStale * 1000, maxStale)) return;
    this.#age ??= new (onDemand().Age)(this.#root, this.manifest, maxStale, this.#timeoutMs);
    const error = this.#age.check(name);
    if (error !== null) throw new StaleError(error);
  }

  /** @param {string} name */
  #readSecret(name) {
    const { size } = this.manifest.entry(name);
    if (!checkRoot(this.#root)) throw new MissingError(errors().notAttached(this.#root));
    this.#checkFolders();
    /** @param {string} what */
    const corrupt = (what) => errors().secretCorrupt(name, this.number, what);
    const segments = `secrets/${name}`.split('/');
    for (let depth = 1; depth < segments.length; depth++) {
      const folder = `${this.#folder}/${segments.slice(0, depth).join('/')}`;
      checkFolder(this.#root, folder, () => corrupt('its file is missing'));
    }
    const bytes = this.#read(`${this.#folder}/secrets/${name}`, size, (what) =>
      corrupt(`its file ${what}`),
    );
    if (bytes.length !== size) throw corrupt(`its file does not have ${size} bytes`);
    return bytes;
  }

  /**
   * Returns the bytes of a file. Discards them if the folder is gone, because a writer that stops
   * overwrites files.
   * @param {string} path
   * @param {number} limit
   * @param {(what: string) => Error} broken
   */
  #read(path, limit, broken) {
    const bytes = readFile(this.#root, path, limit, broken);
    if (lstat(this.#root, this.#folder) === null) throw new MissingError(this.#folderMissing());
    return bytes;
  }

  #checkFolders() {
    checkFolder(this.#root, 'generations', () => this.#folderMissing());
    checkFolder(this.#root, this.#folder, () => this.#folderMissing());
  }

  #folderMissing() {
    return errors().manifestInvalid(this.number, `${this.#folder} is missing`);
  }
}

export { Generation, StaleError };
