//! state.json: what the writer is doing (contract §3). It reads and writes text, not files.

use std::collections::BTreeMap;

use crate::error::MAX_BYTES;
use crate::json::{self, Json, quote};
use crate::time;

const FORMAT: &str = "keystart.state/1";

/// Why one entry could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The provider's own word, such as `AccessDeniedException`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

impl Failure {
    /// Reads `{"code": …, "message": …}`.
    pub(crate) fn from_json(value: &Json) -> Option<Self> {
        let member = |name| value.get(name)?.as_str().map(str::to_owned);
        Some(Self { code: member("code")?, message: member("message")? })
    }

    pub(crate) fn to_json(&self) -> String {
        format!(r#"{{"code": {}, "message": {}}}"#, quote(&self.code), quote(&self.message))
    }
}

/// Failures by the name of their entry; the order is that of the names' bytes.
pub(crate) type Failures = BTreeMap<String, Failure>;

/// Reads an object of failures.
pub(crate) fn failures_from_json(value: &Json) -> Option<Failures> {
    let read = |(name, value): (&String, &Json)| Some((name.clone(), Failure::from_json(value)?));
    value.as_object()?.iter().map(read).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Ready,
    Failed,
    Stopped,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Starting, Self::Ready, Self::Failed, Self::Stopped];

    fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// What a reader needs of a well-formed state.json.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub phase: Phase,
    pub message: Option<String>,
    pub failures: Failures,
}

impl State {
    /// Reads a well-formed document (contract 3.5); `None` for a broken one.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let document = json::parse(bytes).ok()?;
        if document.get("format")?.as_str()? != FORMAT {
            return None;
        }
        let word = document.get("state")?.as_str()?;
        let message = match document.get("message")? {
            Json::Null => None,
            message => Some(message.as_str()?.to_owned()),
        };
        Some(Self {
            phase: Phase::ALL.into_iter().find(|phase| phase.name() == word)?,
            message,
            failures: failures_from_json(document.get("failures")?)?,
        })
    }

    pub fn new(phase: Phase) -> Self {
        Self { phase, message: None, failures: Failures::new() }
    }

    /// Writes the document. Reasons that would make it longer than readers accept are left out, and that is said.
    pub fn to_json(&self, generation: u64) -> String {
        let text = self.render(generation, self.message.as_deref(), &self.failures);
        if text.len() <= MAX_BYTES {
            return text;
        }
        let head: String = self.message.iter().flat_map(|message| message.chars()).take(4096).collect();
        let message = format!("{head} (shortened; {} reasons are in the log only)", self.failures.len());
        self.render(generation, Some(&message), &Failures::new())
    }

    fn render(&self, generation: u64, message: Option<&str>, failures: &Failures) -> String {
        let failures: Vec<String> =
            failures.iter().map(|(name, failure)| format!("{}: {}", quote(name), failure.to_json())).collect();
        format!(
            "{{\"format\": \"{FORMAT}\", \"state\": \"{}\", \"generation\": {generation}, \"pid\": {},\n \"at\": \"{}\", \
             \"message\": {}, \"failures\": {{{}}}}}\n",
            self.phase.name(),
            std::process::id(),
            time::format(time::now()),
            message.map_or_else(|| "null".to_owned(), quote),
            failures.join(", "),
        )
    }
}

/// The generation that a state.json tells, for the next writer; 0 when it tells none.
pub(crate) fn generation(bytes: &[u8]) -> u64 {
    json::parse(bytes).ok().and_then(|document| document.get("generation")?.as_whole()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = r#"{"format": "keystart.state/1", "state": "starting", "message": null, "failures": {}}"#;

    #[test]
    fn a_well_formed_state_is_read() {
        let state = State::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(state, State::new(Phase::Starting));
    }

    #[test]
    fn a_broken_state_is_none() {
        for (from, to) in [
            ("state/1", "state/2"),
            ("\"starting\"", "\"Starting\""),
            ("\"starting\"", "1"),
            ("null", "1"),
            ("\"message\": null, ", ""),
            ("{}", "[]"),
            ("{}", r#"{"a": {"code": "x"}}"#),
            ("{}", r#"{"a": {"code": "x", "message": null}}"#),
            (", \"failures\": {}", ""),
            ("}}", "}"),
        ] {
            let bad = GOOD.replace(from, to);
            assert_ne!(bad, GOOD);
            assert_eq!(State::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(State::parse(b"[]"), None);
    }

    #[test]
    fn the_generation_is_read_from_anything_that_tells_one() {
        assert_eq!(generation(br#"{"generation": 7}"#), 7);
        for garbage in ["", "[]", "{}", r#"{"generation": -1}"#, r#"{"generation": "7"}"#, r#"{"generation": 1e99}"#] {
            assert_eq!(generation(garbage.as_bytes()), 0, "{garbage}");
        }
    }

    #[test]
    fn a_state_is_never_longer_than_readers_accept() {
        let failure = Failure { code: "Code".into(), message: "m".repeat(MAX_BYTES) };
        let long = State {
            phase: Phase::Failed,
            message: Some("é".repeat(MAX_BYTES)),
            failures: Failures::from([("db".to_owned(), failure)]),
        };
        let text = long.to_json(3);
        assert!(text.len() <= MAX_BYTES);
        assert!(State::parse(text.as_bytes()).unwrap().message.unwrap().ends_with("1 reasons are in the log only)"));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(
            message in proptest::option::of(any::<String>()),
            names in proptest::collection::vec(any::<String>(), 0..4),
            number in 0..(1_u64 << 53),
        ) {
            let failure = |name: &String| Failure { code: name.to_uppercase(), message: name.clone() };
            let failures = names.iter().map(|name| (name.clone(), failure(name))).collect();
            let state = State { phase: Phase::Failed, message, failures };
            let text = state.to_json(number);
            prop_assert_eq!(State::parse(text.as_bytes()), Some(state));
            prop_assert_eq!(generation(text.as_bytes()), number);
        }
    }
}
