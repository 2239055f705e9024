// Lets `import` use NODE_PATH, as Lambda's managed runtimes for Node do. AWS's client from npm
// leaves it to node.
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { register } from 'node:module';

const folders = (process.env.NODE_PATH ?? '').split(delimiter).filter(Boolean);

export async function resolve(specifier, context, next) {
  try {
    return await next(specifier, context);
  } catch (error) {
    for (const folder of folders) {
      // As if a file next to the folder node_modules had asked.
      const parentURL = pathToFileURL(join(folder, '..', 'any.mjs')).href;
      try {
        return await next(specifier, { ...context, parentURL });
      } catch {
        // the next folder; if none has it, the first error is the one to report
      }
    }
    throw error;
  }
}

if (!new URL(import.meta.url).searchParams.has('hooks')) register(`${import.meta.url}?hooks`);
