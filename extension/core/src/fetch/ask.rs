//! Asks for everything of a plan in parallel, inside one deadline, and asks again for what may be asked for again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, timeout_at};

use super::aws::{Aws, NO_WAY_OUT, Refused};
use super::{Answer, Entry, Fetched, Kind, Outcome, Plan, Prefetched, failure, shape};
use keystart_core::Failure;
use keystart_core::error::{Error, Result};

/// Requests in flight: each new one to a host opens a connection, whose handshake costs CPU that small functions lack.
const PARALLEL: usize = 64;
const GET_PARAMETERS_AT_MOST: usize = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Gives the outcome of each entry, at the latest when the plan's deadline is over.
pub fn prefetch(plan: &Plan) -> Result<Prefetched> {
    let until = Instant::now() + plan.deadline;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::internal(&format!("no runtime for requests: {}", error.kind())))?;
    let done = LocalSet::new().block_on(&runtime, run(plan, until));
    // A lookup of a name that hangs has a thread of its own, which nobody waits for.
    runtime.shutdown_background();
    Ok(done)
}

async fn run(plan: &Plan, until: Instant) -> Prefetched {
    let asker = Rc::new(Asker::new(plan, until));
    let mut requests = JoinSet::new();
    let room = Rc::new(Semaphore::new(PARALLEL));
    for request in requests_of(&plan.entries) {
        let (asker, room) = (Rc::clone(&asker), Rc::clone(&room));
        requests.spawn_local(async move {
            // Closed never, so that this waits and does not fail.
            let _place = room.acquire().await;
            request.run(&asker).await
        });
    }
    let mut outcomes = BTreeMap::new();
    while let Ok(Some(answered)) = timeout_at(until, requests.join_next()).await {
        // A task that panicked has no outcome, which is told below as an entry without an answer.
        outcomes.extend(answered.unwrap_or_default());
    }
    // What is still on its way is dropped, with its connection: nothing may be in flight when the environment is frozen.
    requests.shutdown().await;
    let refused = asker.refused.take();
    let names: Vec<&str> = plan.entries.iter().map(|entry| entry.name.as_str()).collect();
    let outcome_of = |entry: &Entry| {
        let outcome = outcomes.remove(&entry.name);
        // What the service said last tells more than that time is over.
        let outcome = outcome.or_else(|| refused.get(&entry.name).cloned().map(Err)).unwrap_or_else(|| Err(late(plan)));
        (entry.clone(), outcome.and_then(|secrets| shape::beside(entry, secrets, &names)))
    };
    Prefetched { outcomes: plan.entries.iter().map(outcome_of).collect(), again: asker.again.take() }
}

fn late(plan: &Plan) -> Failure {
    let seconds = plan.deadline.as_secs_f64();
    failure("DeadlineExceeded", format!("No answer within the deadline of {seconds} s. {NO_WAY_OUT}"))
}

/// One thing to ask a service for, and the entries that it answers.
enum Request {
    Secret(Vec<Entry>),
    Parameters(Vec<Entry>),
    Path(Entry),
}

/// Groups entries: one call for equal secrets, one for 10 parameters of a region and role, one for a path.
fn requests_of(entries: &[Entry]) -> Vec<Request> {
    let mut secrets: BTreeMap<_, Vec<Entry>> = BTreeMap::new();
    let mut parameters: BTreeMap<_, Vec<Entry>> = BTreeMap::new();
    let mut requests = Vec::new();
    for entry in entries.iter().cloned() {
        match entry.kind {
            Kind::Secret => {
                let key = (&entry.region, &entry.role, &entry.id, &entry.stage, &entry.version_id);
                let key = format!("{key:?}");
                secrets.entry(key).or_default().push(entry);
            }
            Kind::Parameter => {
                parameters.entry((entry.region.clone(), entry.role.clone())).or_default().push(entry);
            }
            Kind::Parameters => requests.push(Request::Path(entry)),
        }
    }
    requests.extend(secrets.into_values().map(Request::Secret));
    for group in parameters.into_values() {
        requests.extend(group.chunks(GET_PARAMETERS_AT_MOST).map(|ten| Request::Parameters(ten.to_vec())));
    }
    requests
}

