// The types for require and for import. index.d.ts and index.d.mts re-export them.

/// <reference types="node" />

import type { KeystartError } from './errors.js';
export * from './errors.js';

/** The methods of a client and of a snapshot. Every method is synchronous and throws a {@link KeystartError}. */
export interface Reader {
  /**
   * Returns the secret as text.
   *
   * Waits until the store is ready, at most the client's timeout. Throws `InvalidName`, `NotAttached`, `NotReady`,
   * `PrefetchFailed`, `SecretNotFound`, `SecretUnavailable`, `SecretNotText`. If the store is damaged, throws
   * `LayoutInsecure`, `ManifestInvalid`, `ManifestUnsupported`, `StoreUnreadable`, `SecretCorrupt`.
   */
  get(name: string): string;
  /**
   * Returns the secret as bytes: a copy, which the caller may change. Throws the same errors as `get` except
   * `SecretNotText`.
   */
  getBytes(name: string): Buffer;
  /**
   * Returns the value of a secret that is JSON (RFC 8259, at most 64 levels). Whole numbers beyond
   * 2^53 are rounded. `getJson<Limits>('limits')` states its type, and nothing checks that. Throws
   * the same errors as `getBytes`, and `SecretNotJson`.
   */
  getJson<T = unknown>(name: string): T;
  /** Returns the absolute path of the secret's file, for libraries that need a path. It does not look at the file. */
  path(name: string): string;
  /** Returns all names, sorted, or those below a folder: `names('tls')` returns `tls/cert` and `tls/key`. */
  names(prefix?: string | null): string[];
  /** Returns all facts about a secret except its value. */
  info(name: string): SecretInfo;
  /** Returns a secret that can be passed around and logged without its value. Throws the same errors as `getBytes`. */
  secret(name: string): Secret;
  /** Returns a reader that stays with what is published now, so its values belong together. */
  snapshot(): Snapshot;
  /**
   * Returns options for `node:tls`, `node:https` and `node:http2` from `<prefix>/cert`,
   * `<prefix>/key` and, if it exists, `<prefix>/ca`, all from one generation. Without a `ca` the
   * system's authorities are trusted. Throws the same errors as `get`, and `TlsInvalid` for a part that
   * is not PEM.
   */
  tls(prefix: string): TlsOptions;
}

/** A reader bound to one generation, so its values belong together. After `SnapshotExpired`, take a new one. */
export interface Snapshot extends Reader {}

/** Where a client reads and how long it waits. The environment sets what is left out or null. */
export interface KeystartOptions {
  /** The folder of the store. Default: `KEYSTART_DIR`, else `/tmp/keystart`. */
  root?: string | null;
  /** How long a read waits for the extension; 0 does not wait. Default: `KEYSTART_TIMEOUT_MS`, else 9000. */
  timeoutMs?: number | null;
}

/** A client of one store. Its constructor throws `InvalidOption`. */
export interface Keystart extends Reader {}

export class Keystart {
  /** Ignores members that `options` inherits. */
  constructor(options?: KeystartOptions | null);
  /**
   * Asks the extension to fetch these secrets now, or all, and returns the names of those that changed.
   *
   * A folder stands for all names below it. "Changed" means: differs from what this client read last. Waits at most the
   * client's timeout. Rejects with `RefreshUnavailable` if no extension answers, with `RefreshFailed` if a secret could
   * not be fetched (the last good value stays), and with the errors of `names`.
   */
  refresh(...names: string[]): Promise<string[]>;
  /**
   * Logs in with a secret, even while it is rotated: calls `fn` with a snapshot until a login succeeds, and returns what
   * `fn` returned.
   *
   * `name` is a secret, or a folder, which stands for all names below it. `fn` opens one connection with the values of
   * its snapshot, and does nothing else, because it may run three times. The extension says which version each login
   * uses. Only an error that means "the server refused this login" leads to another one; every other error rejects at
   * once. If all logins were refused, rejects with the error of the published version, and its `attempts` list the
   * others. Rejects with `LoginRefused` if no login was allowed in time, with `InvalidOption`, and with the errors of
   * `get` for the name.
   */
  attempt<T>(
    name: string,
    fn: (secrets: Snapshot) => T | Promise<T>,
    options?: AttemptOptions | null,
  ): Promise<T>;
}

