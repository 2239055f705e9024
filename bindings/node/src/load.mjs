// Returns what only some callers need. The build replaces this file by one that loads dist/on-demand.js at the first call.
import { onDemand as loaded } from './on-demand.mjs';

function onDemand() {
  return loaded;
}

export { onDemand };
