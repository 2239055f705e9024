// Opens connections to a server in the way that MODE says, and holds the newest ones.
import keystart from 'keystart';

const { SERVER_HOST: host, SERVER_PORT: port, SERVER_DATABASE: database } = process.env;

const connectTo = {
  // A login over HTTP, which leaves no connection open.
  http: async (user, password) => {
    const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
    const response = await fetch(`http://${host}:${port}/${database}`, {
      headers: { authorization },
    });
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`HTTP ${response.status}`, { cause: response });
    return { query: async () => {}, end: async () => {} };
  },
  postgresql: async (user, password) => {
    const { default: pg } = await import('pg');
    const client = new pg.Client({ host, port: Number(port), database, user, password });
    try {
      await client.connect();
      return client;
    } catch (error) {
      await client.end();
      throw error;
    }
  },
}[process.env.SERVER_SCHEME];
const outcomeOf = (error) =>
  error.code === '28P01' || error.cause?.status === 401 ? 'refused' : error.name;
const how = {
  attempt: (logIn) => keystart.attempt('db', logIn),
  refresh: async (logIn) => {
    try {
      return await logIn(keystart.snapshot());
    } catch (error) {
      if (outcomeOf(error) !== 'refused') throw error;
      await keystart.refresh('db');
      return logIn(keystart.snapshot());
    }
  },
  get: (logIn) => logIn(keystart.snapshot()),
}[process.env.MODE];
const held = [];

const now = () => Date.now() / 1000;

function versionOf(secrets) {
  const { version_stages: stages, version_id: id } = secrets.info('db/password').source;
  return `${stages.join(' ')} ${id}`;
}

async function openOne() {
  const logins = [];

  async function logIn(secrets) {
    const [user, password] = [secrets.get('db/username'), secrets.get('db/password')];
    const began = now();
    let outcome = 'accepted';
    try {
      return await connectTo(user, password);
    } catch (error) {
      outcome = outcomeOf(error);
      throw error;
    } finally {
      logins.push([began, now(), outcome, versionOf(secrets)]);
    }
  }

  const began = now();
  let error = null;
  try {
    held.push(await how(logIn));
  } catch (problem) {
    error = `${problem.name}: ${problem.message}`;
  }
  return { began, ended: now(), logins, error };
}

export async function handler(event) {
  for (const client of held) await client.query('SELECT 1');
  const calls = await Promise.all(Array.from({ length: event.open }, openOne));
  while (held.length > event.hold) await held.shift().end();
  return { calls };
}
