//! Fetches: their results, for a draft, and why something is missing.

use std::sync::Arc;

use keystart_core::{
    Out, answer, free_handle, guard, handle, keystart_draft, keystart_error, keystart_writer, new_handle, text,
    text_or_none,
};
use keystart_lambda::events::{Events, WaitResult};
use keystart_lambda::fetch_task::{FetchResult, FetchTask};
use keystart_providers::{FetchedSecret, Login};
use keystart_store::errors::{Error, Result};
use keystart_store::{Failure, SecretBytes, fingerprint};

use crate::at;
use crate::plan::keystart_plan;

/// A fetch of everything in a configuration.
pub struct keystart_fetch {
    task: Arc<FetchTask>,
    /// The queue for its end; `None` for the fetch of the extension, whose end is an event of the process.
    events: Option<Arc<Events>>,
}

impl keystart_fetch {
    pub(crate) fn of_extension(task: Arc<FetchTask>) -> Self {
        Self { task, events: None }
    }

    pub(crate) fn result(&self) -> Result<&FetchResult> {
        self.task.result()
    }
}

/// The counts of a fetch's result.
#[repr(C)]
pub struct keystart_fetch_counts {
    /// The number of values.
    pub secrets: u64,
    /// The number of entries without values.
    pub failures: u64,
    /// The number of retries.
    pub retries: u64,
    /// The number of warnings.
    pub warnings: u64,
}

/// Why an entry has no values. Its pointers are valid as long as the fetch.
#[repr(C)]
pub struct keystart_failure {
    /// The name of the entry.
    pub name: *const u8,
    /// Its length.
    pub name_len: usize,
    /// The provider's word.
    pub code: *const u8,
    /// Its length.
    pub code_len: usize,
    /// A sentence.
    pub message: *const u8,
    /// Its length.
    pub message_len: usize,
    /// 1 if the rest is published without the entry, else 0.
    pub optional: u32,
    /// What people call the entry: its name, its id and its region.
    pub label: *const u8,
    /// Its length.
    pub label_len: usize,
    /// What the entry asks the service for.
    pub id: *const u8,
    /// Its length.
    pub id_len: usize,
    /// The region of the service, empty if none is known.
    pub region: *const u8,
    /// Its length.
    pub region_len: usize,
    /// The account in which the service looks for the id, empty if it is not known.
    pub account: *const u8,
    /// Its length.
    pub account_len: usize,
}

/// The result of a person's login, as UTF-8. `session_token` is NULL if the login has none.
/// `origin` is what messages call the source of the credentials, NULL for the variables of the
/// environment. `profile` is the name of the AWS profile, which may set endpoints. After the call,
/// zero the memory that it points to.
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

/// Starts to fetch what a plan asks for. It uses the credentials of `login`, and keeps a copy as
/// long as it needs them. If `login` is NULL it looks for credentials. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_fetch_start(
    plan: *const keystart_plan,
    login: *const keystart_login,
    out: *mut *mut keystart_fetch,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let (plan, login) = (Arc::clone(&handle(plan, "plan")?.0), login_of(login)?);
            let (task, events) = (FetchTask::new(plan, login), Events::new());
            task.start(&events)?;
            Ok(new_handle(keystart_fetch { task, events: Some(events) }))
        })
    }
}

/// Makes a fetch that could not begin: each entry has failed for the same reason. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_fetch_refuse(
    plan: *const keystart_plan,
    code: *const u8,
    code_len: usize,
    message: *const u8,
    message_len: usize,
    out: *mut *mut keystart_fetch,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let plan = Arc::clone(&handle(plan, "plan")?.0);
            let failure = Failure::new(text(code, code_len, "code")?, text(message, message_len, "message")?);
            let task = FetchTask::new(plan, None);
            task.refuse(&failure);
            Ok(new_handle(keystart_fetch { task, events: None }))
        })
    }
}

/// Waits until a fetch from keystart_fetch_start ends. `is_over` is 0 if a signal arrived first:
/// let its handler run, and wait again. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_fetch_wait(
    fetch: *const keystart_fetch,
    is_over: *mut u32,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(is_over, err, || {
            let fetch = handle(fetch, "fetch")?;
            let events = fetch.events.as_ref().ok_or_else(|| Error::internal("the end of this fetch is an event"))?;
            Ok(match fetch.task.next_event(events)? {
                WaitResult::Done(_) => 1,
                WaitResult::Interrupted | WaitResult::TimedOut => 0,
            })
        })
    }
}

/// Counts the results of a fetch. Errors: 901, also if it has not ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_fetch_count(
    fetch: *const keystart_fetch,
    out: *mut keystart_fetch_counts,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let result = handle(fetch, "fetch")?.result()?;
            let counts = [result.count, result.failures.len(), result.retries.len(), result.warnings.len()];
            let [secrets, failures, retries, warnings] = counts.map(|count| count as u64);
            Ok(keystart_fetch_counts { secrets, failures, retries, warnings })
        })
    }
}

