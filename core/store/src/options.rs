//! Turns a caller's arguments and the environment into a root and a timeout (contract 6.1). Touches no store.
//!
//! The caller passes the environment in: a library that reads it races with a host that changes its own.

use std::os::unix::ffi::OsStrExt;

use crate::errors::{Error, Result};

const DEFAULT_ROOT: &str = "/tmp/keystart";
/// Lambda ends an Init after 10 s. With a longer timeout nobody would see the reason.
const DEFAULT_TIMEOUT_MS: u64 = 9_000; // limits.toml: timeout.default_ms
const DEFAULT_BUDGET_MS: u64 = 2_000; // limits.toml: attempt.budget_ms
const MAX_TIMEOUT_MS: f64 = 999_999_999.0; // limits.toml: timeout.most_ms

/// The options of a client; `None` is "not given" or "not set".
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// The root argument.
    pub root: Option<&'a [u8]>,
    /// `KEYSTART_DIR`.
    pub env_dir: Option<&'a [u8]>,
    /// The timeout argument in milliseconds.
    pub timeout_ms: Option<f64>,
    /// `KEYSTART_TIMEOUT_MS`.
    pub env_timeout: Option<&'a [u8]>,
}

impl Options<'_> {
    /// Returns the absolute path of the root.
    pub fn root(&self) -> Result<String> {
        let text = match (self.root, self.env_dir.filter(|dir| !dir.is_empty())) {
            (Some(argument), _) => path(argument).ok_or_else(Error::invalid_root)?,
            (None, Some(variable)) => path(variable).ok_or_else(Error::invalid_root_variable)?,
            (None, None) => DEFAULT_ROOT,
        };
        let absolute = if text.starts_with('/') { text.to_owned() } else { format!("{}/{text}", working_folder()?) };
        let trimmed = absolute.trim_end_matches('/');
        Ok(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() })
    }

    /// Returns the timeout of one read in milliseconds.
    pub fn timeout_ms(&self) -> Result<u64> {
        if let Some(given) = self.timeout_ms {
            return rounded(given).ok_or_else(Error::invalid_timeout);
        }
        let Some(variable) = self.env_timeout.filter(|variable| !variable.is_empty()) else {
            return Ok(DEFAULT_TIMEOUT_MS);
        };
        if variable.len() > 9 || !variable.iter().all(u8::is_ascii_digit) {
            return Err(Error::invalid_timeout_variable());
        }
        Ok(variable.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
    }
}

/// Returns the budget of `attempt` in milliseconds (contract 12.1).
pub(crate) fn budget_ms(given: Option<f64>) -> Result<u64> {
    given.map_or(Ok(DEFAULT_BUDGET_MS), |given| rounded(given).ok_or_else(Error::invalid_budget))
}

/// Returns a path as text that every language can pass on (contract 6.1.2).
fn path(bytes: &[u8]) -> Option<&str> {
    let usable = |text: &&str| !text.is_empty() && !text.contains(['\0', char::REPLACEMENT_CHARACTER]);
    std::str::from_utf8(bytes).ok().filter(usable)
}

fn working_folder() -> Result<String> {
    let folder = std::env::current_dir().map_err(|_| Error::invalid_root())?;
    path(folder.as_os_str().as_bytes()).map(str::to_owned).ok_or_else(Error::invalid_root)
}

