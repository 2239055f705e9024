//! Fetches everything in a plan in parallel, inside one deadline, and retries what may be retried.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::aws::route::{Pending, Route};
use crate::aws::{Aws, Login};
use crate::first_requests::{FirstRequests, TRANSMISSION, Transmission};
use crate::freeze::{Clocks, TICK};
use crate::provider::Provider;
use crate::request::{Dispatcher, Request, RequestResult};
use crate::retries::Retries;
use crate::{Entry, FetchedSecret, Outcome, PROVIDERS, Plan, PrefetchResult, Variable, habits, shape};
use keystart_process::lock;
use keystart_store::Failure;
use keystart_store::log::{self, Fact, Level};

/// The most requests in flight. Each new one to a host opens a connection, whose handshake costs
/// CPU that small functions lack.
const PARALLEL: usize = 64;
/// After so many freezes the deadline counts, because what looks like one may be an answer that holds up the thread.
const MOST_FREEZES: usize = 3;
/// After so long the log says what a fetch waits for: if the environment is stopped at Lambda's limit
/// before the deadline, these lines are the last ones.
const SILENCE: Duration = Duration::from_secs(1);
/// The most secrets that it says this of.
const LISTED: usize = 10;
/// How long an answer that arrived during a freeze may take after it.
const THAW: Duration = Duration::from_millis(100);

/// A fetch and its outcomes so far. Whoever waits for it can conclude it at any time, even if the fetch itself cannot end.
pub struct Prefetch {
    plan: Arc<Plan>,
    /// The names of the configuration's entries that this fetch does not ask for.
    others: Vec<String>,
    login: Option<Login>,
    providers: &'static [&'static dyn Provider],
    first_requests: Arc<FirstRequests>,
    pending: Arc<Pending>,
    /// The environment may freeze while it runs: not at a start.
    may_freeze: bool,
    until: Mutex<Option<Instant>>,
    outcomes: Mutex<BTreeMap<String, Outcome>>,
    retries: Arc<Retries>,
    warnings: Mutex<Vec<String>>,
}

impl Prefetch {
    /// Prepares the fetch of a plan. Without a login it looks for credentials itself, inside the deadline.
    pub fn new(plan: Arc<Plan>, login: Option<Login>) -> Arc<Self> {
        Self::with_providers(plan, login, PROVIDERS)
    }

