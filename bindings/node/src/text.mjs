// Text from outside as a message shows it.
import { Buffer } from './node.mjs';

const MAX_BYTES = 64; // limits.toml: quoted.bytes

/**
 * Quotes text from outside so that it cannot pass for anything else in a log (contract 8.3).
 * @param {string} text
 */
function quote(text) {
  const bytes = Buffer.from(text.slice(0, MAX_BYTES + 1)); // a character has at least one byte
  let quoted = '';
  for (const byte of bytes.subarray(0, MAX_BYTES)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x22 && byte !== 0x5c;
    quoted += plain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return `"${quoted}${bytes.length > MAX_BYTES ? '...' : ''}"`;
}

export { quote };
