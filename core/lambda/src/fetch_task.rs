//! A fetch in the thread of the core. It always ends: if it cannot end by itself, the waiting side gives it up.

use std::mem::take;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use keystart_config::Plan;
use keystart_process::lock;
use keystart_providers::{FetchedSecret, Login, Prefetch, PrefetchResult, Variable};
use keystart_store::Failure;
use keystart_store::error::{Error, Result};

use crate::events::{Ending, Event, Events, Waited};
use crate::runtime;

/// How long after its deadline an unfinished fetch is given up.
const GRACE: Duration = Duration::from_secs(1);

/// A fetch, and its result once it has ended.
pub struct FetchTask {
    prefetch: Arc<Prefetch>,
    result: OnceLock<FetchResult>,
}

/// The result of a fetch.
pub struct FetchResult {
    /// The number of values.
    pub count: usize,
    secrets: Mutex<Vec<FetchedSecret>>,
    /// The variables that the exec wrapper sets.
    pub variables: Vec<Variable>,
    /// The names of the entries without values, each with the reason.
    pub failures: Vec<(String, Failure)>,
    /// A log line for each retry.
    pub retries: Vec<String>,
}

impl FetchResult {
    /// Returns the values, once: nothing keeps a copy of them.
    pub fn take_secrets(&self) -> Vec<FetchedSecret> {
        take(&mut *lock(&self.secrets))
    }
}

impl From<PrefetchResult> for FetchResult {
    fn from(fetched: PrefetchResult) -> Self {
        let PrefetchResult { secrets, variables, failures, retries } = fetched;
        Self { count: secrets.len(), secrets: Mutex::new(secrets), variables, failures, retries }
    }
}

impl FetchTask {
    /// Prepares the fetch of a plan, with a login or with the credentials that it finds.
    pub fn new(plan: Arc<Plan>, login: Option<Login>) -> Arc<Self> {
        Self::of(Prefetch::new(plan, login))
    }

    /// Makes the task of a prepared fetch.
    pub fn of(prefetch: Arc<Prefetch>) -> Arc<Self> {
        Arc::new(Self { prefetch, result: OnceLock::new() })
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

    /// Fetches, and adds the event of the end.
    pub(crate) async fn run(self: Arc<Self>, events: Arc<Events>) {
        let mut ending = Ending::new(&events);
        let fetched = Arc::clone(&self.prefetch).run().await;
        self.set(fetched);
        ending.event = Event::Fetched;
    }

    /// Waits until the first requests are sent, or the fetch has ended.
    pub(crate) async fn sent(&self) {
        self.prefetch.sent().await;
    }

    /// Waits for the next event. If the fetch is overdue, ends it, which is an event too.
    pub fn next_event(&self, events: &Events) -> Result<Waited<Event>> {
        loop {
            match events.next(self.limit())? {
                Waited::TimedOut if self.limit().is_some_and(|limit| limit <= Instant::now()) => {
                    runtime::give_up();
                    self.set(self.prefetch.give_up());
                    return Ok(Waited::Done(Event::Fetched));
                }
                Waited::TimedOut => {}
                waited => return Ok(waited),
            }
        }
    }

    /// Returns the time at which the fetch is overdue; `None` after its end.
    fn limit(&self) -> Option<Instant> {
        let is_over = self.result.get().is_some();
        // While the process registers, the fetch may not have begun, and then its time has not begun either.
        (!is_over).then(|| self.prefetch.until().unwrap_or_else(Instant::now) + GRACE)
    }

    /// Keeps the first result: a fetch that was given up may still end.
    fn set(&self, fetched: PrefetchResult) {
        let _first = self.result.set(fetched.into());
    }

    /// Returns the result of the fetch.
    pub fn result(&self) -> Result<&FetchResult> {
        self.result.get().ok_or_else(|| Error::internal("the fetch has not ended"))
    }
}
