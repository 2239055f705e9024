//! Which members of a secret, or parameters below a path, an entry takes, and under which names.

use keystart_store::{error, name};

use crate::document::{Mapping, Node};
use crate::problem::Problems;
use crate::shown::{Place, characters, is_certain};
use crate::typed::{mapping, scalar_text, sequence, text};
use crate::value::Value;

/// The keys that choose members.
pub(crate) const KEYS: [&str; 3] = ["only", "except", "rename"];

/// What an entry that brings several secrets takes of them. Names are those in the source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Nothing else is taken, except what is renamed.
    pub only: Option<Vec<String>>,
    /// What is left out.
    pub except: Vec<String>,
    /// The names below the entry's by the names in the source.
    pub rename: Vec<(String, String)>,
}

impl Selection {
    /// Returns the name of a member below the entry's; `None` if the entry does not take it.
    pub fn name_of<'a>(&'a self, member: &'a str) -> Option<&'a str> {
        if let Some((_, name)) = self.rename.iter().find(|(from, _)| from == member) {
            return Some(name);
        }
        let is_left_out = self.except.iter().any(|other| other == member);
        let is_taken = self.only.as_ref().is_none_or(|only| only.iter().any(|one| one == member));
        (is_taken && !is_left_out).then_some(member)
    }

    /// Returns the members that the configuration names to have them.
    pub fn asked_for(&self) -> impl Iterator<Item = &str> {
        self.only.iter().flatten().chain(self.rename.iter().map(|(from, _)| from)).map(String::as_str)
    }

    /// Reads the keys of an entry. `label` begins a message.
    pub(crate) fn read(entry: &Mapping, label: &str, problems: &mut Problems) -> Self {
        let what = |key: &str| format!("{label}: \"{key}\"");
        let list = |key: &str, problems: &mut Problems| {
            let node = entry.get(key)?;
            let items = sequence(node, &what(key), problems);
            if matches!(node, Node::Sequence(list) if list.items.is_empty()) {
                problems.add(format!("{} must not be empty.", what(key)), node.position());
            }
            let read = items.iter().filter_map(|item| text(item, &format!("{}: A name", what(key)), problems));
            Some(read.map(str::to_owned).collect::<Vec<_>>())
        };
        let only = list("only", problems);
        let except = list("except", problems).unwrap_or_default();
        if only.is_some() && !except.is_empty() {
            let position = entry.get("except").map_or(entry.position, Node::position);
            problems.add(format!("{label}: \"only\" already leaves out the rest. Remove \"except\"."), position);
        }
        let mut selection = Self { only, except, rename: Vec::new() };
        let Some(members) = entry.get("rename").and_then(|rename| mapping(rename, &what("rename"), problems)) else {
            return selection;
        };
        for (from, to) in &members.members {
            let from = scalar_text(from, &format!("{}: A name", what("rename")), problems);
            let Some((from, name)) = from.zip(text(to, &format!("{}: The new name", what("rename")), problems)) else {
                continue;
            };
            if !name::is_valid(name.as_bytes()) {
                let found = characters(name);
                let what = what("rename");
                let why = format!("{what}: The new name must be valid, found a text of {found}. {}", error::NAME_RULE);
                problems.add(why, to.position());
            } else if selection.rename.iter().any(|(_, other)| other == name) {
                problems.add(format!("{}: Two have the same new name.", what("rename")), to.position());
            } else if selection.except.iter().any(|other| other == from) {
                let why = "is under \"except\" too. Keep one of them.";
                problems.add(format!("{}: This name {why}", what("rename")), to.position());
            } else {
                selection.rename.push((from.to_owned(), name.to_owned()));
            }
        }
        selection
    }

    /// Returns the keys and values as a configuration writes them.
    pub(crate) fn long(&self) -> [(&'static str, Option<Value>); 3] {
        let list = |names: &[String]| Value::List(names.iter().map(|name| Value::text(name)).collect());
        let rename = self.rename.iter().map(|(from, to)| (from.clone(), Value::text(to))).collect();
        [
            ("only", self.only.as_deref().map(list)),
            ("except", (!self.except.is_empty()).then(|| list(&self.except))),
            ("rename", (!self.rename.is_empty()).then_some(Value::Object(rename))),
        ]
    }

    /// Returns the same for people. A name that is not a valid one may be a pasted secret.
    pub(crate) fn shown(&self) -> Value {
        let one = |name: &String| shown(name).map_or_else(|length| length, Value::text);
        let list = |names: &Vec<String>| Value::List(names.iter().map(one).collect());
        let renamed = |(from, to): &(String, String)| Value::object([("from", one(from)), ("to", Value::text(to))]);
        Value::object([
            ("only", self.only.as_ref().map_or(Value::Null, list)),
            ("except", list(&self.except)),
            ("rename", Value::List(self.rename.iter().map(renamed).collect())),
        ])
    }

    /// Returns the numbers of members for the table of a plan.
    pub(crate) fn details(&self) -> Vec<String> {
        let counts = [
            ("only", self.only.as_ref().map_or(0, Vec::len)),
            ("except", self.except.len()),
            ("rename", self.rename.len()),
        ];
        counts.iter().filter(|(_, count)| *count > 0).map(|(key, count)| format!("{key} {count}")).collect()
    }
}

fn shown(name: &str) -> Result<&str, Value> {
    if is_certain(name, Place::Name, &[]) {
        return Ok(name);
    }
    Err(Value::object([("characters", Value::Number(name.chars().count().to_string()))]))
}