/// Rounds to the nearest whole number, a half up; `None` if that is out of range.
fn rounded(ms: f64) -> Option<u64> {
    // Not (ms + 0.5).floor(): that sum itself rounds, and 0.49999999999999994 would become 1.
    let down = ms.floor();
    let whole = if ms - down >= 0.5 { down + 1.0 } else { down };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked, NaN is in none")]
    (0.0..=MAX_TIMEOUT_MS).contains(&whole).then_some(whole as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::errors::Code;

    fn root(root: Option<&str>, env_dir: Option<&str>) -> Result<String> {
        Options { root: root.map(str::as_bytes), env_dir: env_dir.map(str::as_bytes), ..Options::default() }.root()
    }

    fn timeout(timeout_ms: Option<f64>, env_timeout: Option<&str>) -> Result<u64> {
        Options { timeout_ms, env_timeout: env_timeout.map(str::as_bytes), ..Options::default() }.timeout_ms()
    }

    #[test]
    fn the_argument_goes_before_the_variable_and_the_variable_before_the_default() {
        assert_eq!(root(Some("/a"), Some("/b")).unwrap(), "/a");
        assert_eq!(root(None, Some("/b")).unwrap(), "/b");
        assert_eq!(root(None, Some("")).unwrap(), "/tmp/keystart");
        assert_eq!(root(None, None).unwrap(), "/tmp/keystart");
        assert_eq!(timeout(Some(5.0), Some("7")).unwrap(), 5);
        assert_eq!(timeout(None, Some("007")).unwrap(), 7);
        assert_eq!(timeout(None, Some("")).unwrap(), 9000);
        assert_eq!(timeout(None, None).unwrap(), 9000);
        assert_eq!(timeout(Some(5.0), Some("x")).unwrap(), 5);
    }

    #[test]
    fn only_trailing_slashes_are_removed() {
        assert_eq!(root(Some("/a/../~//b/.//"), None).unwrap(), "/a/../~//b/.");
        assert_eq!(root(Some("///"), None).unwrap(), "/");
        let here = std::env::current_dir().unwrap().into_os_string().into_string().unwrap();
        assert_eq!(root(Some("a/"), None).unwrap(), format!("{here}/a"));
        assert_eq!(root(None, Some("~")).unwrap(), format!("{here}/~"));
    }

    #[test]
    fn a_root_that_is_not_a_path_is_refused() {
        assert_eq!(root(Some(""), Some("/b")).unwrap_err(), Error::invalid_root());
        assert_eq!(root(Some("/a\0"), None).unwrap_err(), Error::invalid_root());
        for not_text in [&b"/\xff"[..], b"/\xed\xa0\x80", "/\u{fffd}".as_bytes()] {
            let argument = Options { root: Some(not_text), ..Options::default() };
            assert_eq!(argument.root().unwrap_err(), Error::invalid_root());
            let variable = Options { env_dir: Some(not_text), ..Options::default() };
            assert_eq!(variable.root().unwrap_err(), Error::invalid_root_variable());
            let both = Options { root: Some(b"/a"), ..variable };
            assert_eq!(both.root().unwrap(), "/a");
        }
    }

    #[test]
    fn a_timeout_rounds_to_the_nearest_millisecond() {
        for (given, ms) in [
            (0.0, 0),
            (-0.0, 0),
            (0.4, 0),
            (0.5, 1),
            (1.5, 2),
            (2.5, 3),
            (-0.5, 0),
            (0.499_999_999_999_999_94, 0),
            (999_999_999.499, 999_999_999),
        ] {
            assert_eq!(timeout(Some(given), None).unwrap(), ms, "{given}");
        }
    }

    #[test]
    fn a_timeout_out_of_range_is_refused() {
        for given in [-0.6, -1.0, 999_999_999.5, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(timeout(Some(given), None).unwrap_err(), Error::invalid_timeout(), "{given}");
        }
        for variable in ["1234567890", "-1", "+1", "1.5", " 1", "1e3", "٣", "x"] {
            assert_eq!(timeout(None, Some(variable)).unwrap_err(), Error::invalid_timeout_variable(), "{variable}");
        }
    }

    proptest! {
        #[test]
        fn a_root_is_absolute_and_ends_without_a_slash(given in "\\PC{1,20}") {
            prop_assume!(!given.contains(char::REPLACEMENT_CHARACTER));
            let root = root(Some(&given), None).unwrap();
            prop_assert!(root.starts_with('/'));
            prop_assert!(root == "/" || !root.ends_with('/'));
            prop_assert!(root.trim_end_matches('/').ends_with(given.trim_end_matches('/')));
        }

        #[test]
        fn a_timeout_is_refused_or_at_most_half_a_millisecond_away(given in any::<f64>()) {
            match timeout(Some(given), None) {
                #[expect(clippy::cast_precision_loss, reason = "it has at most nine digits")]
                Ok(ms) => prop_assert!((ms as f64 - given).abs() <= 0.5),
                Err(error) => prop_assert_eq!(error.code(), Code::InvalidOption),
            }
        }
    }
}
