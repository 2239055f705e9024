//! The extension as the core runs it. It begins a cold start, reports events to the process, and
//! gives up with a reason.
//!
//! It decides only what a start needs at once. The process decides the rest.

use std::env;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use keystart_config::{Entry, Label, Plan, Problem, Reader, SnapStart, Start, Values, account, shown};
use keystart_process::{lock, report_crashes, take_signal};
use keystart_providers::{Prefetch, SCHEMAS};
use keystart_store::errors::{Error, Result};
use keystart_store::log::{self, Fact, Level};
use keystart_store::manifest::Identity;
use keystart_store::{Failure, Options, VERSION, Writer};

use crate::api::{self, ApiError, ApiEvent, Driver, Phase, RegisterAnswer};
use crate::control::Control;
use crate::events::{Ending, Event, Events, WaitResult, spawn};
use crate::fetch_task::{FIRST, FetchTask, next_event};
use crate::runtime::{alone, handle};

/// Where Lambda unpacks the function. Lambda passes extensions no other path.
const TASK_ROOT: &str = "/var/task";
/// The longest wait for the first requests. It is short because SIGTERM must be answered soon, even
/// if no network exists.
const UNTIL_SENT: Duration = Duration::from_secs(1);
/// Longer than any call of the Extensions API takes, unless something holds up the thread of the core.
const UNTIL_REGISTERED: Duration = api::PATIENCE.saturating_add(Duration::from_secs(1));

/// The one extension of a process.
pub struct Extension {
    /// Opened before the process registers: a reader that finds no root knows that no extension is
    /// attached (contract 3.3).
    writer: Result<Arc<Mutex<Writer>>>,
    plan: Option<Arc<Plan>>,
    fetch: Mutex<Option<Arc<FetchTask>>>,
    /// The refreshes that have not ended.
    refreshes: Mutex<Vec<Arc<FetchTask>>>,
    /// How many fetches have begun after the first one of a start.
    refreshed: AtomicU64,
    client: Arc<Client>,
    control: Arc<Control>,
    events: Arc<Events>,
    began: Instant,
}

impl Extension {
    /// Begins a cold start as the extension of that name: takes over the store, reads the
    /// configuration, registers, and fetches until the first requests are sent. It returns only
    /// then because the host loads more code next, which would take CPU from the requests; later it
    /// can load while the service answers. A failure becomes an event.
    pub fn begin(name: &str) -> Self {
        let began = Instant::now();
        let writer = open_writer();
        let mut extension = Self {
            writer: writer.map(|writer| Arc::new(Mutex::new(writer))),
            plan: None,
            fetch: Mutex::default(),
            refreshes: Mutex::default(),
            refreshed: AtomicU64::new(FIRST),
            client: Arc::new(Client::new(name)),
            control: Arc::default(),
            events: Events::new(),
            began,
        };
        if let Err(event) = extension.start() {
            extension.events.push(event);
        }
        extension
    }

    fn start(&mut self) -> std::result::Result<(), Event> {
        match &self.writer {
            Ok(writer) => report_crashes(lock(writer).crash_report()),
            Err(error) => return Err(failed("Extension.StoreUnusable", &shown::without_root(error.message()))),
        }
        let reader = Reader { schemas: SCHEMAS, values: Values::Process };
        let plan = reader
            .find(|variable| env::var_os(variable), Path::new(TASK_ROOT))
            .map_err(|problems| failed("Extension.ConfigurationInvalid", &lines(&problems)))?;
        let plan = Arc::clone(self.plan.insert(Arc::new(plan)));
        let begun = if self.is_deferred() { self.start_deferred() } else { self.start_fetch(plan) };
        begun.map_err(|error| Event::internal(&error))
    }

    /// Returns whether nothing may be fetched before the first invocation (contract 11.10).
    pub fn is_deferred(&self) -> bool {
        self.plan().is_some_and(|plan| plan.snapstart == SnapStart::FirstInvoke) && is_snapshot()
    }

    /// Registers, and fetches nothing.
    fn start_deferred(&self) -> Result<()> {
        self.events.bell()?;
        self.client.invoke.store(true, Ordering::Relaxed);
        if let Ok(writer) = &self.writer {
            lock(writer).defer()?;
        }
        self.register()?;
        self.listen();
        Ok(())
    }

