// Compiled, never run: the written types and the source have the same members.
import source from '../../src/client.mjs';
import written from '../../src/testing.js';

/** @typedef {typeof import('../../types/api.js')} Written */

/** @type {Written} */
const no_more = source;

/** @type {Record<Exclude<keyof typeof source, keyof Written>, never>} */
const no_less = {};

/** @type {typeof import('../../types/testing.js')} */
const testing = written;

export { no_more, no_less, testing };
