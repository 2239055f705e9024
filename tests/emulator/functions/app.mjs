// Reads every secret at import, and answers with a keyed digest of each and the reader's file.
import { createHmac } from 'node:crypto';
import { createRequire } from 'node:module';
import keystart from 'keystart';

const SECRETS = Object.fromEntries(keystart.names().map((name) => [name, keystart.getBytes(name)]));
const READER = createRequire(import.meta.url).resolve('keystart');

export async function handler(event) {
  const digest = (value) =>
    createHmac('sha256', Buffer.from(event.key, 'hex')).update(value).digest('hex');
  const digests = Object.entries(SECRETS).map(([name, value]) => [name, digest(value)]);
  return { secrets: Object.fromEntries(digests), reader: READER };
}
