//! What the ids of AWS's services have in common.

/// Returns the sentence that says which character of a name does not belong there.
pub(crate) fn foreign(name: &str, is_known: impl Fn(char) -> bool) -> Option<String> {
    let at = name.chars().position(|c| !is_known(c))?;
    Some(format!("Character {} of the {} here is another.", at + 1, name.chars().count()))
}

/// Whether a text has this many characters, all of them letters, digits, "_", "." or "-".
pub(crate) fn is_label(text: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}
