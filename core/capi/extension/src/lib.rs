//! The C ABI of the extension. The rules are those of keystart.h.
//!
//! The doc comments of the public items here are the comments of the header that the Python package is built with.

#![allow(unsafe_code, non_camel_case_types)]
#![expect(clippy::missing_safety_doc, reason = "the rules that all functions share stand in keystart.h")]
#![expect(clippy::doc_markdown, reason = "the comments are for people who read a C header")]

mod login;
mod plan;

use std::alloc::System;
use std::sync::Mutex;

use keystart_core::{
    Out, give, guard, handle, keystart_bytes, keystart_draft, keystart_error, keystart_writer, take_back, text,
};
use keystart_lambda::api::{self, ApiError, Driver, Phase};
use keystart_lambda::fetch_task::FetchTask;
use keystart_lambda::start::Begun;
use keystart_lambda::task::{Task, Waited, alone};
use keystart_process::{self as process, lock};
use keystart_providers::{FetchedSecret, Login, Permission, Place, Prefetched, permissions};
use keystart_store::error::{Error, Result};
use keystart_store::json::quote;
use keystart_store::log::{self, Level};
use zeroizing_alloc::ZeroAlloc;

use crate::plan::keystart_plan;

/// Zeroes whatever is freed: values lie in buffers of the SDK, of TLS and of HTTP before they reach one of ours.
#[global_allocator]
static ZEROING: ZeroAlloc<System> = ZeroAlloc(System);

/// Something that is going on: a fetch, or a call of the Extensions API.
pub struct keystart_task {
    work: Work,
    /// What a fetch gave, until a draft takes it.
    given: Mutex<Given>,
}

#[derive(Default)]
struct Given {
    secrets: Vec<FetchedSecret>,
    /// The variables of the exec wrapper, with the secret that goes there, and whether it replaces what is there.
    variables: Vec<(String, String, bool)>,
}

enum Work {
    Fetch(FetchTask),
    Call(Task<std::result::Result<String, ApiError>>),
}

/// The one start of this process.
static START: Mutex<Start> = Mutex::new(Start::NotBegun);

enum Start {
    NotBegun,
    Begun(Box<Begun>),
    Taken,
}

impl keystart_task {
    fn new(work: Work) -> Self {
        Self { work, given: Mutex::default() }
    }
}

/// Prepares the process of the extension; call it first, and in no other process. It opens the standard streams that are
/// closed, ignores SIGPIPE and SIGXFSZ, lets no other process look into this one, leaves no core file, raises the limit of
/// open files, and has readers learn of a crash. `signals` are those that end the extension, as bits (1 << 15 for SIGTERM):
/// they are blocked, and come while keystart_task_wait waits; give them handlers. `began` is the time of the first call
/// in nanoseconds of CLOCK_MONOTONIC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_process_prepare(
    signals: *mut u64,
    began: *mut u64,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (signals, began) = (Out::new(signals)?, Out::new(began)?);
            let prepared = process::prepare();
            signals.put(prepared.signals);
            began.put(prepared.began);
            Ok(())
        })
    }
}

/// Writes a message to the log: one line for each line of the message, or one JSON object where AWS_LAMBDA_LOG_FORMAT asks
/// for JSON. `level` is a word such as ERROR; KEYSTART_LOG_LEVEL, else AWS_LAMBDA_LOG_LEVEL, says what is written, and
/// errors always are. It never fails because of the log, and waits at most half a second for it in the life of the
/// process: lines that cannot be written are counted, and the next one that can says how many.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_log_write(
    level: *const u8,
    level_len: usize,
    message: *const u8,
    message_len: usize,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (level, message) = (text(level, level_len, "level")?, text(message, message_len, "message")?);
            let level = Level::parse(level).ok_or_else(|| Error::internal("level is no level of the log"))?;
            log::write(level, message);
            Ok(())
        })
    }
}

/// Keeps messages of the log until keystart_log_release, for work that must not wait for the log.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_log_hold(err: *mut *mut keystart_error) -> u32 {
    unsafe {
        guard(err, || {
            log::hold();
            Ok(())
        })
    }
}

