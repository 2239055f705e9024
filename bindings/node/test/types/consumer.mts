// Compiled, never run: what a strict TypeScript function that imports the package writes.
import https from 'node:https';
import { test } from 'node:test';
import testing, { store, type Store } from 'keystart/testing';
import keystart, {
  get,
  getBytes,
  getJson,
  Keystart,
  SecretNotFound,
  tls,
  type SecretInfo,
} from 'keystart';

const password: string = get('db');
const keytab: Buffer = getBytes('keytab');
const config = getJson<{ level: string }>('config');
const level: string = config.level;
const client = new Keystart({ root: '/tmp/keystart', timeoutMs: 0 });
const stays: string[] = client.snapshot().names('tls');
const facts: SecretInfo = keystart.info('db');
https.request({ host: 'localhost', ...tls('tls') });
try {
  keystart.secret('db').reveal();
} catch (error) {
  if (error instanceof SecretNotFound && error.code === 'secret_not_found')
    console.error(error.secret?.length);
}
test('a rotation', (t) => {
  const one: Store = store(t, { db: 'old', config: { a: 1 } }, { unavailable: { flags: 'no' } });
  const generation: number = one.publish({ db: Buffer.from('new') });
  one.fail(`not ${generation} in ${one.root}`);
});
testing.store({ db: 'x' }).close();
// @ts-expect-error without a type, the value is unknown
keystart.getJson('config').level;
// @ts-expect-error a name is a string
get(7);
// @ts-expect-error the option is called timeoutMs
new Keystart({ timeout: 9 });
const port: Promise<number> = client.attempt(
  'db',
  (secrets) => secrets.getJson<{ port: number }>('db').port,
);
const one: Promise<string> = keystart.attempt('db', async (secrets) => secrets.get('db'), {
  rejected: [SecretNotFound, TypeError],
  budgetMs: 500,
});
keystart.attempt('db', () => 1, { rejected: SecretNotFound });
keystart.attempt('db', () => 1, { rejected: (error) => error.code === '28P01' && 'locked' });
// @ts-expect-error the option is called budgetMs
keystart.attempt('db', () => 1, { budget: 2 });
// @ts-expect-error a snapshot stays with its generation
client.snapshot().attempt('db', () => 1);

export { config, one, port, facts, keytab, level, password, stays };
