//! state.json: what the writer is doing (contract §3). It reads and writes text, not files.

use std::fmt;

use crate::errors::MAX_BYTES;
use crate::failures::{self, Failures, shortened};
use crate::json::{self, Json, quote};
use crate::time::{Moment, now};

const FORMAT: &str = "keystart.state/1";
/// The beginning of every state that a writer writes.
pub(crate) const START: &str = "{\"format\": \"keystart.state/1\", \"state\": \"";
const SEPARATOR: &str = ", ";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Deferred,
    Ready,
    Failed,
    Stopped,
}

impl Phase {
    const ALL: [Self; 5] = [Self::Starting, Self::Deferred, Self::Ready, Self::Failed, Self::Stopped];

    fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Deferred => "deferred",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// What a reader needs from a well-formed state.json.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub phase: Phase,
    pub message: Option<String>,
    pub failures: Failures,
}

impl State {
    /// Parses a well-formed document (contract 3.5); `None` for a broken one.
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
            failures: failures::parse(document.get("failures")?)?,
        })
    }

    pub fn new(phase: Phase) -> Self {
        Self { phase, message: None, failures: Failures::new() }
    }

    /// Returns the document. If all failures would make it longer than readers accept, it lists the
    /// first ones, by the bytes of their names, and the message says how many more exist.
    pub fn to_json(&self, generation: u64) -> String {
        let message = self.message.as_deref().map(shortened);
        let failures: Vec<String> =
            self.failures.iter().map(|(name, failure)| format!("{}: {}", quote(name), failure.to_json())).collect();
        let text = self.render(generation, message.as_deref(), &failures);
        if text.len() <= MAX_BYTES {
            return text;
        }
        let with_more = |more: usize| {
            let more = format!("{more} more failures are in the log only");
            message.as_ref().map_or_else(|| more.clone(), |message| format!("{message} ({more})"))
        };
        let mut room = MAX_BYTES - self.render(generation, Some(&with_more(failures.len())), &[]).len();
        let fits = |failure: &&String| {
            let left = room.checked_sub(failure.len() + SEPARATOR.len());
            room = left.unwrap_or(0);
            left.is_some()
        };
        let listed = failures.iter().take_while(fits).count();
        self.render(generation, Some(&with_more(failures.len() - listed)), &failures[..listed])
    }

    fn render(&self, generation: u64, message: Option<&str>, failures: &[String]) -> String {
        let quoted = message.map(quote);
        let message = quoted.as_deref().map(|quoted| &quoted[1..quoted.len() - 1]);
        let mut text = String::new();
        let _infallible = write_document(&mut text, self.phase, generation, message, &failures.join(SEPARATOR));
        text
    }
}

/// Writes the document, and allocates nothing. `message` has no character that JSON must escape; `failures` is JSON.
pub(crate) fn write_document(
    out: &mut impl fmt::Write,
    phase: Phase,
    generation: u64,
    message: Option<&str>,
    failures: &str,
) -> fmt::Result {
    let (phase, pid, at) = (phase.name(), std::process::id(), Moment(now()));
    let (mark, message) = message.map_or(("", "null"), |message| ("\"", message));
    writeln!(
        out,
        "{{\"format\": \"{FORMAT}\", \"state\": \"{phase}\", \"generation\": {generation}, \"pid\": {pid},\n \"at\": \"{at}\", \
         \"message\": {mark}{message}{mark}, \"failures\": {{{failures}}}}}",
    )
}

