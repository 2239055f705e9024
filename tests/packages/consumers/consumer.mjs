// A function with `import`. It prints what it read.
import tls from 'node:tls';
import keystart, { get, SecretNotFound } from 'keystart';

function missing() {
  try {
    return get('sripe/key');
  } catch (error) {
    return error instanceof SecretNotFound ? error.message : String(error);
  }
}

const snapshot = keystart.snapshot();
const answer = {
  text: get('stripe/key'),
  bytes: keystart.getBytes('keytab').toString('base64'),
  json: keystart.getJson('db'),
  names: snapshot.names('tls'),
  tls: tls.createSecureContext(snapshot.tls('tls')).context !== undefined,
  missing: missing(),
};
console.log(JSON.stringify(answer));
