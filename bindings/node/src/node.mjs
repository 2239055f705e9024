// Node's own modules. They are asked of `process` first, because a bundler leaves their `require` as it is, and in an ES
// module there is none. Node before 20.16 and 22.3 cannot be asked so.
const fs = process.getBuiltinModule?.('node:fs') ?? require('node:fs');
const { Buffer, isUtf8 } = process.getBuiltinModule?.('node:buffer') ?? require('node:buffer');

/** Loaded by those alone who have a certificate to read: it takes longer than this package. */
function crypto() {
  return process.getBuiltinModule?.('node:crypto') ?? require('node:crypto');
}

export { Buffer, crypto, fs, isUtf8 };
