//! Which members of a secret, or parameters below a path, an entry takes, and under which names.

use std::collections::HashSet;

use keystart_store::{errors, name};

use crate::document::{Mapping, Node};
use crate::problem::{Position, Problems};
use crate::shown::{Place, characters, is_certain, quote};
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

    /// Returns the names below the entry's of the members that it must have.
    pub(crate) fn published(&self) -> impl Iterator<Item = &str> {
        let is_renamed = |member: &str| self.rename.iter().any(|(from, _)| from == member);
        let kept = self.only.iter().flatten().filter(move |member| !is_renamed(member));
        kept.chain(self.rename.iter().map(|(_, name)| name)).map(String::as_str)
    }

    /// Reads the keys of an entry. `entry_name` is its name if that is valid, and `label` begins a message.
    pub(crate) fn read(entry: &Mapping, entry_name: Option<&str>, label: &str, problems: &mut Problems) -> Self {
        let what = |key: &str| format!("{label}: \"{key}\"");
        let list = |key: &str, problems: &mut Problems| {
            let node = entry.get(key)?;
            let items = sequence(node, &what(key), problems);
            if matches!(node, Node::Sequence(list) if list.items.is_empty()) {
                problems.add(format!("{} must not be empty.", what(key)), node.position());
            }
            let mut members: Vec<(&str, Position)> = Vec::new();
            for item in items {
                let Some(member) = text(item, &format!("{}: A name", what(key)), problems) else { continue };
                if members.iter().any(|(other, _)| *other == member) {
                    let why = "This name is here for the second time. Remove one of them.";
                    problems.add(format!("{}: {why}", what(key)), item.position());
                } else {
                    members.push((member, item.position()));
                }
            }
            Some(members)
        };
        let only = list("only", problems);
        let except = list("except", problems).unwrap_or_default();
        if only.is_some() && !except.is_empty() {
            let position = entry.get("except").map_or(entry.position, Node::position);
            problems.add(format!("{label}: \"only\" already leaves out the rest. Remove \"except\"."), position);
        }
        let mut rename: Vec<(String, String)> = Vec::new();
        let mut published = MemberNames { label, entry_name, names: HashSet::new() };
        let renamed = entry.get("rename").and_then(|renamed| mapping(renamed, &what("rename"), problems));
        let members = renamed.map(|renamed| &renamed.members[..]).unwrap_or_default();
        for (member, position) in only.iter().flatten() {
            if !members.iter().any(|(from, _)| from.text == *member) {
                published.add("only", member, *position, problems);
            }
        }
        for (from, to) in members {
            let from = scalar_text(from, &format!("{}: A name", what("rename")), problems);
            let Some((from, name)) = from.zip(text(to, &format!("{}: The new name", what("rename")), problems)) else {
                continue;
            };
            if except.iter().any(|(other, _)| *other == from) {
                let why = "is under \"except\" too. Keep one of them.";
                problems.add(format!("{}: This name {why}", what("rename")), to.position());
            } else if published.add("rename", name, to.position(), problems) {
                rename.push((from.to_owned(), name.to_owned()));
            }
        }
        let owned = |members: Vec<(&str, Position)>| members.into_iter().map(|(member, _)| member.to_owned()).collect();
        Self { only: only.map(owned), except: owned(except), rename }
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

/// The names below an entry that must all be published.
struct MemberNames<'a> {
    label: &'a str,
    entry_name: Option<&'a str>,
    names: HashSet<&'a str>,
}

impl<'a> MemberNames<'a> {
    /// Adds a name and returns true, or reports why it can never be published with the others.
    fn add(&mut self, key: &str, own: &'a str, position: Position, problems: &mut Problems) -> bool {
        let below = self.entry_name.unwrap_or_default();
        let is_valid =
            name::is_valid(own.as_bytes()) && (below.is_empty() || name::is_valid(format!("{below}/{own}").as_bytes()));
        let why = if !is_valid {
            let place = if below.is_empty() { "there".to_owned() } else { format!("below {}", quote(below)) };
            let cure = if key == "only" { "Give it another with \"rename\"." } else { "Choose another." };
            Some(format!("A name of {} is not valid {place}. {cure} {}", characters(own), errors::NAME_RULE))
        } else if self.names.contains(own) {
            Some("Two have the same new name.".to_owned())
        } else {
            let nests = |outer: &str, inner: &str| name::folders(inner).any(|folder| folder == outer);
            let other = self.names.iter().find(|other| nests(other, own) || nests(own, other));
            other.map(|other| {
                let (outer, inner) = if nests(other, own) { (*other, own) } else { (own, *other) };
                let why = format!("{} would be the folder of {}", quote(outer), quote(inner));
                format!("{why}. Give one of them another name with \"rename\".")
            })
        };
        if let Some(why) = &why {
            problems.add(format!("{}: \"{key}\": {why}", self.label), position);
        } else {
            self.names.insert(own);
        }
        why.is_none()
    }
}
