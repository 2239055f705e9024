//! Logs in with a secret while it is rotated (contract §12). It never waits: `next` says for what the caller waits.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::control::{self, Connection, Exchange, Permission, Progress};
use super::patience::LONGEST_PAUSE;
use super::{ControlFlow, Generation, Halt, Pass, Patience, Store, View};
use crate::errors::{Code, Error, Result};
use crate::{name, options};

/// How often the caller's function may run.
const MAX_RUNS: u32 = 3; // limits.toml: attempt.runs
/// How long an answer of the writer may take.
const ANSWER_MS: u64 = 1_000; // limits.toml: attempt.answer_ms

/// One call of `attempt`. The caller asks `next`, waits or logs in, and reports each login.
#[derive(Debug)]
pub struct Attempt {
    name: String,
    budget_ms: u64,
    /// What was left of the budget when the clock was started last.
    left: Duration,
    /// When the clock was started. It does not run before the first snapshot, nor during a login.
    clock: Option<Instant>,
    runs: u32,
    /// The generation of the last login that the server rejected.
    rejected: Option<u64>,
    /// The writer has answered this call, so it lives.
    has_answer: bool,
    /// The pauses while the backlog is full or a generation is gone.
    pauses: Patience,
    /// The connection of the question that allowed the login.
    held: Option<Connection>,
    phase: Phase,
}

/// What the caller does next.
#[derive(Debug)]
pub enum Next {
    /// Wait until the socket is ready or the time is over.
    Wait(Wait),
    /// Log in with this snapshot, and report how that ended.
    Login(Box<Login>),
    /// There is no further login.
    End,
}

/// Something to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// What `socket` must be ready for; `None` if only the time counts.
    pub readiness: Option<Readiness>,
    /// How long at most.
    pub time: Duration,
}

/// What a socket is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It can be read.
    Readable,
    /// It can be written.
    Writable,
}

/// A login that may take place.
#[derive(Debug)]
pub struct Login {
    /// The snapshot to read from.
    pub snapshot: Store,
    /// Its generation is not published.
    pub is_candidate: bool,
}

/// How a login ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded.
    Accepted,
    /// The server rejected it.
    Rejected,
    /// The server has locked the account.
    Locked,
    /// It did not take place, because its snapshot has expired.
    Expired,
}

/// Whether a login has read something at or below the name of its call.
#[derive(Debug)]
pub(super) struct Reads {
    name: String,
    any: AtomicBool,
}

impl Reads {
    pub fn note(&self, name: &str) {
        if name::is_at_or_below(name, &self.name) {
            self.any.store(true, Ordering::Relaxed);
        }
    }
}

#[derive(Debug)]
enum Phase {
    /// Before the first snapshot.
    Beginning(Patience),
    /// The writer is asked next.
    Ready,
    /// The writer is asked; its answer must come within this time once the connection stands.
    Asking(Exchange, Option<Instant>),
    /// The writer is asked again after this time.
    Pausing(Instant),
    /// A new snapshot is taken to log in with.
    Opening {
        patience: Patience,
        is_reported: bool,
    },
    /// The caller logs in.
    Login(Option<Arc<Reads>>, u64),
    /// The outcome is reported. The answer is ignored after this time.
    Reporting {
        exchange: Exchange,
        until: Instant,
        continues: bool,
    },
    Ended,
}

impl Attempt {
    /// Checks the arguments. `budget_ms` is `None` if the caller passed none, and NaN for what is not a number.
    pub fn new(name: impl AsRef<[u8]>, budget_ms: Option<f64>, store: &Store) -> Result<Self> {
        let name = name::check(name.as_ref())?.to_owned();
        let budget_ms = options::budget_ms(budget_ms)?;
        if matches!(store.view, View::Bound(..)) {
            return Err(Error::internal("what logs in must be a client"));
        }
        Ok(Self {
            name,
            budget_ms,
            left: Duration::from_millis(budget_ms),
            clock: None,
            runs: 0,
            rejected: None,
            has_answer: false,
            pauses: Patience::new(0),
            held: None,
            phase: Phase::Beginning(Patience::new(store.timeout_ms)),
        })
    }

