//! Reads nodes as the types of a configuration, and reports what was expected and what was found instead.

use regex_lite::Regex;

use crate::document::{Mapping, Node, Scalar};
use crate::problem::{Position, Problems};
use crate::shown::{Place, characters, is_certain, nearest, quote};

/// Replaces what is not a character: half of a surrogate pair in a JSON escape, or a byte that is not
/// UTF-8 in a variable. It is a control character, so no text may hold it.
pub(crate) const NO_CHARACTER: char = '\u{80}';

const NOTHING: [&str; 3] = ["", "~", "null"];
const TRUTH: [&str; 8] = ["true", "false", "yes", "no", "on", "off", "y", "n"];
const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
/// Numbers of YAML 1.1 or 1.2. In 1.1, 12:30:45 is a sexagesimal number.
const NUMBER: &str = "(?i)^(?:[-+]?(?:[0-9][0-9_]*(?::[0-5]?[0-9])+|0o[0-7_]+|0x[0-9a-f_]+|0b[01_]+|\
    (?:[0-9][0-9_]*(?:\\.[0-9_]*)?|\\.[0-9_]+)(?:e[-+]?[0-9]+)?|\\.inf)|\\.nan)$";
const DATE: &str = "^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t][0-9: \t.Zz+-]*)?$";

/// Describes a node, for the end of a message. `known` are the words that its place allows.
pub(crate) fn found(node: &Node, known: &[&str]) -> String {
    match node {
        Node::Mapping(_) => "a mapping".to_owned(),
        Node::Sequence(_) => "a list".to_owned(),
        Node::Scalar(scalar) => found_scalar(scalar, known),
    }
}

/// Returns whether a node is empty or null.
pub(crate) fn is_nothing(node: &Node) -> bool {
    matches!(node, Node::Scalar(scalar) if is_empty(scalar))
}

fn is_empty(scalar: &Scalar) -> bool {
    scalar.is_plain && is_in(&NOTHING, &scalar.text)
}

/// Reads a text that is not empty. Refuses a text that some YAML reader would not take as text.
pub(crate) fn text<'a>(node: &'a Node, what: &str, problems: &mut Problems) -> Option<&'a str> {
    match node {
        Node::Scalar(scalar) if !is_empty(scalar) => return scalar_text(scalar, what, problems),
        Node::Scalar(_) => {
            let cure = "Write it after the \":\", and indent what belongs to it.";
            problems.add(format!("{what} must be text, found nothing. {cure}"), node.position());
        }
        _ => problems.add(format!("{what} must be text, found {}.", found(node, &[])), node.position()),
    }
    None
}

/// Reads a text as [`text`] does.
pub(crate) fn scalar_text<'a>(scalar: &'a Scalar, what: &str, problems: &mut Problems) -> Option<&'a str> {
    if surprise(scalar).is_none() {
        return plain_text(scalar, what, problems);
    }
    let cure = if is_empty(scalar) {
        String::new()
    } else if is_word(&scalar.text) {
        format!(" Quote it: {}.", quote(&scalar.text))
    } else {
        " Put it in quotes.".to_owned()
    };
    problems.add(format!("{what} must be text, found {}.{cure}", found_scalar(scalar, &[])), scalar.position);
    None
}

/// Reads a text as it was written, even if it looks like a number. It must not be empty.
pub(crate) fn plain_text<'a>(scalar: &'a Scalar, what: &str, problems: &mut Problems) -> Option<&'a str> {
    if scalar.text.is_empty() {
        problems.add(format!("{what} must not be empty."), scalar.position);
    } else if scalar.text.chars().any(char::is_control) {
        problems.add(format!("{what} holds a line break or another control character."), scalar.position);
    } else {
        return Some(&scalar.text);
    }
    None
}

/// Reads true or false; anything else is false.
pub(crate) fn boolean(node: &Node, what: &str, problems: &mut Problems) -> bool {
    match node {
        Node::Scalar(scalar) if scalar.is_plain && scalar.text == "true" => return true,
        Node::Scalar(scalar) if scalar.is_plain && scalar.text == "false" => {}
        _ => problems.add(format!("{what} must be true or false, found {}.", found(node, &[])), node.position()),
    }
    false
}

pub(crate) fn mapping<'a>(node: &'a Node, what: &str, problems: &mut Problems) -> Option<&'a Mapping> {
    if let Node::Mapping(mapping) = node {
        return Some(mapping);
    }
    problems.add(format!("{what} must be a mapping, found {}.", found(node, &[])), node.position());
    None
}

pub(crate) fn sequence<'a>(node: &'a Node, what: &str, problems: &mut Problems) -> &'a [Node] {
    if let Node::Sequence(sequence) = node {
        return &sequence.items;
    }
    problems.add(format!("{what} must be a list, found {}.", found(node, &[])), node.position());
    &[]
}

