//! Parses YAML into nodes with positions, and refuses what would surprise. It does not interpret them.
//!
//! The parser's messages may repeat parts of the text, so they only select one of our messages.

use std::sync::LazyLock;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use crate::document::{Builder, DepthError, Node};
use crate::problem::{Origin, Position, Problem, Problems};
use crate::shown::{Place, is_certain};
use crate::typed::Positions;

/// Parts of the parser's messages, and what to do about each mistake. The first match counts.
const CURES: [(&str, &str); 34] = [
    ("tab", TAB),
    ("must be followed by a valid YAML whitespace", TAB),
    ("mapping values are not allowed", COLON),
    ("illegal placement of ':'", COLON),
    ("simple key expect", "The \":\" after the key is missing."),
    ("expected <document start>", "The document ends before this. Check the indentation."),
    ("found unexpected end of stream", END),
    ("found unexpected document indicator", "The document ends inside quotes. Close them."),
    ("expected ',' or ']'", "A \",\" is missing, or the \"[\" before it is not closed."),
    ("expected ',' or '}'", "A \",\" is missing, or the \"{\" before it is not closed."),
    ("unexpected character", "Text that begins with this character must be quoted."),
    ("unknown escape character", ESCAPE),
    ("expected hexadecimal number", UNFINISHED),
    ("invalid Unicode character escape", TOO_LARGE),
    ("extremely long version number", TOO_LARGE),
    ("block sequence entries are not allowed", LIST),
    ("is only valid inside a block", LIST),
    ("cannot start with '-'", LIST),
    ("mapping keys are not allowed", "A \"?\" is not allowed here. Quote the text if it belongs to it."),
    ("expected node content", "A value is missing here. Quote the text if this belongs to it."),
    ("unexpected end of plain scalar", "A value is missing here. Quote the text if this belongs to it."),
    ("scanning a block scalar, ", "Behind \"|\" or \">\" the line must end. Quote the text if they belong to it."),
    ("after document end marker", "The line must end here."),
    ("expected comment or line break", "The line must end here."),
    ("duplicate version directive", "A directive (%) is here for the second time. Remove it."),
    ("TAG directive must only be given", "A directive (%) is here for the second time. Remove it."),
    ("a tag", TAG),
    ("handle wasn't declared", TAG),
    ("invalid trailing content", FITS),
    ("comment intercepting", FITS),
    ("did not find expected key", FITS),
    ("did not find expected '-'", FITS),
    ("indent", FITS),
    ("misplaced bracket", FITS),
];
const COLON: &str = "A \":\" is not allowed here. Check the indentation, or quote the text if the \":\" belongs to it.";
const END: &str = "The text ends inside quotes. Close them.";
const ESCAPE: &str =
    "Double quotes do not have the escape that begins here. Write \\\\ for \"\\\", or use single quotes.";
const UNFINISHED: &str = "The escape before this is not finished. Write \\\\ for \"\\\", or use single quotes.";
const TAB: &str = "A tab cannot indent YAML. Use spaces.";
const TOO_LARGE: &str = "A number after this place is too large.";
const LIST: &str = "A list with \"-\" cannot begin here. Begin it on a separate line.";
const TAG: &str = "A tag (\"!\") is not read. Quote the text if the \"!\" belongs to it.";
const FITS: &str = "This does not fit what is before it. Check the indentation, or quote the whole value.";
const OTHER: &str = "Quote the text if it begins with \"%\", \"!\", \"&\" or \"*\".";

/// The prefix of YAML's own tags, which are written with "!!".
const YAMLS_OWN: &str = "tag:yaml.org,2002:";
/// Tags from elsewhere that people may use: YAML's own, and those of `CloudFormation`.
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let own = ["str", "int", "float", "bool", "null", "seq", "map", "binary", "timestamp", "set", "omap"];
    let theirs = ["Ref", "Sub", "GetAtt", "Join", "ImportValue", "If", "Select", "Split", "FindInMap", "Base64"];
    let own = own.iter().map(|name| format!("!!{name}"));
    own.chain(theirs.iter().map(|name| format!("!{name}"))).collect()
});

/// Parses the text, which must hold one document.
pub(crate) fn parse(text: &str, file: &str) -> Result<Node, Vec<Problem>> {
    let mut reader = Reader {
        text,
        here: Position::START,
        end: Positions::new(text).at(text.len()),
        cursor: Cursor { text, byte: 0, index: 0 },
        builder: Builder::new(),
        problems: Problems::new(file),
    };
    match reader.read() {
        Ok(()) => reader.problems.unless_any(reader.builder.root()),
        Err((DepthError, position)) => Err(vec![Problem::new(DepthError::message(), Origin::at(file, position))]),
    }
}

