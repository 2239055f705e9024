// Reads a changing store with the Node reader and judges every answer, as README.md describes. Each
// worker thread and child process has its own client.

import { spawn } from 'node:child_process';
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import keystart from '../../../bindings/node/src/client.mjs';

const { Keystart, KeystartError } = keystart;

const NAMES = ['json', 'text', 'tiny', 'tls/cert', 'tls/key'];

/** The reader returned an error, which was counted. */
class Refused extends Error {}

/** The server refuses a login. */
class ServerRefuses extends Error {}

/** A value is not what was published. */
class Wrong extends Error {}

/** Returns the generation that a value belongs to, as proof.py describes. */
function numberOf(value, run, name) {
  const end = value.indexOf(10);
  const parts = value.toString('latin1', 0, Math.max(end, 0)).split(' ');
  if (end < 0 || parts.length !== 5) throw new Wrong('its first line is damaged');
  if (parts[0] !== run) throw new Wrong('it is of another writer');
  if (parts[3] !== name) throw new Wrong(`it is the value of ${parts[3]}`);
  const length = Math.max(Number(parts[4]), end + 1);
  if (value.length !== length) throw new Wrong(`it has ${value.length} bytes, not ${length}`);
  const unit = `${parts[1]}:${parts[2]}:`;
  const filler = unit.repeat(value.length / unit.length + 1).slice(0, length - end - 1);
  if (value.toString('latin1', end + 1) !== filler)
    throw new Wrong('its bytes do not belong to its first line');
  return Number(parts[2]);
}

const isTooOld = (number) => number % 8 === 7;

const tinyOf = (number) => String.fromCharCode(33 + (number % 90)).repeat(1 + (number % 16));

function codeOf(error) {
  const word = ['stopped', 'removed', 'changes faster'].find((some) =>
    error.message.includes(some),
  );
  return error.code === 'not_ready' && word ? `${error.code}: ${word}` : error.code;
}

/** What one thread has seen. Numbers must never fall from one answer to the next. */
class Look {
  counts = {};
  errors = {};
  wrong = [];
  floor = 0;

  constructor(asked) {
    this.asked = asked;
    this.allowed = new Set(asked.allowed);
  }

  async goOn() {
    const { root, stop, fresh, asks, until_stopped: untilStopped } = this.asked;
    const client = new Keystart({ root });
    while (!existsSync(stop)) {
      if (!lstatSync(`${root}/current`, { throwIfNoEntry: false })) this.count('waits');
      this.askClient(fresh ? new Keystart({ root }) : client);
      this.askSnapshot(client);
      if (asks) await this.askWriter(client);
      if (untilStopped && this.errors['not_ready: stopped']) {
        this.seeStopped(client);
        break;
      }
    }
    return {
      counts: this.counts,
      errors: this.errors,
      wrong: this.wrong.slice(0, 5),
      wrongs: this.wrong.length,
    };
  }

  askClient(client) {
    this.judged(() => {
      this.seesFresh('text', Buffer.from(this.ask(() => client.get('text'))));
      const before = this.floor;
      const tiny = this.ask(() => client.get('tiny'));
      this.seesFresh(
        'tls/key',
        this.ask(() => client.getBytes('tls/key')),
      );
      let number = before;
      while (number <= this.floor && tiny !== tinyOf(number)) number += 1;
      if (number > this.floor) this.tell('tiny', 'it is of no generation between its neighbours');
      this.seesFresh('json', Buffer.from(this.ask(() => client.getJson('json')).proof));
      this.seesNumber('info', Number(this.ask(() => client.info('text')).source.id.split(' ')[0]));
      const lone = this.ask(() => client.names('at'));
      this.seesNumber('names', lone.length === 1 ? Number(lone[0].slice(3)) : -1);
      const secret = this.ask(() => client.secret('text'));
      const bytes = secret.revealBytes();
      this.sees('secret', bytes, 'text');
      const [at, size] = secret.info.source.id.split(' ').map(Number);
      if (at !== this.floor || size !== secret.info.size || size !== bytes.length) {
        this.tell('secret', 'its facts are of another generation');
      }
    });
  }

  askSnapshot(client) {
    this.judged(() => {
      const snapshot = this.ask(() => client.snapshot());
      this.count('snapshots');
      const number = Number(
        this.ask(() => snapshot.path('tls/cert'), ['snapshot_expired'])
          .split('/')
          .at(-4),
      );
      this.seesNumber('snapshot', number);
      const expired = ['snapshot_expired'];
      for (const name of ['tls/cert', 'tls/key', `at/${number}`]) {
        const value = this.ask(() => snapshot.getBytes(name), expired);
        const at = this.sees(`${name} of a snapshot`, value, name);
        if (at !== null && at !== number) this.tell(name, 'a snapshot mixes generations');
        if (name === 'tls/key') this.count('pairs');
      }
      if (this.ask(() => snapshot.get('tiny'), expired) !== tinyOf(number))
        this.tell('tiny', 'a snapshot mixes generations');
      if (String(snapshot.names()) !== String([...NAMES, `at/${number}`].sort())) {
        this.tell('names', 'a snapshot mixes generations');
      }
    });
  }

