//! The one error type: a code with a pinned number, the message, the secret. Every message text lives here.
//!
//! The texts are contract 8.4, word for word; those of codes 501 to 505 are the writer's own.

use std::fmt::{self, Write};

use rustix::io::Errno;

use crate::name;
use crate::state::Failure;

/// The limit of contract 4.1 and 4.5 in bytes.
pub const MAX_BYTES: usize = 1_048_576;

const QUOTED_BYTES: usize = 64;

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, as contract 8.2 lists it. The numbers are pinned and never used again for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[expect(missing_docs, reason = "the contract's table says when each is raised")]
pub enum Code {
    InvalidName = 101,
    InvalidOption = 102,
    NotAttached = 201,
    NotReady = 202,
    PrefetchFailed = 203,
    LayoutInsecure = 204,
    ManifestInvalid = 205,
    ManifestUnsupported = 206,
    StoreUnreadable = 207,
    SecretNotFound = 301,
    SecretUnavailable = 302,
    SecretCorrupt = 303,
    SecretNotText = 304,
    SecretNotJson = 305,
    SnapshotExpired = 306,
    StoreLocked = 501,
    StoreUnwritable = 502,
    NameConflict = 503,
    ValueTooLarge = 504,
    ManifestTooLarge = 505,
    Internal = 901,
}

impl Code {
    /// The number that crosses the C ABI.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// The name that people see.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidName => "invalid_name",
            Self::InvalidOption => "invalid_option",
            Self::NotAttached => "not_attached",
            Self::NotReady => "not_ready",
            Self::PrefetchFailed => "prefetch_failed",
            Self::LayoutInsecure => "layout_insecure",
            Self::ManifestInvalid => "manifest_invalid",
            Self::ManifestUnsupported => "manifest_unsupported",
            Self::StoreUnreadable => "store_unreadable",
            Self::SecretNotFound => "secret_not_found",
            Self::SecretUnavailable => "secret_unavailable",
            Self::SecretCorrupt => "secret_corrupt",
            Self::SecretNotText => "secret_not_text",
            Self::SecretNotJson => "secret_not_json",
            Self::SnapshotExpired => "snapshot_expired",
            Self::StoreLocked => "store_locked",
            Self::StoreUnwritable => "store_unwritable",
            Self::NameConflict => "name_conflict",
            Self::ValueTooLarge => "value_too_large",
            Self::ManifestTooLarge => "manifest_too_large",
            Self::Internal => "internal",
        }
    }
}

/// An error of the store. No part of it holds bytes of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    code: Code,
    message: String,
    secret: Option<String>,
}

impl Error {
    /// What went wrong.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What happened, to which secret, and what to do next.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The name that was asked for, in the codes 301 to 306 (contract 8.1).
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

/// What is asked of a reader or a writer.
impl Error {
    /// The error of a name that is not one by contract §2.
    pub fn invalid_name(name: &[u8]) -> Self {
        let quoted = quoted(name);
        Self::new(Code::InvalidName, format!("{quoted} is not a valid secret name. {}", name::RULE))
    }

    /// For a binding whose caller gave something that is no string.
    pub fn name_not_text() -> Self {
        Self::new(Code::InvalidName, "The name of a secret must be a string.".into())
    }

    pub(crate) fn invalid_root() -> Self {
        Self::new(
            Code::InvalidOption,
            "The root must be a path: text in UTF-8 without NUL bytes, and not empty. Give an absolute path, or leave it \
             out to use KEYSTART_DIR or /tmp/keystart."
                .into(),
        )
    }

    pub(crate) fn invalid_root_variable() -> Self {
        Self::new(Code::InvalidOption, "KEYSTART_DIR must be a path in UTF-8. Correct or unset it.".into())
    }

    pub(crate) fn invalid_timeout() -> Self {
        Self::new(
            Code::InvalidOption,
            "The timeout must be a number from 0 to 999999999 milliseconds. Give 0 to not wait at all.".into(),
        )
    }

