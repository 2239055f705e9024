// A request to fetch now, and what it changed (contract 7.3).
import { util } from './node.mjs';
import { classes } from './classes.mjs';
import { SOCKET, askToRefresh, isListening } from './control.mjs';
import { errors } from './messages.mjs';
import { failureLines } from './failures.mjs';
import { Patience } from './patience.mjs';

/** @typedef {import('./interfaces.mjs').Manifest} Manifest */

/**
 * Asks the writer to fetch now, and returns the names that changed.
 * @param {import('./interfaces.mjs').Store} store
 * @param {string[]} names checked
 */
async function refresh(store, names) {
  const { root, timeoutMs } = store;
  const patience = new Patience(timeoutMs);
  patience.left(); // starts its clock
  const before = store.knownManifest();
  const answer = isListening(root)
    ? await askToRefresh(`${root}/${SOCKET}`, names, patience)
    : null;
  if (answer === null) throw errors().refreshUnavailable(root);
  const changed = () =>
    store.read((generation) => changes(before, generation.manifest, names), patience);
  if (answer === 'late') {
    // the writer may have published before the answer was lost, as in a freeze
    const found = orNone(changed);
    if (found.length === 0) throw errors().refreshTimedOut(timeoutMs);
    return found;
  }
  if (typeof answer === 'string') throw errors().storeUnreadable(root, answer, SOCKET);
  if (!answer.ok) throw errors().refreshRefused(answer.error.code, answer.error.message);
  const failures = failureLines(answer.failures);
  if (failures !== '') throw errors().refreshFailed(failures);
  return changed();
}

/** @param {() => string[]} changed */
function orNone(changed) {
  try {
    return changed();
  } catch (error) {
    if (error instanceof classes.KeystartError) return [];
    throw error;
  }
}

/**
 * Returns the names whose entries differ between two manifests, among the requested ones (contract 7.3).
 * @param {Manifest | null} before null if each name is new
 * @param {Manifest} after
 * @param {string[]} asked secrets and folders; none: all
 */
function changes(before, after, asked) {
  const isAsked = (/** @type {string} */ name) =>
    asked.length === 0 || asked.some((one) => name === one || name.startsWith(`${one}/`));
  const facts = (/** @type {import('./interfaces.mjs').Entry | undefined} */ entry) =>
    entry && [entry.size, entry.encoding, entry.fetched_at, entry.refresh_after, entry.source];
  const names = [...new Set([...(before?.secrets.keys() ?? []), ...after.secrets.keys()])];
  return names
    .filter(isAsked)
    .filter(
      (name) =>
        !util().isDeepStrictEqual(facts(before?.secrets.get(name)), facts(after.secrets.get(name))),
    )
    .sort(); // names are ASCII, so this is the order of their bytes
}

export { refresh };
