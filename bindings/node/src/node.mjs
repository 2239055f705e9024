// Node's modules. `process` is asked first: bundlers leave `require` as it is, and an ES module has
// none. Node before 20.16 and 22.3 has no `getBuiltinModule`.
const fs = process.getBuiltinModule?.('node:fs') ?? require('node:fs');
const { Buffer, isUtf8 } = process.getBuiltinModule?.('node:buffer') ?? require('node:buffer');

/** Loads node:crypto, only for callers with a certificate: it takes longer than this package. */
function crypto() {
  return process.getBuiltinModule?.('node:crypto') ?? require('node:crypto');
}

/** Loads node:net, only for callers of refresh. */
function net() {
  return process.getBuiltinModule?.('node:net') ?? require('node:net');
}

/** Loads node:worker_threads, only for a read that must ask the writer. */
function workers() {
  return process.getBuiltinModule?.('node:worker_threads') ?? require('node:worker_threads');
}

/** Loads node:util, only for callers of refresh. */
function util() {
  return process.getBuiltinModule?.('node:util') ?? require('node:util');
}

/** Returns the milliseconds of a clock. It is not the global, which test libraries stop. */
function monotonic() {
  return (
    process.getBuiltinModule?.('node:perf_hooks') ?? require('node:perf_hooks')
  ).performance.now();
}

export { Buffer, crypto, fs, isUtf8, monotonic, net, util, workers };
