// Says whether an error means that a server refused a login (contract §12). It knows drivers by what their errors
// carry, and loads none. It reads members that are data and never calls a getter, which might do anything.

const DEPTH = 8; // limits.toml: attempt.causes
const ERRORS = 64; // that one error may lead to; an AggregateError can hold many
const LETTERS = 4096; // of a message

/** @typedef {'rejected' | 'locked'} Verdict */
/**
 * What a server's refusals look like, whatever the driver. Words are sentences, with %s for what differs. They decide
 * for codes that also mean something else, and so do the server's routines.
 * @typedef {{ codes: Record<string, Verdict>, needWords: string[], routines: string[], words: Partial<Record<Verdict, string[]>> }} Server
 */
/**
 * Where errors of drivers carry what a server said: paths, of which the first with a value counts.
 * @typedef {{ server: string, code: string[], routine: string[], words: string[] }} Driver
 */

/**
 * Returns 'rejected' or 'locked' if the error, or one of its causes, is a login that a server refused; else null.
 * @param {unknown} error
 * @returns {Verdict | null}
 */
function classify(error) {
  const verdicts = new Set();
  try {
    for (const each of withCauses(error)) verdicts.add(verdictOf(each));
  } catch {
    return null; // a proxy may throw whatever it likes: nothing is known then
  }
  return verdicts.has('locked') ? 'locked' : verdicts.has('rejected') ? 'rejected' : null;
}

/**
 * Returns the error and its causes that are objects; none if a proxy among them throws.
 * @param {unknown} error
 */
function causes(error) {
  try {
    return [...withCauses(error)];
  } catch {
    return [];
  }
}

/**
 * Yields the error, then its causes, level by level.
 * @param {unknown} error
 */
function* withCauses(error) {
  const seen = new Set();
  let level = [error];
  for (let depth = 0; depth <= DEPTH; depth += 1) {
    const below = [];
    for (const each of level) {
      if (typeof each !== 'object' || each === null || seen.has(each) || seen.size === ERRORS)
        continue;
      seen.add(each);
      yield each;
      for (const key of FOLLOWED) {
        const value = member(each, key);
        below.push(...(Array.isArray(value) ? value.slice(0, ERRORS) : [value]));
      }
    }
    level = below;
  }
}

/**
 * @param {object} error
 * @returns {Verdict | null}
 */
function verdictOf(error) {
  for (const driver of DRIVERS) {
    const server = SERVERS[driver.server];
    const code = first(error, driver.code);
    if (code !== null && Object.hasOwn(server.codes, code)) return server.codes[code];
    // A code of this server, or none: another number means another error.
    if (code !== null && !server.needWords.includes(code)) continue;
    if (code !== null && server.routines.includes(first(error, driver.routine) ?? ''))
      return 'rejected';
    const text = first(error, driver.words);
    const found =
      text !== null && sentences(driver.server).find(([, pattern]) => pattern.test(text));
    if (found) return found[0];
  }
  return null;
}

/**
 * Returns the first text or number that is at one of the paths, as text.
 * @param {object} error
 * @param {string[]} paths
 */
function first(error, paths) {
  for (const path of paths) {
    const value = path.split('.').reduce(member, /** @type {unknown} */ (error));
    if (typeof value === 'string') return value.slice(0, LETTERS);
    if (typeof value === 'number') return String(value);
  }
  return null;
}

/**
 * Returns a member that is data, inherited or not.
 * @param {unknown} value
 * @param {string} key
 */
function member(value, key) {
  if (typeof value !== 'object' || value === null) return undefined;
  // The status of fetch's Response is a getter that only returns it.
  if (key === 'status' && typeof Response === 'function' && value instanceof Response)
    return value.status;
  for (let holder = value; holder !== null; holder = Object.getPrototypeOf(holder)) {
    const found = Object.getOwnPropertyDescriptor(holder, key);
    if (found) return found.value;
  }
  return undefined;
}

/** @type {Map<string, [Verdict, RegExp][]>} */
const compiled = new Map();

/**
 * Returns the sentences of a server as one pattern for each verdict. They fill a line, or its end after a colon.
 * @param {string} server
 * @returns {[Verdict, RegExp][]}
 */
function sentences(server) {
  let patterns = compiled.get(server);
  if (!patterns) {
    patterns = Object.entries(SERVERS[server].words).map(([verdict, texts]) => [
      /** @type {Verdict} */ (verdict),
      new RegExp(`(?:^|:  )(?:${texts.map(escape).join('|')})$`, 'm'),
    ]);
    compiled.set(server, patterns);
  }
  return patterns;
}

