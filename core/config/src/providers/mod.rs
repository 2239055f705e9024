//! The providers that a configuration may name.

pub mod parameter_store;
pub mod secrets_manager;

use crate::schema::Schemas;

/// Every provider; Secrets Manager gets the ids that nobody else claims.
pub const ALL: Schemas = &[&secrets_manager::Schema, &parameter_store::Schema];

/// Returns the sentence that says which character of a name does not belong there.
fn foreign(name: &str, is_known: impl Fn(char) -> bool) -> Option<String> {
    let at = name.chars().position(|c| !is_known(c))?;
    Some(format!("Character {} of the {} here is another.", at + 1, name.chars().count()))
}

/// Whether a text has this many characters, all of them letters, digits, "_", "." or "-".
fn is_label(text: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}
