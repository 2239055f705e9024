// Writes dist/, which the package ships: the sources in four files, each in one scope. Each further
// file that Node finds, opens and compiles makes a cold start longer, and so does a function around
// each module, which V8 parses twice. A cold start needs only index.js, which reads values of a
// sound store. reader.js reads by all steps, errors.js has the messages, and on-demand.js has what
// only some callers need. The build does not minify them, because Node prints the line that threw. It
// removes JSDoc, which V8 would scan.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import keystart from './src/client.mjs';

const JSDOC = /^ *\/\*\*(?:(?!\*\/)[^])*\*\/\n/gm;
const folder = fileURLToPath(new URL('.', import.meta.url));

// Not src/client.mjs itself: for its export esbuild adds a helper that also reads inherited
// members, and fails to load if a package has put one on Object.prototype.
const index = "import keystart from './src/client.mjs';\nmodule.exports = keystart;";
const load = `
  import { classes } from './classes.mjs';
  import { clearTimeout, setImmediate, setTimeout } from './timers.mjs';
  const shared = { classes, errors, onDemand, timers: { clearTimeout, setImmediate, setTimeout } };
  let all, others, whole;
  export function errors() {
    return (all ??= require('./errors.js')(shared));
  }
  export function onDemand() {
    return (others ??= require('./on-demand.js')(shared));
  }
  export function reader() {
    return (whole ??= require('./reader.js')(shared));
  }`;
const loaders = {
  'load.mjs': load,
  'load-reader.mjs': "export { reader } from './load.mjs';",
  'messages.mjs': "export { errors } from './load.mjs';",
};
put('index.js', await bundle(index, loaders));

// The other files are functions of what index.js has, because all must throw the same classes, and a require
// of index.js can return another instance: Jest forgets modules.
const shared = {
  'classes.mjs': 'export const { classes } = shared;',
  'load.mjs': 'export const { onDemand } = shared;',
  'messages.mjs': 'export const { errors } = shared;',
  'timers.mjs': 'export const { clearTimeout, setImmediate, setTimeout } = shared.timers;',
};
for (const [file, module, name] of [
  ['errors.js', 'errors.mjs', 'errors'],
  ['reader.js', 'reader.mjs', 'reader'],
  ['on-demand.js', 'on-demand.mjs', 'onDemand'],
]) {
  const contents = `import { ${name} } from './src/${module}';\nreturned = ${name};`;
  const around = ['module.exports = (shared) => {\nlet returned;', 'return returned;\n};'];
  put(file, await bundle(contents, shared, around));
}

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
    external: ['./errors.js', './on-demand.js', './reader.js'],
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
