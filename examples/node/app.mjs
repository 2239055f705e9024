// Takes a webhook only when its signature was made with our key, or with the one before: it was rotated a moment ago.
import { createHmac, timingSafeEqual } from 'node:crypto';
import keystart, { SecretUnavailable } from 'keystart';

// At import: what the extension fetched while this runtime started. Without it, the start has ended with the reason.
const current = keystart.getBytes('webhook/key');
const { maxBytes } = keystart.getJson('webhook/limits');

function previous() {
  try {
    return [keystart.getBytes('webhook/previous-key')];
  } catch (error) {
    if (error instanceof SecretUnavailable) return []; // optional: a key that was never rotated has no previous one
    throw error;
  }
}

const keys = [current, ...previous()];

export async function handler(event) {
  if (Buffer.byteLength(event.body) > maxBytes) return { statusCode: 413 };
  const given = Buffer.from(event.headers['x-signature'] ?? '', 'hex');
  const genuine = keys.some((key) => {
    const made = createHmac('sha256', key).update(event.body).digest();
    return made.length === given.length && timingSafeEqual(made, given);
  });
  if (!genuine) return { statusCode: 401 };
  return { statusCode: 200, body: JSON.stringify({ received: JSON.parse(event.body).id }) };
}
