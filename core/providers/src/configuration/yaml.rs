//! Reads YAML that means the same to everybody: mappings in lines, and text on one line, plain or in quotes.
//!
//! What may be read in two ways is left to Python: lists, braces, text over several lines, escapes, tags, anchors, and plain
//! text that some reader of YAML takes for a number, a date, a truth value or nothing.

use keystart_store::json::quote;

/// Plain words that are no text, as reading.py says; case does not count.
const NOT_TEXT: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];

/// The same document as JSON.
pub fn to_json(text: &str) -> Option<String> {
    let lines: Vec<Line> = text.lines().filter(|line| !is_blank(line)).map(Line::read).collect::<Option<_>>()?;
    let mut json = String::new();
    // The indents of the mappings that are open.
    let mut open: Vec<usize> = Vec::new();
    let mut begins = true;
    for line in lines {
        if begins {
            // What follows a key without a value is its mapping. Where nothing follows it the key has none.
            if open.last().is_some_and(|outer| line.indent <= *outer) {
                return None;
            }
            open.push(line.indent);
            json.push('{');
        } else {
            while open.last().is_some_and(|inner| line.indent < *inner) {
                open.pop();
                json.push('}');
            }
            json.push(',');
        }
        if open.last() != Some(&line.indent) {
            return None;
        }
        json.push_str(&quote(line.key));
        json.push(':');
        json.push_str(line.value.as_deref().unwrap_or_default());
        begins = line.value.is_none();
    }
    json.push_str(&"}".repeat(open.len()));
    (!begins).then_some(json)
}

/// `key: value`, where the value is JSON already, or `key:`.
struct Line<'a> {
    indent: usize,
    key: &'a str,
    value: Option<String>,
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let content = line.trim_start_matches(' ');
        let (key, rest) = content.split_once(':')?;
        let value = if is_over(rest) { None } else { Some(scalar(rest.strip_prefix(' ')?.trim_start_matches(' '))?) };
        is_text(key).then_some(Self { indent: line.len() - content.len(), key, value })
    }
}

/// Whether there is nothing but spaces and a comment.
fn is_blank(line: &str) -> bool {
    let content = line.trim_start_matches(' ');
    content.is_empty() || content.starts_with('#')
}

/// Whether nothing comes any more in a line. Right behind something else a "#" begins no comment.
fn is_over(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(' ') && is_blank(rest)
}

/// Text in quotes or a plain word as JSON, with nothing behind it.
fn scalar(text: &str) -> Option<String> {
    let (value, rest) = if text.starts_with(['"', '\'']) { quoted(text)? } else { plain(text)? };
    is_over(rest).then_some(value)
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let (inside, rest) = text[1..].split_once(&text[..1])?;
    let is_escaped = text.starts_with('"') && inside.contains('\\');
    (!is_escaped).then(|| (quote(inside), rest))
}

fn plain(text: &str) -> Option<(String, &str)> {
    let (word, rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
    let is_json = matches!(word, "true" | "false" | "1");
    let value = if is_json { word.to_owned() } else { quote(word) };
    (is_json || is_text(word) || super::duration(word).is_some()).then_some((value, rest))
}

/// Whether a plain word is nothing but text to every reader.
fn is_text(word: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_/.:@!+=,-".contains(&byte);
    word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_' || first == '/')
        && word.bytes().all(is_part)
        && !word.ends_with(':')
        && !NOT_TEXT.contains(&word.to_ascii_lowercase().as_str())
}
