// A login that survives a rotation (contract §12): which generation each login uses, and how it is reported. The writer
// decides; this asks it, calls the function, and never looks at a value.
import { classes } from './classes.mjs';
import { FORMAT, SOCKET, connect, isListening, receive } from './control.mjs';
import { errors } from './messages.mjs';
import { member } from './json.mjs';
import { monotonic } from './node.mjs';
import { checkKnown, readMilliseconds } from './options.mjs';
import { LONGEST_PAUSE_MS, Patience } from './patience.mjs';
import { causes, classify } from './rejections.mjs';
import { setTimeout } from './timers.mjs';

const DEFAULT_BUDGET_MS = 2_000; // limits.toml: attempt.budget_ms
const MOST_ANSWER_MS = 1_000; // limits.toml: attempt.answer_ms
const MOST_RUNS = 3; // limits.toml: attempt.runs
const WORD = /^[\w$.-]{1,64}$/;

/** @typedef {import('./interfaces.mjs').Store} Store */
/** @typedef {import('./interfaces.mjs').Instant} Instant */
/** @typedef {import('node:net').Socket} Socket */
/** @typedef {'rejected' | 'locked' | null} Verdict */
/** @typedef {{ generation: number | null, candidate: number | null, retryAfterMs: number | null, isKnown: boolean }} Advice */
/** @typedef {{ error: unknown, generation: number, isCandidate: boolean, facts: object }} Refusal */

/**
 * Calls `fn` until a login succeeds, at most three times, and returns what it returned.
 * @template T
 * @param {Store} store
 * @param {string} name checked
 * @param {(snapshot: import('../types/api.js').Snapshot) => T | Promise<T>} fn
 * @param {unknown} options `{ rejected, budgetMs }`
 * @param {(source: Watched) => import('../types/api.js').Snapshot} snapshotOf
 * @returns {Promise<T>}
 */
async function attempt(store, name, fn, options, snapshotOf) {
  const { budgetMs, verdictOf } = readOptions(options);
  if (typeof fn !== 'function')
    throw new TypeError('attempt calls a function that logs in, and got none.');
  const first = store.instant();
  if (first.manifest.names(name).length === 0) first.manifest.entry(name);
  return new Attempt(store, name, (source) => fn(snapshotOf(source)), verdictOf, budgetMs).run(
    first,
  );
}

/** @template T */
class Attempt {
  #store;
  #name;
  #login;
  #verdictOf;
  #budget;
  #runs = 0;
  /** The writer has answered this call, so it lives. */
  #hasAdvice = false;
  /** @type {Refusal[]} */
  #refusals = [];

  /**
   * @param {Store} store
   * @param {string} name
   * @param {(source: Watched) => T | Promise<T>} login
   * @param {(error: unknown) => Verdict} verdictOf
   * @param {number} budgetMs
   */
  constructor(store, name, login, verdictOf, budgetMs) {
    this.#store = store;
    this.#name = name;
    this.#login = login;
    this.#verdictOf = verdictOf;
    this.#budget = new Budget(budgetMs);
  }

