//! What the ids of AWS services have in common.

/// Returns a sentence about the first character that a name may not have.
pub(crate) fn foreign(name: &str, is_known: impl Fn(char) -> bool) -> Option<String> {
    let at = name.chars().position(|c| !is_known(c))?;
    Some(format!("Character {} of the {} here is another.", at + 1, name.chars().count()))
}

/// Returns whether a text has this many characters, all of them letters, digits, "_", "." or "-".
pub(crate) fn is_label(text: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}