    /// Prepares a fetch from other providers.
    pub fn with_providers(
        plan: Arc<Plan>,
        login: Option<Login>,
        providers: &'static [&'static dyn Provider],
    ) -> Arc<Self> {
        Self::of(plan, Vec::new(), login, providers, false)
    }

    /// Prepares another fetch of some entries of this one, by their indexes, with its own deadline.
    /// A `stage` replaces the version that they ask for.
    pub fn part(&self, entries: &[usize], stage: Option<&str>, deadline: Duration) -> Arc<Self> {
        let mut plan = Plan { deadline, ..(*self.plan).clone() };
        let (mut chosen, mut others) = (Vec::new(), self.others.clone());
        for (index, mut entry) in plan.entries.into_iter().enumerate() {
            if entries.contains(&index) {
                entry.stage = stage.map(str::to_owned).or(entry.stage);
                chosen.push(entry);
            } else {
                others.push(entry.name);
            }
        }
        plan.entries = chosen;
        Self::of(Arc::new(plan), others, self.login.clone(), self.providers, true)
    }

    fn of(
        plan: Arc<Plan>,
        others: Vec<String>,
        login: Option<Login>,
        providers: &'static [&'static dyn Provider],
        may_freeze: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            plan,
            others,
            login,
            providers,
            first_requests: FirstRequests::new(),
            pending: Arc::default(),
            may_freeze,
            until: Mutex::default(),
            outcomes: Mutex::default(),
            retries: Arc::default(),
            warnings: Mutex::default(),
        })
    }

    /// Waits until the first requests are sent, or the fetch has ended. Only one caller may wait.
    pub async fn wait_until_sent(&self) {
        self.first_requests.wait().await;
    }

    /// Returns the time at which the deadline passes; `None` before the fetch has begun. A freeze makes it later.
    pub fn until(&self) -> Option<std::time::Instant> {
        lock(&self.until).map(Instant::into_std)
    }

    /// Fetches. It ends at the latest when the plan's deadline has passed.
    pub async fn run(self: Arc<Self>) -> PrefetchResult {
        let _end = EndOfFetch(&self.first_requests);
        *lock(&self.until) = Some(Instant::now() + self.plan.deadline);
        let none = ask_for_all(&self).await;
        self.conclude(&none, false)
    }

    /// Ends a fetch that did not end at its deadline. An answer without an end holds up the thread
    /// that everything runs on, so the process cannot continue: an entry without an outcome counts
    /// as required.
    pub fn give_up(&self) -> PrefetchResult {
        self.conclude(&self.late(), true)
    }

    /// Ends a fetch that did not end at its deadline, without any other consequence.
    pub fn abandon(&self) -> PrefetchResult {
        self.conclude(&self.late(), false)
    }

    /// Ends a fetch that panicked.
    pub fn ruin(&self) -> PrefetchResult {
        self.conclude(&broken(), false)
    }

    /// Ends a fetch that cannot begin: each entry has the same failure.
    pub fn refuse(&self, failure: &Failure) -> PrefetchResult {
        self.conclude(failure, false)
    }

    /// Returns the failure of entries without an answer at the deadline. It names the hosts that have not answered.
    fn late(&self) -> Failure {
        let seconds = self.plan.deadline.as_secs_f64();
        let routes = self.pending.routes();
        let hosts: Vec<String> = routes.iter().map(ToString::to_string).collect();
        let from = if hosts.is_empty() { String::new() } else { format!(" from {}", hosts.join(", ")) };
        let advice = routes.first().map_or_else(|| "Look at the lines of the log before.".to_owned(), Route::advice);
        Failure::new("DeadlineExceeded", format!("No answer{from} within the deadline of {seconds} s. {advice}"))
    }

    /// Logs what it has waited for since it began: each secret, the attempt, the hosts, and the last refusal.
    fn log_silence(&self) {
        log::release(); // nothing may wait for a fetch that may never end
        let outcomes = lock(&self.outcomes);
        let routes = self.pending.routes();
        let hosts: Vec<String> = routes.iter().map(ToString::to_string).collect();
        let hosts = hosts.join(", ");
        let from = if hosts.is_empty() { String::new() } else { format!(" from {hosts}") };
        let advice = routes.first().map_or_else(String::new, |route| format!(" {}", route.advice()));
        let limit = self.plan.deadline.as_secs_f64();
        let open: Vec<&Entry> = self.plan.entries.iter().filter(|entry| !outcomes.contains_key(&entry.name)).collect();
        for entry in open.iter().take(LISTED) {
            let label = entry.label();
            let (attempts, refusal) = self.retries.of(&entry.name);
            let attempt = attempts + 1;
            // A refusal has its own advice.
            let last = refusal.as_ref().map_or_else(
                || advice.clone(),
                |Failure { code, message, .. }| format!(" The last answer was {code}: {message}"),
            );
            let members = [
                ("event", Fact::Text("waiting")),
                ("secret", Fact::Text(&entry.name)),
                ("code", Fact::Text(refusal.as_ref().map_or("", |failure| &failure.code))),
                ("id", Fact::Text(&label.id)),
                ("region", Fact::Text(&label.region)),
                ("account", Fact::Text(&label.account)),
                ("host", Fact::Text(&hosts)),
                ("attempt", Fact::Number(attempt)),
            ];
            let text = format!(
                "{} has no value after {} s: attempt {attempt} waits for an answer{from}. The deadline is {limit} s.{last}",
                label.text,
                SILENCE.as_secs()
            );
            log::write_with(Level::Warn, &text, &members);
        }
        if open.len() > LISTED {
            let more = open.len() - LISTED;
            log::write(Level::Warn, &format!("{more} more secrets have no value after {} s.", SILENCE.as_secs()));
        }
        let warnings = [self.plan.deadline_warning(), self.plan.timeout_warning()];
        warnings.into_iter().flatten().for_each(|warning| log::write(Level::Warn, &warning));
    }

    /// Returns the requests for all entries without an outcome.
    fn requests(&self) -> Vec<Request> {
        let mut requests = Vec::new();
        let outcomes = lock(&self.outcomes);
        for provider in self.providers {
            let is_open = |entry: &&Entry| provider.owns(entry) && !outcomes.contains_key(&entry.name);
            let entries = self.plan.entries.iter().filter(is_open).cloned().collect();
            let groups = provider.group(&self.plan, entries);
            requests.extend(groups.into_iter().map(|entries| Request::new(*provider, entries)));
        }
        requests
    }

    fn deadline(&self) -> Instant {
        lock(&self.until).unwrap_or_else(Instant::now)
    }

    /// Notes the outcomes of a request, and returns the further requests that it needs.
    fn note(&self, ended: RequestResult) -> Vec<Request> {
        let RequestResult { outcomes, further, warnings } = ended;
        lock(&self.outcomes).extend(outcomes);
        lock(&self.warnings).extend(warnings);
        further
    }

    /// Notes what a request brought although the environment was frozen. An entry that failed is fetched again.
    fn note_answers(&self, mut ended: RequestResult) {
        ended.outcomes.retain(|(_, outcome)| outcome.is_ok());
        self.note(ended);
    }

    /// Returns the outcome of each entry. An entry without one gets `none`, and counts as required
    /// if the fetch was given up.
    fn conclude(&self, none: &Failure, given_up: bool) -> PrefetchResult {
        let (mut outcomes, refusals) = (take(&mut *lock(&self.outcomes)), self.retries.take_refusals());
        let entries = &self.plan.entries;
        let others = self.others.iter().map(String::as_str);
        let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).chain(others).collect();
        let (retries, warnings) = (self.retries.take_lines(), take(&mut *lock(&self.warnings)));
        let mut fetched = PrefetchResult { retries, warnings, ..PrefetchResult::default() };
        let mut variables = Variables::new(entries);
        for entry in entries {
            let outcome = outcomes.remove(&entry.name);
            let optional = entry.optional && !(given_up && outcome.is_none());
            // The service's last refusal says more than that the time is over.
            let outcome =
                outcome.or_else(|| refusals.get(&entry.name).cloned().map(Err)).unwrap_or_else(|| Err(none.clone()));
            let shaped = outcome
                .and_then(|secrets| shape::check_conflicts(entry, secrets, &names))
                .and_then(|secrets| shape::check_values(entry, secrets));
            match shaped {
                Ok(secrets) => {
                    if !entry.is_meant {
                        fetched.warnings.extend(secrets.iter().filter_map(habit));
                    }
                    if entry.is_folder() {
                        variables.assign(entry, &secrets, &mut fetched.warnings);
                    }
                    let first = fetched.secrets.len();
                    fetched.secrets.extend(secrets);
                    fetched.entries.push((entry.name.clone(), first..fetched.secrets.len()));
                }
                Err(failure) => {
                    fetched.labels.push(entry.label());
                    fetched.failures.push((entry.name.clone(), Failure { optional, ..failure }));
                }
            }
        }
        let overwrite = self.plan.env_overwrite;
        let variables = variables.0.into_iter();
        fetched.variables = variables.map(|(name, secret)| Variable { name, secret, overwrite }).collect();
        fetched
    }
}