struct Reader<'a> {
    text: &'a str,
    /// Where the last part of the document began.
    here: Position,
    /// The end of the text. The parser may report a line after it.
    end: Position,
    cursor: Cursor<'a>,
    builder: Builder,
    problems: Problems,
}

impl Reader<'_> {
    fn position(&self, marker: Marker) -> Position {
        self.end.min(Position { line: marker.line(), column: marker.col() + 1 })
    }

    fn read(&mut self) -> Result<(), (DepthError, Position)> {
        let mut documents = 0;
        // Events instead of nodes: the parser's loader recurses and follows aliases.
        for next in Parser::new_from_str(self.text) {
            let (event, span) = match next {
                Ok(next) => next,
                Err(error) if error.info().contains("unknown anchor") => {
                    // The parser's position is already after the alias.
                    self.add_alias(self.position(*error.marker()));
                    continue;
                }
                Err(error) => return self.add_mistake(&error),
            };
            let at = self.position(span.start);
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents == 2 {
                        self.problems.add("A second document begins here. Keep only one.", at);
                        break;
                    }
                }
                Event::Alias(_) => self.add_alias(at),
                Event::MappingStart(anchor, ref tag) | Event::SequenceStart(anchor, ref tag) => {
                    self.refuse_properties(anchor, tag.as_deref(), at);
                    let is_mapping = matches!(event, Event::MappingStart(..));
                    self.builder.begin(is_mapping, at).map_err(|error| (error, at))?;
                }
                Event::MappingEnd | Event::SequenceEnd => self.builder.end(&mut self.problems),
                Event::Scalar(text, style, anchor, tag) => {
                    self.refuse_properties(anchor, tag.as_deref(), at);
                    let at = if anchor == 0 && tag.is_none() {
                        self.cursor.value(span.start, at, style, text.is_empty())
                    } else {
                        at
                    };
                    self.builder.scalar(text, style == ScalarStyle::Plain, at);
                }
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
            self.here = at;
        }
        Ok(())
    }

    fn add_alias(&mut self, at: Position) {
        self.problems.add("An alias (*) is not followed. Write the value out.", at);
        self.builder.scalar("", false, at);
    }

    fn refuse_properties(&mut self, anchor: usize, tag: Option<&Tag>, at: Position) {
        if anchor != 0 {
            self.problems.add("An anchor (&) is not read. Write values out where they are used.", at);
        }
        if let Some(Tag { handle, suffix }) = tag {
            let tag = format!("{}{suffix}", if handle == YAMLS_OWN { "!!" } else { handle });
            let known: Vec<&str> = TAGS.iter().map(String::as_str).collect();
            let is_shown = is_certain(&tag, Place::Word, &known);
            let shown = if is_shown { format!("The tag {tag}") } else { "A tag (!)".to_owned() };
            let cure = if handle == YAMLS_OWN || !is_shown {
                "is not read. Remove it."
            } else {
                "is read by CloudFormation in its templates only. Write the name or the ARN itself, or set \
                 KEYSTART_SECRETS in the template."
            };
            self.problems.add(format!("{shown} {cure}"), at);
        }
    }

    fn add_mistake(&mut self, error: &ScanError) -> Result<(), (DepthError, Position)> {
        let (words, marker) = (error.info(), *error.marker());
        if words.contains("recursion limit") {
            return Err((DepthError, self.position(marker)));
        }
        let mut cure = CURES.iter().find(|(part, _)| words.contains(part)).map_or(OTHER, |(_, cure)| *cure);
        let mut at = self.position(marker);
        if cure == END {
            // The parser reports where the quotes open.
            at = self.end;
        } else if cure == UNFINISHED || cure == ESCAPE || words.contains("invalid Unicode") {
            match self.wrong_escape(marker) {
                Some((Escape::TooLarge, _)) => (cure, at) = (TOO_LARGE, self.here),
                Some((Escape::Unfinished, place)) => (cure, at) = (UNFINISHED, place),
                Some((Escape::Unknown, place)) => (cure, at) = (ESCAPE, place),
                None => {}
            }
        } else if cure == TOO_LARGE {
            at = self.here;
        } else if words.contains("plain scalar, found a tab") {
            // The parser reports where the scalar begins.
            at = self.indenting_tab(marker).unwrap_or(at);
        } else if words.contains("did not find expected key")
            && self.cursor.before(marker).trim_end_matches(' ').ends_with('-')
        {
            // The parser reports what follows the "-".
            let before = self.cursor.before(marker);
            at.column = at.column.saturating_sub(before.len() - before.trim_end_matches(' ').len() + 1);
        }
        self.problems.add(format!("This is not valid YAML. {cure}"), at);
        Ok(())
    }

    /// Finds the first tab at the beginning of a line after the marker.
    fn indenting_tab(&mut self, marker: Marker) -> Option<Position> {
        let start = self.cursor.before(marker).len();
        let tabs = self.text[start..].match_indices('\t').map(|(at, _)| start + at);
        let mut indenting = tabs.filter(|at| self.text[..*at].trim_end_matches([' ', '\t']).ends_with('\n'));
        indenting.next().map(|at| Positions::new(self.text).at(at))
    }

    /// Finds the first wrong escape in the double-quoted text that opens here.
    fn wrong_escape(&self, opened: Marker) -> Option<(Escape, Position)> {
        let start = self.text.char_indices().nth(opened.index() + 1)?.0;
        let mut at = start;
        while let Some(found) = self.text[at..].find('\\') {
            at += found + 1;
            let kind = self.text[at..].chars().next()?;
            let digits = match kind {
                'x' => 2,
                'u' => 4,
                'U' => 8,
                _ => 0,
            };
            let rest = &self.text[at + kind.len_utf8()..];
            let code = rest.get(..digits).filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
            let wrong = match code.map(|code| u32::from_str_radix(code, 16)) {
                _ if !"0abt\tnvfre \"/\\N_LPxuU\r\n".contains(kind) => Escape::Unknown,
                _ if digits == 0 => {
                    at += kind.len_utf8();
                    continue;
                }
                None => Escape::Unfinished,
                Some(Ok(0xd800..=0xdfff)) => Escape::Unknown,
                Some(Ok(code)) if char::from_u32(code).is_some() => continue,
                Some(_) => Escape::TooLarge,
            };
            let place = if matches!(wrong, Escape::Unfinished) { at + 1 } else { at };
            return Some((wrong, Positions::new(self.text).at(place)));
        }
        None
    }
}

