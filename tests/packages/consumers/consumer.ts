// A strict TypeScript function: checked by tsc, bundled and run by esbuild. It prints what it read.
import tls from 'node:tls';
import keystart, { get, Keystart, SecretNotFound, type SecretInfo, type Snapshot } from 'keystart';

function missing(): string {
  try {
    return get('sripe/key');
  } catch (error) {
    return error instanceof SecretNotFound && error.code === 'secret_not_found'
      ? error.message
      : String(error);
  }
}

const snapshot: Snapshot = new Keystart({ timeoutMs: 0 }).snapshot();
const bytes: Buffer = keystart.getBytes('keytab');
const info: SecretInfo = keystart.info('keytab');
// @ts-expect-error a name is a string
const wrong = () => get(7);

const answer = {
  text: get('stripe/key'),
  bytes: bytes.subarray(0, info.size).toString('base64'),
  json: keystart.getJson('db'),
  names: snapshot.names('tls'),
  tls:
    tls.createSecureContext(snapshot.tls('tls')).context !== undefined &&
    typeof wrong === 'function',
  missing: missing(),
};
console.log(JSON.stringify(answer));
