// JSON by contract 6.4, which is stricter than JSON.parse. It does not say why it refuses a text: a
// reason would quote the text, and the text may be a secret.
const MAX_DEPTH = 64; // limits.toml: json.depth
const NUMERIC = '0123456789.eE+-';

/**
 * Returns the value, or undefined (which no JSON text means) if the text is not JSON.
 * @param {string} text
 * @returns {unknown}
 */
function parseJson(text) {
  if (!keepsLimits(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Checks what JSON.parse does not: depth, finite numbers, lone surrogates. It looks at the text and
 * not at the value, because a member that a later one replaces must be within the limits too.
 * @param {string} text
 */
function keepsLimits(text) {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '"') {
      at = endOfString(text, at);
      if (at < 0) return false;
    } else if (char === '[' || char === '{') {
      depth += 1;
      if (depth > MAX_DEPTH) return false;
    } else if (char === ']' || char === '}') {
      depth -= 1;
    } else if (char >= '0' && char <= '9') {
      const start = at;
      while (at + 1 < text.length && NUMERIC.includes(text[at + 1])) at += 1;
      if (!Number.isFinite(Number.parseFloat(text.slice(start, at + 1)))) return false;
    }
  }
  return true;
}

/**
 * Returns where the string that begins at `start` ends, or -1 if it holds a lone surrogate. Only
 * escapes can make one, because the bytes were valid UTF-8.
 * @param {string} text
 * @param {number} start
 */
function endOfString(text, start) {
  const quote = text.indexOf('"', start + 1);
  if (quote > 0 && !text.slice(start, quote).includes('\\')) return quote; // the common case, found without a loop
  let at = start + 1;
  while (at < text.length && text[at] !== '"') {
    if (text[at] !== '\\') {
      at += 1;
    } else if (text[at + 1] !== 'u') {
      at += 2;
    } else if (isLow(escaped(text, at))) {
      return -1;
    } else if (isHigh(escaped(text, at))) {
      if (!isLow(escaped(text, at + 6))) return -1;
      at += 12;
    } else {
      at += 6;
    }
  }
  return at;
}

/**
 * Returns the code unit of the `\uXXXX` at this position, or NaN.
 * @param {string} text
 * @param {number} at
 */
function escaped(text, at) {
  return text.startsWith('\\u', at) ? Number.parseInt(text.slice(at + 2, at + 6), 16) : NaN;
}

/** @param {number} unit */
function isHigh(unit) {
  return unit >= 0xd800 && unit <= 0xdbff;
}

/** @param {number} unit */
function isLow(unit) {
  return unit >= 0xdc00 && unit <= 0xdfff;
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Returns a member of the document itself, never one from Object.prototype.
 * @param {Record<string, unknown>} object
 * @param {string} name
 */
function member(object, name) {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

export { parseJson, isObject, member };
