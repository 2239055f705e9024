//! Logging in with a secret while it is rotated.

#![allow(non_camel_case_types)]

use std::os::fd::AsRawFd;
use std::ptr::null_mut;
use std::sync::Mutex;
use std::time::Duration;

use super::{answer, free_handle, handle, keystart_error, keystart_store, name, new_handle};
use ::keystart_store::errors::{Error, Result};
use ::keystart_store::{Attempt, Next, Outcome, Readiness};

/// One call that logs in with a secret. It belongs to the client that it was made with.
pub struct keystart_attempt(Mutex<Attempt>);

/// What the caller of keystart_attempt_next does next: log in if `snapshot` is not NULL, end if
/// `wait_ms` is 0, else wait.
#[repr(C)]
pub struct keystart_attempt_step {
    /// The snapshot to log in with, which the caller frees. NULL: there is no login now.
    pub snapshot: *mut keystart_store,
    /// The generation of the snapshot.
    pub generation: u64,
    /// 1 if the generation is a candidate, which is not published; else 0.
    pub is_candidate: u32,
    /// 1: wait until `descriptor` can be read. 2: wait until it can be written. 0: it is -1, and only the time counts.
    pub readiness: u32,
    /// The descriptor, which is open until the next call with this attempt.
    pub descriptor: i32,
    /// How long to wait at most, in milliseconds. 0: nothing is left to wait for.
    pub wait_ms: u64,
}

/// Begins to log in with a secret, or with a folder: all secrets below it. It waits for nothing and
/// touches no disk. `name` is as for keystart_secret_read. `budget_ms` is in milliseconds; NULL if
/// the caller passed none, NaN for a value that is not a number. `store` must not be a snapshot.
/// Errors: 101, 102.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_attempt_open(
    store: *const keystart_store,
    name: *const u8,
    name_len: usize,
    budget_ms: *const f64,
    out: *mut *mut keystart_attempt,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let name = self::name(name, name_len)?;
            let attempt = Attempt::new(name, budget_ms.as_ref().copied(), &handle(store, "store")?.0)?;
            Ok(new_handle(keystart_attempt(Mutex::new(attempt))))
        })
    }
}

/// Closes the connections of an attempt and frees it. Ignores NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_attempt_free(attempt: *mut keystart_attempt) {
    unsafe { free_handle(attempt) };
}

/// Does what can be done at once, and says what comes next. It does not wait. `store` is the one of
/// keystart_attempt_open. After a wait, the caller calls it again, whatever ended the wait. After a
/// login, the caller calls keystart_attempt_report first. If no login took place at all, the error
/// is 403. Errors: 201 to 207, 301, 302, 403.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_attempt_next(
    attempt: *const keystart_attempt,
    store: *const keystart_store,
    out: *mut keystart_attempt_step,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let mut attempt = locked(attempt)?;
            let store = &handle(store, "store")?.0;
            let mut step = keystart_attempt_step {
                snapshot: null_mut(),
                generation: 0,
                is_candidate: 0,
                readiness: 0,
                descriptor: -1,
                wait_ms: 0,
            };
            match attempt.next(store)? {
                Next::End => {}
                Next::Login(login) => {
                    step.generation = login.snapshot.number().unwrap_or_default();
                    step.is_candidate = login.is_candidate.into();
                    step.snapshot = new_handle(keystart_store(login.snapshot));
                }
                Next::Wait(wait) => {
                    step.wait_ms = milliseconds(wait.time);
                    if let (Some(readiness), Some(socket)) = (wait.readiness, attempt.socket()) {
                        step.readiness = if readiness == Readiness::Readable { 1 } else { 2 };
                        step.descriptor = socket.as_raw_fd();
                    }
                }
            }
            Ok(step)
        })
    }
}

/// Reports how a login ended: 0 it succeeded, 1 the server rejected it, 2 the server has locked the
/// account, 3 its snapshot has expired (306). If a login failed for another reason, the caller frees
/// the attempt instead. `is_counted` is 0 if nobody hears of this login: then its outcome is that of
/// the call. Otherwise the caller continues with keystart_attempt_next until the end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_attempt_report(
    attempt: *const keystart_attempt,
    store: *const keystart_store,
    outcome: u32,
    is_counted: *mut u32,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(is_counted, err, || {
            let outcome = match outcome {
                0 => Outcome::Accepted,
                1 => Outcome::Rejected,
                2 => Outcome::Locked,
                3 => Outcome::Expired,
                _ => return Err(Error::internal("outcome is not 0, 1, 2 or 3")),
            };
            Ok(locked(attempt)?.report(&handle(store, "store")?.0, outcome)?.into())
        })
    }
}

unsafe fn locked<'a>(attempt: *const keystart_attempt) -> Result<std::sync::MutexGuard<'a, Attempt>> {
    // A lock that is busy belongs to another thread, or did when this process was forked.
    unsafe { handle(attempt, "attempt") }?
        .0
        .try_lock()
        .map_err(|_| Error::internal("an attempt belongs to one thread at a time"))
}

/// Rounds up, so that a wait is never over too early.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
