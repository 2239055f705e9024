//! JSON exactly as contract 6.4 accepts it, for secrets, manifest and state. It does not know their members.
//!
//! Not built on a library, for two reasons: checking a secret must leave no copy of a part of it on
//! the heap, and numbers must keep their digits, so that `info` returns whole numbers beyond 2^53
//! unchanged.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// How many arrays and objects may be inside each other (contract 6.4.4).
pub const MAX_DEPTH: usize = 64; // limits.toml: json.depth
const MAX_WHOLE: f64 = 9_007_199_254_740_991.0;

/// The text is not JSON by contract 6.4. The error does not say where or why, because the text may be a secret.
#[derive(Debug, PartialEq, Eq)]
pub struct NotJson;

/// A parsed value, for documents that are not secrets. A number is kept as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// The digits as they were written.
    Number(String),
    /// The text without escapes.
    Text(String),
    /// The items in order.
    Array(Vec<Json>),
    /// The members sorted by the bytes of their names; of equal ones the last.
    Object(BTreeMap<String, Json>),
}

/// Checks the text, builds no tree and copies nothing.
pub fn check(bytes: &[u8]) -> Result<(), NotJson> {
    Parser::run(bytes)
}

/// Checks the text and returns the value.
pub fn parse(bytes: &[u8]) -> Result<Json, NotJson> {
    Parser::run(bytes)
}

/// Checks the text and returns the members of its object in their order, each as the text in the
/// document. Of equal members it returns the last. `None` if the text is not an object.
pub fn members(bytes: &[u8]) -> Result<Option<Vec<(String, &str)>>, NotJson> {
    let Some(all) = every_member(bytes)? else {
        return Ok(None);
    };
    let mut members: Vec<(String, &str)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (name, value) in all {
        if let Some(place) = places.get(&name) {
            members[*place].1 = value;
        } else {
            places.insert(name.clone(), members.len());
            members.push((name, value));
        }
    }
    Ok(Some(members))
}

/// Returns the items of an array, each as the text in the document; `None` for other JSON. The text
/// must be JSON, as that of a member is.
pub fn items(text: &str) -> Result<Option<Vec<&str>>, NotJson> {
    let mut parser = Parser::new(text.as_bytes())?;
    parser.space();
    if parser.peek() != Some(b'[') {
        return Ok(None);
    }
    parser.nested(b']', Parser::text_of_value).map(Some)
}

/// Does the same as `members`, and returns every one of equal members.
pub fn every_member(bytes: &[u8]) -> Result<Option<Vec<(String, &str)>>, NotJson> {
    let mut parser = Parser::new(bytes)?;
    check(bytes)?;
    parser.space();
    if parser.peek() != Some(b'{') {
        return Ok(None);
    }
    let members = parser.nested(b'}', |parser| parser.member(Parser::text_of_value))?;
    Ok(Some(members.into_iter().map(|(name, value)| (unescape(name), value)).collect()))
}

/// Returns the text of a JSON string; `None` for other JSON. The text may be a secret, so it is
/// written once, into memory of exactly its size.
pub fn string(json: &str) -> Option<String> {
    Some(unescape(json.strip_prefix('"')?.strip_suffix('"')?))
}

impl Json {
    /// Returns the member of an object; `None` if it is missing or if this is not an object.
    pub fn get(&self, member: &str) -> Option<&Self> {
        self.as_object()?.get(member)
    }

    /// Returns the text of a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Returns the members of an object.
    pub fn as_object(&self) -> Option<&BTreeMap<String, Self>> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    /// Returns a whole number from 0 to 2^53-1, by its value as a double (contract 4.8).
    pub fn as_whole(&self) -> Option<u64> {
        let Self::Number(digits) = self else { return None };
        let value: f64 = digits.parse().ok()?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "both were just excluded")]
        (value.fract() == 0.0 && (0.0..=MAX_WHOLE).contains(&value)).then_some(value as u64)
    }
}

