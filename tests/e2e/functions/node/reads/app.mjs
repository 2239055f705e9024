// Reads a secret in each invocation, and answers with a keyed digest of it.
import { createHmac } from 'node:crypto';
import keystart from 'keystart';

export async function handler(event) {
  const hmac = createHmac('sha256', Buffer.from(event.key, 'hex'));
  return hmac.update(keystart.getBytes(event.name)).digest('hex');
}
