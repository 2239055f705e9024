// Writes dist/, which the package ships: the sources in one file and one scope. Each further file
// that Node finds, opens and compiles makes a cold start longer, and so does a function around
// each, which V8 parses twice. It is not minified, because Node prints the line that threw.
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import keystart from './src/keystart.mjs';

const folder = fileURLToPath(new URL('.', import.meta.url));

const { outputFiles } = await build({
  absWorkingDir: folder,
  // Not src/keystart.mjs itself: for its export esbuild adds a helper that also reads inherited
  // members, and fails to load if a package has put one on Object.prototype.
  stdin: { contents: "import keystart from './src/keystart.mjs';\nmodule.exports = keystart;", resolveDir: folder },
  banner: { js: '"use strict";' },
  bundle: true,
  format: 'cjs',
  logOverride: { 'commonjs-variable-in-esm': 'silent' },
  platform: 'node',
  target: 'node20',
  logLevel: 'warning',
  write: false,
});
put('index.js', outputFiles[0].text);

// index.mjs is for bundlers, which follow its import. Node itself takes the other file, because
// before it imports a file that is not an ES module it loads a lexer that looks for its exports.
const names = Object.keys(keystart).map((name) => `  ${name},\n`);
const given = `
export default keystart;
export const {
${names.join('')}} = keystart;
`;
const why = `// The import side. It holds nothing of its own, so that import and require share one default client and one set of
// error classes.
`;
put('index.mjs', `${why}import keystart from './index.js';\n${given}`);
put(
  'index.node.mjs',
  `${why}import { createRequire } from 'node:module';\nconst keystart = createRequire(import.meta.url)('./index.js');\n${given}`,
);

/**
 * Puts a file into dist/ whole or not at all, because tests may load it meanwhile.
 * @param {string} name
 * @param {string} text
 */
function put(name, text) {
  mkdirSync(`${folder}dist`, { recursive: true });
  writeFileSync(`${folder}dist/.${name}.${process.pid}`, text);
  renameSync(`${folder}dist/.${name}.${process.pid}`, `${folder}dist/${name}`);
}