impl fmt::Display for Json {
    /// Writes compact JSON in one line.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => out.write_str("null"),
            Self::Bool(value) => write!(out, "{value}"),
            Self::Number(digits) => out.write_str(digits),
            Self::Text(text) => out.write_str(&quote(text)),
            Self::Array(items) => {
                out.write_char('[')?;
                for (i, item) in items.iter().enumerate() {
                    write!(out, "{}{item}", if i == 0 { "" } else { "," })?;
                }
                out.write_char(']')
            }
            Self::Object(members) => {
                out.write_char('{')?;
                for (i, (name, value)) in members.iter().enumerate() {
                    write!(out, "{}{}:{value}", if i == 0 { "" } else { "," }, quote(name))?;
                }
                out.write_char('}')
            }
        }
    }
}

/// Returns a string as JSON, with its quotes.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // DEL and the line separators are legal, but invisible where a person reads the file.
            '\0'..='\x1f' | '\x7f' | '\u{2028}' | '\u{2029}' => {
                let _infallible = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// What the parser builds while it checks: a tree, or nothing.
trait Build: Sized {
    fn null() -> Self;
    fn bool(value: bool) -> Self;
    fn number(digits: &str) -> Self;
    fn text(escaped: &str) -> Self;
    fn array(items: Vec<Self>) -> Self;
    fn object(members: Vec<(&str, Self)>) -> Self;
}

impl Build for () {
    fn null() {}
    fn bool(_: bool) {}
    fn number(_: &str) {}
    fn text(_: &str) {}
    fn array(_: Vec<Self>) {}
    fn object(_: Vec<(&str, Self)>) {}
}

impl Build for Json {
    fn null() -> Self {
        Self::Null
    }
    fn bool(value: bool) -> Self {
        Self::Bool(value)
    }
    fn number(digits: &str) -> Self {
        Self::Number(digits.to_owned())
    }
    fn text(escaped: &str) -> Self {
        Self::Text(unescape(escaped))
    }
    fn array(items: Vec<Self>) -> Self {
        Self::Array(items)
    }
    fn object(members: Vec<(&str, Self)>) -> Self {
        // Collecting keeps the last of equal names (contract 6.4.5).
        Self::Object(members.into_iter().map(|(name, value)| (unescape(name), value)).collect())
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

type ParseResult<T> = Result<T, NotJson>;

impl<'a> Parser<'a> {
    fn new(bytes: &'a [u8]) -> ParseResult<Self> {
        let text = std::str::from_utf8(bytes).map_err(|_| NotJson)?;
        Ok(Self { text, at: 0, depth: 0 })
    }

    fn run<B: Build>(bytes: &'a [u8]) -> ParseResult<B> {
        let mut parser = Self::new(bytes)?;
        let value = parser.value()?;
        parser.space();
        if parser.at == parser.text.len() { Ok(value) } else { Err(NotJson) }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// Steps over the byte if it is the next one.
    fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    fn expect(&mut self, byte: u8) -> ParseResult<()> {
        if self.take(byte) { Ok(()) } else { Err(NotJson) }
    }

    fn value<B: Build>(&mut self) -> ParseResult<B> {
        self.space();
        match self.peek() {
            Some(b'{') => self.nested(b'}', |parser| parser.member(Self::value)).map(B::object),
            Some(b'[') => self.nested(b']', Self::value).map(B::array),
            Some(b'"') => self.string().map(B::text),
            Some(b'-' | b'0'..=b'9') => self.number().map(B::number),
            Some(b'n') => self.literal("null", B::null()),
            Some(b't') => self.literal("true", B::bool(true)),
            Some(b'f') => self.literal("false", B::bool(false)),
            _ => Err(NotJson),
        }
    }

    fn literal<B>(&mut self, word: &str, value: B) -> ParseResult<B> {
        if !self.text[self.at..].starts_with(word) {
            return Err(NotJson);
        }
        self.at += word.len();
        Ok(value)
    }

    /// Returns the items of an array or the members of an object, up to `end`.
    fn nested<T>(&mut self, end: u8, item: impl Fn(&mut Self) -> ParseResult<T>) -> ParseResult<Vec<T>> {
        if self.depth == MAX_DEPTH {
            return Err(NotJson);
        }
        self.at += 1;
        self.depth += 1;
        let mut items = Vec::new();
        self.space();
        while !self.take(end) {
            if !items.is_empty() {
                self.expect(b',')?;
            }
            items.push(item(self)?);
            self.space();
        }
        self.depth -= 1;
        Ok(items)
    }

    fn member<T>(&mut self, value: impl Fn(&mut Self) -> ParseResult<T>) -> ParseResult<(&'a str, T)> {
        self.space();
        let name = self.string()?;
        self.space();
        self.expect(b':')?;
        Ok((name, value(self)?))
    }

    /// Returns a value as the text in the document.
    fn text_of_value(&mut self) -> ParseResult<&'a str> {
        self.space();
        let start = self.at;
        self.value::<()>()?;
        Ok(&self.text[start..self.at])
    }

    /// Returns the text between the quotes, checked, with its escapes.
    fn string(&mut self) -> ParseResult<&'a str> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            match self.peek().ok_or(NotJson)? {
                b'"' => break,
                b'\\' => self.escape()?,
                0..=0x1f => return Err(NotJson),
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Ok(&self.text[start..self.at - 1])
    }

    fn escape(&mut self) -> ParseResult<()> {
        self.at += 1;
        let kind = self.peek().ok_or(NotJson)?;
        self.at += 1;
        match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => match self.hex()? {
                0xd800..=0xdbff => {
                    self.expect(b'\\')?;
                    self.expect(b'u')?;
                    if matches!(self.hex()?, 0xdc00..=0xdfff) { Ok(()) } else { Err(NotJson) }
                }
                0xdc00..=0xdfff => Err(NotJson),
                _ => Ok(()),
            },
            _ => Err(NotJson),
        }
    }

    fn hex(&mut self) -> ParseResult<u32> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16)).ok_or(NotJson)?;
            value = value * 16 + digit;
            self.at += 1;
        }
        Ok(value)
    }

    fn number(&mut self) -> ParseResult<&'a str> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let digits = &self.text[start..self.at];
        let finite = digits.parse::<f64>().is_ok_and(f64::is_finite);
        if finite { Ok(digits) } else { Err(NotJson) }
    }

    fn digits(&mut self) -> ParseResult<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(NotJson) }
    }
}

