//! Decides which text from outside a message may repeat: only what is certainly no secret. A
//! message describes every other text by its place and its length.

use std::env;

use keystart_store::{name, text};

/// The endings of a configuration's name.
pub(crate) const ENDINGS: [&str; 3] = [".json", ".yaml", ".yml"];
/// The end of a message about a text that begins or ends with "=".
pub const IN_BASE64: &str =
    "That is taken for a secret in Base64, which does not belong here. If it is a name, write the whole ARN.";
/// How many characters a text may have beyond those of the known word it resembles.
const MOST_FOREIGN: usize = 2;
/// How much two texts must have in common to be near, from 0 to 1.
const NEAR: f64 = 0.6;

/// What a place of the configuration holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// One of some known words.
    Word,
    /// The name of a secret.
    Name,
    /// A path of plain characters.
    Path,
}

/// Returns whether a text is certainly no secret: it is one of the `known` words of its place, or
/// close to one, or has the form that belongs there.
pub fn is_certain(text: &str, place: Place, known: &[&str]) -> bool {
    if known.contains(&text) || is_close(text, known) {
        return true;
    }
    match place {
        Place::Word => false,
        Place::Name => name::is_valid(text.as_bytes()),
        Place::Path => is_path(text),
    }
}

/// Returns the known word that a text was probably meant to be. Capital letters do not count.
pub fn nearest<'a>(text: &str, known: &[&'a str]) -> Option<&'a str> {
    let text = lower(text);
    let near = |word: &&'a str| {
        let lowered = lower(word);
        let total = count(text.len() + lowered.len());
        // Skips words whose length alone rules them out: a text may have thousands of characters.
        if 2.0 * count(text.len().min(lowered.len())) < NEAR * total {
            return None;
        }
        let ratio = 2.0 * count(in_common(&lowered, &text)) / total;
        (ratio >= NEAR).then_some((ratio, lowered, *word))
    };
    let nearest = known.iter().filter_map(near).max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    nearest.map(|(_, _, word)| word)
}

/// Returns the length of a text in words.
pub fn characters(text: &str) -> String {
    match text.chars().count() {
        1 => "1 character".to_owned(),
        length => format!("{length} characters"),
    }
}

/// Returns a message of the store. It replaces `KEYSTART_DIR` by a description if the variable may
/// hold a pasted secret.
pub fn without_root(message: &str) -> String {
    let variable = env::var_os("KEYSTART_DIR").unwrap_or_default();
    let text = variable.to_string_lossy();
    let root = text.trim_end_matches('/');
    if root.is_empty() || is_certain(root, Place::Path, &[]) {
        return message.to_owned();
    }
    message.replace(root, &format!("(a path of {})", characters(root)))
}

/// Returns the path of a configuration if it is certainly no secret, else its description.
pub fn path(path: &str) -> String {
    let (folder, file) = path.rsplit_once('/').map_or((None, path), |(folder, file)| (Some(folder), file));
    if !(ENDINGS.iter().any(|ending| file.ends_with(ending)) && is_path(file)) {
        return format!("(a path of {})", characters(path));
    }
    match folder {
        Some(folder) if !folder.is_empty() && !is_path(folder) => format!(".../{file}"),
        _ => path.to_owned(),
    }
}

/// Returns whether the name of an AWS profile may be shown: it has only characters that such names
/// need, and is short.
pub fn is_profile(text: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.@+-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(is_known)
}

/// Returns text between double quotes, printable and cut to 64 bytes (contract 8.3). The caller knows that it is not a secret.
pub(crate) fn quote(text: &str) -> String {
    text::quoted(text.as_bytes())
}

/// Returns whether it is a path without what a secret would have: no ":", which each URL has, no
/// space, which each PEM has, and no "=" at its end, where Base64 has it.
fn is_path(text: &str) -> bool {
    text.strip_prefix('/').unwrap_or(text).split('/').all(|segment| {
        let mut bytes = segment.bytes().peekable();
        let mut is_sound = !segment.is_empty();
        while let Some(byte) = bytes.next() {
            is_sound &= match byte {
                b'=' => bytes.peek().is_some_and(u8::is_ascii_alphanumeric),
                byte => byte.is_ascii_alphanumeric() || b"_.@+!,~-".contains(&byte),
            };
        }
        is_sound
    })
}

fn is_close(text: &str, known: &[&str]) -> bool {
    nearest(text, known).is_some_and(|word| {
        let text = lower(text);
        text.len().saturating_sub(in_common(&text, &lower(word))) <= MOST_FOREIGN
    })
}

fn lower(text: &str) -> Vec<char> {
    text.to_lowercase().chars().collect()
}

#[expect(clippy::cast_precision_loss, reason = "no text has 2^52 characters")]
fn count(characters: usize) -> f64 {
    characters as f64
}

/// Counts the characters that two texts have in common in the same order, as Python's difflib does:
/// the longest part in both, then the same for what lies before it and after it. Callers bound the
/// lengths.
fn in_common(a: &[char], b: &[char]) -> usize {
    let mut total = 0;
    let mut parts = vec![(a, b)];
    while let Some((a, b)) = parts.pop() {
        let (at_a, at_b, length) = longest_part(a, b);
        if length > 0 {
            total += length;
            parts.push((&a[..at_a], &b[..at_b]));
            parts.push((&a[at_a + length..], &b[at_b + length..]));
        }
    }
    total
}

/// Returns the two starts and the length of the longest part in both; of several, the first in `a`,
/// then in `b`.
fn longest_part(a: &[char], b: &[char]) -> (usize, usize, usize) {
    let mut best = (0, 0, 0);
    // For each character of `b`, the length of the common part that ends there and at the previous
    // character of `a`.
    let mut ending = vec![0; b.len() + 1];
    for (i, left) in a.iter().enumerate() {
        let mut next = vec![0; b.len() + 1];
        for (j, right) in b.iter().enumerate() {
            if left == right {
                next[j + 1] = ending[j] + 1;
                if next[j + 1] > best.2 {
                    best = (i + 1 - next[j + 1], j + 1 - next[j + 1], next[j + 1]);
                }
            }
        }
        ending = next;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_the_one_that_was_meant() {
        let known = ["start", "deadline", "region", "batch", "secrets"];
        assert_eq!(nearest("deadlin", &known), Some("deadline"));
        assert_eq!(nearest("Strat", &known), Some("start"));
        assert_eq!(nearest("secret", &known), Some("secrets"));
        assert_eq!(nearest("parallel", &known), None);
        assert_eq!(nearest(&"start".repeat(50_000), &known), None);
    }

    #[test]
    fn a_word_with_much_beside_what_was_meant_is_not_repeated() {
        assert!(is_certain("deadlin", Place::Word, &["deadline"]));
        assert!(!is_certain("deadlXYZine", Place::Word, &["deadline"]));
        assert!(!is_certain("prod", Place::Word, &["deadline"]));
    }

    #[test]
    fn paths_are_shown_as_far_as_they_are_plain() {
        assert_eq!(path("/var/task/keystart.json"), "/var/task/keystart.json");
        assert_eq!(path("keystart.yml"), "keystart.yml");
        assert_eq!(path("/keystart.yml"), "/keystart.yml");
        assert_eq!(path("/a b/keystart.yml"), ".../keystart.yml");
        assert_eq!(path("/a/x=.yml"), "(a path of 9 characters)");
        assert_eq!(path("/etc/passwd"), "(a path of 11 characters)");
    }
}
