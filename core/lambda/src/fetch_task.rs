//! A fetch in a thread of the core. It always ends: if it cannot end by itself, whoever waits abandons it.

use std::mem::take;
use std::ops::Range;
use std::slice::from_ref;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use keystart_config::{Label, Plan};
use keystart_process::lock;
use keystart_providers::{FetchedSecret, Login, Prefetch, PrefetchResult, Variable};
use keystart_store::Failure;
use keystart_store::errors::{Error, Result};

use crate::events::{Ending, Event, Events, WaitResult};
use crate::runtime::{self, RefreshThread};

/// How long after its deadline an unfinished fetch is given up.
const GRACE: Duration = Duration::from_secs(1);
/// The same for a refresh. An invocation waits for it, and ends 500 ms after its deadline.
const GRACE_OF_REFRESH: Duration = Duration::from_millis(200);
/// The number of the fetch that a process begins with.
pub const FIRST: u64 = 0;

/// A fetch, and its result once it has ended.
pub struct FetchTask {
    /// Its number in this process.
    pub number: u64,
    prefetch: Arc<Prefetch>,
    result: OnceLock<FetchResult>,
    /// When the waiting side found it overdue for long.
    thawed_at: Mutex<Option<Instant>>,
}

/// The result of a fetch.
pub struct FetchResult {
    /// The number of values.
    pub count: usize,
    secrets: Mutex<Vec<FetchedSecret>>,
    /// The names of the entries with values, each with the places of its secrets.
    entries: Vec<(String, Range<usize>)>,
    /// The variables that the exec wrapper sets.
    pub variables: Vec<Variable>,
    /// The names of the entries without values, each with the reason.
    pub failures: Vec<(String, Failure)>,
    /// What people call each of them: its name, its id and its region.
    pub labels: Vec<Label>,
    /// A log line for each retry.
    pub retries: Vec<String>,
    /// A log line for each value that was skipped or looks damaged.
    pub warnings: Vec<String>,
}

impl FetchResult {
    /// Returns the values, once: nothing keeps a copy of them.
    pub fn take_secrets(&self) -> Vec<FetchedSecret> {
        take(&mut *lock(&self.secrets))
    }

    /// Calls a function with the values of an entry, which stay. It fails if the entry has none, or
    /// if the values were taken.
    pub fn with_entry<T>(&self, name: &str, use_them: impl FnOnce(&[FetchedSecret]) -> Result<T>) -> Result<T> {
        let secrets = lock(&self.secrets);
        let place = self.entries.iter().find(|(entry, _)| entry == name).map(|(_, place)| place.clone());
        let found = place.and_then(|place| secrets.get(place));
        use_them(found.ok_or_else(|| Error::internal("the fetch has no values of this entry"))?)
    }
}

impl From<PrefetchResult> for FetchResult {
    fn from(fetched: PrefetchResult) -> Self {
        let PrefetchResult { secrets, entries, variables, failures, labels, retries, warnings } = fetched;
        let (count, secrets) = (secrets.len(), Mutex::new(secrets));
        Self { count, secrets, entries, variables, failures, labels, retries, warnings }
    }
}

impl FetchTask {
    /// Prepares the fetch of a plan, with a login or with the credentials that it finds.
    pub fn new(plan: Arc<Plan>, login: Option<Login>) -> Arc<Self> {
        Self::of(Prefetch::new(plan, login))
    }

    /// Makes the task of a prepared fetch.
    pub fn of(prefetch: Arc<Prefetch>) -> Arc<Self> {
        Self::numbered(FIRST, prefetch)
    }

    pub(crate) fn numbered(number: u64, prefetch: Arc<Prefetch>) -> Arc<Self> {
        Arc::new(Self { number, prefetch, result: OnceLock::new(), thawed_at: Mutex::default() })
    }

    /// Prepares a refresh: another fetch of some entries of this one, by their indexes. A `stage`
    /// replaces the version that they ask for.
    pub fn part(&self, number: u64, entries: &[usize], stage: Option<&str>, deadline: Duration) -> Arc<Self> {
        Self::numbered(number, self.prefetch.part(entries, stage, deadline))
    }

    /// Ends a fetch that cannot begin: each entry has the same failure.
    pub fn refuse(&self, failure: &Failure) {
        self.set(self.prefetch.refuse(failure));
    }