/// Resolves the escapes of a string that the parser has checked.
fn unescape(escaped: &str) -> String {
    let mut out = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (c, used) = match rest.as_bytes()[at + 1] {
            b'b' => ('\x08', 2),
            b'f' => ('\x0c', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            b'u' => unescape_unicode(&rest[at..]),
            other => (char::from(other), 2),
        };
        out.push(c);
        rest = &rest[at + used..];
    }
    out.push_str(rest);
    out
}

fn unescape_unicode(escaped: &str) -> (char, usize) {
    let unit = |at: usize| u16::from_str_radix(&escaped[at..at + 4], 16).unwrap_or_default();
    let first = unit(2);
    let (units, used) = if (0xd800..=0xdbff).contains(&first) { (vec![first, unit(8)], 12) } else { (vec![first], 6) };
    let c = char::decode_utf16(units).next().and_then(Result::ok);
    (c.unwrap_or(char::REPLACEMENT_CHARACTER), used)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_rfc_8259_allows_is_accepted() {
        for text in [
            "null",
            " true ",
            "\t\r\nfalse",
            "0",
            "-0",
            "1.5e-3",
            "1E+2",
            "0e99999999999999999999",
            "1e-999999999",
            "\"\"",
            "\"\\u0000\\ud83d\\ude00\\/\"",
            "[]",
            "[ ]",
            "{ }",
            "[1,[2],{\"a\":3}]",
            "{\"a\":1,\"a\":2}",
            "\"\u{feff}\u{7f}\u{2028}\"",
            "9007199254740993",
            "1.7976931348623157e308",
        ] {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
            assert!(parse(text.as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            " ",
            "nul",
            "nullx",
            "True",
            "NaN",
            "Infinity",
            "-Infinity",
            "-",
            "+1",
            "01",
            "-01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "0x1",
            "1 2",
            "[1,]",
            "[,1]",
            "[1",
            "]",
            "{\"a\":1,}",
            "{a:1}",
            "{'a':1}",
            "{\"a\"}",
            "{\"a\":}",
            "{",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u+123\"",
            "\"a\nb\"",
            "\"\t\"",
            "// a\n1",
            "1 // a",
            "/**/1",
            "\u{feff}1",
            "\u{a0}1",
            "1\u{c}",
            "1e400",
            "-1e400",
            "{\"a\":1e999,\"a\":1}",
        ] {
            assert_eq!(check(text.as_bytes()), Err(NotJson), "{text}");
            assert_eq!(parse(text.as_bytes()), Err(NotJson), "{text}");
        }
        assert_eq!(check(b"\"\xff\""), Err(NotJson));
        assert_eq!(check(format!("1{}", "0".repeat(400)).as_bytes()), Err(NotJson));
    }

    #[test]
    fn lone_surrogates_are_refused_also_where_another_member_replaces_them() {
        for text in [
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\ud800x""#,
            r#""\ud800\u0041""#,
            r#""\ud800\ud800""#,
            r#"{"\udc00":1}"#,
            r#"{"a":"\ud800","a":1}"#,
        ] {
            assert_eq!(check(text.as_bytes()), Err(NotJson), "{text}");
        }
    }

    #[test]
    fn sixty_four_levels_are_accepted_and_sixty_five_refused() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(check(nested(64).as_bytes()), Ok(()));
        assert_eq!(check(nested(65).as_bytes()), Err(NotJson));
        assert_eq!(check("[".repeat(1_000_000).as_bytes()), Err(NotJson));
        assert_eq!(check(format!(r#"{{"a":{},"a":1}}"#, nested(64)).as_bytes()), Err(NotJson));
        assert_eq!(check(format!("[{}]", vec!["[]"; 1000].join(",")).as_bytes()), Ok(()));
    }

    #[test]
    fn the_last_of_equal_members_wins() {
        let value = parse(br#"{"a":1,"\u0061":2}"#).unwrap();
        assert_eq!(value.get("a"), Some(&Json::Number("2".into())));
    }

    #[test]
    fn numbers_keep_their_digits() {
        let text = "[123456789012345678901234567890,1.10,-0,1E2]";
        assert_eq!(parse(text.as_bytes()).unwrap().to_string(), text);
    }

    #[test]
    fn whole_numbers_count_by_their_value() {
        for (text, value) in [
            ("3", Some(3)),
            ("3.0", Some(3)),
            ("3e0", Some(3)),
            ("30e-1", Some(3)),
            ("-0", Some(0)),
            ("0.0", Some(0)),
            ("9007199254740991", Some((1 << 53) - 1)),
            ("9007199254740992", None),
            ("-1", None),
            ("2.5", None),
            ("\"3\"", None),
            ("true", None),
            ("null", None),
            ("1e300", None),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap().as_whole(), value, "{text}");
        }
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter("JSON has no others", |n| n.is_finite()).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                proptest::collection::hash_map(any::<String>(), inner, 0..8)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// Pieces that make texts near to JSON, so that both verdicts come up often.
    fn near_json() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("{"),
            Just("}"),
            Just("["),
            Just("]"),
            Just(","),
            Just(":"),
            Just("\""),
            Just("\"a\""),
            Just("1"),
            Just("0"),
            Just("-"),
            Just("."),
            Just("e"),
            Just("\\u"),
            Just("d83d"),
            Just("\\ude00"),
            Just("null"),
            Just(" "),
            Just("\n"),
            Just("\\n"),
            Just("\u{feff}"),
            Just("\t"),
            Just("1e400"),
            Just("é"),
        ];
        proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn a_document_is_the_same_after_reading_and_writing(value in any_json()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let ours = parse(text.as_bytes());
                prop_assert!(ours.is_ok());
                let again: serde_json::Value = serde_json::from_str(&ours.unwrap().to_string()).unwrap();
                prop_assert_eq!(&again, &value);
                prop_assert_eq!(check(text.as_bytes()), Ok(()));
            }
        }

        #[test]
        fn the_verdict_is_that_of_serde_json(text in near_json()) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            prop_assert_eq!(check(text.as_bytes()).is_ok(), theirs.is_ok(), "{}", text);
            prop_assert_eq!(parse(text.as_bytes()).is_ok(), theirs.is_ok());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(check(&bytes).is_ok(), parse(&bytes).is_ok());
        }

        #[test]
        fn a_quoted_text_is_read_back(text in any::<String>()) {
            prop_assert_eq!(parse(quote(&text).as_bytes()), Ok(Json::Text(text)));
        }
    }
}
