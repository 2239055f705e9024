// The types of both sides of the package. index.d.ts and index.d.mts give them to require and to import.

/// <reference types="node" />

import type { KeystartError } from './errors.js';
export * from './errors.js';

/** What a client and a snapshot can be asked. Every method is synchronous and throws a {@link KeystartError}. */
export interface Reader {
  /**
   * The secret as text.
   *
   * Waits until the store is ready, at most the client's timeout. Throws `InvalidName`, `NotAttached`, `NotReady`,
   * `PrefetchFailed`, `SecretNotFound`, `SecretUnavailable`, `SecretNotText`; where the store is damaged
   * `LayoutInsecure`, `ManifestInvalid`, `ManifestUnsupported`, `StoreUnreadable`, `SecretCorrupt`.
   */
  get(name: string): string;
  /** The secret as bytes: a copy, which the caller may change. Throws what `get` throws, but `SecretNotText`. */
  getBytes(name: string): Buffer;
  /**
   * The value of a secret that is JSON (RFC 8259, at most 64 levels). Whole numbers beyond 2^53 are rounded.
   * Throws what `getBytes` throws, and `SecretNotJson`.
   */
  getJson(name: string): unknown;
  /** The absolute path of the secret's file, for libraries that want one. The file is not looked at. */
  path(name: string): string;
  /** All names, or those below a folder: `names('tls')` gives `tls/cert` and `tls/key`. Sorted. */
  names(prefix?: string | null): string[];
  /** What is known about a secret but its value. */
  info(name: string): SecretInfo;
  /** A secret that can be passed around and logged without showing its value. Throws what `getBytes` throws. */
  secret(name: string): Secret;
  /** A reader that stays with what is published now: what it gives belongs together. */
  snapshot(): Snapshot;
  /**
   * Options for `node:tls`, `node:https` and `node:http2` from `<prefix>/cert`, `<prefix>/key` and, if any, `<prefix>/ca`,
   * all of one generation. Without a `ca` the system's authorities are trusted. Throws what `get` throws.
   */
  tls(prefix: string): TlsOptions;
}

/** A reader bound to one generation: what is taken from it belongs together. `SnapshotExpired`: take a new one. */
export interface Snapshot extends Reader {}

/** Where a client reads and how long it waits; what is left out or null is taken from the environment. */
export interface KeystartOptions {
  /** The folder of the store. Default: `KEYSTART_DIR`, else `/tmp/keystart`. */
  root?: string | null;
  /** How long a read waits for the extension; 0 does not wait. Default: `KEYSTART_TIMEOUT_MS`, else 9000. */
  timeoutMs?: number | null;
}

/** A client of one store. Throws `InvalidOption`. */
export class Keystart implements Reader {
  /** Members that `options` inherits do not count. */
  constructor(options?: KeystartOptions | null);
  get(name: string): string;
  getBytes(name: string): Buffer;
  getJson(name: string): unknown;
  path(name: string): string;
  names(prefix?: string | null): string[];
  info(name: string): SecretInfo;
  secret(name: string): Secret;
  snapshot(): Snapshot;
  tls(prefix: string): TlsOptions;
}

/** In logs, JSON and text it is `<Secret "name" (redacted)>`. */
export interface Secret {
  /** The name it was asked by. */
  readonly name: string;
  /** What `info` of a reader gives, of the generation that the value came from; `stale` is as of now. */
  readonly info: SecretInfo;
  /** The secret as text. Throws `SecretNotText`. */
  reveal(): string;
  /** The secret as bytes: a copy, which the caller may change. */
  revealBytes(): Buffer;
  /** `<Secret "name" (redacted)>` */
  toString(): string;
  /** `<Secret "name" (redacted)>` */
  toJSON(): string;
}

/** What is known about a secret but its value: its entry in the manifest, and whether it is stale. */
export interface SecretInfo {
  /** The file, relative to the generation's folder. */
  path: string;
  /** In bytes. */
  size: number;
  /** What the provider gave; it decides nothing. */
  encoding: 'utf-8' | 'binary';
  /** RFC 3339 in UTC with milliseconds. */
  fetched_at: string;
  /** When it should be fetched again, in the same form; null: never. */
  refresh_after: string | null;
  /** Where it came from. */
  source: { provider: string; id: string; [member: string]: unknown };
  /** Whether `refresh_after` is a time that has come. */
  stale: boolean;
}

/** To be spread into the options of a connection: `https.request({ host, ...tls('mtls') })`. */
export interface TlsOptions {
  /** PEM: the certificate and what stands after it. */
  cert: string;
  /** Not shown in logs or JSON; node:tls reads its `pem`. */
  key: PrivateKey[];
  /** PEM: the only authorities that are trusted. */
  ca?: string;
}

/** A private key as node:tls takes it. In logs, JSON and text it is `<Secret "name" (redacted)>`. */
export interface PrivateKey {
  /** The name of the secret. */
  readonly name: string;
  /** The key itself. */
  readonly pem: string;
  /** `<Secret "name" (redacted)>` */
  toString(): string;
  /** `<Secret "name" (redacted)>` */
  toJSON(): string;
}

/** The secret as text, from the default client. */
export function get(name: string): string;
/** The secret as bytes, from the default client. */
export function getBytes(name: string): Buffer;
/** The value of a secret that is JSON, from the default client. */
export function getJson(name: string): unknown;
/** The absolute path of the secret's file, from the default client. */
export function path(name: string): string;
/** All names, or those below a folder, from the default client. */
export function names(prefix?: string | null): string[];
/** What is known about a secret but its value, from the default client. */
export function info(name: string): SecretInfo;
/** A secret that can be logged, from the default client. */
export function secret(name: string): Secret;
/** A reader that stays with what is published now, from the default client. */
export function snapshot(): Snapshot;
/** Options for a TLS connection with a client certificate, from the default client. */
export function tls(prefix: string): TlsOptions;
