//! A fetch as a task that ends in any case: the side that waits gives it up when it cannot end by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keystart_providers::{Login, Plan, Prefetch, Prefetched};
use keystart_store::error::Result;

use crate::task::{Task, Waited, give_up_thread};

/// The time between the deadline, at which a fetch ends by itself, and giving it up.
const GRACE: Duration = Duration::from_secs(1);

/// A fetch in the thread of the core.
pub struct FetchTask {
    task: Task<Result<Prefetched>>,
    prefetch: Option<Arc<Prefetch>>,
}

impl FetchTask {
    /// Starts to fetch what a plan asks for, with the credentials of a login if there is one.
    pub fn start(plan: Plan, login: Option<Login>) -> Result<Self> {
        let prefetch = Prefetch::new(plan, login);
        let run = Arc::clone(&prefetch).run();
        Self::start_as(prefetch, async move { Ok(run.await) })
    }

    /// Starts work that runs a fetch as a part of it.
    pub fn start_as(
        prefetch: Arc<Prefetch>,
        work: impl Future<Output = Result<Prefetched>> + Send + 'static,
    ) -> Result<Self> {
        Ok(Self { task: Task::start(work)?, prefetch: Some(prefetch) })
    }

    /// A fetch that has ended.
    pub fn over(result: Result<Prefetched>) -> Self {
        Self { task: Task::over(result), prefetch: None }
    }

    /// Waits for the end, soon after the deadline at the latest, and returns the outcomes; `None` when a signal came first.
    pub fn wait(&self) -> Result<Option<Prefetched>> {
        loop {
            match self.task.wait(self.limit())? {
                Waited::Done(result) => return result.map(Some),
                Waited::Interrupted => return Ok(None),
                Waited::TimedOut => {}
            }
            // While the process registers, the fetch may not have begun yet; then its time has not begun either.
            if let Some(prefetch) = &self.prefetch
                && prefetch.until().is_some_and(|until| Instant::now() >= until + GRACE)
            {
                give_up_thread();
                return Ok(Some(prefetch.give_up()));
            }
        }
    }

    fn limit(&self) -> Option<Instant> {
        let prefetch = self.prefetch.as_ref()?;
        Some(prefetch.until().unwrap_or_else(Instant::now) + GRACE)
    }
}
