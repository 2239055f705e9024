// What an editor shows for each public name: a description. The test asks TypeScript, as editors do.
'use strict';

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');
const ts = require('typescript');

for (const [file, least] of /** @type {const} */ ([
  ['api.d.ts', 60],
  ['errors.d.ts', 20],
  ['testing.d.ts', 8],
])) {
  test(`every name of ${file} is described, and so is every member`, () => {
    const types = path.join(__dirname, '../types', file);
    const program = ts.createProgram([types], { noLib: true, types: [] });
    const checker = program.getTypeChecker();
    const source = program.getSourceFile(types);
    assert(source);
    const module = checker.getSymbolAtLocation(source);
    assert(module);
    const exported = checker.getExportsOfModule(module);
    const named = exported.flatMap((symbol) => [symbol, ...members(checker, symbol)]);
    const own = named.filter((symbol) =>
      symbol.declarations?.every((one) => one.getSourceFile() === source),
    );
    assert(own.length >= least, `${own.length} names`);
    const bare = own.filter((symbol) => symbol.getDocumentationComment(checker).length === 0);
    assert.deepEqual(
      bare.map((symbol) => checker.getFullyQualifiedName(symbol).replace(/^".*"\./, '')),
      [],
    );
  });
}

/**
 * @param {ts.TypeChecker} checker
 * @param {ts.Symbol} symbol
 */
function members(checker, symbol) {
  return checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(symbol));
}
