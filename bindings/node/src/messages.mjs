// Returns the messages of all errors. The build replaces this file by one that loads dist/errors.js with the first error.
import { errors as loaded } from './errors.mjs';

function errors() {
  return loaded;
}

export { errors };