/// Reports each key that is neither known nor read `elsewhere`. `owner` begins the sentence. `hint`
/// knows keys of other tools.
pub(crate) fn refuse_unknown(
    mapping: &Mapping,
    owner: &str,
    known: &[&str],
    elsewhere: &[&str],
    hint: impl Fn(&str) -> Option<&'static str>,
    problems: &mut Problems,
) {
    for (key, _) in &mapping.members {
        let text = key.text.as_str();
        if known.contains(&text) || elsewhere.contains(&text) {
            continue;
        }
        if let Some(hint) = hint(text) {
            problems.add(format!("{owner} has no key {}. {hint}", quote(text)), key.position);
            continue;
        }
        let cure = match nearest(text, known) {
            Some(near) => format!("Did you mean \"{near}\"?"),
            None => format!("Its keys are {}.", known.join(", ")),
        };
        let message = if is_certain(text, Place::Word, known) {
            format!("{owner} has no key {}. {cure}", quote(text))
        } else {
            format!("{owner} has an unknown key of {}. {cure}", characters(text))
        };
        problems.add(message, key.position);
    }
}

/// The units that a duration may have, with their milliseconds.
pub(crate) struct Units {
    units: [(&'static str, u64); 3],
    /// What must be there, for messages.
    what: &'static str,
}

pub(crate) const SHORT: Units =
    Units { units: [("ms", 1), ("s", 1000), ("m", 60_000)], what: "a duration such as 500ms, 8s or 1m" };
pub(crate) const LONG: Units =
    Units { units: [("s", 1000), ("m", 60_000), ("h", 3_600_000)], what: "none, or a duration such as 30s, 5m or 1h" };

/// Reads a duration such as `8s` as milliseconds.
pub(crate) fn duration(node: &Node, label: &str, units: &Units, problems: &mut Problems) -> Option<u64> {
    let milliseconds = match node {
        Node::Scalar(scalar) => milliseconds(&scalar.text, units),
        _ => None,
    };
    if milliseconds.is_none() {
        let what = format!("{label} must be {}, found {}.", units.what, found(node, &[]));
        problems.add(what, node.position());
    }
    milliseconds
}

fn milliseconds(text: &str, units: &Units) -> Option<u64> {
    let written = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = &text[..text.len() - written.len()];
    let (_, factor) = units.units.iter().find(|(unit, _)| *unit == written)?;
    let number: u64 = digits.parse().ok().filter(|_| digits.len() <= 9)?;
    Some(number * factor)
}

/// Returns whether a node is the word `none`.
pub(crate) fn is_none(node: &Node) -> bool {
    matches!(node, Node::Scalar(scalar) if scalar.text == "none")
}

fn found_scalar(scalar: &Scalar, known: &[&str]) -> String {
    let text = scalar.text.as_str();
    let Some(what) = surprise(scalar) else {
        let is_shown = is_word(text) || is_certain(text, Place::Word, known);
        return if is_shown { format!("the text {}", quote(text)) } else { format!("a text of {}", characters(text)) };
    };
    if is_in(&NOTHING, text) {
        what.to_owned()
    } else if is_word(text) {
        // A word without quotes, because quotes would make it text.
        format!("the {what} {text}")
    } else {
        format!("a {what} of {}", characters(text))
    }
}

/// Returns what a scalar is other than text, at least to some readers of YAML 1.1 or 1.2.
fn surprise(scalar: &Scalar) -> Option<&'static str> {
    let text = scalar.text.as_str();
    if !scalar.is_plain {
        None
    } else if is_in(&NOTHING, text) {
        Some("nothing")
    } else if is_in(&TRUTH, text) {
        Some("truth value")
    } else if !text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) {
        None
    } else if matches(NUMBER, text) {
        Some("number")
    } else if matches(DATE, text) {
        Some("date")
    } else {
        None
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    // If the pattern cannot be compiled, refuse every text rather than let through what it should find.
    Regex::new(pattern).map_or(true, |pattern| pattern.is_match(text))
}

/// Returns whether it is a word that explains why a text is not what was expected, and that can be no secret.
fn is_word(text: &str) -> bool {
    is_in(&TRUTH, text) || is_in(&NOTHING, text) || DIGITS.contains(&text)
}

fn is_in(words: &[&str], text: &str) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Finds the positions of characters in a text. Callers must ask in ascending order.
pub(crate) struct Positions<'a> {
    text: &'a str,
    at: usize,
    position: Position,
}

impl<'a> Positions<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, position: Position::START }
    }

    /// Returns the position of the character at this byte. It must not lie before an earlier question's byte.
    pub fn at(&mut self, byte: usize) -> Position {
        for c in self.text.get(self.at..byte).unwrap_or_default().chars() {
            if c == '\n' {
                self.position = Position { line: self.position.line + 1, column: 1 };
            } else {
                self.position.column += 1;
            }
        }
        self.at = byte.max(self.at);
        self.position
    }
}