    /// Starts the fetch. Its end is an event.
    pub fn start(self: &Arc<Self>, events: &Arc<Events>) -> Result<()> {
        runtime::handle()?.spawn(Arc::clone(self).run(Arc::clone(events)));
        Ok(())
    }

    /// Starts a refresh in a separate thread and runtime. If an answer never returns from there,
    /// the rest of the process continues without it.
    pub fn start_apart(self: &Arc<Self>, events: &Arc<Events>) -> Result<()> {
        let ending = EndOfRefresh { task: Arc::clone(self), events: Arc::clone(events) };
        RefreshThread::start(async move {
            let fetched = Arc::clone(&ending.task.prefetch).run().await;
            ending.task.end(fetched);
        })
    }

    /// Fetches, and adds the event of the end.
    pub(crate) async fn run(self: Arc<Self>, events: Arc<Events>) {
        let mut ending = Ending::new(&events);
        let fetched = Arc::clone(&self.prefetch).run().await;
        self.set(fetched);
        ending.event = Event::Fetched(self.number);
    }

    /// Waits until the first requests are sent, or the fetch has ended.
    pub(crate) async fn wait_until_sent(&self) {
        self.prefetch.wait_until_sent().await;
    }

    /// Waits for the next event while this fetch runs.
    pub fn next_event(self: &Arc<Self>, events: &Events) -> Result<WaitResult<Event>> {
        next_event(from_ref(self), events, None)
    }

    /// Returns the time at which the fetch is overdue; `None` after its end.
    pub(crate) fn limit(&self) -> Option<Instant> {
        let is_over = self.result.get().is_some();
        let grace = if self.number == FIRST { GRACE } else { GRACE_OF_REFRESH };
        // While the process registers, the fetch may not have begun, and then its time has not begun either.
        let due = self.prefetch.until().unwrap_or_else(Instant::now) + grace;
        (!is_over).then(|| lock(&self.thawed_at).map_or(due, |at| due.max(at + GRACE)))
    }

    /// Ends the fetch if it is overdue. After the first fetch of a process nothing can run on the
    /// core's thread any more. A refresh only leaves its own thread behind.
    pub(crate) fn end_if_overdue(&self) -> Option<Event> {
        let now = Instant::now();
        let limit = self.limit().filter(|limit| *limit <= now)?;
        if self.number != FIRST && now - limit > GRACE {
            // The environment was frozen, and the thread of the fetch may learn of it later than this one.
            *lock(&self.thawed_at) = Some(now);
            return None;
        }
        if self.number == FIRST {
            runtime::give_up();
            self.set(self.prefetch.give_up());
        } else if self.set(self.prefetch.abandon()) {
            RefreshThread::give_up();
        }
        Some(Event::Fetched(self.number))
    }

    /// Keeps the result of a refresh, unless the waiting side has given it up.
    fn end(&self, fetched: PrefetchResult) {
        if !self.set(fetched) {
            RefreshThread::come_back();
        }
    }

    /// Keeps the first result: a fetch that was given up may still end. Returns whether this is the first.
    fn set(&self, fetched: PrefetchResult) -> bool {
        self.result.set(fetched.into()).is_ok()
    }

    /// Returns the result of the fetch.
    pub fn result(&self) -> Result<&FetchResult> {
        self.result.get().ok_or_else(|| Error::internal("the fetch has not ended"))
    }
}

/// Waits for the next event, at most until a time. If one of the fetches is overdue, ends it, which is an event too.
pub(crate) fn next_event(
    fetches: &[Arc<FetchTask>],
    events: &Events,
    until: Option<Instant>,
) -> Result<WaitResult<Event>> {
    loop {
        // Before the queue, which many requests never leave empty.
        if let Some(event) = fetches.iter().find_map(|fetch| fetch.end_if_overdue()) {
            return Ok(WaitResult::Done(event));
        }
        let limits = fetches.iter().filter_map(|fetch| fetch.limit());
        match events.next(limits.chain(until).min())? {
            WaitResult::TimedOut if until.is_none_or(|until| until > Instant::now()) => {}
            waited => return Ok(waited),
        }
    }
}

/// Adds the event of a refresh's end, even if it panics: a refresh never ends the process.
struct EndOfRefresh {
    task: Arc<FetchTask>,
    events: Arc<Events>,
}

impl Drop for EndOfRefresh {
    fn drop(&mut self) {
        if self.task.result.get().is_none() {
            self.task.end(self.task.prefetch.ruin());
        }
        self.events.push(Event::Fetched(self.task.number));
    }
}
