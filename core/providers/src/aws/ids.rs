//! What the ids of AWS services have in common.

/// Returns a sentence about the first character that a name may not have.
pub(crate) fn foreign(name: &str, is_known: impl Fn(char) -> bool) -> Option<String> {
    let (at, found) = name.chars().enumerate().find(|(_, c)| !is_known(*c))?;
    let (place, length) = (at + 1, name.chars().count());
    // Any other character may be one of a pasted secret, and is not shown.
    let is_quoted = at == 0 && matches!(found, '"' | '\'');
    let cure = if is_quoted { "a quotation mark. Leave the quotation marks out." } else { "another." };
    Some(format!("Character {place} of the {length} here is {cure}"))
}

/// Returns whether a text has this many characters, all of them letters, digits, "_", "." or "-".
pub(crate) fn is_label(text: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}
