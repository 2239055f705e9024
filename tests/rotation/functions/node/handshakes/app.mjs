// Shakes hands with a server that requires a client certificate, and answers how often the pair did not match.
import https from 'node:https';
import keystart from 'keystart';

const server = {
  host: process.env.SERVER_HOST,
  port: Number(process.env.SERVER_PORT),
  agent: false,
};
const isMismatch = (error) => error.code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH';

function shakeHands(secrets) {
  return new Promise((resolve, reject) => {
    https
      .get({ ...server, ...secrets.tls('partner') }, async (response) => {
        resolve(Buffer.concat(await response.toArray()).toString());
      })
      .on('error', reject);
  });
}

const how = {
  attempt: () => keystart.attempt('partner', shakeHands, { rejected: isMismatch }),
  get: () => shakeHands(keystart.snapshot()),
}[process.env.MODE];

export async function handler(event) {
  const outcomes = {};
  for (let number = 0; number < event.handshakes; number++) {
    if (number % event.refresh_every === 0) await keystart.refresh('partner');
    let outcome = 'done';
    try {
      await how();
    } catch (error) {
      outcome = isMismatch(error) ? 'mismatched' : error.code;
      if (outcome === undefined) throw error;
    }
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  }
  return outcomes;
}
