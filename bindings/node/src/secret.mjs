// A secret in memory: its bytes, and the objects that carry it and never show it. It reads no file.
import { Buffer, isUtf8 } from './node.mjs';
import { errors } from './messages.mjs';
import { parseJson } from './json.mjs';

const INSPECT = Symbol.for('nodejs.util.inspect.custom');

/** The bytes of one secret as they were read. Never leaves this package. */
class Value {
  #name;
  #bytes;
  #generation;
  /** @type {string | null | undefined} null: not UTF-8; undefined: not decoded yet */
  #text;

  /**
   * @param {string} name
   * @param {Buffer} bytes
   * @param {{ info(name: string): import('../types/api.js').SecretInfo }} generation that they were read from
   */
  constructor(name, bytes, generation) {
    this.#name = name;
    this.#bytes = bytes;
    this.#generation = generation;
  }

  text() {
    const text = this.#decoded();
    if (text === null) throw errors().secretNotText(this.#name);
    return text;
  }

  /** Returns a copy outside of Node's pool: its ArrayBuffer holds only this secret. */
  bytes() {
    const copy = Buffer.allocUnsafeSlow(this.#bytes.length);
    this.#bytes.copy(copy);
    return copy;
  }

  json() {
    const text = this.#decoded();
    const value = text === null ? undefined : parseJson(text);
    if (value === undefined) throw errors().secretNotJson(this.#name);
    return value;
  }

  info() {
    return this.#generation.info(this.#name);
  }

  #decoded() {
    if (this.#text === undefined) this.#text = isUtf8(this.#bytes) ? this.#bytes.toString() : null;
    return this.#text;
  }
}

/** An object that callers can pass around and log: it shows only its name (contract 7.2). */
class Redacted {
  #name;

  /** @param {string} name */
  constructor(name) {
    this.#name = name;
  }

  get name() {
    return this.#name;
  }

  toString() {
    return `<Secret "${this.#name}" (redacted)>`;
  }

  toJSON() {
    return this.toString();
  }

  [INSPECT]() {
    return this.toString();
  }
}

class Secret extends Redacted {
  #value;

  /**
   * @param {string} name
   * @param {Value} value
   */
  constructor(name, value) {
    super(name);
    this.#value = value;
  }

  reveal() {
    return this.#value.text();
  }

  revealBytes() {
    return this.#value.bytes();
  }

  get info() {
    return this.#value.info();
  }
}

export { Redacted, Secret, Value };