    /// Does what can be done at once, and says what comes next. `store` is the client of the call.
    pub fn next(&mut self, store: &Store) -> Result<Next> {
        loop {
            let step = match std::mem::replace(&mut self.phase, Phase::Ended) {
                Phase::Beginning(patience) => self.begin(store, patience)?,
                Phase::Ready => self.ask(store)?,
                Phase::Asking(exchange, until) => self.receive(store, exchange, until)?,
                Phase::Pausing(until) => self.pause(until),
                Phase::Opening { patience, is_reported } => self.open(store, patience, is_reported)?,
                Phase::Login(..) => return Err(Error::internal("the login was not reported")),
                Phase::Reporting { exchange, until, continues } => self.report_further(exchange, until, continues),
                Phase::Ended => Some(Next::End),
            };
            if let Some(next) = step {
                return Ok(next);
            }
        }
    }

    /// Returns the socket that a wait is about.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        match &self.phase {
            Phase::Asking(exchange, _) | Phase::Reporting { exchange, .. } => exchange.socket().map(AsFd::as_fd),
            _ => None,
        }
    }

    /// Waits. Callers with an event loop do this themselves.
    pub fn wait(&self, wait: Wait) {
        match (wait.readiness, self.socket()) {
            // Whatever comes of it, `next` looks again.
            (Some(Readiness::Readable), Some(socket)) => drop(control::wait(socket, PollFlags::IN, wait.time)),
            (Some(Readiness::Writable), Some(socket)) => drop(control::wait(socket, PollFlags::OUT, wait.time)),
            _ => thread::sleep(wait.time),
        }
    }

    /// Reports how a login ended. Returns false if the writer does not hear of it, because the login
    /// read nothing of the name or did not need the writer: then the call ends with its outcome.
    pub fn report(&mut self, store: &Store, outcome: Outcome) -> Result<bool> {
        let Phase::Login(reads, generation) = std::mem::replace(&mut self.phase, Phase::Ended) else {
            return Err(Error::internal("no login is to be reported"));
        };
        self.clock = Some(Instant::now());
        let continues = self.runs < MAX_RUNS && !self.rest().is_zero();
        if outcome == Outcome::Expired {
            self.conclude(continues);
            return Ok(true);
        }
        if !reads.is_some_and(|reads| reads.any.load(Ordering::Relaxed)) {
            self.conclude(false);
            return Ok(false);
        }
        let continues = continues && outcome == Outcome::Rejected;
        if outcome != Outcome::Accepted {
            self.rejected = Some(generation);
        }
        let Ok(path) = store.listener() else {
            self.conclude(continues);
            return Ok(true);
        };
        let exchange = match outcome {
            Outcome::Accepted => Exchange::report_accepted(path, &self.name, generation),
            _ => Exchange::report_rejected(path, &self.name, generation, outcome == Outcome::Locked),
        };
        let time = if continues || outcome == Outcome::Accepted {
            Duration::from_millis(ANSWER_MS).min(self.rest())
        } else {
            Duration::ZERO
        };
        self.phase = Phase::Reporting { exchange, until: Instant::now() + time, continues };
        Ok(true)
    }

    /// Takes the first snapshot (contract 12.2).
    fn begin(&mut self, store: &Store, mut patience: Patience) -> Result<Option<Next>> {
        let look = store.look(&mut patience, &|generation| self.named(generation))?;
        let generation = match look {
            ControlFlow::Break(generation) => generation,
            ControlFlow::Continue(longest) => {
                self.phase = Phase::Beginning(patience);
                return Ok(Some(wait(longest.min(LONGEST_PAUSE))));
            }
        };
        self.clock = Some(Instant::now());
        if self.budget_ms == 0 {
            return Ok(Some(self.log_in(store.bound(generation, patience), false, true)));
        }
        self.phase = Phase::Ready;
        Ok(None)
    }

    /// Returns the generation if it has the name, or secrets below it.
    fn named(&self, generation: &Arc<Generation>) -> Pass<Arc<Generation>> {
        let below = format!("{}/", self.name);
        let following = generation.manifest.secrets.range(below.clone()..).next();
        if !following.is_some_and(|(name, _)| name.starts_with(&below)) {
            generation.manifest.secret(&self.name)?;
        }
        Ok(Arc::clone(generation))
    }

    /// Begins to ask the writer (contract 12.3).
    fn ask(&mut self, store: &Store) -> Result<Option<Next>> {
        match store.listener() {
            Ok(path) => self.phase = Phase::Asking(Exchange::ask_login(path, &self.name, self.rejected), None),
            Err(Halt::Error(error)) if error.code() != Code::StoreUnreadable => return Err(error),
            Err(_) => self.do_without(store),
        }
        Ok(None)
    }

    fn receive(&mut self, store: &Store, mut exchange: Exchange, until: Option<Instant>) -> Result<Option<Next>> {
        let flag = match exchange.advance() {
            Ok(Progress::Line(line)) => {
                match control::permission(&line) {
                    Some(permission) => {
                        self.has_answer = true;
                        return self.follow(store, &permission, exchange.into_connection());
                    }
                    None => self.do_without(store),
                }
                return Ok(None);
            }
            Ok(Progress::Full) => {
                let Some(pause) = self.pauses.pause_within(self.rest()) else { return self.end_without_answer(store) };
                self.phase = Phase::Asking(exchange, until);
                return Ok(Some(wait(pause)));
            }
            Ok(Progress::Blocked(flag)) => flag,
            Err(_) => {
                self.do_without(store);
                return Ok(None);
            }
        };
        let until = until.unwrap_or_else(|| Instant::now() + Duration::from_millis(ANSWER_MS));
        let time = until.saturating_duration_since(Instant::now()).min(self.rest());
        if time.is_zero() {
            if self.rest().is_zero() {
                return self.end_without_answer(store);
            }
            self.do_without(store);
            return Ok(None);
        }
        self.phase = Phase::Asking(exchange, Some(until));
        Ok(Some(wait_for(flag, time)))
    }

    /// Does what the writer allows (contract 12.4).
    fn follow(
        &mut self,
        store: &Store,
        permission: &Permission,
        connection: Option<Connection>,
    ) -> Result<Option<Next>> {
        if !permission.is_configured {
            self.phase = opening(store, false);
            return Ok(None);
        }
        if let Some(ms) = permission.retry_after_ms {
            let time = Duration::from_millis(ms);
            if self.rest() <= time {
                return self.end(|name| Error::login_refused(name, ms));
            }
            self.phase = Phase::Pausing(Instant::now() + time);
            return Ok(None);
        }
        let Some(number) = permission.candidate.or(permission.generation) else {
            self.held = connection;
            self.phase = opening(store, true);
            return Ok(None);
        };
        let is_candidate = permission.candidate.is_some();
        match store.snapshot_to_log_in(number, is_candidate) {
            Ok(snapshot) => {
                self.held = connection;
                Ok(Some(self.log_in(snapshot, is_candidate, true)))
            }
            Err(error) if error.code() == Code::SnapshotExpired => {
                let Some(pause) = self.pauses.pause_within(self.rest()) else { return self.end_in_vain() };
                self.phase = Phase::Pausing(Instant::now() + pause);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn pause(&mut self, until: Instant) -> Option<Next> {
        let time = until.saturating_duration_since(Instant::now());
        if time.is_zero() {
            self.phase = Phase::Ready;
            return None;
        }
        self.phase = Phase::Pausing(until);
        Some(wait(time))
    }

    /// Logs in once, unless the server has rejected a login already (contract 12.5).
    fn do_without(&mut self, store: &Store) {
        self.phase = if self.rejected.is_none() { opening(store, false) } else { Phase::Ended };
    }

    /// Ends a wait at the end of the budget. A writer that has answered before lives, so only it may allow a login.
    fn end_without_answer(&mut self, store: &Store) -> Result<Option<Next>> {
        if self.has_answer {
            return self.end_in_vain();
        }
        self.do_without(store);
        Ok(None)
    }

    fn open(&mut self, store: &Store, mut patience: Patience, is_reported: bool) -> Result<Option<Next>> {
        Ok(Some(match store.look(&mut patience, &|generation| Ok(Arc::clone(generation)))? {
            ControlFlow::Break(generation) => self.log_in(store.bound(generation, patience), false, is_reported),
            ControlFlow::Continue(longest) => {
                self.phase = Phase::Opening { patience, is_reported };
                wait(longest.min(LONGEST_PAUSE))
            }
        }))
    }

    fn log_in(&mut self, mut snapshot: Store, is_candidate: bool, is_reported: bool) -> Next {
        self.left = self.rest();
        self.clock = None;
        self.runs += 1;
        let reads = is_reported.then(|| Arc::new(Reads { name: self.name.clone(), any: AtomicBool::new(false) }));
        snapshot.login.clone_from(&reads);
        self.phase = Phase::Login(reads, snapshot.number().unwrap_or_default());
        Next::Login(Box::new(Login { snapshot, is_candidate }))
    }

    fn report_further(&mut self, mut exchange: Exchange, until: Instant, continues: bool) -> Option<Next> {
        let left = until.saturating_duration_since(Instant::now());
        let next = match exchange.advance() {
            Ok(Progress::Blocked(flag)) if !left.is_zero() => Some(wait_for(flag, left)),
            Ok(Progress::Full) => self.pauses.pause_within(left).map(wait),
            Ok(Progress::Line(_) | Progress::Blocked(_)) | Err(_) => None,
        };
        if next.is_some() {
            self.phase = Phase::Reporting { exchange, until, continues };
        } else {
            self.conclude(continues);
        }
        next
    }

    /// Lets go of the login, and asks again if the call continues.
    fn conclude(&mut self, continues: bool) {
        self.held = None;
        self.phase = if continues { Phase::Ready } else { Phase::Ended };
    }

    fn end_in_vain(&self) -> Result<Option<Next>> {
        self.end(|name| Error::login_not_possible(name, self.budget_ms))
    }

    /// Ends the call: with the errors of its logins if the server rejected any, else with this one.
    fn end(&self, error: impl FnOnce(&str) -> Error) -> Result<Option<Next>> {
        if self.rejected.is_some() { Ok(Some(Next::End)) } else { Err(error(&self.name)) }
    }

    /// Returns what is left of the budget.
    fn rest(&self) -> Duration {
        self.left.saturating_sub(self.clock.map_or(Duration::ZERO, |clock| clock.elapsed()))
    }
}

impl Store {
    /// Returns the number of a snapshot.
    pub fn number(&self) -> Option<u64> {
        match &self.view {
            View::Bound(generation, _) => Some(generation.number()),
            View::Current(_) => None,
        }
    }

    /// Returns a snapshot to log in with. freshness.json does not know the age of a candidate.
    fn snapshot_to_log_in(&self, number: u64, is_candidate: bool) -> Result<Self> {
        let mut snapshot = self.snapshot_of(number)?;
        if let (View::Bound(generation, _), true) = (&mut snapshot.view, is_candidate) {
            if let Some(generation) = Arc::get_mut(generation) {
                generation.manifest.max_stale = None;
            }
        }
        Ok(snapshot)
    }
}

fn opening(store: &Store, is_reported: bool) -> Phase {
    Phase::Opening { patience: Patience::new(store.timeout_ms), is_reported }
}

fn wait(time: Duration) -> Next {
    Next::Wait(Wait { readiness: None, time })
}

fn wait_for(flag: PollFlags, time: Duration) -> Next {
    let readiness = if flag == PollFlags::OUT { Readiness::Writable } else { Readiness::Readable };
    Next::Wait(Wait { readiness: Some(readiness), time })
}
