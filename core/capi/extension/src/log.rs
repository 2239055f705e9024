//! The log of the process.

use keystart_core::{answer, guard, keystart_error, text, text_or_none};
use keystart_store::errors::{Error, Result};
use keystart_store::log::{self, Fact, Level};

use crate::extension::list;

/// A member of a line in JSON.
#[repr(C)]
pub struct keystart_log_member {
    /// The name of the member.
    pub name: *const u8,
    /// Its length.
    pub name_len: usize,
    /// Its value; NULL for a number.
    pub text: *const u8,
    /// The length of the value.
    pub text_len: usize,
    /// The value if `text` is NULL.
    pub number: u64,
}

/// Writes a message to the log: one line for each line of the message, or one JSON object if
/// AWS_LAMBDA_LOG_FORMAT is JSON. Only that has the members too. `level` is a word such as ERROR. KEYSTART_LOG_LEVEL, else
/// AWS_LAMBDA_LOG_LEVEL, sets which levels are written; errors always are. The call never fails
/// because of the log, and all calls of a process together wait at most half a second for it. Lines
/// that cannot be written are counted, and the next line that can be written says how many.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_log_write(
    level: *const u8,
    level_len: usize,
    message: *const u8,
    message_len: usize,
    members: *const keystart_log_member,
    count: usize,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (level, message) = (text(level, level_len, "level")?, text(message, message_len, "message")?);
            let level = Level::parse(level).ok_or_else(|| Error::internal("level is not a level of the log"))?;
            let fact = |member: &keystart_log_member| {
                let value = text_or_none(member.text, member.text_len, "members")?;
                let fact = value.map_or(Fact::Number(member.number), Fact::Text);
                Ok((text(member.name, member.name_len, "members")?, fact))
            };
            let members = list(members, count, "members")?.iter().map(fact).collect::<Result<Vec<_>>>()?;
            log::write_with(level, message, &members);
            Ok(())
        })
    }
}

/// Returns whether the lines of the log have members: 1 if AWS_LAMBDA_LOG_FORMAT is JSON, else 0.
/// Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_log_is_json(out: *mut u32, err: *mut *mut keystart_error) -> u32 {
    unsafe { answer(out, err, || Ok(log::is_json().into())) }
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

/// Writes the kept messages, and from now on every message at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_log_release(err: *mut *mut keystart_error) -> u32 {
    unsafe {
        guard(err, || {
            log::release();
            Ok(())
        })
    }
}
