//! The one error type: a code with a pinned number, the message, the secret.
//!
//! The codes and the texts are those of contract/errors.toml.

use std::fmt;

use rustix::io::Errno;

use crate::failures::{Failure, Failures};
use crate::text::quoted;

#[rustfmt::skip]
#[expect(clippy::doc_markdown, reason = "its texts are those of all languages")]
mod codes;
#[rustfmt::skip]
mod messages;

pub use codes::Code;
pub use messages::NAME_RULE;
pub(crate) use messages::{name_is_folder, name_twice};

/// The limit of contract 3.5, 4.1 and 4.5 in bytes.
pub const MAX_BYTES: usize = 1_048_576; // limits.toml: value.bytes

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the store. No part of it holds bytes of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    code: Code,
    message: String,
    secret: Option<String>,
}

impl Error {
    /// Returns what went wrong.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Returns what happened, to which secret, and what to do next.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the name that the caller asked for, with the codes 301 to 308 (contract 8.1).
    pub fn secret(&self) -> Option<&str> {
        self.secret.as_deref()
    }

    fn new(code: Code, message: String) -> Self {
        Self { code, message, secret: None }
    }

    fn about(name: &str, code: Code, message: String) -> Self {
        Self { code, message, secret: Some(name.to_owned()) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The messages that are made of several pieces.
impl Error {
    /// Makes `not_ready` for a read that waited its whole timeout; `message` is that of state.json.
    pub(crate) fn waited(root: &str, milliseconds: u64, message: Option<&str>) -> Self {
        message.map_or_else(
            || Self::not_ready(root, milliseconds),
            |message| Self::not_ready_because(root, milliseconds, message),
        )
    }

    /// Makes `prefetch_failed` from what state.json says.
    pub(crate) fn failed_start(message: Option<&str>, failures: &Failures) -> Self {
        Self::prefetch_failed(message.unwrap_or(messages::NO_REASON), &failure_lines(failures))
    }

    /// Makes `refresh_failed` from what the writer answers.
    pub(crate) fn failed_refresh(failures: &Failures) -> Self {
        Self::refresh_failed(&failure_lines(failures))
    }

    /// Makes `snapshot_expired` for a generation that nobody asked a secret of.
    pub(crate) fn generation_gone(generation: u64) -> Self {
        Self { secret: None, ..Self::snapshot_expired("", generation) }
    }

    /// Makes `manifest_unsupported`, with the version of Keystart that wrote the manifest if that is known.
    pub(crate) fn format_unsupported(generation: u64, format: &str, writer: Option<&str>) -> Self {
        let writer = writer.map_or_else(String::new, |version| messages::written_by(version.as_bytes()));
        Self::manifest_unsupported(generation, format.as_bytes(), &writer, env!("CARGO_PKG_VERSION"))
    }

    /// Makes `secret_not_found`, and offers the nearest names.
    pub(crate) fn secret_not_found_near(name: &str, nearest: &[&str]) -> Self {
        let hint = match nearest {
            [first, second, third, ..] => messages::hint_of_three(first, second, third),
            [first, second] => messages::hint_of_two(first, second),
            [first] => messages::hint_of_one(first),
            [] => String::new(),
        };
        Self::secret_not_found(name, &hint)
    }

    /// Makes `secret_not_found` for a folder, and lists what it holds.
    pub(crate) fn secret_is_folder_of(name: &str, members: &[&str]) -> Self {
        let listed = match members {
            [first, second, third, more @ ..] if !more.is_empty() => {
                messages::members_of_more(first, second, third, more.len())
            }
            [first, second, third, ..] => messages::members_of_three(first, second, third),
            [first, second] => messages::members_of_two(first, second),
            [first] => messages::members_of_one(first),
            [] => String::new(),
        };
        Self::secret_is_folder(name, &listed)
    }

    /// Makes `store_unwritable` with the advice for the system's error.
    pub(crate) fn refused_write(root: &str, errno: Errno, path: &str) -> Self {
        let advice = match errno {
            Errno::NOSPC | Errno::DQUOT => messages::NO_SPACE_LEFT,
            Errno::MFILE => messages::NO_DESCRIPTOR_LEFT,
            Errno::NFILE => messages::NO_DESCRIPTOR_LEFT_IN_THE_SYSTEM,
            Errno::ROFS => messages::READ_ONLY,
            Errno::NOENT if path == ROOT => messages::NO_FOLDER_ABOVE,
            _ => messages::NO_RIGHT_TO_WRITE,
        };
        Self::store_unwritable(root, errno, shown_path(path), advice)
    }

    /// Adds that readers had the new set already when this went wrong (contract 5.12).
    pub(crate) fn after_publish(self, generation: u64) -> Self {
        let message =
            format!("Generation {generation} is published, but not all that follows could be done. {}", self.message);
        Self { message, ..self }
    }

    pub(crate) fn invalid_entry(name: &str, member: &str) -> Self {
        Self::internal(&format!("the entry of the secret \"{name}\" has a wrong {member}"))
    }
}

/// Returns a line for each failure, in the order of the names' bytes.
fn failure_lines(failures: &Failures) -> String {
    let line =
        |(name, failure): (&String, &Failure)| messages::failure_line(name.as_bytes(), &failure.code, &failure.message);
    failures.iter().map(line).collect()
}

/// The path of the root itself, relative to the root.
const ROOT: &str = ".";

/// Returns what messages call a path relative to the root (contract 8.3).
pub(crate) fn shown_path(path: &str) -> &str {
    if path == ROOT { "the root" } else { path }
}

/// Returns the name of an errno that a call on files and folders can return.
pub fn errno_name(errno: Errno) -> String {
    let name = match errno {
        Errno::PERM => "EPERM",
        Errno::NOENT => "ENOENT",
        Errno::INTR => "EINTR",
        Errno::IO => "EIO",
        Errno::NXIO => "ENXIO",
        Errno::BADF => "EBADF",
        Errno::AGAIN => "EAGAIN",
        Errno::NOMEM => "ENOMEM",
        Errno::ACCESS => "EACCES",
        Errno::BUSY => "EBUSY",
        Errno::EXIST => "EEXIST",
        Errno::XDEV => "EXDEV",
        Errno::NODEV => "ENODEV",
        Errno::NOTDIR => "ENOTDIR",
        Errno::ISDIR => "EISDIR",
        Errno::INVAL => "EINVAL",
        Errno::NFILE => "ENFILE",
        Errno::MFILE => "EMFILE",
        Errno::TXTBSY => "ETXTBSY",
        Errno::FBIG => "EFBIG",
        Errno::NOSPC => "ENOSPC",
        Errno::ROFS => "EROFS",
        Errno::MLINK => "EMLINK",
        Errno::NAMETOOLONG => "ENAMETOOLONG",
        Errno::NOSYS => "ENOSYS",
        Errno::NOTEMPTY => "ENOTEMPTY",
        Errno::LOOP => "ELOOP",
        Errno::OVERFLOW => "EOVERFLOW",
        Errno::OPNOTSUPP => "EOPNOTSUPP",
        Errno::TIMEDOUT => "ETIMEDOUT",
        Errno::STALE => "ESTALE",
        Errno::DQUOT => "EDQUOT",
        Errno::NOTCONN => "ENOTCONN",
        other => return format!("errno {}", other.raw_os_error()),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_near_are_offered() {
        let hint = |nearest: &[&str]| {
            let message = Error::secret_not_found_near("x", nearest).message;
            let from = message.find("store.").unwrap() + 6;
            message[from..message.find(" Add").unwrap()].to_owned()
        };
        assert_eq!(hint(&[]), "");
        assert_eq!(hint(&["a"]), " Did you mean \"a\"?");
        assert_eq!(hint(&["a", "b"]), " Did you mean \"a\" or \"b\"?");
        assert_eq!(hint(&["a", "b", "c"]), " Did you mean \"a\", \"b\" or \"c\"?");
    }

    #[test]
    fn a_failed_start_lists_its_reasons() {
        let failure = Failure::new("AccessDenied", "no");
        let error = Error::failed_start(None, &Failures::from([("a\nb".to_owned(), failure)]));
        assert_eq!(
            error.message(),
            "The extension could not publish the secrets: no reason was given\n  - \"a\\x0ab\": AccessDenied: no"
        );
    }
}