    pub(crate) fn invalid_timeout_variable() -> Self {
        Self::new(
            Code::InvalidOption,
            "KEYSTART_TIMEOUT_MS must be 1 to 9 digits, a number of milliseconds. Correct or unset it.".into(),
        )
    }

    /// A limit of the system that keeps the extension from its work; `what` names it and says what to raise.
    pub fn limit_reached(what: &str) -> Self {
        Self::new(Code::Internal, format!("The extension cannot run: {what}."))
    }

    /// A bug of ours, or of who calls the library.
    pub fn internal(what: &str) -> Self {
        Self::new(Code::Internal, format!("Keystart failed in a way it should not: {what}. Please report it."))
    }
}

/// The store as a whole, as a reader finds it.
impl Error {
    pub(crate) fn not_attached(root: &str) -> Self {
        Self::new(
            Code::NotAttached,
            format!(
                "There is no store at {root}. Attach the Keystart extension to this function, check that KEYSTART_DIR \
                 is the same for both, or run \"keystart pull\" on your own machine."
            ),
        )
    }

    pub(crate) fn not_ready(root: &str, timeout_ms: u64, message: Option<&str>) -> Self {
        let advice = message.map_or_else(
            || "Look for [keystart] in the log of the function.".to_owned(),
            |message| format!("The extension says: {message}"),
        );
        Self::new(Code::NotReady, format!("The store at {root} was not ready after {timeout_ms} ms. {advice}"))
    }

    pub(crate) fn stopped(root: &str) -> Self {
        Self::new(
            Code::NotReady,
            format!(
                "The store at {root} was stopped and its secrets were removed. Start the extension again, or run \
                 \"keystart pull\" on your own machine."
            ),
        )
    }

    pub(crate) fn removed(root: &str) -> Self {
        Self::new(
            Code::NotReady,
            format!(
                "The store at {root} was removed while this process ran. Keep {root} when you clear /tmp. The secrets \
                 come back with the next execution environment; on your own machine, run \"keystart pull\"."
            ),
        )
    }

    pub(crate) fn changing(root: &str) -> Self {
        Self::new(
            Code::NotReady,
            format!("The store at {root} changes faster than it can be read. Try again with a longer timeout."),
        )
    }

    pub(crate) fn prefetch_failed<'a>(
        message: Option<&str>,
        failures: impl IntoIterator<Item = (&'a String, &'a Failure)>,
    ) -> Self {
        let reason = message.unwrap_or("no reason was given");
        let mut text = format!("The extension could not publish the secrets: {reason}");
        for (name, Failure { code, message }) in failures {
            let _infallible = write!(text, "\n  - {}: {code}: {message}", quoted(name.as_bytes()));
        }
        Self::new(Code::PrefetchFailed, text)
    }

    pub(crate) fn layout_insecure(root: &str, what: &str) -> Self {
        Self::new(
            Code::LayoutInsecure,
            format!("The store at {root} is not safe to read: {what}. Remove it and start the extension again."),
        )
    }

    /// Where the root is another user's, who alone may remove it.
    pub(crate) fn layout_insecure_of_other_user(root: &str, what: &str) -> Self {
        Self::new(
            Code::LayoutInsecure,
            format!(
                "The store at {root} is not safe to read: {what}. Let the same user run the extension and this process, \
                 or set KEYSTART_DIR to another path for both."
            ),
        )
    }

    pub(crate) fn store_unreadable(root: &str, errno: Errno, path: &str) -> Self {
        let errno = errno_name(errno);
        Self::new(
            Code::StoreUnreadable,
            format!("The store at {root} cannot be read: {errno} at {path}. Check that this process may read it."),
        )
    }

    pub(crate) fn manifest_invalid(generation: u64, what: &str) -> Self {
        Self::new(
            Code::ManifestInvalid,
            format!(
                "The manifest of generation {generation} is not valid: {what}. Start the extension again; if it \
                 happens again, report it."
            ),
        )
    }

