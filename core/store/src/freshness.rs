//! freshness.json: when each secret was checked, and why it could not be (contract 11.8). It reads and writes text, not files.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::failures::Failure;
use crate::json::{self, Json, quote};
use crate::time;

const FORMAT: &str = "keystart.freshness/1";
/// The beginning of every document that a writer writes.
pub(crate) const START: &str = "{\"format\": \"keystart.freshness/1\", \"generation\": ";
pub(crate) const LARGEST: usize = 4_194_304; // limits.toml: freshness.bytes

/// The last check of one secret. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    /// When its source last answered.
    pub checked_at: i64,
    /// When it is fetched again; none means never.
    pub refresh_after: Option<i64>,
    /// Until when readers return the value; none means forever.
    pub usable_until: Option<i64>,
    /// Why the last refresh did not answer, and when that was.
    pub failure: Option<(Failure, i64)>,
}

/// The last checks of all secrets of one generation, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Freshness {
    pub generation: u64,
    pub secrets: BTreeMap<String, Check>,
}

impl Freshness {
    /// Returns the document. If it would be longer than readers accept, it leaves out the messages of failures.
    pub fn to_json(&self) -> String {
        let text = self.render(true);
        if text.len() <= LARGEST { text } else { self.render(false) }
    }

    fn render(&self, with_messages: bool) -> String {
        let mut text = format!("{START}{}, \"secrets\": {{", self.generation);
        for (index, (name, check)) in self.secrets.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let members = check.members(with_messages);
            let _infallible = write!(text, "{comma}\n  {}: {{{members}}}", quote(name));
        }
        text.push_str("\n}}\n");
        text
    }

    /// Returns the check of a secret in a generation; `None` if the document is broken or does not have it.
    pub fn find(bytes: &[u8], generation: u64, name: &str) -> Option<Check> {
        let document = json::parse(bytes).ok()?;
        let is_sound = document.get("format")?.as_str()? == FORMAT
            && document.get("generation")?.as_whole()? == generation
            && document.get("secrets")?.as_object().is_some();
        if is_sound { Check::from_json(document.get("secrets")?.get(name)?) } else { None }
    }
}

impl Check {
    fn from_json(value: &Json) -> Option<Self> {
        let failure = match value.get("failure")? {
            Json::Null => None,
            failure => Some((Failure::from_json(failure, false)?, time::parse(failure.get("at")?.as_str()?)?)),
        };
        Some(Self {
            checked_at: time::parse(value.get("checked_at")?.as_str()?)?,
            refresh_after: time_or_null(value.get("refresh_after")?).ok()?,
            usable_until: time_or_null(value.get("usable_until")?).ok()?,
            failure,
        })
    }

    fn members(&self, with_messages: bool) -> String {
        let Self { checked_at, refresh_after, usable_until, .. } = self;
        format!(
            r#""checked_at": "{}", "refresh_after": {}, "usable_until": {}, "failure": {}"#,
            time::format(*checked_at),
            moment(*refresh_after),
            moment(*usable_until),
            self.failure_json(with_messages),
        )
    }

    /// Returns the failure as JSON: null, or its code, message and time.
    pub fn failure_json(&self, with_message: bool) -> String {
        let Some((failure, at)) = &self.failure else { return "null".to_owned() };
        let failure = if with_message { failure.clone() } else { Failure::new(&failure.code, "") };
        let text = failure.to_json();
        let members = text.strip_suffix('}').unwrap_or(&text);
        format!("{members}, \"at\": \"{}\"}}", time::format(*at))
    }

    /// Returns whether a refresh failed, or should have taken place by now.
    pub fn is_stale(&self, now: i64) -> bool {
        self.failure.is_some() || self.refresh_after.is_some_and(|due| due <= now)
    }
}

fn moment(at: Option<i64>) -> String {
    at.map_or_else(|| "null".to_owned(), |at| format!("\"{}\"", time::format(at)))
}

/// Reads a time or null. The error is a value that is neither.
fn time_or_null(value: &Json) -> Result<Option<i64>, ()> {
    match value {
        Json::Null => Ok(None),
        value => value.as_str().and_then(time::parse).map(Some).ok_or(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(failure: Option<(Failure, i64)>) -> Check {
        Check { checked_at: 1, refresh_after: Some(2), usable_until: None, failure }
    }

    fn document(checks: &[(&str, Check)]) -> Freshness {
        let secrets = checks.iter().map(|(name, check)| ((*name).to_owned(), check.clone()));
        Freshness { generation: 7, secrets: secrets.collect() }
    }

    #[test]
    fn what_was_written_is_read_back() {
        let failed = check(Some((Failure::new("Code", "a \"}\" sentence}"), 3)));
        let text = document(&[("db", check(None)), ("tls/key", failed.clone())]).to_json();
        assert!(text.starts_with(START), "{text}");
        assert_eq!(Freshness::find(text.as_bytes(), 7, "db"), Some(check(None)));
        assert_eq!(Freshness::find(text.as_bytes(), 7, "tls/key"), Some(failed));
        assert_eq!(Freshness::find(text.as_bytes(), 7, "tls"), None);
        assert_eq!(Freshness::find(text.as_bytes(), 8, "db"), None);
    }

    #[test]
    fn a_broken_document_has_no_checks() {
        let good = document(&[("db", check(Some((Failure::new("Code", "why"), 3))))]).to_json();
        for (from, to) in [
            ("freshness/1", "freshness/2"),
            ("\"generation\": 7", "\"generation\": \"7\""),
            ("\"secrets\": {", "\"secrets\": [], \"x\": {"),
            ("1970-01-01T00:00:00.001Z", "1970-01-01"),
            ("\"refresh_after\": \"1970-01-01T00:00:00.002Z\"", "\"refresh_after\": 2"),
            ("\"usable_until\": null, ", ""),
            ("\"message\": \"why\", ", ""),
            ("\"at\": \"1970-01-01T00:00:00.003Z\"", "\"at\": null"),
            ("}}\n", "}\n"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good, "{from}");
            assert_eq!(Freshness::find(bad.as_bytes(), 7, "db"), None, "{to}");
        }
    }

    #[test]
    fn a_document_that_would_be_too_long_has_no_messages() {
        let checks: BTreeMap<String, Check> =
            (0..300).map(|n| (format!("s{n}"), check(Some((Failure::new("Code", "m".repeat(16_384)), 3))))).collect();
        let text = Freshness { generation: 7, secrets: checks }.to_json();
        assert!(text.len() <= LARGEST);
        assert_eq!(Freshness::find(text.as_bytes(), 7, "s9"), Some(check(Some((Failure::new("Code", ""), 3)))));
    }

    #[test]
    fn stale_is_a_failure_or_a_time_that_has_come() {
        assert!(check(None).is_stale(2));
        assert!(!check(None).is_stale(1));
        assert!(check(Some((Failure::new("Code", ""), 0))).is_stale(1));
    }
}
