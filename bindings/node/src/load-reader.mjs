// Returns the reader that follows all steps. The build replaces this file by one that loads dist/reader.js at the first call.
import { reader as loaded } from './reader.mjs';

function reader() {
  return loaded;
}

export { reader };