/// Writes the messages that were kept, and the following ones at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_log_release(err: *mut *mut keystart_error) -> u32 {
    unsafe {
        guard(err, || {
            log::release();
            Ok(())
        })
    }
}

/// Begins a cold start as the extension of that name: takes over the store, reads the configuration, registers, and starts to
/// fetch, until that is asked for. Only the first call in a process does something. keystart_start_take says what it did.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_start_begin(name: *const u8, name_len: usize, err: *mut *mut keystart_error) -> u32 {
    unsafe {
        guard(err, || {
            let name = text(name, name_len, "name")?;
            let mut start = lock(&START);
            if matches!(*start, Start::NotBegun) {
                *start = Start::Begun(Box::new(Begun::new(name)));
            }
            Ok(())
        })
    }
}

/// Hands out what keystart_start_begin began, once: the writer; what is wrong with the configuration, a line each; the links
/// that it asks for, as {"home": "/tmp/secrets", "links": [{"name": "db", "path": "db"}]}, or nothing; the task of registering,
/// NULL when the process has to fetch first; and the task of the fetch, NULL when the configuration is wrong or the process
/// is not registered. Errors: those of keystart_writer_open, 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_start_take(
    writer: *mut *mut keystart_writer,
    problems: *mut keystart_bytes,
    links: *mut keystart_bytes,
    registered: *mut *mut keystart_task,
    fetch: *mut *mut keystart_task,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (writer, registered, fetch) = (Out::new(writer)?, Out::new(registered)?, Out::new(fetch)?);
            let (problems, links) = (Out::new(problems)?, Out::new(links)?);
            let Start::Begun(begun) = std::mem::replace(&mut *lock(&START), Start::Taken) else {
                return Err(Error::internal("no start was begun, or it was taken already"));
            };
            let task = |work: Option<Work>| work.map_or(std::ptr::null_mut(), |work| give(keystart_task::new(work)));
            let open = begun.writer?;
            let told: Vec<String> = begun.problems.iter().map(ToString::to_string).collect();
            problems.put(keystart_bytes::give(told.join("\n").as_bytes()));
            links.put(keystart_bytes::give(begun.links.unwrap_or_default().as_bytes()));
            // One that could not be started says so when it is waited for: the writer is needed to report it.
            let fetching = begun.fetch.map(|fetch| fetch.unwrap_or_else(|error| FetchTask::over(Err(error))));
            registered.put(task(begun.registered.map(Task::over).map(Work::Call)));
            fetch.put(task(fetching.map(Work::Fetch)));
            writer.put(give(keystart_writer::new(open)));
            Ok(())
        })
    }
}

/// Gives up what keystart_start_begin began and nobody has taken, where what should take it cannot run: readers, Lambda and
/// the log get the message. `kind` is like `Extension.Internal`. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_start_fail(
    kind: *const u8,
    kind_len: usize,
    message: *const u8,
    message_len: usize,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (kind, message) = (text(kind, kind_len, "kind")?, text(message, message_len, "message")?);
            let Start::Begun(begun) = std::mem::replace(&mut *lock(&START), Start::Taken) else {
                return Err(Error::internal("no start was begun, or it was taken already"));
            };
            begun.give_up(kind, message);
            Ok(())
        })
    }
}

/// Writes what a policy has to allow for those entries of a plan that are fetched with `role` (NULL: the role of the
/// function) as a JSON list of objects with `sid`, `action` and `resources`. `account` and `region` say where a secret lies
/// whose entry does not; NULL where that is not known. `problem` is the sentence that says what is missing, or empty.
/// Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_policy_read(
    plan: *const keystart_plan,
    role: *const u8,
    role_len: usize,
    account: *const u8,
    account_len: usize,
    region: *const u8,
    region_len: usize,
    problem: *mut keystart_bytes,
    out: *mut keystart_bytes,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (problem, out) = (Out::new(problem)?, Out::new(out)?);
            let keystart_plan(plan) = handle(plan, "plan")?;
            let role = text_or_none(role, role_len, "role")?;
            let account = text_or_none(account, account_len, "account")?.map(str::to_owned);
            let region = text_or_none(region, region_len, "region")?.map(str::to_owned);
            let (found, missing) = match permissions(plan, role, &Place { account, region }) {
                Ok(found) => (found, String::new()),
                Err(missing) => (Vec::new(), missing),
            };
            problem.put(keystart_bytes::give(missing.as_bytes()));
            out.put(keystart_bytes::give(json_of(&found).as_bytes()));
            Ok(())
        })
    }
}