/** @param {string} text */
function escape(text) {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&').replaceAll('%s', '.*');
}

// generated from contract/rejections.json: rules
// prettier-ignore
/** @type {Record<string, Server>} */
const SERVERS = {
  postgresql: {
    codes: { '28P01': 'rejected' },
    needWords: ['28000', '08P01'],
    routines: ['InitializeSessionUserId'],
    words: {
      rejected: [
        'password authentication failed for user "%s"',
        'role "%s" does not exist',
        'role "%s" is not permitted to log in',
        'LDAP authentication failed for user "%s"',
        'PAM authentication failed for user "%s"',
        'RADIUS authentication failed for user "%s"',
        'BSD authentication failed for user "%s"',
        'The password that was provided for the role %s is wrong.',
        'This RDS proxy has no credentials for the role %s. Check the credentials for this role and try again.',
        'SASL authentication failed',
        'password authentication failed',
      ],
    },
  },
  mysql: {
    codes: { '1045': 'rejected', '1698': 'rejected', '3118': 'locked', '3955': 'locked', '4150': 'locked', '4151': 'locked' },
    needWords: [],
    routines: [],
    words: {},
  },
  redis: {
    codes: {},
    needWords: [],
    routines: [],
    words: {
      rejected: [
        'WRONGPASS %s',
        'invalid username-password pair or user is disabled.%s',
        'ERR invalid password',
        'invalid password',
      ],
    },
  },
  oracle: {
    codes: { '1017': 'rejected', 'ORA-01017': 'rejected', '28000': 'locked', 'ORA-28000': 'locked' },
    needWords: [],
    routines: [],
    words: {},
  },
  sqlserver: {
    codes: { '18456': 'rejected', '18486': 'locked' },
    needWords: ['ELOGIN', '28000'],
    routines: [],
    words: {
      locked: [
        '%sLogin failed for user \'%s\' because the account is currently locked out.%s',
      ],
      rejected: [
        '%sLogin failed for user \'%s\'.%s',
      ],
    },
  },
  mongodb: {
    codes: { '18': 'rejected', 'AuthenticationFailed': 'rejected' },
    needWords: ['8000', 'AtlasError'],
    routines: [],
    words: {
      rejected: [
        'bad auth : Authentication failed%s',
        'bad auth : authentication failed%s',
        'bad auth Authentication failed%s',
        'User %s is not authorized to access %s: bad auth : Authentication failed%s',
        'User %s is not authorized to access %s: bad auth : authentication failed%s',
        'User %s is not authorized to access %s: Authentication failed. (18: AuthenticationFailed)%s',
        'Authentication failed.',
      ],
    },
  },
  prisma: {
    codes: { 'P1000': 'rejected' },
    needWords: [],
    routines: [],
    words: {},
  },
  amqp: {
    codes: {},
    needWords: [],
    routines: [],
    words: {
      rejected: [
        '%sACCESS_REFUSED - Login was refused %s',
      ],
    },
  },
  http: {
    codes: { '401': 'rejected' },
    needWords: [],
    routines: [],
    words: {},
  },
};
// prettier-ignore
/** @type {Driver[]} */
const DRIVERS = [
  // pg, postgres
  { server: 'postgresql', code: ['code'], routine: ['routine'], words: ['message'] },
  // mysql2, mariadb, mysql
  { server: 'mysql', code: ['errno'], routine: [], words: [] },
  // ioredis, redis
  { server: 'redis', code: [], routine: [], words: ['message'] },
  // oracledb
  { server: 'oracle', code: ['errorNum'], routine: [], words: [] },
  // tedious, mssql
  { server: 'sqlserver', code: ['code'], routine: [], words: ['message'] },
  // mongodb, mongoose
  { server: 'mongodb', code: ['codeName'], routine: [], words: ['message'] },
  // Prisma
  { server: 'prisma', code: ['errorCode', 'code'], routine: [], words: [] },
  // amqplib
  { server: 'amqp', code: [], routine: [], words: ['message'] },
  // axios, got, fetch
  { server: 'http', code: ['response.status', 'response.statusCode', 'status', 'statusCode'], routine: [], words: [] },
];
const FOLLOWED = ['cause', 'errors', 'originalError', 'original', 'driverError'];
// end of generated

export { causes, classify };