    /// Begins the fetch that was deferred, or begins it again after it has failed. It takes at most
    /// that time, or the plan's deadline if that is shorter. Its end is an event with the number of
    /// this fetch. An answer that never ends leaves the process able to call Lambda.
    pub fn start_deferred_fetch(&self, at_most: Duration) -> Result<Arc<FetchTask>> {
        let plan = self.plan().ok_or_else(|| Error::internal("there is no plan to fetch"))?;
        let plan = Plan { deadline: plan.deadline.min(at_most), ..(**plan).clone() };
        let fetch = FetchTask::numbered(self.next_number(), Prefetch::new(Arc::new(plan), None));
        *lock(&self.fetch) = Some(Arc::clone(&fetch));
        fetch.start_apart(&self.events)?;
        Ok(fetch)
    }

    fn next_number(&self) -> u64 {
        self.refreshed.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn start_fetch(&mut self, plan: Arc<Plan>) -> Result<()> {
        self.events.bell()?;
        // On Managed Instances Lambda refuses an extension that asks for INVOKE.
        self.client.invoke.store(plan.is_refreshed() && !is_managed_instance(), Ordering::Relaxed);
        let is_overlapping = matches!(plan.start, Start::Overlap);
        let fetch = FetchTask::new(plan, None);
        *lock(&self.fetch) = Some(Arc::clone(&fetch));
        let start = start(Arc::clone(&self.client), fetch, is_overlapping, Arc::clone(&self.events));
        handle()?.spawn(start);
        let is_registered =
            !is_overlapping || self.is_done(&self.events.wait_until_registered(Instant::now() + UNTIL_REGISTERED)?);
        if is_registered {
            self.is_done(&self.events.wait_until_sent(Instant::now() + UNTIL_SENT)?);
        }
        // Now, while the services answer. The runtime needs far longer to get to the function's code.
        self.listen();
        Ok(())
    }

    /// Makes `control.sock` and serves its clients. Without it readers report that nobody answers,
    /// and everything else works, so a failure is only logged.
    fn listen(&self) {
        let Ok(writer) = &self.writer else { return };
        let made = lock(writer).listen();
        let served = made.and_then(|made| made.map_or(Ok(()), |made| self.control.serve(made, &self.events)));
        if let Err(error) = served {
            log::write(
                Level::Warn,
                &format!("Readers cannot ask for a refresh: {}", shown::without_root(error.message())),
            );
        }
    }

    /// Takes over the store again after the function has removed it, for the next publish.
    pub fn reopen(&self) -> Result<()> {
        let writer = self.writer().ok_or_else(|| Error::internal("there is no store to open again"))?;
        lock(writer).reopen()?;
        report_crashes(lock(writer).crash_report());
        self.listen();
        Ok(())
    }

    /// Returns the requests of clients that wait for an answer.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Returns whether a wait ended with what it waited for. If a signal ended it, the signal
    /// becomes the next event.
    fn is_done(&self, waited: &WaitResult<()>) -> bool {
        if *waited == WaitResult::Interrupted
            && let Some((number, name)) = take_signal()
        {
            self.events.push_first(Event::Signal { number, name });
        }
        *waited == WaitResult::Done(())
    }

    /// Returns the writer; `None` if the store cannot be used.
    pub fn writer(&self) -> Option<&Arc<Mutex<Writer>>> {
        self.writer.as_ref().ok()
    }

    /// Returns the plan; `None` if the configuration is invalid or was not read.
    pub fn plan(&self) -> Option<&Arc<Plan>> {
        self.plan.as_ref()
    }

    /// Returns the fetch; `None` if none has begun.
    pub fn fetch(&self) -> Option<Arc<FetchTask>> {
        lock(&self.fetch).clone()
    }

    /// Begins to fetch entries of the configuration again, by their indexes. A `stage` replaces the
    /// version that they ask for. Its end is an event with the number of this fetch.
    pub fn refresh(&self, entries: &[usize], stage: Option<&str>, deadline: Duration) -> Result<Arc<FetchTask>> {
        let first = self.fetch().ok_or_else(|| Error::internal("there is no fetch to repeat"))?;
        let refresh = first.part(self.next_number(), entries, stage, deadline);
        refresh.start_apart(&self.events)?;
        lock(&self.refreshes).push(Arc::clone(&refresh));
        Ok(refresh)
    }

    /// Waits (for hours if need be) for the next event, at most until a time.
    pub fn wait(&self, until: Option<Instant>) -> Result<Event> {
        loop {
            lock(&self.refreshes).retain(|refresh| refresh.limit().is_some());
            let fetches: Vec<_> = lock(&self.refreshes).iter().cloned().chain(self.fetch()).collect();
            match next_event(&fetches, &self.events, until)? {
                WaitResult::Done(event) => return Ok(event),
                WaitResult::TimedOut => return Ok(Event::Passed),
                WaitResult::Interrupted => {
                    if let Some((number, name)) = take_signal() {
                        return Ok(Event::Signal { number, name });
                    }
                }
            }
        }
    }

    /// Registers, unless that has begun already. The answer is an event.
    pub fn register(&self) -> Result<()> {
        if !self.client.begin_to_register() {
            return Ok(());
        }
        let client = Arc::clone(&self.client);
        spawn(&self.events, async move { client.register(Driver::Runtime, || ()).await })
    }

    /// Reports to Lambda that the extension is ready, and asks for the next event.
    pub fn next(&self) -> Result<()> {
        let client = Arc::clone(&self.client);
        spawn(&self.events, async move { client.next().await })
    }

    /// Gives up with a reason. It informs readers first, unless the secrets were published and
    /// removed; then Lambda, unless Lambda has refused a call; then the log. None of these needs a
    /// thread, and only Lambda needs a descriptor.
    pub fn fail(&self, kind: &str, message: &str, failures: &[(String, Failure)]) {
        let required = failures.iter().filter(|(_, failure)| !failure.optional);
        let mut further = Vec::new();
        if let Some(writer) = self.writer()
            && !lock(writer).is_stopped()
            && let Err(error) = lock(writer).fail(message, required.clone().cloned().collect())
        {
            // A full disk refuses the secrets and then the state. Once is enough.
            let text = shown::without_root(error.message());
            further.extend(Some(text).filter(|text| refusal_of_write(text) != refusal_of_write(message)));
        }
        further.extend(self.client.report(kind, message).err());
        let took = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let members = [
            ("event", Fact::Text("start_failed")),
            ("code", Fact::Text(kind)),
            ("failed", Fact::Number(required.clone().count() as u64)),
            ("duration_ms", Fact::Number(took)),
            ("version", Fact::Text(VERSION)),
        ];
        log::write_with(Level::Error, message, &members);
        for (name, failure) in required {
            self.log_failure(name, failure);
        }
        for line in further {
            log::write(Level::Error, &line);
        }
        log::release();
    }

    /// Logs why a required entry has no value.
    fn log_failure(&self, name: &str, Failure { code, message, .. }: &Failure) {
        let entry = self.plan().and_then(|plan| plan.entries.iter().find(|entry| entry.name == name));
        let unknown = || Label { text: name.to_owned(), ..Label::default() };
        let label = entry.map_or_else(unknown, Entry::label);
        let members = [
            ("event", Fact::Text("secret_failed")),
            ("secret", Fact::Text(name)),
            ("code", Fact::Text(code)),
            ("id", Fact::Text(&label.id)),
            ("region", Fact::Text(&label.region)),
            ("account", Fact::Text(&label.account)),
        ];
        log::write_with(Level::Error, &format!("{}: {code}: {message}", label.text), &members);
    }
}

/// Returns whether the environment serves many invocations at once and never freezes.
pub fn is_managed_instance() -> bool {
    is_initialized_as("lambda-managed-instances")
}

/// Returns whether Lambda takes a snapshot of the environment after Init.
pub fn is_snapshot() -> bool {
    is_initialized_as("snap-start")
}

fn is_initialized_as(kind: &str) -> bool {
    env::var_os("AWS_LAMBDA_INITIALIZATION_TYPE").is_some_and(|value| value == kind)
}

/// Takes over the store that the environment names. It reads the variable now, before a host
/// changes its environment.
fn open_writer() -> Result<Writer> {
    let root = env::var_os("KEYSTART_DIR").map(OsStringExt::into_vec);
    let options = Options { env_dir: root.as_deref(), ..Options::default() };
    Writer::open(&options, Identity { name: "keystart-extension".to_owned(), version: VERSION.to_owned() })
}

/// Registers and fetches.
async fn start(client: Arc<Client>, fetch: Arc<FetchTask>, is_overlapping: bool, events: Arc<Events>) {
    let mut fetching = None;
    let mut run = || fetching = Some(tokio::spawn(Arc::clone(&fetch).run(Arc::clone(&events))));
    if is_overlapping {
        client.begin_to_register();
        // Lambda starts the runtime after this request, and the fetch does not need the answer.
        let mut answer = Ending::new(&events);
        answer.event = client.register(Driver::Runtime, &mut run).await;
        let is_registered = answer.event == Event::Registered;
        drop(answer);
        if !is_registered {
            if let Some(useless) = fetching {
                useless.abort();
            }
            return;
        }
    } else {
        run();
    }
    fetch.wait_until_sent().await;
    events.set_sent();
}

/// Returns the name of the errno in a message about a store that cannot be written.
fn refusal_of_write(message: &str) -> Option<&str> {
    message.split_once(" cannot be written: ")?.1.split(' ').next()
}

fn message_of(error: &Error) -> String {
    error.message().to_owned()
}

fn failed(kind: &'static str, message: &str) -> Event {
    Event::Failed { kind, message: message.to_owned() }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The connection of the extension to Lambda.
struct Client {
    address: String,
    name: String,
    registration: Mutex<Registration>,
    /// Lambda is to send INVOKE too.
    invoke: AtomicBool,
    /// The next event has been requested, which ends Init.
    is_ready: AtomicBool,
}

enum Registration {
    NotBegun,
    Begun,
    Registered(String),
    /// Lambda cannot be reached or has refused a call. The extension does not call it again.
    Refused,
}

impl Client {
    fn new(name: &str) -> Self {
        Self {
            address: env::var("AWS_LAMBDA_RUNTIME_API").unwrap_or_default(),
            name: name.to_owned(),
            registration: Mutex::new(Registration::NotBegun),
            invoke: AtomicBool::new(false),
            is_ready: AtomicBool::new(false),
        }
    }

    /// Notes that the extension registers; false if it has begun before.
    fn begin_to_register(&self) -> bool {
        let mut registration = lock(&self.registration);
        let is_first = matches!(*registration, Registration::NotBegun);
        if is_first {
            *registration = Registration::Begun;
        }
        is_first
    }

    /// Registers. Calls `meanwhile` after the request is sent and before the answer comes.
    async fn register(&self, driver: Driver, meanwhile: impl FnOnce()) -> Event {
        let invoke = self.invoke.load(Ordering::Relaxed);
        match api::register(driver, &self.address, &self.name, invoke, meanwhile).await {
            Ok(RegisterAnswer { identifier, account: of_function }) => {
                if let Some(of_function) = of_function {
                    account::note(&of_function);
                }
                *lock(&self.registration) = Registration::Registered(identifier);
                Event::Registered
            }
            Err(error) => self.refused(error),
        }
    }

    async fn next(&self) -> Event {
        self.is_ready.store(true, Ordering::Relaxed);
        let answer = match self.identifier() {
            Some(identifier) => api::next(&self.address, &identifier).await,
            None => Err(ApiError("The extension is not registered.".to_owned())),
        };
        match answer {
            Ok(ApiEvent { kind, .. }) if kind == "SHUTDOWN" => Event::Shutdown,
            Ok(ApiEvent { kind, deadline_ms }) if kind == "INVOKE" => Event::Invoke(deadline_ms),
            Ok(ApiEvent { kind, .. }) => Event::Unexpected(kind),
            Err(error) => self.refused(error),
        }
    }

    /// Reports to Lambda that Init failed or, after the first `next`, that the extension ends.
    /// Returns the reason if it cannot. It works in the calling thread, with one descriptor at a
    /// time.
    fn report(&self, kind: &str, message: &str) -> std::result::Result<(), String> {
        if matches!(*lock(&self.registration), Registration::Refused) {
            return Ok(());
        }
        // Only a registered extension may report.
        if self.identifier().is_none()
            && let Event::Failed { message, .. } =
                alone(self.register(Driver::Caller, || ())).map_err(|error| message_of(&error))?
        {
            return Err(message);
        }
        let identifier = self.identifier().unwrap_or_default();
        let phase = if self.is_ready.load(Ordering::Relaxed) { Phase::Exit } else { Phase::Init };
        let report = api::fail(Driver::Caller, &self.address, &identifier, phase, kind, message);
        alone(report).map_err(|error| message_of(&error))?.map_err(|ApiError(reason)| reason)
    }

    fn identifier(&self) -> Option<String> {
        match &*lock(&self.registration) {
            Registration::Registered(identifier) => Some(identifier.clone()),
            _ => None,
        }
    }

    fn refused(&self, ApiError(message): ApiError) -> Event {
        *lock(&self.registration) = Registration::Refused;
        failed("Extension.ApiFailed", &message)
    }
}
