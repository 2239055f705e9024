//! Parses JSON into nodes with positions, with a message for each mistake. It does not interpret them.
//!
//! The store's JSON parser has no positions and no messages, because what it parses may be a secret.

use crate::document::{Builder, DepthError, Node};
use crate::problem::{Origin, Position, Problem, Problems};
use crate::typed::{NO_CHARACTER, Positions};

/// Words that some JSON writers use for numbers that JSON does not have.
const NO_NUMBERS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// Parses the text, which must be JSON and nothing else.
pub(crate) fn parse(text: &str, file: &str) -> Result<Node, Vec<Problem>> {
    let mut parser =
        Parser { text, at: 0, positions: Positions::new(text), builder: Builder::new(), problems: Problems::new(file) };
    match parser.document() {
        Ok(()) => parser.problems.unless_any(parser.builder.root()),
        Err((message, position)) => Err(vec![Problem::new(message, Origin::at(file, position))]),
    }
}

/// What is wrong with the text as JSON, and where.
type Mistake = (String, Position);

struct Parser<'a> {
    text: &'a str,
    /// The position of the next byte.
    at: usize,
    positions: Positions<'a>,
    builder: Builder,
    problems: Problems,
}

impl Parser<'_> {
    fn document(&mut self) -> Result<(), Mistake> {
        // For each open list or mapping, whether it is a mapping.
        let mut open: Vec<bool> = Vec::new();
        self.space();
        loop {
            // Reads one value, then closes every list and mapping that ends after it.
            if let Some(is_mapping) = self.opens() {
                let position = self.position();
                self.builder.begin(is_mapping, position).map_err(|DepthError| (DepthError::message(), position))?;
                self.at += 1;
                self.space();
                if !self.takes(close(is_mapping)) {
                    open.push(is_mapping);
                    self.member(is_mapping)?;
                    continue;
                }
                self.builder.end(&mut self.problems);
            } else {
                self.scalar()?;
            }
            loop {
                self.space();
                let Some(is_mapping) = open.last().copied() else {
                    return if self.peek().is_none() {
                        Ok(())
                    } else {
                        Err(self.mistake("the document ends before this"))
                    };
                };
                if self.takes(close(is_mapping)) {
                    open.pop();
                    self.builder.end(&mut self.problems);
                    continue;
                }
                let comma = self.position();
                if !self.takes(b',') {
                    return Err(self.mistake("a \",\" is missing here, or the value before it is not closed"));
                }
                self.space();
                if self.peek() == Some(close(is_mapping)) {
                    return Err(mistake("a \",\" is left before the end", comma));
                }
                self.member(is_mapping)?;
                break;
            }
        }
    }

    /// Reads what comes before a value: in a mapping, the key and the colon.
    fn member(&mut self, is_mapping: bool) -> Result<(), Mistake> {
        if !is_mapping {
            return Ok(());
        }
        if self.peek() != Some(b'"') {
            return Err(self.mistake("a key in double quotes must stand here"));
        }
        self.string()?;
        self.space();
        if !self.takes(b':') {
            return Err(self.mistake("a \":\" is missing here"));
        }
        self.space();
        Ok(())
    }

    fn scalar(&mut self) -> Result<(), Mistake> {
        if self.peek() == Some(b'"') {
            return self.string();
        }
        let rest = &self.text[self.at..];
        let position = self.position();
        let word = ["null", "true", "false"].into_iter().chain(NO_NUMBERS).find(|word| rest.starts_with(word));
        let word = word.or_else(|| Some(&rest[..number(rest)]).filter(|number| !number.is_empty()));
        let Some(word) = word else {
            return Err(mistake("a value must stand here", position));
        };
        if NO_NUMBERS.contains(&word) {
            self.problems.add(format!("This is not valid JSON: there is no number {word}."), position);
        }
        self.at += word.len();
        self.builder.scalar(word, true, position);
        Ok(())
    }

    fn string(&mut self) -> Result<(), Mistake> {
        let opened = self.position();
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.find(|c: char| c == '"' || c == '\\' || c < ' ').unwrap_or(rest.len());
            text.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                None => return Err(mistake("the quotes that open here are not closed", opened)),
                Some(b'"') => break,
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return Err(self.mistake("a line break or another control character is in quotes")),
            }
        }
        self.at += 1;
        self.builder.scalar(text, false, opened);
        Ok(())
    }

    fn escape(&mut self) -> Result<char, Mistake> {
        let rest = &self.text.as_bytes()[self.at + 1..];
        let (c, length) = match rest.first() {
            Some(b'b') => ('\x08', 2),
            Some(b'f') => ('\x0c', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(other @ (b'"' | b'\\' | b'/')) => (char::from(*other), 2),
            Some(b'u') => match (unit(&rest[1..]), rest.get(5..7).map(|next| next == b"\\u")) {
                (Some(high @ 0xd800..=0xdbff), Some(true)) => {
                    let low = unit(&rest[7..]).filter(|low| (0xdc00..=0xdfff).contains(low));
                    let pair = low.and_then(|low| char::decode_utf16([high, low]).next()?.ok());
                    pair.map_or((NO_CHARACTER, 6), |c| (c, 12))
                }
                (Some(unit), _) => (char::from_u32(unit.into()).unwrap_or(NO_CHARACTER), 6),
                (None, _) => return Err(self.mistake("JSON does not have the escape that begins here")),
            },
            _ => return Err(self.mistake("JSON does not have the escape that begins here")),
        };
        self.at += length;
        Ok(c)
    }

    /// Returns whether the list or mapping that opens here is a mapping.
    fn opens(&self) -> Option<bool> {
        match self.peek() {
            Some(b'{') => Some(true),
            Some(b'[') => Some(false),
            _ => None,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn takes(&mut self, byte: u8) -> bool {
        let takes = self.peek() == Some(byte);
        self.at += usize::from(takes);
        takes
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn position(&mut self) -> Position {
        self.positions.at(self.at)
    }

    fn mistake(&mut self, what: &str) -> Mistake {
        mistake(what, self.position())
    }
}

fn mistake(what: &str, position: Position) -> Mistake {
    (format!("This is not valid JSON: {what}."), position)
}

fn close(is_mapping: bool) -> u8 {
    if is_mapping { b'}' } else { b']' }
}

/// Returns the length of the number at the beginning of a text, 0 if there is none.
fn number(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let sign = usize::from(bytes.first() == Some(&b'-'));
    let whole = if bytes.get(sign) == Some(&b'0') { 1 } else { digits(sign) };
    if whole == 0 {
        return 0;
    }
    let mut end = sign + whole;
    if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let signed = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if signed <= bytes.len() && digits(signed) > 0 {
            end = signed + digits(signed);
        }
    }
    end
}

/// Returns the UTF-16 unit that four hexadecimal digits encode.
fn unit(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.get(..4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
