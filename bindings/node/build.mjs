// Writes dist/, which is what the package gives: the sources as one file, because each file that Node finds, opens and
// compiles makes a cold start longer. It is not minified: Node prints the line that threw.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const folder = fileURLToPath(new URL('.', import.meta.url));

const { outputFiles } = await build({
  absWorkingDir: folder,
  entryPoints: ['src/index.js'],
  bundle: true,
  platform: 'node',
  target: 'node20',
  logLevel: 'warning',
  write: false,
});
put('index.js', outputFiles[0].text);

// index.mjs is for bundlers, which follow its import. Node itself takes the other one, because before it imports a
// file that is no ES module it loads a lexer that looks for what that exports.
const forBundlers = readFileSync(`${folder}src/index.mjs`, 'utf8');
const followed = "import keystart from './index.js';\n";
const direct =
  "import { createRequire } from 'node:module';\nconst keystart = createRequire(import.meta.url)('./index.js');\n";
if (!forBundlers.includes(followed)) throw new Error(`src/index.mjs does not hold this line: ${followed}`);
put('index.mjs', forBundlers);
put('index.node.mjs', forBundlers.replace(followed, direct));

/**
 * Puts a file into dist/ whole or not at all: tests that run meanwhile load it.
 * @param {string} name
 * @param {string} text
 */
function put(name, text) {
  mkdirSync(`${folder}dist`, { recursive: true });
  writeFileSync(`${folder}dist/.${name}.${process.pid}`, text);
  renameSync(`${folder}dist/.${name}.${process.pid}`, `${folder}dist/${name}`);
}