/// Returns a warning about a value that somebody may have stored by mistake.
fn habit(secret: &FetchedSecret) -> Option<String> {
    let flaw = habits::flaw(secret.value.as_bytes())?;
    Some(format!(
        "The value of \"{}\" {flaw}. It is published as it is. Correct the secret, or write as_is: true if it is meant so.",
        secret.name
    ))
}

/// The secrets of variables, by the variables' names.
struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Takes the variables that the configuration names whole. They count before those of members.
    fn new(entries: &[Entry]) -> Self {
        let single = entries.iter().filter(|entry| !entry.is_folder());
        Self(single.filter_map(|entry| Some((entry.env.clone()?, entry.name.clone()))).collect())
    }

    /// Assigns a variable to each secret of a folder, or adds a warning.
    fn assign(&mut self, entry: &Entry, secrets: &[FetchedSecret], warnings: &mut Vec<String>) {
        for FetchedSecret { name, value, .. } in secrets {
            let Some(variable) = entry.variable(name) else { return };
            let why = match variable {
                Err(why) => why,
                Ok(variable) => match self.0.get(&variable) {
                    Some(other) => format!("{variable} is that of \"{other}\". Rename one of them."),
                    None if value.as_bytes().contains(&0) => {
                        format!("it holds a NUL byte, which no variable can. Read it as bytes instead of {variable}.")
                    }
                    None => {
                        self.0.insert(variable, name.clone());
                        continue;
                    }
                },
            };
            warnings.push(format!("\"{name}\" gets no variable: {why}"));
        }
    }
}

