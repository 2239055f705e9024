//! JSON to write, with the members of an object in their order.

use keystart_store::json::quote;

#[derive(PartialEq)]
pub(crate) enum Value {
    Null,
    Flag(bool),
    /// Digits.
    Number(String),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Value {
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub fn optional(text: Option<&String>) -> Self {
        text.map_or(Self::Null, |text| Self::text(text))
    }

    pub fn object<const N: usize>(members: [(&str, Self); N]) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Returns it in one line, without spaces.
    pub fn compact(&self) -> String {
        self.write("", "", ":")
    }

    /// Returns it with each member and item on a separate line.
    pub fn pretty(&self) -> String {
        self.write("\n", "  ", ": ")
    }

    /// Returns it as JSON. `line` begins each member and holds its indentation; each level inside adds `step`.
    fn write(&self, line: &str, step: &str, colon: &str) -> String {
        let inner = format!("{line}{step}");
        let within = |open: &str, parts: Vec<String>, close: &str| match parts[..] {
            [] => format!("{open}{close}"),
            _ => format!("{open}{inner}{}{line}{close}", parts.join(&format!(",{inner}"))),
        };
        match self {
            Self::Null => "null".to_owned(),
            Self::Flag(flag) => flag.to_string(),
            Self::Number(digits) => digits.clone(),
            Self::Text(text) => ascii(text),
            Self::List(items) => within("[", items.iter().map(|item| item.write(&inner, step, colon)).collect(), "]"),
            Self::Object(members) => {
                let member = |(name, value): &(String, Self)| {
                    format!("{}{colon}{}", ascii(name), value.write(&inner, step, colon))
                };
                within("{", members.iter().map(member).collect(), "}")
            }
        }
    }
}

/// Returns a string as JSON in ASCII, so that no program can mistake its encoding.
fn ascii(text: &str) -> String {
    let mut out = String::new();
    for c in quote(text).chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    out
}
