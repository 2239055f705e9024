// Options for node:tls from a certificate, its key and authorities of one generation (contract 6.5.7).
import { errors } from './messages.mjs';
import { unavailable } from './missing.mjs';
import { crypto } from './node.mjs';
import { certificateFault, keyFault } from './pem.mjs';
import { Redacted } from './secret.mjs';

/**
 * A private key in the form `{ pem }`, which node:tls accepts in a list. A string would be shown
 * with the options, with every copy of them, and in the keys under which https.Agent keeps its
 * sockets.
 */
class PrivateKey extends Redacted {
  #pem;

  /**
   * @param {string} name
   * @param {import('./secret.mjs').Value} value
   */
  constructor(name, value) {
    super(name);
    this.#pem = value.text();
  }

  get pem() {
    return this.#pem;
  }
}

/**
 * @param {{ manifest: import('./interfaces.mjs').Manifest, value(name: string): import('./secret.mjs').Value }} generation
 * @param {string} prefix checked
 */
function tlsOptions(generation, prefix) {
  const [certName, keyName, caName] = ['cert', 'key', 'ca'].map((part) => `${prefix}/${part}`);
  const { manifest } = generation;
  const cert = generation.value(certName).text();
  const key = new PrivateKey(keyName, generation.value(keyName));
  const ca = manifest.secrets.has(caName) ? generation.value(caName).text() : null;
  const error = ca === null ? unavailable(manifest, caName) : null;
  if (error !== null) throw error;
  check(certName, certificateFault(cert));
  check(keyName, keyFault(key.pem));
  if (ca === null) return { cert, key: [key] };
  check(caName, certificateFault(ca));
  new (crypto().X509Certificate)(ca); // throws if it cannot be read, as node:tls may not
  return { cert, key: [key], ca };
}

/**
 * @param {string} name
 * @param {string | null} fault
 */
function check(name, fault) {
  if (fault !== null) throw errors().tlsInvalid(name, fault);
}

export { tlsOptions };
