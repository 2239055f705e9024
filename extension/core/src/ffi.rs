//! The C ABI of the extension's own core. The rules are those of keystart.h; the only unsafe room of this crate.
//!
//! The doc comments of the public items here are the comments of the header that the Python package is built with.

#![allow(unsafe_code, non_camel_case_types)]
#![expect(clippy::missing_safety_doc, reason = "the rules that all functions share stand in keystart.h")]
#![expect(clippy::doc_markdown, reason = "the comments are for people who read a C header")]

use std::sync::{Mutex, PoisonError};

use keystart_core::error::{Error, Result};
use keystart_core::ffi::{
    Out, give, guard, handle, keystart_bytes, keystart_draft, keystart_error, required, take_back, text,
};
use keystart_core::json::quote;

use crate::fetch::{Fetched, Outcomes, Plan, prefetch};
use crate::lambda::{self, ApiError, Phase};
use crate::task::Task;

/// Something that is going on: a fetch, or a call of the Extensions API.
pub struct keystart_task {
    work: Work,
    /// What a fetch gave, until a draft takes it.
    fetched: Mutex<Vec<Fetched>>,
}

enum Work {
    Fetch(Task<Result<(Outcomes, Vec<String>)>>),
    Call(Task<std::result::Result<String, ApiError>>),
}

impl keystart_task {
    fn new(work: Work) -> Self {
        Self { work, fetched: Mutex::default() }
    }
}

/// Starts to fetch what a plan asks for: JSON as `keystart check --json` prints it. keystart_task_wait gives
/// `{"entries": {"db": {"names": ["db"]}, "flags": {"code": "...", "message": "..."}}, "again": ["..."]}`, where `again`
/// has a line for each time that something was asked for again. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_fetch_start(
    plan: *const u8,
    plan_len: usize,
    out: *mut *mut keystart_task,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let out = Out::new(out)?;
            let plan = Plan::parse(required(plan, plan_len, "plan")?)
                .map_err(|member| Error::internal(&format!("the plan has a wrong {member}")))?;
            let task = Task::start("fetch", move || prefetch(&plan))?;
            out.put(give(keystart_task::new(Work::Fetch(task))));
            Ok(())
        })
    }
}

/// Starts to register with the Extensions API at `address` (a host and a port), as an extension of that name, for a JSON
/// array of events. keystart_task_wait gives `{"answer": "the identifier"}`, or `{"error": "a sentence"}`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_lambda_register(
    address: *const u8,
    address_len: usize,
    name: *const u8,
    name_len: usize,
    events: *const u8,
    events_len: usize,
    out: *mut *mut keystart_task,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let out = Out::new(out)?;
            let (address, name) = (owned(address, address_len, "address")?, owned(name, name_len, "name")?);
            let events = owned(events, events_len, "events")?;
            out.put(call(move || lambda::register(&address, &name, &events))?);
            Ok(())
        })
    }
}

/// Starts to wait, without a limit, for the next event. keystart_task_wait gives `{"answer": "SHUTDOWN"}`, the event's type,
/// or `{"error": "a sentence"}`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_lambda_next(
    address: *const u8,
    address_len: usize,
    identifier: *const u8,
    identifier_len: usize,
    out: *mut *mut keystart_task,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let out = Out::new(out)?;
            let address = owned(address, address_len, "address")?;
            let identifier = owned(identifier, identifier_len, "identifier")?;
            out.put(call(move || lambda::next(&address, &identifier))?);
            Ok(())
        })
    }
}

/// Starts to report a failure: of Init, or, when `at_exit` is not 0, of what came after. `kind` is like
/// `Extension.SecretsUnavailable`. keystart_task_wait gives `{"answer": ""}`, or `{"error": "a sentence"}`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_lambda_fail(
    address: *const u8,
    address_len: usize,
    identifier: *const u8,
    identifier_len: usize,
    at_exit: u32,
    kind: *const u8,
    kind_len: usize,
    message: *const u8,
    message_len: usize,
    out: *mut *mut keystart_task,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let out = Out::new(out)?;
            let address = owned(address, address_len, "address")?;
            let identifier = owned(identifier, identifier_len, "identifier")?;
            let (kind, message) = (owned(kind, kind_len, "kind")?, owned(message, message_len, "message")?);
            let phase = if at_exit == 0 { Phase::Init } else { Phase::Exit };
            let work = move || lambda::fail(&address, &identifier, phase, &kind, &message).map(|()| String::new());
            out.put(call(work)?);
            Ok(())
        })
    }
}

/// Waits for the end of a task and gives its JSON, once. When a signal came first the length is 0: let its handler run, and
/// wait again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_task_wait(
    task: *const keystart_task,
    out: *mut keystart_bytes,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let out = Out::new(out)?;
            let told = told(handle(task, "task")?)?;
            out.put(keystart_bytes::give(told.unwrap_or_default().as_bytes()));
            Ok(())
        })
    }
}

/// Frees a task. One that is not over goes on until its deadline, and what it fetched is zeroed. Ignores NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_task_free(task: *mut keystart_task) {
    unsafe { take_back(task) };
}

/// Moves what a fetch gave into a draft, the values of all entries that have some. Errors: 101, 504.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_draft_take(
    draft: *const keystart_draft,
    task: *const keystart_task,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (draft, task) = (handle(draft, "draft")?, handle(task, "task")?);
            for fetched in std::mem::take(&mut *lock(&task.fetched)) {
                let entry = fetched.entry();
                draft.add(&fetched.name, fetched.value, &entry)?;
            }
            Ok(())
        })
    }
}

fn call(work: impl FnOnce() -> std::result::Result<String, ApiError> + Send + 'static) -> Result<*mut keystart_task> {
    Ok(give(keystart_task::new(Work::Call(Task::start("lambda", work)?))))
}

/// The JSON of a task that is over.
fn told(task: &keystart_task) -> Result<Option<String>> {
    match &task.work {
        Work::Call(call) => Ok(call.wait()?.map(|answer| match answer {
            Ok(answer) => format!("{{\"answer\": {}}}", quote(&answer)),
            Err(ApiError(why)) => format!("{{\"error\": {}}}", quote(&why)),
        })),
        Work::Fetch(fetch) => {
            let Some(result) = fetch.wait()? else {
                return Ok(None);
            };
            let (outcomes, again) = result?;
            let mut fetched = lock(&task.fetched);
            let mut entries = Vec::new();
            for (name, outcome) in outcomes {
                let outcome = match outcome {
                    Err(why) => format!("{{\"code\": {}, \"message\": {}}}", quote(&why.code), quote(&why.message)),
                    Ok(secrets) => {
                        let names = list(secrets.iter().map(|secret| secret.name.as_str()));
                        fetched.extend(secrets);
                        format!("{{\"names\": {names}}}")
                    }
                };
                entries.push(format!("{}: {outcome}", quote(&name)));
            }
            let again = list(again.iter().map(String::as_str));
            Ok(Some(format!("{{\"entries\": {{{}}}, \"again\": {again}}}", entries.join(", "))))
        }
    }
}

fn list<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", texts.map(quote).collect::<Vec<_>>().join(", "))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

unsafe fn owned(data: *const u8, len: usize, what: &str) -> Result<String> {
    unsafe { text(data, len, what) }.map(str::to_owned)
}
