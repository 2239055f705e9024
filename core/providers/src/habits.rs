//! Recognises what editors, shells and consoles do to a value on its way into a secret.
//!
//! It only reports that: the value is published as it is. A sentence names the habit and never a byte of the value.

use keystart_store::json::{self, Json};

/// Characters that a text processor puts in the place of straight quotes.
const CURLY: [char; 4] = ['\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}'];
const MARK: &[u8] = b"\xef\xbb\xbf";
const PEM: &str = "-----BEGIN ";
/// `-----BEGIN` in Base64.
const PEM_IN_BASE64: &str = "LS0tLS1CRUdJTi";
/// `{"` in Base64, and the ends of `}` there.
const JSON_IN_BASE64: (&str, [&str; 3]) = ("eyJ", ["fQ==", "0=", "9"]);
/// What programs write if they have no value.
const NOTHING: [&str; 5] = ["null", "undefined", "None", "nil", "[object Object]"];

/// Returns what a value probably was not meant to be, as the end of a sentence about it.
pub(crate) fn flaw(value: &[u8]) -> Option<&'static str> {
    if value.starts_with(MARK) {
        return Some("begins with a byte order mark, as some editors write it");
    }
    if value.starts_with(b"\xff\xfe") || value.starts_with(b"\xfe\xff") {
        return Some("is UTF-16, as PowerShell writes files. Save it as UTF-8");
    }
    let text = std::str::from_utf8(value).ok()?;
    let bare = text.trim_end_matches(['\n', '\r']);
    pem_flaw(bare).or_else(|| whole_flaw(bare)).or_else(|| end_flaw(text, bare))
}

/// Returns what keeps a text from being PEM.
fn pem_flaw(text: &str) -> Option<&'static str> {
    if text.starts_with(PEM_IN_BASE64) {
        return Some("is PEM in Base64. Decode it first");
    }
    if !text.starts_with(PEM) || text.contains('\n') {
        return None;
    }
    if text.contains("\\n") {
        return Some("is PEM whose line breaks are written as \\n. Store it with real line breaks");
    }
    if text.contains('\r') {
        return Some("is PEM whose lines end in a carriage return alone. Store it with line feeds");
    }
    Some("is PEM on one line. Store it with its line breaks")
}

fn whole_flaw(text: &str) -> Option<&'static str> {
    if NOTHING.contains(&text) {
        return Some("is a word that programs write if they have no value");
    }
    let mut characters = text.chars();
    let (first, last) = (characters.next()?, characters.next_back()?);
    if CURLY.contains(&first) && CURLY.contains(&last) {
        return Some("is in curly quotes, as text processors write them");
    }
    if first == last && (first == '"' || first == '\'') {
        let inner = json::parse(text.as_bytes()).ok();
        let inner = inner.as_ref().and_then(Json::as_str).and_then(|inner| json::parse(inner.as_bytes()).ok());
        return Some(match inner {
            Some(Json::Object(_) | Json::Array(_)) => "is a JSON string that holds JSON: it was encoded twice",
            _ => "is in quotes, which are a part of it",
        });
    }
    let is_open = matches!((first, last), ('{', '}') | ('[', ']'));
    if is_open && text.contains(CURLY) && json::parse(text.as_bytes()).is_err() {
        return Some("is JSON with curly quotes, as text processors write them");
    }
    let is_reference = (text.starts_with("${") || text.starts_with("{{")) && last == '}' && !text.contains(['"', '\n']);
    if is_reference {
        return Some("is a reference that no tool replaced");
    }
    let is_base64 =
        text.len().is_multiple_of(4) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
    let (begin, ends) = JSON_IN_BASE64;
    let is_json = is_base64 && text.starts_with(begin) && ends.iter().any(|end| text.ends_with(end));
    is_json.then_some("is JSON in Base64. Decode it first")
}

/// Returns what stands around a text of one line.
fn end_flaw(text: &str, bare: &str) -> Option<&'static str> {
    if bare.is_empty() || bare.contains('\n') || bare.starts_with(['{', '[']) {
        return None;
    }
    if text.len() > bare.len() {
        return Some("ends in a line break, as echo and editors add it");
    }
    let has_space = bare.starts_with([' ', '\t']) || bare.ends_with([' ', '\t']);
    has_space.then_some("begins or ends with a blank, as copying adds it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn habits_are_recognised_and_sound_values_are_not() {
        let habits: [(&[u8], &str); 18] = [
            (b"\xef\xbb\xbfpassword", "begins with a byte order mark"),
            (b"\xff\xfep\0", "is UTF-16"),
            (b"password\n", "ends in a line break"),
            (b"password\r\n", "ends in a line break"),
            (b" password", "begins or ends with a blank"),
            (b"password\t", "begins or ends with a blank"),
            (b"\"password\"", "is in quotes"),
            (b"'password'\n", "is in quotes"),
            ("\u{201c}password\u{201d}".as_bytes(), "is in curly quotes"),
            ("{\u{201c}a\u{201d}: 1}".as_bytes(), "is JSON with curly quotes"),
            (br#""{\"a\": 1}""#, "is a JSON string that holds JSON"),
            (b"-----BEGIN KEY-----\\nAAAA\\n-----END KEY-----\\n", "is PEM whose line breaks are written as \\n"),
            (b"-----BEGIN KEY----- AAAA -----END KEY-----\n", "is PEM on one line"),
            (b"-----BEGIN KEY-----\rAAAA\r-----END KEY-----", "is PEM whose lines end in a carriage return"),
            (b"LS0tLS1CRUdJTiBLRVktLS0tLQ==", "is PEM in Base64"),
            (b"eyJhIjogMX0=", "is JSON in Base64"),
            (b"undefined", "is a word that programs write"),
            (b"${DB_PASSWORD}", "is a reference"),
        ];
        for (value, begin) in habits {
            let found = flaw(value).unwrap_or_default();
            assert!(found.starts_with(begin), "{:?}: {found}", String::from_utf8_lossy(value));
        }
        let sound: [&[u8]; 14] = [
            b"",
            b"\n",
            b"password",
            b"pass word",
            b"two\nlines\n",
            b"{\"a\": 1}\n",
            b"{\"a\": \"\xe2\x80\x9c\"}",
            b"\"",
            b"\"a\" and \"b",
            b"-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n",
            b"-----BEGIN KEY-----\r\nAAAA\r\n-----END KEY-----\r\n",
            b"eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln",
            b"eyJrZXkx",
            b"\x00\xff\xfe",
        ];
        for value in sound {
            assert_eq!(flaw(value), None, "{:?}", String::from_utf8_lossy(value));
        }
    }
}