  /**
   * @param {Instant} first
   * @returns {Promise<T>}
   */
  async run(first) {
    const published = { isCandidate: false, isReported: true };
    let done = this.#budget.totalMs === 0 ? await this.#logIn(first, published) : null;
    while (done === null) {
      if (this.#budget.left() <= 0) throw this.#ending();
      const { advice, held } = await this.#ask();
      try {
        done = await this.#follow(advice);
      } finally {
        held?.destroy();
      }
    }
    return done.value;
  }

  /**
   * Does what the writer advises. Returns what `fn` returned, or null to ask again.
   * @param {Advice | null} advice null: no answer
   */
  async #follow(advice) {
    if (advice === null && this.#refusals.length > 0) throw this.#ending();
    if (advice === null || !advice.isKnown) {
      return this.#logIn(this.#store.instant(), { isCandidate: false, isReported: false });
    }
    const { generation, candidate, retryAfterMs } = advice;
    if (retryAfterMs !== null) {
      if (this.#budget.left() <= retryAfterMs)
        throw this.#ending(errors().loginRefused(this.#name, retryAfterMs));
      await new Promise((resolve) => setTimeout(resolve, retryAfterMs));
      return null;
    }
    const number = candidate ?? generation;
    const isCandidate = candidate !== null;
    const instant =
      number === null ? this.#store.instant() : this.#store.instantOf(number, isCandidate);
    if (instant !== null) return this.#logIn(instant, { isCandidate, isReported: true });
    await this.#budget.pause();
    return null;
  }

  /**
   * Calls `fn` and reports the outcome. Returns what it returned, or null to ask again.
   * @param {Instant} instant
   * @param {{ isCandidate: boolean, isReported: boolean }} how
   */
  async #logIn(instant, { isCandidate, isReported }) {
    this.#runs += 1;
    const watched = new Watched(instant, this.#name);
    const began = monotonic();
    let value;
    let caught;
    try {
      value = await this.#login(watched);
    } catch (error) {
      caught = { error };
    }
    this.#budget.extend(monotonic() - began);
    const reportsIt = isReported && watched.isRead;
    if (caught === undefined) {
      if (reportsIt) await this.#report('"op": "accepted"', instant, this.#budget.answerMs());
      return { value: /** @type {T} */ (value) };
    }
    const { error } = caught;
    const isLast = this.#runs >= MOST_RUNS || this.#budget.left() <= 0;
    if (error instanceof classes.SnapshotExpired) {
      if (isLast) throw this.#ending(error);
      return null;
    }
    const verdict = reportsIt ? this.#verdictOf(error) : null;
    if (verdict === null) throw error;
    const isLocked = verdict === 'locked';
    this.#refusals.push({
      error,
      generation: instant.number,
      isCandidate,
      facts: facts(instant, this.#name, error),
    });
    const ends = isLocked || isLast;
    await this.#report(
      `"op": "rejected", "locked": ${isLocked}`,
      instant,
      ends ? 0 : this.#budget.answerMs(),
    );
    if (ends) throw this.#ending();
    return null;
  }

  /**
   * Asks which generation to log in with. The connection stays open until the outcome is reported.
   * @returns {Promise<{ advice: Advice | null, held: Socket | null }>}
   */
  async #ask() {
    const socket = await this.#connect();
    if (socket === null) return { advice: null, held: null };
    socket.write(this.#request('"op": "try"', this.#refusals.at(-1)?.generation ?? null));
    const answerMs = this.#budget.answerMs();
    const answer = await receive(socket, answerMs);
    if (answer === 'late' && this.#hasAdvice && answerMs < MOST_ANSWER_MS) {
      socket.destroy();
      throw this.#ending(); // the budget is over, and the writer lives
    }
    const advice = answer === null || answer === 'late' || !answer.ok ? null : readAdvice(answer);
    this.#hasAdvice ||= advice !== null;
    if (advice === null || advice.retryAfterMs !== null) {
      socket.destroy();
      return { advice, held: null };
    }
    socket.unref();
    return { advice, held: socket };
  }