/// What the login of a person gave, as UTF-8. `session_token` is NULL if there is none; `origin` is what messages call the
/// source of the credentials, NULL for the variables of the environment; `profile` is the name of the AWS profile, which may
/// say where to ask. Zero what it points to when it was handed over.
#[repr(C)]
pub struct keystart_login {
    access_key_id: *const u8,
    access_key_id_len: usize,
    secret_access_key: *const u8,
    secret_access_key_len: usize,
    session_token: *const u8,
    session_token_len: usize,
    origin: *const u8,
    origin_len: usize,
    profile: *const u8,
    profile_len: usize,
}

/// Starts to fetch what a plan asks for. It fetches with the credentials of `login`, of which it keeps a copy as long as it
/// needs them, or looks for credentials when that is NULL. keystart_task_wait gives the number of secrets when that is all
/// there is to tell, else `{"count": 2, "unavailable": {"flags": {"code": "...", "message": "...", "optional": true}}, "again":
/// ["..."]}`, where `again` has a line for each time that something was asked for again. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_fetch_start(
    plan: *const keystart_plan,
    login: *const keystart_login,
    out: *mut *mut keystart_task,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let out = Out::new(out)?;
            let plan = handle(plan, "plan")?.0.clone();
            out.put(give(keystart_task::new(Work::Fetch(FetchTask::start(plan, login_of(login)?)?))));
            Ok(())
        })
    }
}

/// Starts to register with the Extensions API at `address` (a host and a port), as an extension of that name, for
/// SHUTDOWN. keystart_task_wait gives the identifier.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_lambda_register(
    address: *const u8,
    address_len: usize,
    name: *const u8,
    name_len: usize,
    out: *mut *mut keystart_task,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let out = Out::new(out)?;
            let (address, name) = (owned(address, address_len, "address")?, owned(name, name_len, "name")?);
            out.put(call(|driver| {
                let (address, name) = (address.clone(), name.clone());
                async move { api::register(driver, &address, &name, || ()).await }
            })?);
            Ok(())
        })
    }
}

/// Starts to wait, without a limit, for the next event. keystart_task_wait gives its type, such as `SHUTDOWN`.
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
            let next = Task::start(async move { api::next(&address, &identifier).await })?;
            out.put(give(keystart_task::new(Work::Call(next))));
            Ok(())
        })
    }
}

/// Starts to report a failure: of Init, or, when `at_exit` is not 0, of what came after. `kind` is like
/// `Extension.SecretsUnavailable`. keystart_task_wait gives `reported`.
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
            out.put(call(|driver| {
                let (address, identifier) = (address.clone(), identifier.clone());
                let (kind, message) = (kind.clone(), message.clone());
                async move {
                    let reported = api::fail(driver, &address, &identifier, phase, &kind, &message).await;
                    reported.map(|()| "reported".to_owned())
                }
            })?);
            Ok(())
        })
    }
}

/// Waits for the end of a task and gives what it told, once. `refused` is 1 when that is the sentence that says why a call
/// of the Extensions API failed, else 0. When a signal came first the length is 0: let its handler run, and wait again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_task_wait(
    task: *const keystart_task,
    refused: *mut u32,
    out: *mut keystart_bytes,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (refused, out) = (Out::new(refused)?, Out::new(out)?);
            let told = told(handle(task, "task")?)?;
            refused.put(u32::from(matches!(told, Some(Err(_)))));
            let (Ok(text) | Err(text)) = told.unwrap_or_else(|| Ok(String::new()));
            out.put(keystart_bytes::give(text.as_bytes()));
            Ok(())
        })
    }
}

/// Frees a task. One that is not over goes on until its deadline, and what it fetched is zeroed. Ignores NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_task_free(task: *mut keystart_task) {
    unsafe { take_back(task) };
}

