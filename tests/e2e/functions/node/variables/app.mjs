// Reads its environment while it is imported, without a reader, and answers with a keyed digest of the values.
import { createHmac } from 'node:crypto';

const found = { ...process.env };

export async function handler(event) {
  const key = Buffer.from(event.key, 'hex');
  const digest = (value) =>
    value === undefined ? null : createHmac('sha256', key).update(value).digest('hex');
  return Object.fromEntries(event.names.map((name) => [name, digest(found[name])]));
}
