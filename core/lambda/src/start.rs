//! Begins a cold start before anything else is loaded: takes over the store, registers, and starts to fetch.
//!
//! It goes as far as nothing needs deciding. What it did is told once, and the process goes on from there.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use keystart_config::{Problem, Reader, Start};
use keystart_process::{is_signal_pending, report_crashes};
use keystart_providers::{Prefetch, Prefetched, SCHEMAS};
use keystart_store::error::{Error, Result};
use keystart_store::log::{self, Level};
use keystart_store::manifest::Identity;
use keystart_store::{Options, VERSION, Writer};

use crate::api::{self, ApiError, Driver, Phase};
use crate::fetch_task::FetchTask;
use crate::task::alone;

/// Where Lambda unpacks the function; it does not tell extensions another place.
const TASK_ROOT: &str = "/var/task";
/// For what is sent at once where there is a way to the store. Where there is none, SIGTERM is to be answered soon.
const UNTIL_SENT: Duration = Duration::from_secs(1);
/// A call of the Extensions API ends by itself before that, unless something holds up the thread of the core.
const UNTIL_REGISTERED: Duration = api::PATIENCE.saturating_add(Duration::from_secs(1));
/// Between two looks whether a signal came while Lambda does not answer.
const PAUSE: Duration = Duration::from_millis(20);

/// A step of the start that the thread of the core has taken.
enum Step {
    Registered(ApiResult),
    /// The first requests of the fetch are sent, or it has ended.
    Sent,
}

type ApiResult = std::result::Result<String, ApiError>;

/// What was begun.
pub struct Begun {
    name: String,
    /// Open before the process registers: a reader that finds no root knows that no extension is attached (contract 3.3).
    pub writer: Result<Writer>,
    /// What is wrong with the configuration. Then nothing else was begun.
    pub problems: Vec<Problem>,
    /// The links that the configuration asks for, as JSON.
    pub links: Option<String>,
    /// What registering gave; none when the process has to fetch first.
    pub registered: Option<ApiResult>,
    /// The fetch; none when the configuration is wrong, or when registering failed.
    pub fetch: Option<Result<FetchTask>>,
}

impl Begun {
    /// Begins as the extension of that name. The environment is read here, before a host has changed its own.
    pub fn new(name: &str) -> Self {
        let root = env::var_os("KEYSTART_DIR").map(std::os::unix::ffi::OsStringExt::into_vec);
        let options = Options { env_dir: root.as_deref(), ..Options::default() };
        let identity = Identity { name: "keystart-extension".to_owned(), version: VERSION.to_owned() };
        let writer = Writer::open(&options, identity);
        let (problems, links) = (Vec::new(), None);
        let mut begun = Self { name: name.to_owned(), writer, problems, links, registered: None, fetch: None };
        match &begun.writer {
            Ok(writer) => report_crashes(writer.crash_report()),
            Err(_) => return begun,
        }
        let reader = Reader { schemas: SCHEMAS };
        let plan = match reader.find(|variable| env::var_os(variable), Path::new(TASK_ROOT)) {
            Ok(plan) => plan,
            Err(problems) => return Self { problems, ..begun },
        };
        begun.links = plan.links_json();
        let limit = match plan.start {
            Start::Overlap => UNTIL_REGISTERED,
            Start::Before => UNTIL_SENT,
        };
        let (tell, steps) = channel();
        let start = plan.start;
        let prefetch = Prefetch::new(plan, None);
        let fetch = FetchTask::start_as(Arc::clone(&prefetch), run(prefetch, start, name.to_owned(), tell));
        begun.registered = wait_until_sent(&steps, limit);
        if !matches!(begun.registered, Some(Err(_))) {
            begun.fetch = Some(fetch);
        }
        begun
    }

    /// Ends the start where nothing is left that could continue it. Readers learn the reason first, then Lambda, then
    /// the log; none of them needs a thread, and Lambda the only descriptor.
    pub fn give_up(self, kind: &str, message: &str) {
        let Self { name, writer, registered, fetch, .. } = self;
        let mut lines = vec![message.to_owned()];
        match writer.and_then(|mut writer| writer.fail(message, BTreeMap::new())) {
            Ok(()) => {} // and its descriptors are given back
            Err(error) => lines.push(error.message().to_owned()),
        }
        drop(fetch);
        let address = env::var("AWS_LAMBDA_RUNTIME_API").unwrap_or_default();
        let report = async {
            let identifier = match registered {
                Some(registered) => registered?,
                None => api::register(Driver::Caller, &address, &name, || ()).await?,
            };
            api::fail(Driver::Caller, &address, &identifier, Phase::Init, kind, message).await
        };
        match alone(report) {
            Ok(Ok(())) => {}
            Ok(Err(ApiError(why))) => lines.push(why),
            Err(error) => lines.push(error.message().to_owned()),
        }
        for line in lines {
            log::write(Level::Error, &line);
        }
    }
}

/// Waits until the first requests are sent: what a process loads next would take CPU from that, and has time while the store
/// answers. Returns the answer to registering, if there is one.
fn wait_until_sent(steps: &Receiver<Step>, limit: Duration) -> Option<ApiResult> {
    let (mut registered, mut until) = (None, Instant::now() + limit);
    loop {
        match steps.recv_timeout(PAUSE) {
            Ok(Step::Registered(result)) => {
                registered = Some(result);
                until = Instant::now() + UNTIL_SENT;
            }
            // Whoever waits for the fetch answers the signal.
            Err(RecvTimeoutError::Timeout) if !is_signal_pending() && Instant::now() < until => {}
            // A task that was not started, or that panicked, sends nothing; then the fetch reports it.
            Ok(Step::Sent) | Err(_) => return registered,
        }
    }
}

/// Registers and fetches, and says how far it is.
async fn run(prefetch: Arc<Prefetch>, start: Start, name: String, tell: Sender<Step>) -> Result<Prefetched> {
    let mut fetching = None;
    let mut fetch = || fetching = Some(tokio::spawn(Arc::clone(&prefetch).run()));
    match start {
        Start::Overlap => {
            let address = env::var("AWS_LAMBDA_RUNTIME_API").unwrap_or_default();
            // The runtime starts when this is asked, and the fetch needs no answer to it.
            let registered = api::register(Driver::Runtime, &address, &name, &mut fetch).await;
            let failed = registered.is_err();
            // Nobody receives it when a signal came first.
            drop(tell.send(Step::Registered(registered)));
            if failed {
                if let Some(useless) = fetching {
                    useless.abort();
                }
                return Err(Error::internal("nothing was fetched, as registering failed"));
            }
        }
        Start::Before => fetch(),
    }
    let fetching = fetching.ok_or_else(|| Error::internal("no fetch was started"))?;
    prefetch.sent().await;
    drop(tell.send(Step::Sent));
    fetching.await.map_err(|_panic| Error::internal("the fetch ended without a result"))
}
