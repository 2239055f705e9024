// Compiled, never run: the written types say what the source gives, no more and no less.
'use strict';

const source = require('../../src/index.js');

/** @typedef {typeof import('../../types/api.js')} Written */

/** @type {Written} */
const no_more = source;

/** @type {Record<Exclude<keyof typeof source, keyof Written>, never>} */
const no_less = {};

/** @type {typeof import('../../types/testing.js')} */
const testing = require('../../src/testing.js');

module.exports = { no_more, no_less, testing };