/// Fetches everything, and notes each outcome as it arrives. Returns why an entry may have none.
async fn ask_for_all(prefetch: &Arc<Prefetch>) -> Failure {
    let (mut clocks, mut round) = (Clocks::now(), Round::new(prefetch));
    let first = prefetch.requests();
    prefetch.first_requests.expect(first.len().min(PARALLEL));
    for request in first {
        let transmission = Transmission::new(&prefetch.first_requests);
        round.requests.spawn(TRANSMISSION.scope(transmission, round.run(request)));
    }
    let (mut is_broken, mut freezes) = (false, 0);
    // Only at a start: nobody stops the environment during a refresh before that has logged its reason.
    let silent_until = Some(Instant::now() + SILENCE).filter(|at| *at < prefetch.deadline());
    let mut silent_until = silent_until.filter(|_| !prefetch.may_freeze);
    loop {
        let until = prefetch.deadline();
        if silent_until.take_if(|at| *at <= Instant::now()).is_some() {
            prefetch.log_silence();
        }
        let look = if prefetch.may_freeze { until.min(Instant::now() + TICK) } else { until };
        let look = silent_until.map_or(look, |at| at.min(look));
        let ended = timeout_at(look, round.requests.join_next()).await;
        let frozen = if prefetch.may_freeze { clocks.look() } else { None };
        if let Some(frozen) = frozen.filter(|_| freezes < MOST_FREEZES) {
            freezes += 1;
            // The frozen time does not count. An answer that arrived in it does.
            *lock(&prefetch.until) = Some(until + frozen);
            let mut arrived = ended.ok().flatten();
            loop {
                if let Some(ended) = arrived {
                    is_broken |= ended.is_err();
                    prefetch.note_answers(ended.unwrap_or_default());
                }
                let Ok(Some(next)) = timeout(THAW, round.requests.join_next()).await else { break };
                arrived = Some(next);
            }
            round.requests.shutdown().await;
            // New connections, credentials and signatures.
            round = Round::new(prefetch);
            for request in prefetch.requests() {
                round.requests.spawn(round.run(request));
            }
            clocks = Clocks::now();
            continue;
        }
        match ended {
            Ok(Some(ended)) => {
                // A task that panicked has no outcome, and does not say which entries it had.
                is_broken |= ended.is_err();
                for request in prefetch.note(ended.unwrap_or_default()) {
                    round.requests.spawn(round.run(request));
                }
            }
            Ok(None) => break,
            Err(_) if Instant::now() >= until => break,
            Err(_) => {}
        }
    }
    let none = if is_broken { broken() } else { prefetch.late() };
    // Drops what is still on its way, with its connection: nothing may be in flight when the
    // environment freezes.
    round.requests.shutdown().await;
    none
}

/// The requests that are sent with one set of connections and credentials.
struct Round {
    dispatcher: Arc<Dispatcher>,
    room: Arc<Semaphore>,
    requests: JoinSet<RequestResult>,
}

impl Round {
    fn new(prefetch: &Prefetch) -> Self {
        let (plan, pending) = (&prefetch.plan, Arc::clone(&prefetch.pending));
        let aws = Aws::new(plan.region.clone(), plan.deadline, prefetch.login.clone(), pending);
        let dispatcher = Arc::new(Dispatcher::new(aws, prefetch.deadline(), Arc::clone(&prefetch.retries)));
        Self { dispatcher, room: Arc::new(Semaphore::new(PARALLEL)), requests: JoinSet::new() }
    }

    fn run(&self, request: Request) -> impl Future<Output = RequestResult> + Send + 'static {
        let (dispatcher, room) = (Arc::clone(&self.dispatcher), Arc::clone(&self.room));
        async move {
            // The semaphore is never closed, so this waits and does not fail.
            let _place = room.acquire().await;
            request.run(&dispatcher).await
        }
    }
}

/// Notes that there is nothing more to wait for, even if a fetch ends early or panics.
struct EndOfFetch<'a>(&'a FirstRequests);

impl Drop for EndOfFetch<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn broken() -> Failure {
    Failure::new(
        "InternalError",
        "The fetch failed in a way it should not. Please report it, with the lines of the log before.",
    )
}
