// Logs in with drivers for Node as standard input says, and prints the errors as data with their verdicts.
// Input and output are JSON: a list of { driver, login }, and a list of errors, null where a login succeeded.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { classify } from '../../../bindings/node/src/rejections.mjs';

// The drivers are installed in the folder that the caller works in.
const require = createRequire(`${process.cwd()}/`);

const sql = ({ host, port, user, password, database }) => ({
  host,
  port,
  user,
  password: password ?? undefined,
  database,
});
const redis = ({ user, password }) => ({
  username: user ?? undefined,
  password: password ?? undefined,
});

/** Sends a query, and closes what sent it. */
const send = async (client, login) => {
  try {
    await client.query(login.query ?? 'SELECT 1');
  } finally {
    await client.end();
  }
};

/** What connects, and the package whose version counts. */
const drivers = {
  pg: [
    'pg',
    async (login) => {
      const client = new (require('pg').Client)(sql(login));
      client.on('error', () => {}); // the server ends a connection that it refused
      try {
        await client.connect();
        await client.query(login.query ?? 'SELECT 1');
      } finally {
        await client.end();
      }
    },
  ],
  'pg, Pool': ['pg', async (login) => send(new (require('pg').Pool)(sql(login)), login)],
  postgres: [
    'postgres',
    async (login) => {
      const connection = require('postgres')({ ...sql(login), max: 1 });
      try {
        await connection.unsafe(login.query ?? 'SELECT 1');
      } finally {
        await connection.end();
      }
    },
  ],
  mysql2: [
    'mysql2',
    async (login) => send(await require('mysql2/promise').createConnection(sql(login)), login),
  ],
  'mysql2, Pool': [
    'mysql2',
    async (login) => send(require('mysql2/promise').createPool(sql(login)), login),
  ],
  mariadb: [
    'mariadb',
    async (login) => send(await require('mariadb').createConnection(sql(login)), login),
  ],
  'mariadb, pool': [
    'mariadb',
    async (login) =>
      send(
        require('mariadb').createPool({
          ...sql(login),
          acquireTimeout: 600,
          initializationTimeout: 300,
        }),
        login,
      ),
  ],
  ioredis: ['ioredis', (login) => ioredis(login)],
  'ioredis, its event': ['ioredis', (login) => ioredis(login, true)],
  redis: [
    'redis',
    async (login) => {
      const { createClient } = require('redis');
      const socket = { host: login.host, port: login.port, reconnectStrategy: false };
      const client = createClient({ socket, ...redis(login) });
      client.on('error', () => {}); // connect() rejects with it
      try {
        await client.connect();
        await client.sendCommand((login.query ?? 'PING').split(' '));
      } finally {
        client.destroy();
      }
    },
  ],
  axios: ['axios', (login) => require('axios').get(login.url)],
  got: [
    'got',
    async (login) => {
      const { got } = await import(require.resolve('got'));
      await got(login.url, { retry: { limit: 0 } });
    },
  ],
  fetch: [
    '',
    async (login) => {
      const response = await fetch(login.url);
      if (!response.ok) throw new Error(`HTTP ${response.status}`, { cause: response });
    },
  ],
  amqplib: [
    'amqplib',
    async ({ host, port, user, password }) => {
      const connection = await require('amqplib').connect({
        hostname: host,
        port,
        username: user,
        password: password ?? '',
      });
      await connection.close();
    },
  ],
  mongodb: [
    'mongodb',
    ({ code, codeName, message }) => {
      throw new (require('mongodb').MongoServerError)({ code, codeName, message, errmsg: message });
    },
  ],
  mongoose: [
    'mongoose',
    ({ code, codeName, message }) => {
      const { mongo, Error: errors } = require('mongoose');
      const refused = new mongo.MongoServerError({ code, codeName, message, errmsg: message });
      // The driver describes a server so after the login of a connection in its pool was refused.
      class TopologyDescription {
        servers = new Map([
          ['db.example:27017', { host: 'db.example', port: 27017, error: refused }],
        ]);

        get error() {
          return refused;
        }
      }
      const selection = new mongo.MongoServerSelectionError(message, new TopologyDescription());
      throw new errors.MongooseServerSelectionError().assimilateError(selection);
    },
  ],
  Prisma: [
    '@prisma/client',
    ({ code, message }) => {
      const { PrismaClientInitializationError } = require('@prisma/client/runtime/client');
      throw new PrismaClientInitializationError(message, 'any', code);
    },
  ],
  'Prisma, its adapter': [
    '@prisma/client',
    ({ code, message }) => {
      const { PrismaClientKnownRequestError } = require('@prisma/client/runtime/client');
      throw new PrismaClientKnownRequestError(message, { code, clientVersion: 'any' });
    },
  ],
  tedious: [
    'tedious',
    ({ message }) => {
      const { ConnectionError } = require('tedious');
      throw new ConnectionError(message, 'ELOGIN');
    },
  ],
};

async function ioredis(login, event = false) {
  const Redis = require('ioredis');
  const options = { lazyConnect: true, retryStrategy: null, maxRetriesPerRequest: 0 };
  const client = new Redis({ host: login.host, port: login.port, ...redis(login), ...options });
  let emitted;
  client.on('error', (error) => (emitted ??= error));
  try {
    await client.connect();
    await client.call(...(login.query ?? 'PING').split(' '));
  } catch (error) {
    throw event ? (emitted ?? error) : error;
  } finally {
    client.disconnect();
  }
}

function isSimple(value) {
  return ['string', 'number', 'boolean'].includes(typeof value) || value === null;
}

/** Returns an error as data: its classes, simple members, whether its own or not, and causes. */
function described(error, depth = 0) {
  const classes = [];
  for (
    let of = Object.getPrototypeOf(error);
    of && of !== Object.prototype;
    of = Object.getPrototypeOf(of)
  ) {
    classes.push(of.constructor.name);
  }
  const members = {};
  for (const [key, { value }] of Object.entries(Object.getOwnPropertyDescriptors(error))) {
    if (key !== 'stack' && isSimple(value)) members[key] = value;
  }
  const found = { classes, members };
  if (error.response)
    found.response = { status: error.response.status, statusCode: error.response.statusCode };
  if (error instanceof Response) found.members = { status: error.status };
  if (depth < 3 && error.cause) found.cause = described(error.cause, depth + 1);
  if (depth < 3 && error.errors)
    found.errors = error.errors.map((each) => described(each, depth + 1));
  return found;
}

function versionOf(name) {
  if (name === '') return process.versions.node.split('.')[0];
  let folder = require.resolve.paths(name).map((each) => `${each}/${name}/package.json`);
  for (const file of folder) {
    try {
      return JSON.parse(readFileSync(file)).version;
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
    }
  }
  return null;
}

const results = [];
for (const { driver, login } of JSON.parse(readFileSync(0))) {
  const [name, connect] = drivers[driver];
  const version = versionOf(name);
  if (version === null) {
    results.push({ missing: name });
    continue;
  }
  try {
    await connect(login);
    results.push({ version, error: null, verdict: null });
  } catch (error) {
    results.push({ version, error: described(error), verdict: classify(error) });
  }
}
process.stdout.write(JSON.stringify(results), () => process.exit(0));