/// What is wrong with an escape.
enum Escape {
    Unknown,
    Unfinished,
    TooLarge,
}

/// Finds the bytes of markers in a text. Callers must ask in ascending order.
struct Cursor<'a> {
    text: &'a str,
    byte: usize,
    index: usize,
}

impl<'a> Cursor<'a> {
    fn before(&mut self, marker: Marker) -> &'a str {
        let mut characters = self.text[self.byte..].chars();
        while self.index < marker.index() && characters.next().is_some() {
            self.index += 1;
        }
        self.byte = self.text.len() - characters.as_str().len();
        &self.text[..self.byte]
    }

    /// Returns where a value begins. Its text begins at the marker.
    fn value(&mut self, marker: Marker, at: Position, style: ScalarStyle, is_empty: bool) -> Position {
        match style {
            // A missing value begins where it should be.
            ScalarStyle::Plain if is_empty => {
                let before = self.before(marker).len();
                Position { column: at.column + usize::from(self.text[before..].starts_with(':')), ..at }
            }
            ScalarStyle::Literal | ScalarStyle::Folded => self.header(marker).unwrap_or(at),
            _ => at,
        }
    }

    /// Returns the position of the "|" or ">" that opens the text at the marker.
    fn header(&mut self, marker: Marker) -> Option<Position> {
        let before = self.before(marker);
        let header = before.trim_end();
        let line = &header[header.rfind('\n').map_or(0, |newline| newline + 1)..];
        let opens = |rest: &str| {
            let rest = rest.trim_start_matches(|c: char| "+-".contains(c) || c.is_ascii_digit());
            rest.is_empty() || rest.starts_with([' ', '\t']) && rest.trim_start().starts_with('#')
        };
        let at = line.match_indices(['|', '>']).map(|(at, _)| at).find(|at| opens(&line[at + 1..]))?;
        let lines = before[header.len()..].matches('\n').count();
        Some(Position { line: marker.line().checked_sub(lines)?, column: line[..at].chars().count() + 1 })
    }
}