    pub(crate) fn manifest_unsupported(generation: u64, format: &str, known: &str) -> Self {
        let quoted = quoted(format.as_bytes());
        Self::new(
            Code::ManifestUnsupported,
            format!(
                "The manifest of generation {generation} has the format {quoted}, and this reader knows only \
                 \"{known}\". Use the same version of Keystart for the reader and the extension."
            ),
        )
    }
}

/// One secret, as a reader finds it.
impl Error {
    pub(crate) fn secret_not_found(name: &str, nearest: &[&str]) -> Self {
        let hint = match nearest {
            [a, b, c, ..] => format!(" Did you mean \"{a}\", \"{b}\" or \"{c}\"?"),
            [a, b] => format!(" Did you mean \"{a}\" or \"{b}\"?"),
            [a] => format!(" Did you mean \"{a}\"?"),
            [] => String::new(),
        };
        let text =
            format!("There is no secret \"{name}\" in the store.{hint} Add it to the configuration of the extension.");
        Self::about(name, Code::SecretNotFound, text)
    }

    pub(crate) fn secret_unavailable(name: &str, entry: &str, failure: &Failure) -> Self {
        let Failure { code, message } = failure;
        let text = format!(
            "The secret \"{name}\" is not available: the optional entry \"{entry}\" could not be fetched: {code}: \
             {message}"
        );
        Self::about(name, Code::SecretUnavailable, text)
    }

    pub(crate) fn secret_corrupt(name: &str, generation: u64, what: &str) -> Self {
        let text =
            format!("The secret \"{name}\" is damaged in generation {generation}: {what}. Start the extension again.");
        Self::about(name, Code::SecretCorrupt, text)
    }

    pub(crate) fn secret_not_text(name: &str) -> Self {
        let text = format!("The secret \"{name}\" is not valid UTF-8 text. Read it as bytes.");
        Self::about(name, Code::SecretNotText, text)
    }

    pub(crate) fn secret_not_json(name: &str) -> Self {
        let text = format!("The secret \"{name}\" is not valid JSON. Read it as text or bytes, or correct the secret.");
        Self::about(name, Code::SecretNotJson, text)
    }

    pub(crate) fn snapshot_expired(name: &str, generation: u64) -> Self {
        let text = format!(
            "The snapshot of generation {generation} has expired because the store moved on. Take a new snapshot."
        );
        Self::about(name, Code::SnapshotExpired, text)
    }
}

/// The writer.
impl Error {
    /// A root that is not taken over (contract 5.15).
    pub(crate) fn root_unsafe_to_write(root: &str, what: &str) -> Self {
        Self::new(
            Code::LayoutInsecure,
            format!(
                "The store at {root} is not safe to write: {what}. Nothing in it was changed. Name a folder that \
                 does not exist yet, with KEYSTART_DIR or --root. Remove {root} only if nothing in it is needed."
            ),
        )
    }

    /// A root that this process could not remove if it wanted to.
    pub(crate) fn root_of_another_user(root: &str) -> Self {
        Self::new(
            Code::LayoutInsecure,
            format!(
                "The store at {root} is not safe to write: the root belongs to another user. Nothing in it was changed. \
                 Run as that user, or name a folder that does not exist yet, with KEYSTART_DIR or --root."
            ),
        )
    }

    /// Something that appeared in a store while its writer had it.
    pub(crate) fn store_holds_foreign(root: &str, what: &str) -> Self {
        Self::new(
            Code::LayoutInsecure,
            format!(
                "The store at {root} holds something that Keystart did not make: {what}. It was left as it is. Remove it \
                 if you do not need it, and keep other files out of the store."
            ),
        )
    }

    pub(crate) fn store_locked(root: &str) -> Self {
        Self::new(
            Code::StoreLocked,
            format!(
                "The store at {root} is in use by another writer. Stop the other one, or give one of them another \
                 KEYSTART_DIR."
            ),
        )
    }