/// Moves what a fetch gave into a draft: the values of all entries that have some, and the variables they go into.
/// Errors: 101, 504.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_draft_take(
    draft: *const keystart_draft,
    task: *const keystart_task,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (draft, task) = (handle(draft, "draft")?, handle(task, "task")?);
            let Given { secrets, variables } = std::mem::take(&mut *lock(&task.given));
            for fetched in secrets {
                let entry = fetched.entry();
                draft.add(&fetched.name, fetched.value, &entry)?;
            }
            for (variable, secret, overwrite) in variables {
                draft.assign(&variable, secret, overwrite)?;
            }
            Ok(())
        })
    }
}

/// Starts a call. Where no thread or no descriptor is left for that, the calling thread makes it at once.
fn call<F>(work: impl Fn(Driver) -> F) -> Result<*mut keystart_task>
where
    F: Future<Output = std::result::Result<String, ApiError>> + Send + 'static,
{
    let task = Task::start(work(Driver::Runtime)).or_else(|_| alone(work(Driver::Caller)).map(Task::over))?;
    Ok(give(keystart_task::new(Work::Call(task))))
}

/// What a task tells that is over: its text, or the sentence that says why it failed.
fn told(task: &keystart_task) -> Result<Option<std::result::Result<String, String>>> {
    match &task.work {
        Work::Call(call) => Ok(match call.wait(None)? {
            Waited::Done(answer) => Some(answer.map_err(|ApiError(why)| why)),
            Waited::Interrupted | Waited::TimedOut => None,
        }),
        Work::Fetch(fetch) => {
            let Some(Prefetched { outcomes, again, env_overwrite }) = fetch.wait()? else {
                return Ok(None);
            };
            let mut given = lock(&task.given);
            let mut unavailable = Vec::new();
            for (entry, outcome) in outcomes {
                given.variables.extend(entry.env.map(|variable| (variable, entry.name.clone(), env_overwrite)));
                match outcome {
                    Ok(secrets) => given.secrets.extend(secrets),
                    Err(why) => unavailable.push(format!(
                        "{}: {{\"code\": {}, \"message\": {}, \"optional\": {}}}",
                        quote(&entry.name),
                        quote(&why.code),
                        quote(&why.message),
                        entry.optional
                    )),
                }
            }
            let count = given.secrets.len();
            if unavailable.is_empty() && again.is_empty() {
                return Ok(Some(Ok(count.to_string())));
            }
            let again = again.iter().map(|line| quote(line)).collect::<Vec<_>>().join(", ");
            let unavailable = unavailable.join(", ");
            Ok(Some(Ok(format!("{{\"count\": {count}, \"unavailable\": {{{unavailable}}}, \"again\": [{again}]}}"))))
        }
    }
}

fn json_of(permissions: &[Permission]) -> String {
    let statements = permissions.iter().map(|Permission { sid, action, resources }| {
        let resources = resources.iter().map(|resource| quote(resource)).collect::<Vec<_>>().join(", ");
        format!("{{\"sid\": {}, \"action\": {}, \"resources\": [{resources}]}}", quote(sid), quote(action))
    });
    format!("[{}]", statements.collect::<Vec<_>>().join(", "))
}

unsafe fn login_of(login: *const keystart_login) -> Result<Option<Login>> {
    let Some(login) = (unsafe { login.as_ref() }) else { return Ok(None) };
    unsafe {
        Ok(Some(Login::new(
            text(login.access_key_id, login.access_key_id_len, "access_key_id")?,
            text(login.secret_access_key, login.secret_access_key_len, "secret_access_key")?,
            text_or_none(login.session_token, login.session_token_len, "session_token")?,
            text_or_none(login.origin, login.origin_len, "origin")?,
            text(login.profile, login.profile_len, "profile")?,
        )))
    }
}

unsafe fn text_or_none<'a>(data: *const u8, len: usize, what: &str) -> Result<Option<&'a str>> {
    if data.is_null() { Ok(None) } else { unsafe { text(data, len, what) }.map(Some) }
}

unsafe fn owned(data: *const u8, len: usize, what: &str) -> Result<String> {
    unsafe { text(data, len, what) }.map(str::to_owned)
}
