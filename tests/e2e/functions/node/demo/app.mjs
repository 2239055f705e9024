// Reads every secret while it is imported and answers with a keyed digest of each: equal digests, equal bytes.
import { createHmac } from 'node:crypto';
import { inspect } from 'node:util';
import keystart, { KeystartError } from 'keystart';

const secrets = new Map([['api/stripe', keystart.getBytes('api/stripe')]]);
const firstRead = Date.now() / 1000;
for (const name of keystart.names()) secrets.set(name, keystart.getBytes(name));

let missing = null;
try {
  keystart.get('feature-flags');
} catch (error) {
  if (!(error instanceof KeystartError)) throw error;
  missing = { code: error.code, message: error.message };
}

export async function handler(event) {
  const key = Buffer.from(event.key, 'hex');
  const all = [...secrets];
  return {
    secrets: Object.fromEntries(
      all.map(([name, value]) => [name, createHmac('sha256', key).update(value).digest('hex')]),
    ),
    sizes: Object.fromEntries(all.map(([name, value]) => [name, value.length])),
    shown: inspect(keystart.secret('api/stripe')),
    missing,
    first_read: firstRead,
  };
}