    pub(crate) fn store_unwritable(root: &str, errno: Errno, path: &str) -> Self {
        let advice = match errno {
            Errno::NOSPC | Errno::DQUOT => {
                "There is no space left: remove files from its file system, or give the function more ephemeral \
                 storage (/tmp)."
            }
            Errno::MFILE => "No descriptor is left: raise the limit of open files (RLIMIT_NOFILE, ulimit -n).",
            Errno::NFILE => "The system has no descriptor left: raise fs.file-max.",
            Errno::ROFS => "Its file system is read-only: set KEYSTART_DIR to a folder below /tmp.",
            _ => "Check that this process may write it.",
        };
        let errno = errno_name(errno);
        Self::new(Code::StoreUnwritable, format!("The store at {root} cannot be written: {errno} at {path}. {advice}"))
    }

    /// What failed when readers had the new set already.
    pub(crate) fn after_publish(self, generation: u64) -> Self {
        let message =
            format!("Generation {generation} is published, but not all that follows could be done. {}", self.message);
        Self { message, ..self }
    }

    pub(crate) fn numbers_used_up(root: &str) -> Self {
        Self::new(
            Code::StoreUnwritable,
            format!(
                "The store at {root} cannot be written: its generation numbers are used up. Remove it and start the \
                 extension again."
            ),
        )
    }

    pub(crate) fn writer_stopped(root: &str) -> Self {
        Self::new(
            Code::StoreUnwritable,
            format!("The store at {root} cannot be written: this writer was stopped. Open a new one."),
        )
    }

    pub(crate) fn name_conflict(pairs: &[String]) -> Self {
        let pairs = pairs.concat();
        Self::new(
            Code::NameConflict,
            format!("These secrets cannot be in one store:{pairs}\nGive one of each pair another name."),
        )
    }

    /// The error of a value that no store holds.
    pub fn value_too_large(name: &str, size: usize) -> Self {
        Self::new(
            Code::ValueTooLarge,
            format!(
                "The secret \"{name}\" has {size} bytes, and {MAX_BYTES} is the most that can be stored. Make it smaller, \
                 or split it."
            ),
        )
    }

    pub(crate) fn manifest_too_large(secrets: usize, size: usize) -> Self {
        Self::new(
            Code::ManifestTooLarge,
            format!(
                "The manifest of {secrets} secrets would have {size} bytes, and {MAX_BYTES} is the most that can be \
                 published. Configure fewer secrets."
            ),
        )
    }

    pub(crate) fn invalid_entry(name: &str, member: &str) -> Self {
        Self::internal(&format!("the entry of the secret \"{name}\" has a wrong {member}"))
    }
}

/// Text from outside between double quotes, safe to print (contract 8.3).
pub fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for byte in bytes.iter().take(QUOTED_BYTES) {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f..=0xff => {
                let _infallible = write!(out, "\\x{byte:02x}");
            }
            printable => out.push(char::from(*printable)),
        }
    }
    out.push_str(if bytes.len() > QUOTED_BYTES { "...\"" } else { "\"" });
    out
}

/// The errno's name, for those that calls on files and folders give.
fn errno_name(errno: Errno) -> String {
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
    fn text_from_outside_is_printed_safely() {
        assert_eq!(quoted(b"a b~"), "\"a b~\"");
        assert_eq!(quoted(b"\"\\\n\x7f\xc3\xa9\0"), r#""\x22\x5c\x0a\x7f\xc3\xa9\x00""#);
        assert_eq!(quoted(&[b'a'; 64]), format!("\"{}\"", "a".repeat(64)));
        assert_eq!(quoted(&[b'a'; 65]), format!("\"{}...\"", "a".repeat(64)));
    }

    #[test]
    fn names_that_are_near_are_offered() {
        let hint = |nearest: &[&str]| {
            let message = Error::secret_not_found("x", nearest).message;
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
        let failure = Failure { code: "AccessDenied".into(), message: "no".into() };
        let error = Error::prefetch_failed(None, [(&"a\nb".to_owned(), &failure)]);
        assert_eq!(
            error.message(),
            "The extension could not publish the secrets: no reason was given\n  - \"a\\x0ab\": AccessDenied: no"
        );
    }
}
