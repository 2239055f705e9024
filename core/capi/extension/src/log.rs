//! The log of the process.

use keystart_core::{guard, keystart_error, text};
use keystart_store::error::Error;
use keystart_store::log::{self, Level};

/// Writes a message to the log: one line for each line of the message, or one JSON object if
/// AWS_LAMBDA_LOG_FORMAT is JSON. `level` is a word such as ERROR. KEYSTART_LOG_LEVEL, else
/// AWS_LAMBDA_LOG_LEVEL, sets which levels are written; errors always are. The call never fails
/// because of the log, and all calls of a process together wait at most half a second for it. Lines
/// that cannot be written are counted, and the next line that can be written says how many.
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
            let level = Level::parse(level).ok_or_else(|| Error::internal("level is not a level of the log"))?;
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