  /** Refreshes and logs in, with a refusal now and then. */
  async askWriter(client) {
    try {
      const changed = await this.answered(() => client.refresh());
      if (!NAMES.every((name) => changed.includes(name)))
        this.tell('refresh', 'it does not report all that changed');
      this.count('refreshes');
      const options = { rejected: ServerRefuses };
      const login = () => client.attempt('tls', (secrets) => this.logIn(secrets), options);
      await this.answered(login, ['snapshot_expired']);
      this.count('logins');
    } catch (error) {
      if (!(error instanceof Refused || error instanceof ServerRefuses)) throw error;
    }
  }

  /** Checks that the two values of a login belong together. */
  logIn(secrets) {
    const values = ['tls/cert', 'tls/key'].map((name) => [secrets.getBytes(name), name]);
    try {
      const [cert, key] = values.map(([value, name]) => numberOf(value, this.asked.run, name));
      if (cert !== key) this.tell('attempt', `a login mixes generations ${cert} and ${key}`);
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      this.tell('attempt', error.message);
    }
    this.count('runs');
    if (this.counts.runs % 3 === 0) throw new ServerRefuses();
  }

  /** After the store was stopped no read may return anything, not even a kept value. */
  seeStopped(client) {
    for (const reader of [client, new Keystart({ root: this.asked.root })]) {
      for (const question of [
        () => reader.get('text'),
        () => reader.getBytes('tls/key'),
        () => reader.snapshot(),
      ]) {
        try {
          question();
          this.tell('stopped', 'a value was given after the store was stopped');
        } catch (error) {
          if (!(error instanceof KeystartError)) throw error;
          this.count(codeOf(error), this.errors);
        }
      }
    }
  }

  /** Returns an answer. Counts errors, and reports those that are not allowed. */
  ask(question, allowed = []) {
    const stopped = this.asked.until_stopped && this.stateSaysStopped();
    this.count('reads');
    let answer;
    try {
      answer = question();
    } catch (error) {
      this.refused(error, allowed);
    }
    if (stopped && allowed.length === 0)
      this.tell('stopped', 'a value was given after the store was stopped');
    return answer;
  }

  /** Returns the answer of a promise, as `ask` does. */
  async answered(question, allowed = []) {
    this.count('reads');
    try {
      return await question();
    } catch (error) {
      return this.refused(error, allowed);
    }
  }

  refused(error, allowed) {
    if (!(error instanceof KeystartError)) throw error;
    const code = codeOf(error);
    this.count(code, this.errors);
    if (!this.allowed.has(code) && !allowed.includes(code)) this.tell(code, error.message);
    throw new Refused();
  }

  /** Judges a value that may be too old. */
  seesFresh(what, value) {
    const number = this.sees(what, value);
    if (this.asked.asks && number !== null && isTooOld(number)) this.tell(what, 'it is too old');
  }

  sees(what, value, name = what) {
    let number;
    try {
      number = numberOf(value, this.asked.run, name);
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      this.tell(what, error.message);
      return null;
    }
    this.seesNumber(what, number);
    return number;
  }

  seesNumber(what, number) {
    if (!(number >= this.floor)) this.tell(what, `${number} after ${this.floor}`);
    else if (number > this.floor) {
      this.floor = number;
      this.count('generations');
    }
  }

  judged(questions) {
    try {
      questions();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
    }
  }

  tell(what, how) {
    this.wrong.push(`${what}: ${how}`);
  }

  count(what, into = this.counts) {
    into[what] = (into[what] ?? 0) + 1;
  }

  stateSaysStopped() {
    try {
      return readFileSync(`${this.asked.root}/state.json`, 'utf8').includes('"stopped"');
    } catch (error) {
      if (error.code === 'ENOENT') return false;
      throw error;
    }
  }
}

function inThread(asked) {
  return new Promise((resolve, reject) => {
    new Worker(fileURLToPath(import.meta.url), { workerData: asked })
      .once('message', resolve)
      .once('error', reject);
  });
}

function inChild(asked) {
  return new Promise((resolve, reject) => {
    const alone = JSON.stringify({ ...asked, threads: 0, children: 0 });
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url), alone], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.on('data', (some) => (text += some));
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(JSON.parse(text.trim().split('\n').at(-1)));
      else reject(new Error(`a child ended with ${code}`));
    });
  });
}

function sum(parts) {
  const total = { counts: {}, errors: {}, wrong: [], wrongs: 0 };
  for (const { counts, errors, wrong, wrongs } of parts) {
    for (const [key, more] of Object.entries(counts))
      total.counts[key] = (total.counts[key] ?? 0) + more;
    for (const [key, more] of Object.entries(errors))
      total.errors[key] = (total.errors[key] ?? 0) + more;
    total.wrong.push(...wrong);
    total.wrongs += wrongs;
  }
  return total;
}

if (isMainThread) {
  const asked = JSON.parse(process.argv[2]);
  console.log('reading');
  const threads = Array.from({ length: asked.threads }, () => inThread(asked));
  const children = Array.from({ length: asked.children }, () => inChild(asked));
  const others = [...threads, ...children];
  console.log(
    JSON.stringify(
      sum(others.length > 0 ? await Promise.all(others) : [await new Look(asked).goOn()]),
    ),
  );
} else {
  parentPort.postMessage(await new Look(workerData).goOn());
}
