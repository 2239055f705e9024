// Writes dist/, which the package ships: the sources in three files, each in one scope. Each further file
// that Node finds, opens and compiles makes a cold start longer, and so does a function around
// each, which V8 parses twice. So a cold start needs index.js alone: what reads a secret of a sound store. errors.js
// has the messages, and on-demand.js what only some callers need. They are not minified, because Node prints the line
// that threw. They hold no JSDoc, which V8 would scan.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { classes } from './src/classes.mjs';
import keystart from './src/client.mjs';

const JSDOC = /^ *\/\*\*(?:(?!\*\/)[^])*\*\/\n/gm;
const folder = fileURLToPath(new URL('.', import.meta.url));

// Not src/client.mjs itself: for its export esbuild adds a helper that also reads inherited
// members, and fails to load if a package has put one on Object.prototype.
const index = "import keystart from './src/client.mjs';\nmodule.exports = keystart;";
const load = `
  import { classes } from './classes.mjs';
  import { errors } from './messages.mjs';
  import { clearTimeout, setImmediate, setTimeout } from './timers.mjs';
  let loaded;
  export function onDemand() {
    return (loaded ??= require('./on-demand.js')(classes, errors, { clearTimeout, setImmediate, setTimeout }));
  }`;
const messages = `
  import { classes } from './classes.mjs';
  let loaded;
  export function errors() {
    return (loaded ??= require('./errors.js')(classes));
  }`;
put('index.js', await bundle(index, { 'load.mjs': load, 'messages.mjs': messages }));

// Functions, because all files must throw the same classes, and a require of index.js can return another
// instance: Jest forgets modules.
const ofClasses = `export const { ${Object.keys(classes).join(', ')} } = keystartClasses;
export const classes = keystartClasses;`;
put(
  'errors.js',
  await bundle(
    "import { errors } from './src/errors.mjs';\nreturned.errors = errors;",
    { 'classes.mjs': ofClasses },
    [
      'module.exports = (keystartClasses) => {\nconst returned = {};',
      'return returned.errors;\n};',
    ],
  ),
);
put(
  'on-demand.js',
  await bundle(
    "import { onDemand } from './src/on-demand.mjs';\nreturned.onDemand = onDemand;",
    {
      'classes.mjs': ofClasses,
      'messages.mjs': 'export const errors = keystartErrors;',
      'timers.mjs': 'export const { clearTimeout, setImmediate, setTimeout } = keystartTimers;',
    },
    [
      'module.exports = (keystartClasses, keystartErrors, keystartTimers) => {\nconst returned = {};',
      'return returned.onDemand;\n};',
    ],
  ),
);

// index.mjs is for bundlers, which follow its import. Node itself takes the other file, because
// before it imports a file that is not an ES module it loads a lexer that looks for its exports.
const names = Object.keys(keystart).map((name) => `  ${name},\n`);
const exported = `
export default keystart;
export const {
${names.join('')}} = keystart;
`;
const why = `// The import side. It holds nothing of its own, so that import and require share one default client and one set of
// error classes.
`;
put('index.mjs', `${why}import keystart from './index.js';\n${exported}`);
put(
  'index.node.mjs',
  `${why}import { createRequire } from 'node:module';\nconst keystart = createRequire(import.meta.url)('./index.js');\n${exported}`,
);

/**
 * Returns a bundle in which modules of src/ have other contents.
 * @param {string} contents
 * @param {Record<string, string>} replaced by file
 * @param {string[]} around
 */
async function bundle(contents, replaced, [before, after] = ['', '']) {
  /** @type {import('esbuild').Plugin} */
  const plugin = {
    name: 'replace',
    setup({ onLoad }) {
      for (const [file, text] of Object.entries(replaced)) {
        const filter = new RegExp(`/src/${file.replace('.', '\\.')}$`);
        onLoad({ filter }, () => ({ contents: text, resolveDir: `${folder}src` }));
      }
      onLoad({ filter: /\.mjs$/ }, ({ path }) => ({
        contents: readFileSync(path, 'utf8').replace(JSDOC, ''),
      }));
    },
  };
  const { outputFiles } = await build({
    absWorkingDir: folder,
    stdin: { contents, resolveDir: folder },
    plugins: [plugin],
    external: ['./errors.js', './on-demand.js'],
    banner: { js: `"use strict";\n${before}` },
    footer: { js: after },
    bundle: true,
    format: 'cjs',
    logOverride: { 'commonjs-variable-in-esm': 'silent' },
    platform: 'node',
    target: 'node20',
    logLevel: 'warning',
    write: false,
  });
  return outputFiles[0].text;
}

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
