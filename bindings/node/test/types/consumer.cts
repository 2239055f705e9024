// Compiled, never run: what a strict TypeScript function that requires the package writes.
import keystart = require('keystart');
import { get, KeystartError, type Snapshot } from 'keystart';
import testing = require('keystart/testing');

const store: testing.Store = testing.store({ db: 'x' });
store.close();
const password: string = get('db');
const snapshot: Snapshot = keystart.snapshot();
const tls: keystart.TlsOptions = snapshot.tls('tls');
const stale: boolean = new keystart.Keystart().info('db').stale;
try {
  keystart.path('db');
} catch (error) {
  if (error instanceof KeystartError) console.error(error.code.toUpperCase());
}
const changed: Promise<string[]> = keystart.refresh('db', 'tls');
// @ts-expect-error a snapshot stays with its generation
snapshot.refresh();

export = { password, stale, tls, changed };
