// Times by contract 4.3.
const TIME = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$/;

/**
 * Returns a time in milliseconds since 1970; NaN for anything else.
 * @param {unknown} text
 */
function parseTime(text) {
  const time = typeof text === 'string' && TIME.test(text) && !text.startsWith('0000') ? Date.parse(text) : NaN;
  // Date reads 30 February as 2 March, and 24:00 as the next day
  return Number.isNaN(time) || new Date(time).toISOString() !== text ? NaN : time;
}

export { parseTime };