/** What counts as refused, and how long `attempt` may wait. */
export interface AttemptOptions {
  /**
   * Which errors mean that the server refused the login: a class or several, which the error or one of its causes is an
   * instance of; or a function of the error that returns true, or `'locked'` if the server has locked the account.
   * Default: the errors of common drivers.
   */
  rejected?: ErrorClass | readonly ErrorClass[] | ((error: any) => boolean | 'locked') | null;
  /**
   * How long it may wait for the extension, and begin logins. The time in `fn` does not count. Default: 2000; 0 logs in
   * once and does not ask the extension.
   */
  budgetMs?: number | null;
}

/** A class of errors. */
export type ErrorClass = abstract new (...parameters: any) => Error;

/** A login of `attempt` that the server refused. It holds no message, because a driver's message may hold a value. */
export interface RefusedLogin {
  /** The number of the generation that the login used. */
  generation: number;
  /** The stage of the version, such as `AWSPENDING`; null if the store has none. */
  stage: string | null;
  /** The id of the version; null if the store has none. */
  versionId: string | null;
  /** The class of the error. */
  class: string | null;
  /** The error's code; null if it has none. */
  code: string | null;
}

/** A secret that logs, JSON and text show as `<Secret "name" (redacted)>`. */
export interface Secret {
  /** The name that the caller asked for. */
  readonly name: string;
  /** What `info` of a reader returns, for the generation of the value. `stale` is as of now. */
  readonly info: SecretInfo;
  /** Returns the secret as text. Throws `SecretNotText`. */
  reveal(): string;
  /** Returns the secret as bytes: a copy, which the caller may change. */
  revealBytes(): Buffer;
  /** Returns `<Secret "name" (redacted)>`. */
  toString(): string;
  /** Returns `<Secret "name" (redacted)>`. */
  toJSON(): string;
}

/** All facts about a secret except its value. */
export interface SecretInfo {
  /** The file, relative to the generation's folder. */
  path: string;
  /** The size in bytes. */
  size: number;
  /** How the provider declares the value. It does not limit how you can read it. */
  encoding: 'utf-8' | 'binary';
  /** When it was fetched: RFC 3339 in UTC with milliseconds. */
  fetched_at: string;
  /** When it should be fetched again, in the same form; null: never. */
  refresh_after: string | null;
  /** Where it came from. */
  source: { provider: string; id: string; [member: string]: unknown };
  /** When the extension last found that this is the value. */
  checked_at: string;
  /** Why the last refresh of it failed, and when; null: it did not fail. */
  failure: { code: string; message: string; at: string } | null;
  /** Whether the last refresh failed, or the time of `refresh_after` has come. */
  stale: boolean;
}

/** Options to spread into those of a connection: `https.request({ host, ...tls('mtls') })`. */
export interface TlsOptions {
  /** PEM: the certificate, and its chain if the secret holds one. */
  cert: string;
  /** The private key. Logs and JSON do not show it; node:tls reads its `pem`. */
  key: PrivateKey[];
  /** PEM: the only authorities to trust. */
  ca?: string;
}

/** A private key in the form that node:tls accepts. Logs, JSON and text show `<Secret "name" (redacted)>`. */
export interface PrivateKey {
  /** The name of the secret. */
  readonly name: string;
  /** The key as PEM. */
  readonly pem: string;
  /** Returns `<Secret "name" (redacted)>`. */
  toString(): string;
  /** Returns `<Secret "name" (redacted)>`. */
  toJSON(): string;
}

/** Returns the secret as text, from the default client. */
export function get(name: string): string;
/** Returns the secret as bytes, from the default client. */
export function getBytes(name: string): Buffer;
/** Returns the value of a secret that is JSON, from the default client. */
export function getJson<T = unknown>(name: string): T;
/** Returns the absolute path of the secret's file, from the default client. */
export function path(name: string): string;
/** Returns all names, or those below a folder, from the default client. */
export function names(prefix?: string | null): string[];
/** Returns all facts about a secret except its value, from the default client. */
export function info(name: string): SecretInfo;
/** Returns a secret that can be logged, from the default client. */
export function secret(name: string): Secret;
/** Returns a reader that stays with what is published now, from the default client. */
export function snapshot(): Snapshot;
/** Returns options for a TLS connection with a client certificate, from the default client. */
export function tls(prefix: string): TlsOptions;
/** Asks the extension to fetch these secrets now, or all, and returns the names of those that changed, for the default client. */
export function refresh(...names: string[]): Promise<string[]>;
/** Logs in with a secret, even while it is rotated, with a snapshot of the default client. */
export function attempt<T>(
  name: string,
  fn: (secrets: Snapshot) => T | Promise<T>,
  options?: AttemptOptions | null,
): Promise<T>;
