//! Reads the variable `KEYSTART_SECRETS`: the mapping of secrets as JSON, or `name=id` pairs, with a comma or a
//! line break between two of them.

use keystart_store::name;

use crate::document::Node;
use crate::entries::{self, Context, check_together, refuse_name, repeated, short};
use crate::json;
use crate::plan::{Entry, Plan, VARIABLE};
use crate::problem::{Position, Problem, Problems};
use crate::reader::Reader;
use crate::shown::quote;
use crate::typed::Positions;

/// Parses the variable's value. Everything except the secrets has its default.
pub(crate) fn read(value: &str, reader: Reader) -> Result<Plan, Vec<Problem>> {
    let mut problems = Problems::new(VARIABLE);
    let context = reader.context(None);
    let entries = if value.trim_start().starts_with('{') {
        read_json(&json::parse(value, VARIABLE)?, context, &mut problems)
    } else {
        read_pairs(value, context, &mut problems)
    };
    problems.unless_any(Plan::of_secrets(entries, VARIABLE))
}

fn read_json(root: &Node, context: Context, problems: &mut Problems) -> Vec<Entry> {
    if let Node::Mapping(mapping) = root
        && ["version", "secrets"].iter().all(|key| mapping.named(key).is_some())
    {
        let why = "This variable holds only what is under \"secrets\". For the rest write a file.";
        problems.add(why, mapping.position);
        return Vec::new();
    }
    entries::read(root, context, problems)
}

fn read_pairs(value: &str, context: Context, problems: &mut Problems) -> Vec<Entry> {
    let mut positions = Positions::new(value);
    let mut entries = Vec::new();
    for (number, (start, pair)) in split(value).into_iter().enumerate() {
        let position = positions.at(start);
        entries.extend(read_pair(pair, &format!("Pair {}: ", number + 1), position, context, problems));
    }
    // Checks the names only if every pair is valid: commas and "=" may have split a pasted secret,
    // and a "name" may be a part of it.
    if problems.count() == 0 {
        refuse_equal(&entries, problems);
        check_together(&entries, problems);
    }
    entries
}

/// Splits at commas and line breaks, and returns each pair with the byte where it begins. A template
/// may end a line with a comma, and leave lines empty.
fn split(value: &str) -> Vec<(usize, &str)> {
    let value = value.trim_end();
    let mut pairs = Vec::new();
    let mut start = 0;
    for line in value.split_inclusive('\n') {
        let mut at = start;
        start += line.len();
        let is_last = start == value.len();
        let line = line.trim_end();
        if line.is_empty() && !is_last {
            continue;
        }
        for pair in line.strip_suffix(',').filter(|_| !is_last).unwrap_or(line).split(',') {
            pairs.push((at + pair.len() - pair.trim_start().len(), pair.trim()));
            at += pair.len() + 1;
        }
    }
    if pairs.is_empty() { vec![(0, "")] } else { pairs }
}

fn read_pair(pair: &str, label: &str, position: Position, context: Context, problems: &mut Problems) -> Option<Entry> {
    // The first "=" ends the name. An id may hold more of them.
    let (name, id) = pair.split_once('=').map_or((pair, ""), |(name, id)| (name.trim(), id.trim()));
    if id.is_empty() {
        problems.add(
            format!("{label}Each secret must be name=id, with one comma or line break between two of them."),
            position,
        );
    } else if !name::is_valid(name.as_bytes()) {
        refuse_name(name, label, position, problems);
    } else {
        return short(Some(name), id, context, (position, position), label, problems);
    }
    None
}

fn refuse_equal(entries: &[Entry], problems: &mut Problems) {
    for (first, again) in repeated(entries.iter().map(|entry| Some(entry.name.as_str()))) {
        let (name, place) = (quote(&entries[again].name), entries[first].position());
        problems.add(
            format!("The name {name} is here for the second time; the first is at {place}. Rename one of them."),
            entries[again].position(),
        );
    }
}