/// Returns the generation in a state.json, for the next writer; `None` for a document that no writer wrote.
pub(crate) fn generation(bytes: &[u8]) -> Option<u64> {
    let document = json::parse(bytes).ok()?;
    document.get("format")?.as_str().filter(|format| *format == FORMAT)?;
    document.get("generation")?.as_whole()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::failures::{Failure, MAX_TEXT};

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
    fn the_generation_is_read_from_what_a_writer_wrote_and_from_nothing_else() {
        assert_eq!(generation(br#"{"format": "keystart.state/1", "generation": 7}"#), Some(7));
        for garbage in ["", "[]", "{}", r#"{"generation": 7}"#, r#"{"format": "keystart.state/1"}"#] {
            assert_eq!(generation(garbage.as_bytes()), None, "{garbage}");
        }
        for number in ["-1", "\"7\"", "1e99"] {
            let garbage = format!(r#"{{"format": "keystart.state/1", "generation": {number}}}"#);
            assert_eq!(generation(garbage.as_bytes()), None, "{garbage}");
        }
    }

    #[test]
    fn every_document_begins_in_the_same_way() {
        for phase in Phase::ALL {
            assert!(State::new(phase).to_json(3).starts_with(START));
        }
    }

    fn failed(message: Option<&str>, failures: usize, text: &str) -> State {
        let failure = Failure::new("Code", text);
        let failures = (0..failures).map(|number| (format!("secret-{number:05}"), failure.clone())).collect();
        State { phase: Phase::Failed, message: message.map(str::to_owned), failures }
    }

    fn written(state: &State) -> State {
        let text = state.to_json(3);
        assert!(text.len() <= MAX_BYTES, "{}", text.len());
        State::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn of_too_many_failures_the_first_are_listed_and_the_others_counted() {
        let long = failed(Some("No secrets."), 5000, "why".repeat(100).as_str());
        let short = written(&long);
        let listed = short.failures.len();
        assert!((3000..5000).contains(&listed), "{listed}");
        assert!(short.failures.iter().eq(long.failures.iter().take(listed)));
        let more = format!("{} more failures are in the log only", 5000 - listed);
        assert_eq!(short.message.unwrap(), format!("No secrets. ({more})"));
        // Not one more would have fitted.
        assert!(long.to_json(3).len() > MAX_BYTES - 400);

        let more = written(&failed(None, 5000, "why".repeat(100).as_str())).message.unwrap();
        assert!(more.ends_with(" more failures are in the log only") && !more.contains('('), "{more}");
    }

    #[test]
    fn failures_that_just_fit_are_all_listed() {
        let size = |failures| failed(None, failures, "why").render(3, None, &[]).len();
        let one = failed(None, 2, "why").to_json(3).len() - failed(None, 1, "why").to_json(3).len();
        let fit = (MAX_BYTES - size(0) + SEPARATOR.len()) / one;
        assert_eq!(written(&failed(None, fit, "why")), failed(None, fit, "why"));
        assert!(written(&failed(None, fit + 1, "why")).message.is_some());
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        for (text, kept) in [("x", 16_381), ("é", 8190), ("€", 5460), ("😀", 4095)] {
            let long = text.repeat(MAX_BYTES);
            let cut = written(&failed(Some(&long), 1, &long));
            assert_eq!(cut.message.unwrap(), format!("{}…", text.repeat(kept)));
            assert_eq!(cut.failures["secret-00000"].message, format!("{}…", text.repeat(kept)));
        }
        let fits = "x".repeat(MAX_TEXT);
        assert_eq!(written(&failed(Some(&fits), 1, &fits)), failed(Some(&fits), 1, &fits));
    }

    #[test]
    fn a_name_that_is_longer_than_the_state_may_be_is_only_counted() {
        let mut state = failed(None, 1, "why");
        let (_, failure) = state.failures.pop_first().unwrap();
        state.failures.insert("x".repeat(MAX_BYTES), failure);
        assert_eq!(written(&state).message.unwrap(), "1 more failures are in the log only");
    }

    proptest! {
        #[test]
        fn the_verdict_does_not_depend_on_the_spelling(
            at in 0..GOOD.len(), length in 0_usize..12, piece in "[\\[\\]{}:,\"\\\\0-9a-z.-]{0,6}",
        ) {
            let end = (at + length).min(GOOD.len());
            let text = format!("{}{piece}{}", &GOOD[..at], &GOOD[end..]);
            let again = json::parse(text.as_bytes()).map(|document| document.to_string());
            let expected = again.ok().and_then(|again| State::parse(again.as_bytes()));
            prop_assert_eq!(State::parse(text.as_bytes()), expected);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(State::parse(&bytes), None);
        }

        #[test]
        fn what_was_written_is_read_back(
            message in proptest::option::of(any::<String>()),
            names in proptest::collection::vec(any::<String>(), 0..4),
            number in 0..(1_u64 << 53),
        ) {
            let failure = |name: &String| Failure::new(&name.to_uppercase(), name);
            let failures = names.iter().map(|name| (name.clone(), failure(name))).collect();
            let state = State { phase: Phase::Failed, message, failures };
            let text = state.to_json(number);
            prop_assert_eq!(State::parse(text.as_bytes()), Some(state));
            prop_assert_eq!(generation(text.as_bytes()), Some(number));
        }
    }
}