  /** Returns a connection, or null if there is none to be made. */
  async #connect() {
    try {
      if (!isListening(this.#store.root)) return null;
    } catch (error) {
      if (error instanceof classes.StoreUnreadable) return null;
      throw error;
    }
    const socket = await connect(this.#path, this.#budget);
    // a writer that has answered before lives, so only it may allow a login
    if (socket === 'EAGAIN' && this.#hasAdvice) throw this.#ending();
    return typeof socket === 'string' ? null : socket;
  }

  /**
   * Reports an outcome, and waits for the answer, which then has published what was accepted. Whatever
   * becomes of it, the login has taken place.
   * @param {string} members
   * @param {Instant} instant
   * @param {number} waitMs
   */
  async #report(members, instant, waitMs) {
    try {
      if (!isListening(this.#store.root)) return;
      const patience = new Patience(waitMs);
      const socket = await connect(this.#path, patience);
      if (typeof socket === 'string') return;
      const answered = receive(socket, Math.max(0, patience.left()));
      await new Promise((resolve) => {
        socket.write(this.#request(members, instant.number), resolve);
        socket.once('close', resolve);
      });
      if (waitMs > 0) await answered;
      socket.destroy();
    } catch (error) {
      if (!(error instanceof classes.KeystartError)) throw error; // the root is not safe any more
    }
  }

  /**
   * @param {string} members
   * @param {number | null} generation
   */
  #request(members, generation) {
    // the name is checked, so it needs no escapes; JSON.stringify would look for toJSON
    return `{"format": "${FORMAT}", ${members}, "name": "${this.#name}", "generation": ${generation}}\n`;
  }

  get #path() {
    return `${this.#store.root}/${SOCKET}`;
  }

  /**
   * Returns the error of the whole call (contract 12.9).
   * @param {unknown} otherwise if the server refused no login
   */
  #ending(otherwise = errors().loginNotPossible(this.#name, this.#budget.totalMs)) {
    if (this.#refusals.length === 0) return otherwise;
    const chosen =
      this.#refusals.find((refusal) => !refusal.isCandidate) ??
      this.#refusals[this.#refusals.length - 1];
    attach(
      chosen.error,
      this.#refusals.filter((refusal) => refusal !== chosen).map((refusal) => refusal.facts),
    );
    return chosen.error;
  }
}

/** How long a call may still wait. The time that `fn` takes does not count. */
class Budget {
  #end;
  #pauseMs = 1;

  /** @param {number} totalMs */
  constructor(totalMs) {
    this.totalMs = totalMs;
    this.#end = monotonic() + totalMs;
  }

  left() {
    return this.#end - monotonic();
  }

  /** Returns how long an answer may take. */
  answerMs() {
    return Math.max(0, Math.min(MOST_ANSWER_MS, this.left()));
  }

  /** @param {number} ms */
  extend(ms) {
    this.#end += ms;
  }

  /** Waits a little, each time longer (contract 6.2.3); false if the budget is over. */
  async pause() {
    const left = this.left();
    if (left <= 0) return false;
    await new Promise((resolve) => setTimeout(resolve, Math.min(this.#pauseMs, left)));
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
    return true;
  }
}

/** A snapshot's generation. It knows whether a value of the call's name was read. */
class Watched {
  isRead = false;
  #instant;
  #name;

  /**
   * @param {Instant} instant
   * @param {string} name
   */
  constructor(instant, name) {
    this.root = instant.root;
    this.folder = instant.folder;
    this.manifest = instant.manifest;
    this.#instant = instant;
    this.#name = name;
  }

  instant() {
    return this;
  }

  /**
   * @template T
   * @param {(generation: Watched) => T} use
   * @returns {T}
   */
  read(use) {
    return use(this);
  }

  /** @param {string} name */
  info(name) {
    return this.#instant.info(name);
  }

  /** @param {string} name */
  value(name) {
    return this.#noted(name, this.#instant.value(name));
  }

  /** @param {string} name */
  path(name) {
    return this.#noted(name, this.#instant.path(name));
  }

  /**
   * @template T
   * @param {string} name
   * @param {T} found
   */
  #noted(name, found) {
    if (name === this.#name || name.startsWith(`${this.#name}/`)) this.isRead = true;
    return found;
  }
}

/**
 * Reads the members of an answer to `try` (contract 12.4); null if one is wrong.
 * @param {import('./control.mjs').Success} answer
 * @returns {Advice | null}
 */
function readAdvice({ own, failures }) {
  const generation = numberOf(own, 'generation', 1);
  const candidate = numberOf(own, 'candidate', 1);
  const retryAfterMs = numberOf(own, 'retry_after_ms', 0);
  if (generation === undefined || candidate === undefined || retryAfterMs === undefined)
    return null;
  return { generation, candidate, retryAfterMs, isKnown: Object.keys(failures).length === 0 };
}

/**
 * Returns a whole number, null if it is missing, and undefined if it is something else.
 * @param {Record<string, unknown>} own
 * @param {string} key
 * @param {number} least
 */
function numberOf(own, key, least) {
  const value = member(own, key) ?? null;
  if (value === null) return null;
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= least
    ? value
    : undefined;
}

/** @param {unknown} options */
function readOptions(options) {
  const own = /** @type {Record<string, unknown>} */ (options ?? {});
  if (typeof own !== 'object')
    throw new TypeError('The options of attempt are an object of rejected and budgetMs.');
  checkKnown(own, 'attempt', ['rejected', 'budgetMs']);
  return {
    budgetMs:
      readMilliseconds(member(own, 'budgetMs'), () => errors().invalidBudget()) ??
      DEFAULT_BUDGET_MS,
    verdictOf: readRejected(member(own, 'rejected')),
  };
}

/**
 * Returns a function that says of an error whether it is a rejection (contract 12.7).
 * @param {unknown} rejected
 * @returns {(error: unknown) => Verdict}
 */
function readRejected(rejected) {
  if (rejected === undefined || rejected === null) return classify;
  const several = Array.isArray(rejected) ? rejected : [rejected];
  if (several.length > 0 && several.every(isErrorClass)) {
    return (error) => {
      if (!causes(error).some((cause) => several.some((one) => cause instanceof one))) return null;
      return classify(error) ?? 'rejected';
    };
  }
  if (typeof rejected !== 'function') {
    throw new TypeError(
      'rejected is a class of errors, a list of them, or a function of an error.',
    );
  }
  return (error) => {
    const verdict = rejected(error);
    if (typeof Object(verdict).then === 'function') {
      throw new TypeError('rejected must answer at once, and not with a promise.', {
        cause: error,
      });
    }
    if (verdict === 'locked') return verdict;
    return verdict ? 'rejected' : null;
  };
}

/**
 * Returns whether this is a class of errors, of whatever realm, and not a function that judges them.
 * @param {unknown} value
 */
function isErrorClass(value) {
  let prototype = typeof value === 'function' ? value.prototype : null;
  while (prototype && Object.getPrototypeOf(prototype) !== null) {
    if (Object.hasOwn(prototype, 'message')) return true; // as Error.prototype has
    prototype = Object.getPrototypeOf(prototype);
  }
  return false;
}

/**
 * Returns the facts about a refused login: never a message, because a driver's may hold a value.
 * @param {Instant} instant
 * @param {string} name
 * @param {unknown} error
 */
function facts(instant, name, error) {
  const { manifest } = instant;
  const names = manifest.secrets.has(name) ? [name] : manifest.names(name);
  const sources = names.map((one) => manifest.entry(one).source);
  const stages = sources.flatMap((source) => source.version_stages ?? []);
  const versions = sources.map((source) => source.version_id);
  return {
    generation: instant.number,
    stage: [...new Set(stages)].join(', ') || null,
    versionId: [...new Set(versions)].filter((id) => typeof id === 'string').join(', ') || null,
    class: wordOf(memberOf(memberOf(error, 'constructor'), 'name')),
    code: wordOf(memberOf(error, 'code')) ?? wordOf(memberOf(error, 'errno')),
  };
}

/**
 * Attaches the other refused logins to the error that is thrown. They do not show in its text.
 * @param {unknown} error
 * @param {object[]} others
 */
function attach(error, others) {
  if (others.length === 0 || Object(error) !== error) return;
  try {
    Object.defineProperty(error, 'attempts', { value: others, configurable: true, writable: true });
  } catch {
    // frozen: the error is thrown as it is
  }
}

/**
 * Returns a class's name or an error's code; null if it is none.
 * @param {unknown} value
 */
function wordOf(value) {
  const isWord = typeof value === 'number' || (typeof value === 'string' && WORD.test(value));
  return isWord ? String(value) : null;
}

/**
 * Returns a member of anything. A getter that throws has none.
 * @param {unknown} value
 * @param {string} name
 */
function memberOf(value, name) {
  try {
    return value === undefined || value === null ? undefined : Reflect.get(Object(value), name);
  } catch {
    return undefined;
  }
}

export { Watched, attempt };
