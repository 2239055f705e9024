//! What is wrong with a configuration, and where. All problems are reported together, in the order
//! of their places.

use std::fmt;

use crate::value::Value;

/// A line and a column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub line: usize,
    pub column: usize,
}

impl Position {
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}, column {}", self.line, self.column)
    }
}

/// Where something was configured: a file's path or the name of a variable, with line and column
/// (from 1) if they are known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "their names say it")]
pub struct Origin {
    pub file: String,
    pub line: Option<usize>,
    pub column: Option<usize>,
}

impl Origin {
    pub(crate) fn whole(file: &str) -> Self {
        Self { file: file.to_owned(), line: None, column: None }
    }

    pub(crate) fn at(file: &str, position: Position) -> Self {
        Self { file: file.to_owned(), line: Some(position.line), column: Some(position.column) }
    }
}

impl Origin {
    pub(crate) fn to_value(&self) -> Value {
        let number = |number: Option<usize>| number.map_or(Value::Null, |number| Value::Number(number.to_string()));
        Value::object([("file", Value::text(&self.file)), ("line", number(self.line)), ("column", number(self.column))])
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.file)?;
        [self.line, self.column].into_iter().flatten().try_for_each(|number| write!(out, ":{number}"))
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, and what to do. It holds no text that may be a secret.
    pub message: String,
    /// Where it is.
    pub origin: Origin,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>, origin: Origin) -> Self {
        Self { message: message.into(), origin }
    }
}

impl Problem {
    /// Returns problems as a JSON list of `{"file": …, "line": …, "column": …, "message": …}`.
    pub fn to_json(problems: &[Self]) -> String {
        let one = |problem: &Self| match problem.origin.to_value() {
            Value::Object(mut members) => {
                members.push(("message".to_owned(), Value::text(&problem.message)));
                Value::Object(members)
            }
            other => other,
        };
        Value::List(problems.iter().map(one).collect()).compact()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.origin, self.message)
    }
}

/// The problems found in one file so far. Reading continues after each.
pub(crate) struct Problems {
    file: String,
    found: Vec<Problem>,
}

impl Problems {
    /// Makes an empty list. `file` is what messages call the file.
    pub fn new(file: impl Into<String>) -> Self {
        Self { file: file.into(), found: Vec::new() }
    }

    pub fn add(&mut self, message: impl Into<String>, position: Position) {
        let origin = self.origin(position);
        self.found.push(Problem::new(message, origin));
    }

    pub fn origin(&self, position: Position) -> Origin {
        Origin::at(&self.file, position)
    }

    pub fn count(&self) -> usize {
        self.found.len()
    }

    /// Returns the value if nothing is wrong, else the problems in the order of their places.
    pub fn unless_any<T>(mut self, value: T) -> Result<T, Vec<Problem>> {
        if self.found.is_empty() {
            return Ok(value);
        }
        self.found.sort_by(|a, b| a.origin.cmp(&b.origin));
        Err(self.found)
    }
}
