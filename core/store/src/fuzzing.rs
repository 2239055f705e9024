//! What the targets in core/fuzz call in private modules, and what must hold for any input.

#![expect(clippy::missing_panics_doc, reason = "a panic is how a target tells a finding")]

use crate::errors::Code;
use crate::json;
use crate::manifest::{Identity, Manifest, is_variable};
use crate::name;
use crate::state::{self, State};

/// Parses a manifest and returns the names of its secrets.
pub fn manifest(bytes: &[u8], generation: u64) -> crate::Result<Vec<String>> {
    let verdict = Manifest::parse(bytes, generation);
    if let Ok(document) = json::parse(bytes) {
        assert_eq!(Manifest::parse(document.to_string().as_bytes(), generation), verdict);
    }
    match verdict {
        Err(error) => {
            assert!(matches!(error.code(), Code::ManifestInvalid | Code::ManifestUnsupported));
            assert!(error.message().bytes().all(|byte| matches!(byte, b' '..=b'~')), "{}", error.message());
            Err(error)
        }
        Ok(manifest) => {
            let identity = Identity { name: "w".to_owned(), version: "1".to_owned() };
            if let Ok(text) = manifest.to_json(&identity) {
                assert_eq!(Manifest::parse(text.as_bytes(), generation).as_ref(), Ok(&manifest));
            }
            match manifest.variables() {
                Ok(variables) => assert!(variables.keys().all(|name| is_variable(name))),
                Err(error) => assert!(error.message().bytes().all(|byte| matches!(byte, b' '..=b'~'))),
            }
            Ok(manifest.secrets.into_keys().collect())
        }
    }
}

/// Parses a state.
pub fn state(bytes: &[u8]) {
    let verdict = State::parse(bytes);
    let generation = state::generation(bytes);
    if let Ok(document) = json::parse(bytes) {
        let text = document.to_string();
        assert_eq!(State::parse(text.as_bytes()), verdict);
        assert_eq!(state::generation(text.as_bytes()), generation);
    }
    if let Some(state) = verdict {
        let text = state.to_json(generation.unwrap_or(0));
        assert_eq!(state::generation(text.as_bytes()), Some(generation.unwrap_or(0)));
        // Inputs are far shorter than what a writer cuts.
        assert_eq!(State::parse(text.as_bytes()), Some(state));
    }
}

/// Returns the names that a message offers for a missing one.
pub fn nearest<'a>(asked: &str, names: &[&'a str]) -> Vec<&'a str> {
    name::nearest(asked, names.iter().copied())
}
