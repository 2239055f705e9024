//! Asks for everything of a plan in parallel, inside one deadline, and asks again for what may be asked for again.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::aws::Aws;
use super::limits::Pages;
use super::pace::Pace;
use super::refused::{BATCH, NO_WAY_OUT, Refused, Retry};
use super::sent::{Over, Sent};
use super::{Answer, Entry, Fetched, Kind, Outcome, Plan, Prefetched, failure, shape};
use keystart_process::lock;
use keystart_store::Failure;

/// Requests in flight: each new one to a host opens a connection, whose handshake costs CPU that small functions lack.
const PARALLEL: usize = 64;
const GET_PARAMETERS_AT_MOST: usize = 10;
const BATCH_GET_SECRET_VALUE_AT_MOST: usize = 20;
/// What a whole batch is refused for because of one secret in it.
const ABOUT_ONE: [&str; 4] =
    ["DecryptionFailure", "InvalidParameterException", "InvalidRequestException", "ResourceNotFoundException"];
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A fetch and its outcomes so far. Whoever waits for it can conclude it at any time, even if the fetch itself cannot end.
pub struct Prefetch {
    plan: Plan,
    sent: Arc<Sent>,
    until: OnceLock<Instant>,
    outcomes: Mutex<BTreeMap<String, Outcome>>,
    /// The last refusal of each entry that is asked for again, by name.
    refused: Mutex<BTreeMap<String, Failure>>,
    again: Mutex<Vec<String>>,
}

impl Prefetch {
    /// Prepares the fetch of a plan.
    pub fn new(plan: Plan) -> Arc<Self> {
        Arc::new(Self {
            plan,
            sent: Sent::new(),
            until: OnceLock::new(),
            outcomes: Mutex::default(),
            refused: Mutex::default(),
            again: Mutex::default(),
        })
    }

    /// Waits until the first requests are sent, or the fetch has ended. Only one caller may wait.
    pub async fn sent(&self) {
        self.sent.all().await;
    }

    /// Returns the time at which the deadline passes; `None` before the fetch has begun.
    pub fn until(&self) -> Option<std::time::Instant> {
        self.until.get().map(|until| until.into_std())
    }

    /// Fetches. It ends at the latest when the plan's deadline has passed.
    pub async fn run(self: Arc<Self>) -> Prefetched {
        let _over = Over(&self.sent);
        let until = *self.until.get_or_init(|| Instant::now() + self.plan.deadline);
        let none = if ask_for_all(&self, until).await { broken() } else { late(&self.plan) };
        self.conclude(&none, false)
    }

    /// Ends a fetch that has not ended by itself when its deadline passed. An answer without an end holds up the thread
    /// that everything runs on, so no process can continue with it: an entry without outcome counts as required.
    pub fn give_up(&self) -> Prefetched {
        self.conclude(&late(&self.plan), true)
    }

    /// Returns the outcome of each entry. `none` is that of those without, which become required where the fetch is given up.
    fn conclude(&self, none: &Failure, given_up: bool) -> Prefetched {
        let (mut outcomes, refused) = (take(&mut *lock(&self.outcomes)), take(&mut *lock(&self.refused)));
        let entries = &self.plan.entries;
        let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        let outcome_of = |entry: &Entry| {
            let outcome = outcomes.remove(&entry.name);
            let optional = entry.optional && !(given_up && outcome.is_none());
            // What the service said last tells more than that time is over.
            let outcome =
                outcome.or_else(|| refused.get(&entry.name).cloned().map(Err)).unwrap_or_else(|| Err(none.clone()));
            (
                Entry { optional, ..entry.clone() },
                outcome
                    .and_then(|secrets| shape::beside(entry, secrets, &names))
                    .and_then(|secrets| shape::storable(entry, secrets)),
            )
        };
        let outcomes = entries.iter().map(outcome_of).collect();
        Prefetched { outcomes, again: take(&mut *lock(&self.again)), env_overwrite: self.plan.env_overwrite }
    }
}

