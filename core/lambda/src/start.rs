//! Begins a cold start before anything else is loaded: takes over the store, registers, and starts to fetch.
//!
//! It goes as far as nothing needs deciding. What it did is told once, and the process goes on from there.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use keystart_process::{is_signal_pending, report_crashes};
use keystart_providers::configuration::{Configuration, Start};
use keystart_providers::{Prefetched, Sent, prefetch};
use keystart_store::error::{Error, Result};
use keystart_store::manifest::Identity;
use keystart_store::{Options, VERSION, Writer, log};
use tokio::time::timeout;

use crate::api::{self, ApiError, Driver, Phase};
use crate::task::{Task, alone};

/// Where Lambda unpacks the function; it does not tell extensions another place.
const TASK_ROOT: &str = "/var/task";
/// For what is sent at once where there is a way to the store. Where there is none, SIGTERM is to be answered soon.
const UNTIL_SENT: Duration = Duration::from_secs(1);

/// Between two looks whether a signal came while Lambda does not answer.
const PAUSE: Duration = Duration::from_millis(20);

type ApiResult = std::result::Result<String, ApiError>;

/// What was begun.
pub struct Begun {
    name: String,
    /// Open before the process registers: a reader that finds no root knows that no extension is attached (contract 3.3).
    pub writer: Result<Writer>,
    /// What registering gave; none when the process has to read the configuration, or to fetch, first.
    pub registered: Option<ApiResult>,
    /// The fetch; none when the process has to read the configuration, or when registering failed.
    pub fetch: Option<Result<Task<Result<Prefetched>>>>,
}

impl Begun {
    /// Begins as the extension of that name. The environment is read here, before a host has changed its own.
    pub fn new(name: &str) -> Self {
        let root = env::var_os("KEYSTART_DIR").map(std::os::unix::ffi::OsStringExt::into_vec);
        let options = Options { env_dir: root.as_deref(), ..Options::default() };
        let identity = Identity { name: "keystart-extension".to_owned(), version: VERSION.to_owned() };
        let writer = Writer::open(&options, identity);
        let mut begun = Self { name: name.to_owned(), writer, registered: None, fetch: None };
        match &begun.writer {
            Ok(writer) => report_crashes(writer.crash_report()),
            Err(_) => return begun,
        }
        let Some(found) = Configuration::find(|variable| env::var_os(variable), Path::new(TASK_ROOT)) else {
            return begun;
        };
        let (tell, told) = channel();
        let fetch = Task::start(run(found, name.to_owned(), tell));
        // Nothing is told by a task that was not started, or that panicked; then `fetch` says so.
        begun.registered = loop {
            match told.recv_timeout(PAUSE) {
                // A signal came first: whoever waits for the fetch answers it.
                Err(RecvTimeoutError::Timeout) if is_signal_pending() => break None,
                Err(RecvTimeoutError::Timeout) => {}
                registered => break registered.unwrap_or(None),
            }
        };
        if !matches!(begun.registered, Some(Err(_))) {
            begun.fetch = Some(fetch);
        }
        begun
    }

    /// Ends the start where nothing is left that could continue it. Readers learn the reason first, then Lambda, then
    /// the log; none of them needs a thread, and Lambda the only descriptor.
    pub fn give_up(self, kind: &str, message: &str) {
        let Self { name, writer, registered, fetch } = self;
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
            log::write("ERROR", &line, log::is_json());
        }
    }
}

/// Registers and fetches. Tells how registering went when what is asked for first is on its way: what a process loads next
/// would take CPU from that, and has time while the store answers.
async fn run(found: Configuration, name: String, tell: Sender<Option<ApiResult>>) -> Result<Prefetched> {
    let sent = Sent::new();
    let told = Arc::clone(&sent);
    let mut fetching = None;
    let fetch = || fetching = Some(tokio::spawn(async move { prefetch(&found.plan, &told).await }));
    let registered = match found.start {
        Start::Overlap => {
            let address = env::var("AWS_LAMBDA_RUNTIME_API").unwrap_or_default();
            // The runtime starts when this is asked, and the fetch needs no answer to it.
            Some(api::register(Driver::Runtime, &address, &name, fetch).await)
        }
        Start::Before => {
            fetch();
            None
        }
    };
    if let (Some(Err(_)), Some(useless)) = (&registered, &fetching) {
        useless.abort();
        fetching = None;
    }
    if fetching.is_some() {
        // When its time is over the start goes on all the same.
        drop(timeout(UNTIL_SENT, sent.all()).await);
    }
    // Who waits for it is there as long as this runs.
    drop(tell.send(registered));
    match fetching {
        Some(fetching) => fetching.await.map_err(|_panic| Error::internal("the fetch ended without a result")),
        None => Err(Error::internal("nothing was fetched, as registering failed")),
    }
}
