// Times by contract 4.3, and the age of values (11.7).
const MARGIN_MS = 60_000; // limits.toml: stale.margin_ms
const TIME = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$/;

/**
 * Returns a time in milliseconds since 1970; NaN for anything else.
 * @param {unknown} text
 */
function parseTime(text) {
  const time =
    typeof text === 'string' && TIME.test(text) && !text.startsWith('0000')
      ? Date.parse(text)
      : NaN;
  // Date reads 30 February as 2 March, and 24:00 as the next day
  return Number.isNaN(time) || new Date(time).toISOString() !== text ? NaN : time;
}

/**
 * Returns whether a value that can be used until then may be returned now. A time too far ahead is over.
 * @param {number} until in milliseconds since 1970
 * @param {number} maxStale in seconds
 */
function isUsable(until, maxStale) {
  const now = Date.now();
  return now < until && until <= now + maxStale * 1000 + MARGIN_MS;
}

export { isUsable, parseTime };