/// Asks for everything, and notes each outcome as it comes. Returns whether a part of the fetch has panicked.
async fn ask_for_all(prefetch: &Arc<Prefetch>, until: Instant) -> bool {
    let plan = &prefetch.plan;
    let asker = Arc::new(Asker::new(Arc::clone(prefetch), until));
    let mut requests = JoinSet::new();
    let room = Arc::new(Semaphore::new(PARALLEL));
    let start = |request: Request, requests: &mut JoinSet<Done>| {
        let (asker, room) = (Arc::clone(&asker), Arc::clone(&room));
        requests.spawn(async move {
            // Closed never, so that this waits and does not fail.
            let _place = room.acquire().await;
            request.run(&asker).await
        });
    };
    let first = requests_of(plan);
    prefetch.sent.expect(first.len().min(PARALLEL));
    for request in first {
        start(request, &mut requests);
    }
    let mut is_broken = false;
    while let Ok(Some(answered)) = timeout_at(until, requests.join_next()).await {
        // A task that panicked has no outcome. Nobody says which one it was, and so which entries are without.
        is_broken |= answered.is_err();
        let Done { given, instead } = answered.unwrap_or_default();
        lock(&prefetch.outcomes).extend(given);
        for request in instead {
            start(request, &mut requests);
        }
    }
    // What is still on its way is dropped, with its connection: nothing may be in flight when the environment is frozen.
    requests.shutdown().await;
    is_broken
}

fn late(plan: &Plan) -> Failure {
    let seconds = plan.deadline.as_secs_f64();
    failure("DeadlineExceeded", format!("No answer within the deadline of {seconds} s. {NO_WAY_OUT}"))
}

fn broken() -> Failure {
    failure(
        "InternalError",
        "The fetch failed in a way it should not. Please report it, with the lines of the log before.",
    )
}

/// One thing to ask a service for, and the entries that it answers.
enum Request {
    Secret(Vec<Entry>),
    /// One secret after a pause.
    Later(Vec<Entry>, Duration),
    Batch(Vec<Entry>),
    Parameters(Vec<Entry>),
    Path(Entry),
}

/// What a request gave, and what is to be asked for instead of what it did not give.
#[derive(Default)]
struct Done {
    given: Vec<(String, Outcome)>,
    instead: Vec<Request>,
}

impl Done {
    fn given(given: Vec<(String, Outcome)>) -> Self {
        Self { given, instead: Vec::new() }
    }

    fn instead(instead: Vec<Request>) -> Self {
        Self { given: Vec::new(), instead }
    }

    fn refused(entries: &[Entry], refused: &Refused) -> Self {
        Self::given(entries.iter().map(|entry| (entry.name.clone(), Err(refused.to_failure()))).collect())
    }
}

