// Opens connections to PostgreSQL in the way that MODE says, and holds the newest ones.
import keystart from "keystart";
import pg from "pg";

const server = {
  host: process.env.SERVER_HOST,
  port: Number(process.env.SERVER_PORT),
  database: process.env.SERVER_DATABASE,
};
const how = {
  attempt: (logIn) => keystart.attempt("db", logIn),
  refresh: async (logIn) => {
    try {
      return await logIn(keystart.snapshot());
    } catch {
      await keystart.refresh("db");
      return logIn(keystart.snapshot());
    }
  },
  get: (logIn) => logIn(keystart.snapshot()),
}[process.env.MODE];
const held = [];

const now = () => Date.now() / 1000;

async function openOne() {
  const logins = [];

  async function logIn(secrets) {
    const client = new pg.Client({ ...server, user: secrets.get("db/username"), password: secrets.get("db/password") });
    const began = now();
    try {
      await client.connect();
      logins.push([began, now(), "accepted"]);
      return client;
    } catch (error) {
      logins.push([began, now(), error.code === "28P01" ? "refused" : error.name]);
      await client.end();
      throw error;
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
  for (const client of held) await client.query("SELECT 1");
  const calls = await Promise.all(Array.from({ length: event.open }, openOne));
  while (held.length > event.hold) await held.shift().end();
  return { calls };
}
