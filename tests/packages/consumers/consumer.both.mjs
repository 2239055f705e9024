// A bundle in which one file imports the reader and another requires it. It prints what it read.
import tls from 'node:tls';
import keystart, { get, SecretNotFound } from 'keystart';

const required = require('keystart');

function missing() {
  try {
    return required.get('sripe/key');
  } catch (error) {
    return error instanceof SecretNotFound ? error.message : String(error);
  }
}

const answer = {
  text: get('stripe/key'),
  bytes: required.getBytes('keytab').toString('base64'),
  json: keystart.getJson('db'),
  names: required.snapshot().names('tls'),
  tls: tls.createSecureContext(required.tls('tls')).context !== undefined,
  missing: missing(),
};
console.log(JSON.stringify(answer));