/// Groups entries: a call for equal secrets or a batch of 20, for 10 parameters of a region and role, for a path.
fn requests_of(plan: &Plan) -> Vec<Request> {
    let mut secrets: BTreeMap<_, Vec<Entry>> = BTreeMap::new();
    let mut batches: BTreeMap<_, Vec<Vec<Entry>>> = BTreeMap::new();
    let mut parameters: BTreeMap<_, Vec<Entry>> = BTreeMap::new();
    let mut requests = Vec::new();
    for entry in plan.entries.iter().cloned() {
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
    for same in secrets.into_values() {
        if plan.batch && same[0].stage.is_none() && same[0].version_id.is_none() {
            let key = (same[0].region.clone(), same[0].role.clone(), account(&same[0].id).map(str::to_owned));
            batches.entry(key).or_default().push(same);
        } else {
            requests.push(Request::Secret(same));
        }
    }
    for group in batches.into_values() {
        requests.extend(group.chunks(BATCH_GET_SECRET_VALUE_AT_MOST).map(|twenty| match twenty {
            // One alone needs no other permission, and has the larger quota.
            [same] => Request::Secret(same.clone()),
            _ => Request::Batch(twenty.concat()),
        }));
    }
    for group in parameters.into_values() {
        requests.extend(group.chunks(GET_PARAMETERS_AT_MOST).map(|ten| Request::Parameters(ten.to_vec())));
    }
    requests
}

/// The account in an ARN; a name has none. In one account and region a name is one secret, so that no answer of a batch
/// is mistaken for another.
fn account(id: &str) -> Option<&str> {
    id.strip_prefix("arn:").and_then(|arn| arn.split(':').nth(3))
}

impl Request {
    async fn run(self, asker: &Asker) -> Done {
        match self {
            Self::Secret(entries) => secret(&entries, asker).await,
            Self::Later(entries, pause) => {
                sleep(pause).await;
                secret(&entries, asker).await
            }
            Self::Batch(entries) => batch(&entries, asker).await,
            Self::Parameters(entries) => parameters(&entries, asker).await,
            Self::Path(entry) => Done::given(vec![(entry.name.clone(), path(&entry, asker).await)]),
        }
    }
}

async fn secret(entries: &[Entry], asker: &Asker) -> Done {
    match asker.ask(Quota::Secrets, entries, || asker.aws.secret(&entries[0])).await {
        Ok(answer) => Done::given(shaped(entries, &answer).collect()),
        Err(refused) => Done::refused(entries, &refused),
    }
}

/// What the answer for one secret is to each entry that asks for it.
fn shaped(entries: &[Entry], answer: &Answer) -> impl Iterator<Item = (String, Outcome)> {
    entries.iter().map(|entry| (entry.name.clone(), shape::secret(entry, answer.copy())))
}

/// Asks for all in one call. What that does not give is asked for alone: `GetSecretValue` reads secrets of other accounts,
/// which a batch does not, and what it refuses is refused for its reason.
async fn batch(entries: &[Entry], asker: &Asker) -> Done {
    let (mut found, mut refusals, mut token) = (BTreeMap::new(), BTreeMap::new(), None);
    let mut pages = Pages::default();
    loop {
        let page = match asker.ask(Quota::Batches, entries, || asker.aws.secrets(entries, token.clone())).await {
            Ok(page) => page,
            Err(refused) if ABOUT_ONE.contains(&refused.code.as_str()) => {
                return Done::instead(each(entries).map(|same| asker.alone(same, Some(&refused))).collect());
            }
            Err(refused) => return Done::refused(entries, &refused),
        };
        for (id, answer) in page.found {
            let twice = found.get(&id).is_some_and(|other: &Answer| !other.is(&answer));
            if twice {
                return Done::refused(entries, &super::aws::two_answers(&id));
            }
            found.insert(id, answer);
        }
        refusals.extend(page.refused);
        token = page.next;
        match &token {
            None => break,
            Some(token) => {
                if let Err(excess) = pages.turn(token) {
                    return Done::refused(entries, &excess.refused(BATCH));
                }
            }
        }
    }
    let mut done = Done::default();
    for same in each(entries) {
        match found.get(&same[0].id) {
            Some(answer) => done.given.extend(shaped(same, answer)),
            None => done.instead.push(asker.alone(same, refusals.get(&same[0].id))),
        }
    }
    done
}

/// The entries of a batch, those of one secret together, as `requests_of` has put them.
fn each(entries: &[Entry]) -> impl Iterator<Item = &[Entry]> {
    entries.chunk_by(|one, other| one.id == other.id)
}

async fn parameters(entries: &[Entry], asker: &Asker) -> Done {
    match asker.ask(Quota::Parameters, entries, || asker.aws.parameters(entries)).await {
        Ok(found) => Done::given(entries.iter().map(|entry| (entry.name.clone(), parameter(entry, &found))).collect()),
        // One that is denied or malformed refuses all ten: ask for each alone, so that it stands for itself.
        Err(refused) if !refused.is_retryable() && entries.len() > 1 => {
            Done::instead(entries.iter().map(|entry| Request::Parameters(vec![entry.clone()])).collect())
        }
        Err(refused) => Done::refused(entries, &refused),
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
    let (mut found, mut places) = (Vec::<(String, Answer)>::new(), BTreeMap::<String, usize>::new());
    let (mut token, mut pages) = (None::<String>, Pages::default());
    loop {
        let page = asker
            .ask(Quota::Parameters, std::slice::from_ref(entry), || asker.aws.parameters_below(entry, token.clone()))
            .await;
        let (more, next) = page.map_err(|refused| refused.to_failure())?;
        for (name, answer) in more {
            match places.insert(name.clone(), found.len()) {
                None => found.push((name, answer)),
                // A page may repeat the end of the one before it.
                Some(place) if found[place].1.is(&answer) => drop(places.insert(name, place)),
                Some(_) => return Err(super::aws::two_values(entry).to_failure()),
            }
        }
        let Some(next) = next else {
            return shape::parameters(entry, found);
        };
        if let Err(excess) = pages.turn(&next) {
            return Err(excess.refused(&super::aws::get_parameters_by_path(entry)).to_failure());
        }
        token = Some(next);
    }
}

/// The quotas that AWS has for each account and region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Quota {
    Secrets,
    Batches,
    Parameters,
}

type Key = (Quota, Option<String>, Option<String>);

/// Asks until there is an answer, a refusal that stands, or the deadline is over.
struct Asker {
    aws: Aws,
    until: Instant,
    prefetch: Arc<Prefetch>,
    /// By quota, region and role.
    paces: Mutex<BTreeMap<Key, Arc<Pace>>>,
}

impl Asker {
    fn new(prefetch: Arc<Prefetch>, until: Instant) -> Self {
        let plan = &prefetch.plan;
        let aws = Aws::new(plan.region.clone(), plan.deadline, Arc::clone(&prefetch.sent));
        Self { aws, until, prefetch, paces: Mutex::default() }
    }

    async fn ask<T, F>(&self, quota: Quota, entries: &[Entry], call: impl Fn() -> F) -> std::result::Result<T, Refused>
    where
        F: Future<Output = std::result::Result<T, Refused>>,
    {
        let pace = self.pace(quota, &entries[0]);
        let mut pause = FIRST_PAUSE;
        loop {
            let ticket = pace.enter().await;
            let answer = call().await;
            match &answer {
                Err(refused) if refused.retry == Retry::Throttled => {
                    let pause = pace.refuse(&ticket);
                    self.note(entries, Some(refused), &format!("asking again in {} ms", pause.as_millis()));
                    continue;
                }
                Err(refused) if refused.retry == Retry::Failed => pace.leave(&ticket, false),
                _ => pace.leave(&ticket, true),
            }
            let refused = match answer {
                Err(refused) if refused.is_retryable() && Instant::now() + pause < self.until => refused,
                other => return other,
            };
            self.note(entries, Some(&refused), &format!("asking again in {} ms", pause.as_millis()));
            sleep(pause).await;
            // Decorrelated jitter: many environments that start together do not ask together again.
            let spread = (pause * 3).saturating_sub(FIRST_PAUSE);
            pause = (FIRST_PAUSE + spread.mul_f64(fastrand::f64())).min(LONGEST_PAUSE);
        }
    }

    fn pace(&self, quota: Quota, entry: &Entry) -> Arc<Pace> {
        let key = (quota, entry.region.clone(), entry.role.clone());
        Arc::clone(lock(&self.paces).entry(key).or_insert_with(|| Arc::new(Pace::new(self.until))))
    }

    /// The request for what a batch did not give; it waits like any other where asking again may help.
    fn alone(&self, entries: &[Entry], refused: Option<&Refused>) -> Request {
        if refused.is_some_and(Refused::is_retryable) {
            let pause = FIRST_PAUSE + FIRST_PAUSE.mul_f64(2.0 * fastrand::f64());
            self.note(entries, refused, &format!("asking for it alone in {} ms", pause.as_millis()));
            return Request::Later(entries.to_vec(), pause);
        }
        self.note(entries, refused, "asking for it alone");
        Request::Secret(entries.to_vec())
    }

    /// Remembers why something is asked for again.
    fn note(&self, entries: &[Entry], refused: Option<&Refused>, then: &str) {
        for entry in entries {
            let code = refused.map_or("not answered", |refused| &refused.code);
            lock(&self.prefetch.again).push(format!("{}: {code}; {then}", entry.name));
            if let Some(refused) = refused {
                lock(&self.prefetch.refused).insert(entry.name.clone(), refused.to_failure());
            }
        }
    }
}
