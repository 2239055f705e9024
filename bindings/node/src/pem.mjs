// Says why the text of a certificate, key or authorities is not the PEM that TLS needs (contract 6.5.8).
import { errors } from './messages.mjs';

const BLOCK = /(?:^|\n)-----BEGIN ([A-Z0-9 ]+)-----[ \t\r]*(?=\n)/g;
const INDENTED = /(?:^|\n)[ \t]+-----BEGIN /;
const BASE64 = 'LS0tLS1CRUdJTi'; // of "-----BEGIN "
const CERTIFICATE = 'CERTIFICATE';
const KEY = 'PRIVATE KEY';

/** @typedef {{ label: string, end: number }} Block where its first line ends */

/**
 * Returns why a text is not used as a certificate; null if it is.
 * @param {string} text
 */
function certificateFault(text) {
  const block = blocksOf(text, CERTIFICATE)[0];
  if (block === undefined)
    return whyNot(text, KEY, errors().PEM_IS_KEY) ?? errors().PEM_WITHOUT_CERTIFICATE;
  return hasEnd(text, block) ? null : errors().PEM_IS_CUT;
}

/**
 * Returns why a text is not used as a private key; null if it is.
 * @param {string} text
 */
function keyFault(text) {
  const block = blocksOf(text, KEY)[0];
  if (block === undefined)
    return whyNot(text, CERTIFICATE, errors().PEM_IS_CERTIFICATE) ?? errors().PEM_WITHOUT_KEY;
  if (!hasEnd(text, block)) return errors().PEM_IS_CUT;
  const isEncrypted =
    block.label === 'ENCRYPTED PRIVATE KEY' || text.includes('\nProc-Type: 4,ENCRYPTED');
  return isEncrypted ? errors().PEM_IS_ENCRYPTED : null;
}

/**
 * @param {string} text
 * @param {string} kind how the label ends
 * @returns {Block[]}
 */
function blocksOf(text, kind) {
  return [...text.matchAll(BLOCK)]
    .map((found) => ({ label: found[1], end: found.index + found[0].length }))
    .filter(({ label }) => label.endsWith(kind));
}

/**
 * @param {string} text
 * @param {Block} block
 */
function hasEnd(text, { label, end }) {
  return text.includes(`\n-----END ${label}-----`, end);
}

/**
 * Returns what a text without the right block is; null if that is not known.
 * @param {string} text
 * @param {string} other
 * @param {string} isOther
 */
function whyNot(text, other, isOther) {
  if (blocksOf(text, other).length > 0) return isOther;
  return blocksOf(text, '').length > 0 ? null : disguise(text);
}

/**
 * Returns what an editor, a shell or a console has made of PEM; null if it was not PEM.
 * @param {string} text
 */
function disguise(text) {
  if (text.startsWith('\ufeff')) return errors().PEM_HAS_MARK;
  const begin = text.replace(/^[ \t\r\n]+/, '');
  if (begin === '') return errors().PEM_IS_EMPTY;
  if (begin.startsWith('"') || begin.startsWith("'")) return errors().PEM_IS_QUOTED;
  if (begin.startsWith('{')) return errors().PEM_IS_JSON;
  if (begin.startsWith(BASE64)) return errors().PEM_IS_BASE64;
  if (!text.includes('-----BEGIN ')) return null;
  if (text.includes('\\n')) return errors().PEM_IS_ESCAPED;
  return INDENTED.test(text) ? errors().PEM_IS_INDENTED : errors().PEM_IS_ON_ONE_LINE;
}

export { certificateFault, keyFault };
