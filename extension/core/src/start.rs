//! Begins a cold start before anything else is loaded: takes over the store, registers, and starts to fetch.
//!
//! It goes as far as nothing needs deciding. What it did is told once, and the process goes on from there.

use std::env;
use std::path::Path;

use keystart_core::error::Result;
use keystart_core::manifest::Identity;
use keystart_core::{Options, VERSION, Writer};

use crate::configuration::{Configuration, Start};
use crate::fetch::{Prefetched, prefetch};
use crate::lambda::{self, ApiError};
use crate::task::Task;

/// Where Lambda unpacks the function; it does not tell extensions another place.
const TASK_ROOT: &str = "/var/task";

/// What was begun.
pub struct Begun {
    /// Open before the process registers: a reader that finds no root knows that no extension is attached (contract 3.3).
    pub writer: Result<Writer>,
    /// What registering gave; none when the process has to read the configuration, or to fetch, first.
    pub registered: Option<std::result::Result<String, ApiError>>,
    /// The fetch; none when the process has to read the configuration, or when registering failed.
    pub fetch: Option<Result<Task<Result<Prefetched>>>>,
}

impl Begun {
    /// Begins as the extension of that name. The environment is read here, before a host has changed its own.
    pub fn new(name: &str) -> Self {
        let root = env::var_os("KEYSTART_DIR").map(std::os::unix::ffi::OsStringExt::into_vec);
        let options = Options { env_dir: root.as_deref(), ..Options::default() };
        let identity = Identity { name: "keystart-extension".to_owned(), version: VERSION.to_owned() };
        let mut begun = Self { writer: Writer::open(&options, identity), registered: None, fetch: None };
        if begun.writer.is_err() {
            return begun;
        }
        let Some(found) = Configuration::find(|variable| env::var_os(variable), Path::new(TASK_ROOT)) else {
            return begun;
        };
        if found.start == Start::Overlap {
            let address = env::var("AWS_LAMBDA_RUNTIME_API").unwrap_or_default();
            begun.registered = Some(lambda::register(&address, name));
        }
        if !matches!(begun.registered, Some(Err(_))) {
            begun.fetch = Some(Task::start("fetch", move || prefetch(&found.plan)));
        }
        begun
    }
}
