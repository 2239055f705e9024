//! Reads the variable `KEYSTART_SECRETS`: the mapping of secrets as JSON, or `name=id` pairs.

use keystart_store::name;

use crate::document::Node;
use crate::entries::{self, Context, check_together, refuse_name, repeated, short};
use crate::json;
use crate::plan::{Entry, Plan, VARIABLE};
use crate::problem::{Position, Problem, Problems};
use crate::schema::Schemas;
use crate::shown::quote;
use crate::typed::Positions;

/// Parses the variable's value. Everything except the secrets has its default.
pub(crate) fn read(value: &str, schemas: Schemas) -> Result<Plan, Vec<Problem>> {
    let mut problems = Problems::new(VARIABLE);
    let context = Context { schemas, region: None };
    let entries = if value.trim_start().starts_with('{') {
        read_json(&json::parse(value, VARIABLE)?, context, &mut problems)
    } else {
        read_pairs(value, context, &mut problems)
    };
    problems.unless_any(Plan::of_secrets(entries, VARIABLE))
}

fn read_json(root: &Node, context: Context, problems: &mut Problems) -> Vec<Entry> {
    if let Node::Mapping(mapping) = root
        && mapping.has("version")
        && mapping.has("secrets")
    {
        let why = "This variable holds only what stands under \"secrets\". For the rest write a file.";
        problems.add(why, mapping.position);
        return Vec::new();
    }
    entries::read(root, context, problems)
}

fn read_pairs(value: &str, context: Context, problems: &mut Problems) -> Vec<Entry> {
    let mut positions = Positions::new(value);
    let mut entries = Vec::new();
    let mut start = 0;
    for (number, pair) in value.split(',').enumerate() {
        let position = positions.at(start + pair.len() - pair.trim_start().len());
        entries.extend(read_pair(pair, &format!("Pair {}: ", number + 1), position, context, problems));
        start += pair.len() + 1;
    }
    // Checks the names only if every pair is valid: commas and "=" may have split a pasted secret,
    // and a "name" may be a part of it.
    if problems.count() == 0 {
        refuse_equal(&entries, problems);
        check_together(&entries, problems);
    }
    entries
}

fn read_pair(pair: &str, label: &str, position: Position, context: Context, problems: &mut Problems) -> Option<Entry> {
    // The first "=" ends the name. An id may hold more of them.
    let (name, id) = pair.split_once('=').map_or((pair.trim(), ""), |(name, id)| (name.trim(), id.trim()));
    if id.is_empty() {
        problems.add(format!("{label}Each secret must be name=id, with one comma between two of them."), position);
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
