// Another realm with other globals, as test runners and test libraries make them.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import vm from 'node:vm';

const STUBBED = [
  'setTimeout',
  'clearTimeout',
  'setInterval',
  'setImmediate',
  'performance',
  'queueMicrotask',
];

/**
 * Loads a CommonJS module as Jest does: its globals are those of another realm, and process and require are of this
 * one. After that the timers stand still, as fake timers do.
 * @param {string} file
 * @returns {any}
 */
export function loadInRealm(file) {
  const { setTimeout, clearTimeout, setInterval, setImmediate, performance, queueMicrotask } =
    globalThis;
  const realm = {
    setTimeout,
    clearTimeout,
    setInterval,
    setImmediate,
    performance,
    queueMicrotask,
  };
  const context = vm.createContext(realm);
  const loaded = load(file, context);
  for (const name of STUBBED) Reflect.set(realm, name, () => undefined);
  return loaded;
}

/**
 * @param {string} file
 * @param {vm.Context} context
 */
function load(file, context) {
  const module = { exports: {} };
  const wrapper = `(function (module, exports, require, process) {${readFileSync(file, 'utf8')}\n})`;
  const outer = createRequire(file);
  /** @param {string} name */
  const require = (name) =>
    name.startsWith('./') ? load(join(dirname(file), name), context) : outer(name);
  vm.runInContext(wrapper, context, { filename: file })(module, module.exports, require, process);
  return module.exports;
}