/// Returns the failure with that index, from 0. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_fetch_failure(
    fetch: *const keystart_fetch,
    index: u64,
    out: *mut keystart_failure,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let result = handle(fetch, "fetch")?.result()?;
            let ((name, failure), label) = (at(&result.failures, index)?, at(&result.labels, index)?);
            Ok(keystart_failure {
                name: name.as_ptr(),
                name_len: name.len(),
                code: failure.code.as_ptr(),
                code_len: failure.code.len(),
                message: failure.message.as_ptr(),
                message_len: failure.message.len(),
                optional: failure.optional.into(),
                label: label.text.as_ptr(),
                label_len: label.text.len(),
                id: label.id.as_ptr(),
                id_len: label.id.len(),
                region: label.region.as_ptr(),
                region_len: label.region.len(),
                account: label.account.as_ptr(),
                account_len: label.account.len(),
            })
        })
    }
}

/// Returns the log line about the retry with that index, from 0, or, if `is_warning` is 1, that of a
/// value that was skipped or looks damaged. It is valid as long as the fetch. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_fetch_line(
    fetch: *const keystart_fetch,
    is_warning: u32,
    index: u64,
    line: *mut *const u8,
    line_len: *mut usize,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (line, line_len) = (Out::new(line)?, Out::new(line_len)?);
            let result = handle(fetch, "fetch")?.result()?;
            let text = at(if is_warning == 1 { &result.warnings } else { &result.retries }, index)?;
            line.put(text.as_ptr());
            line_len.put(text.len());
            Ok(())
        })
    }
}

/// Reports to the readers of a store that there will be no secrets, with the required failures of a
/// fetch. Errors: 204, 502, 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_fetch_fail(
    fetch: *const keystart_fetch,
    writer: *const keystart_writer,
    message: *const u8,
    message_len: usize,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (writer, message) = (handle(writer, "writer")?, text(message, message_len, "message")?);
            let failures = &handle(fetch, "fetch")?.result()?.failures;
            let required = failures.iter().filter(|(_, failure)| !failure.optional).cloned();
            writer.lock().fail(message, required.collect())
        })
    }
}

/// Moves the result of a fetch into a draft: the values, the variables that they go into, and the
/// failures of optional entries. Only the first draft gets the values. Errors: 101, 504, 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_draft_take(
    draft: *const keystart_draft,
    fetch: *const keystart_fetch,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (draft, result) = (handle(draft, "draft")?, handle(fetch, "fetch")?.result()?);
            let mut draft = draft.lock();
            for secret in result.take_secrets() {
                let entry = secret.entry();
                draft.add(&secret.name, secret.value, &entry)?;
            }
            for variable in &result.variables {
                draft.assign(&variable.name, &variable.secret, variable.overwrite)?;
            }
            for (name, failure) in &result.failures {
                draft.mark_unavailable(name, failure.clone())?;
            }
            Ok(())
        })
    }
}

/// What is known of the values that an entry has in a fetch.
#[repr(C)]
pub struct keystart_entry_version {
    /// Equal for equal values, in this process only.
    pub fingerprint: u64,
    /// When their version was created, in milliseconds since 1970; 0 if the service does not say so.
    pub created_at: i64,
}

/// Returns what is known of the values that an entry has in a fetch, by its index in the plan.
/// Errors: 901, also if it has none, or a draft has taken them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_fetch_entry(
    fetch: *const keystart_fetch,
    plan: *const keystart_plan,
    index: u64,
    out: *mut keystart_entry_version,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let entry = handle(plan, "plan")?.entry(index)?;
            handle(fetch, "fetch")?.result()?.with_entry(&entry.name, |secrets| {
                let mut values: Vec<_> =
                    secrets.iter().map(|secret| (secret.name.as_str(), secret.value.as_bytes())).collect();
                values.sort_unstable();
                let created_at = secrets.iter().filter_map(FetchedSecret::created_at).max();
                Ok(keystart_entry_version {
                    fingerprint: fingerprint(values),
                    created_at: created_at.unwrap_or_default(),
                })
            })
        })
    }
}

/// Returns a number that is equal for equal values, in this process only: that of what is published of
/// an entry, by its index in the plan. 0 if nothing is, or if its files are not as the writer made
/// them. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_writer_fingerprint(
    writer: *const keystart_writer,
    plan: *const keystart_plan,
    index: u64,
    out: *mut u64,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let entry = handle(plan, "plan")?.entry(index)?;
            Ok(handle(writer, "writer")?.lock().fingerprint(&entry.name).unwrap_or_default())
        })
    }
}

/// Copies the values that an entry has in a fetch into a draft, and notes that the draft has all that
/// the entry brings. The fetch keeps the values. Errors: 101, 504, 901, also if the entry has none, or
/// another draft has taken them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_draft_copy(
    draft: *const keystart_draft,
    fetch: *const keystart_fetch,
    plan: *const keystart_plan,
    index: u64,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (result, name) = (handle(fetch, "fetch")?.result()?, &handle(plan, "plan")?.entry(index)?.name);
            let mut draft = handle(draft, "draft")?.lock();
            result.with_entry(name, |secrets| {
                let copy = |secret: &FetchedSecret| {
                    draft.add(&secret.name, SecretBytes::from(secret.value.as_bytes()), &secret.entry())
                };
                secrets.iter().try_for_each(copy)
            })?;
            draft.cover(name)
        })
    }
}

/// Frees a fetch. One that has not ended runs until its deadline; its values are zeroed. Ignores NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_fetch_free(fetch: *mut keystart_fetch) {
    unsafe { free_handle(fetch) };
}

pub(crate) unsafe fn login_of(login: *const keystart_login) -> Result<Option<Login>> {
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
