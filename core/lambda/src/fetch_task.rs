//! A fetch in the thread of the core. It ends in any case: the side that waits gives it up when it cannot end by itself.

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

/// The time between the deadline, at which a fetch ends by itself, and giving it up.
const GRACE: Duration = Duration::from_secs(1);

/// A fetch, and what it has brought when it has ended.
pub struct FetchTask {
    prefetch: Arc<Prefetch>,
    result: OnceLock<FetchResult>,
}

/// What a fetch has brought.
pub struct FetchResult {
    /// How many values.
    pub count: usize,
    secrets: Mutex<Vec<FetchedSecret>>,
    /// Where the exec wrapper puts them.
    pub variables: Vec<Variable>,
    /// The names of the entries without values, each with the reason.
    pub failures: Vec<(String, Failure)>,
    /// A line for each time that something was asked for again.
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
    pub fn new(plan: Plan, login: Option<Login>) -> Arc<Self> {
        Arc::new(Self { prefetch: Prefetch::new(plan, login), result: OnceLock::new() })
    }

    /// Ends a fetch that cannot begin: each entry has the same failure.
    pub fn refuse(&self, failure: &Failure) {
        self.set(self.prefetch.refuse(failure));
    }

    /// Starts to fetch; the end is an event.
    pub fn start(self: &Arc<Self>, events: &Arc<Events>) -> Result<()> {
        runtime::handle()?.spawn(Arc::clone(self).run(Arc::clone(events)));
        Ok(())
    }

    /// Fetches, and puts in the event of the end.
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

    /// Waits for the next event, at most until the fetch is overdue. Then it ends the fetch, which is an event too.
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

    /// The time at which the fetch is overdue; `None` when it has ended.
    fn limit(&self) -> Option<Instant> {
        let is_over = self.result.get().is_some();
        // While the process registers, the fetch may not have begun yet; then its time has not begun either.
        (!is_over).then(|| self.prefetch.until().unwrap_or_else(Instant::now) + GRACE)
    }

    /// The first result counts: a fetch that was given up may still end.
    fn set(&self, fetched: PrefetchResult) {
        let _first = self.result.set(fetched.into());
    }

    /// Returns what the fetch has brought.
    pub fn result(&self) -> Result<&FetchResult> {
        self.result.get().ok_or_else(|| Error::internal("the fetch has not ended"))
    }
}
