// A function with `require`. It prints what it read.
'use strict';

const tls = require('node:tls');
const { get, getBytes, getJson, snapshot, SecretNotFound } = require('keystart');

function missing() {
  try {
    return get('sripe/key');
  } catch (error) {
    return error instanceof SecretNotFound ? error.message : String(error);
  }
}

const answer = {
  text: get('stripe/key'),
  bytes: getBytes('keytab').toString('base64'),
  json: getJson('db'),
  names: snapshot().names('tls'),
  tls: tls.createSecureContext(snapshot().tls('tls')).context !== undefined,
  missing: missing(),
};
console.log(JSON.stringify(answer));
