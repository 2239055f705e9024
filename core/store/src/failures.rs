//! Why entries could not be fetched, by name: in state.json, in the manifest, and in answers of the writer.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::json::{Json, quote};

/// The longest text from a provider, in bytes (contract 3.6).
pub(crate) const MAX_TEXT: usize = 16_384; // limits.toml: state.text_bytes
const ELLIPSIS: &str = "…";

/// Why one entry could not be fetched. The same type goes from the provider to state.json and the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The provider's word, such as `AccessDeniedException`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// Whether the rest is published without the entry. No file says so: state.json lists required
    /// entries, the manifest optional ones.
    pub optional: bool,
}

impl Failure {
    /// Makes the failure of a required entry.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), optional: false }
    }

    /// Reads `{"code": …, "message": …}`.
    pub(crate) fn from_json(value: &Json, optional: bool) -> Option<Self> {
        let member = |name| value.get(name)?.as_str().map(str::to_owned);
        Some(Self { code: member("code")?, message: member("message")?, optional })
    }

    /// Returns it as JSON, and cuts texts that are too long.
    pub(crate) fn to_json(&self) -> String {
        format!(r#"{{"code": {}, "message": {}}}"#, quote(&shortened(&self.code)), quote(&shortened(&self.message)))
    }
}

/// Returns the text, or, if it is too long, as many whole characters as fit with an ellipsis.
pub(crate) fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_TEXT {
        return text.into();
    }
    let mut end = MAX_TEXT - ELLIPSIS.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ELLIPSIS}", &text[..end]).into()
}

/// Failures by the name of their entry; the order is that of the names' bytes.
pub type Failures = BTreeMap<String, Failure>;

/// Reads an object of failures by name.
pub(crate) fn parse(value: &Json) -> Option<Failures> {
    let read = |(name, value): (&String, &Json)| Some((name.clone(), Failure::from_json(value, false)?));
    value.as_object()?.iter().map(read).collect()
}