impl Request {
    async fn run(self, asker: &Asker) -> Vec<(String, Outcome)> {
        match self {
            Self::Secret(entries) => secret(&entries, asker).await,
            Self::Parameters(entries) => parameters(&entries, asker).await,
            Self::Path(entry) => vec![(entry.name.clone(), path(&entry, asker).await)],
        }
    }
}

async fn secret(entries: &[Entry], asker: &Asker) -> Vec<(String, Outcome)> {
    let answer = asker.ask(entries, || asker.aws.secret(&entries[0])).await;
    let each = entries.iter().map(|entry| {
        let outcome = answer.as_ref().map_err(Refused::to_failure).map(Answer::copy);
        (entry.name.clone(), outcome.and_then(|answer| shape::secret(entry, answer)))
    });
    each.collect()
}

async fn parameters(entries: &[Entry], asker: &Asker) -> Vec<(String, Outcome)> {
    match asker.ask(entries, || asker.aws.parameters(entries)).await {
        Ok(found) => entries.iter().map(|entry| (entry.name.clone(), parameter(entry, &found))).collect(),
        // One that is denied or malformed refuses all ten: ask for each alone, so that it stands for itself.
        Err(refused) if !refused.retryable && entries.len() > 1 => {
            let mut alone = Vec::new();
            for entry in entries {
                alone.extend(Box::pin(parameters(std::slice::from_ref(entry), asker)).await);
            }
            alone
        }
        Err(refused) => entries.iter().map(|entry| (entry.name.clone(), Err(refused.to_failure()))).collect(),
    }
}

fn parameter(entry: &Entry, found: &BTreeMap<String, Answer>) -> Outcome {
    let Some(answer) = found.get(&entry.id) else {
        let message = format!("There is no parameter {}. Correct the id or the region.", entry.id);
        return Err(failure("ParameterNotFound", message));
    };
    Ok(vec![Fetched::whole(&entry.name, answer.copy())])
}

async fn path(entry: &Entry, asker: &Asker) -> Outcome {
    let (mut found, mut token) = (Vec::new(), None);
    loop {
        let page = asker.ask(std::slice::from_ref(entry), || asker.aws.parameters_below(entry, token.clone())).await;
        let (more, next) = page.map_err(|refused| refused.to_failure())?;
        found.extend(more);
        if next.is_none() {
            return shape::parameters(entry, found);
        }
        token = next;
    }
}

/// Asks until there is an answer, a refusal that stands, or the deadline is over.
struct Asker {
    aws: Aws,
    until: Instant,
    /// By name the last reason of what is asked for again.
    refused: RefCell<BTreeMap<String, Failure>>,
    again: RefCell<Vec<String>>,
}

impl Asker {
    fn new(plan: &Plan, until: Instant) -> Self {
        let aws = Aws::new(plan.region.clone(), plan.deadline);
        Self { aws, until, refused: RefCell::default(), again: RefCell::default() }
    }

    async fn ask<T, F>(&self, entries: &[Entry], call: impl Fn() -> F) -> std::result::Result<T, Refused>
    where
        F: Future<Output = std::result::Result<T, Refused>>,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            let refused = match call().await {
                Err(refused) if refused.retryable && Instant::now() + pause < self.until => refused,
                other => return other,
            };
            for entry in entries {
                let line = format!("{}: {}; asking again in {} ms", entry.name, refused.code, pause.as_millis());
                self.again.borrow_mut().push(line);
                self.refused.borrow_mut().insert(entry.name.clone(), refused.to_failure());
            }
            sleep(pause).await;
            // Decorrelated jitter: many environments that start together do not ask together again.
            let spread = (pause * 3).saturating_sub(FIRST_PAUSE);
            pause = (FIRST_PAUSE + spread.mul_f64(fastrand::f64())).min(LONGEST_PAUSE);
        }
    }
}
