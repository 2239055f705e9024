// What the modules that are loaded on demand use of a store. store.mjs has it; it loads them, so they cannot import it.
import type { SecretInfo } from '../types/api.js';
import type { Entry, Manifest } from './manifest.mjs';
import type { Patience } from './patience.mjs';
import type { Value } from './secret.mjs';

/** One generation, whatever is published later (contract 6.3). */
export interface Instant {
  readonly root: string;
  readonly number: number;
  readonly folder: string;
  readonly manifest: Manifest;
  value(name: string): Value;
  path(name: string): string;
  info(name: string): SecretInfo;
}

/** The published generation, whichever that is at the moment. */
export interface Store {
  readonly root: string;
  readonly timeoutMs: number;
  read<T>(use: (generation: { manifest: Manifest }) => T, patience?: Patience): T;
  knownManifest(): Manifest | null;
  instant(): Instant;
  instantOf(number: number, isCandidate: boolean): Instant | null;
}

export type { Entry, Manifest };
