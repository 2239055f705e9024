//! Turns what the services gave into named secrets: `field`, `expand`, and the parameters below a path.
//!
//! It knows the names before anything is written, so it refuses every illegal one here (contract §2).

use std::collections::BTreeSet;

use super::{Answer, Entry, Fetched, Outcome, failure};
use keystart_store::Failure;
use keystart_store::SecretBytes;
use keystart_store::error::{Error, MAX_BYTES, NAME_RULE, quoted};
use keystart_store::json::{self, NotJson};
use keystart_store::name;

/// How many wrong names are told of one entry; state.json must hold all of them.
const PROBLEMS_AT_MOST: usize = 50;

/// Names the answer for a `secret` entry, or the members that `field` or `expand` take from it.
pub(super) fn secret(entry: &Entry, answer: Answer) -> Outcome {
    if entry.field.is_none() && !entry.expand {
        return Ok(vec![Fetched::whole(&entry.name, answer)]);
    }
    let members = members(entry, &answer)?;
    if let Some(field) = &entry.field {
        let Some((_, value)) = members.iter().find(|(member, _)| member == field) else {
            // Only a name is certainly no secret that was pasted here.
            let shown = if name::is_valid(field.as_bytes()) {
                quoted(field.as_bytes())
            } else {
                format!("with the {} characters of `field`", field.chars().count())
            };
            let message = format!("{} has no member {shown}. Correct `field` or the secret.", entry.id);
            return Err(failure("FieldNotFound", message));
        };
        return Ok(vec![member(entry.name.clone(), field, value, &answer)]);
    }
    if members.is_empty() {
        return Err(failure(
            "NothingToExpand",
            format!("{} is an object without members. Correct the secret.", entry.id),
        ));
    }
    let names: Vec<String> = members.iter().map(|(member, _)| format!("{}/{member}", entry.name)).collect();
    check(entry, "member", &names)?;
    let both = members.iter().zip(names);
    Ok(both.map(|((field, value), name)| member(name, field, value, &answer)).collect())
}

/// Names each parameter below the path of a `parameters` entry: `<entry>/<rest of its name>`.
pub(super) fn parameters(entry: &Entry, found: Vec<(String, Answer)>) -> Outcome {
    if found.is_empty() {
        let message = format!("There is no parameter below {}. Correct the path or the region.", entry.id);
        return Err(failure("ParameterNotFound", message));
    }
    let path = format!("{}/", entry.id.trim_end_matches('/'));
    let named = |(name, answer): (String, Answer)| {
        Fetched::whole(&format!("{}/{}", entry.name, name.strip_prefix(&path).unwrap_or(&name)), answer)
    };
    let secrets: Vec<Fetched> = found.into_iter().map(named).collect();
    check(entry, "parameter", &secrets.iter().map(|secret| secret.name.clone()).collect::<Vec<_>>())?;
    Ok(secrets)
}

/// Gives the secrets of `entry`, unless names of them are, or nest with, other entries (contract 2.4).
///
/// Only an entry below the folder that `entry` fills can be in its way: `tls/ca` beside an expanded `tls`.
pub(super) fn beside(entry: &Entry, secrets: Vec<Fetched>, others: &[&str]) -> Outcome {
    let folder = format!("{}/", entry.name);
    let below: BTreeSet<&str> = others.iter().copied().filter(|other| other.starts_with(&folder)).collect();
    let around: BTreeSet<&str> = below.iter().flat_map(|other| name::folders(other)).collect();
    let in_the_way = |name: &str| {
        below.contains(name) || around.contains(name) || name::folders(name).any(|folder| below.contains(folder))
    };
    let problems = secrets.iter().filter(|secret| in_the_way(&secret.name)).map(|secret| {
        format!("\"{}\" is in the way of another entry, or another entry of it. Rename one of them.", secret.name)
    });
    tell(problems.collect())?;
    Ok(secrets)
}

/// Returns the secrets of `entry`, unless one cannot be stored, or cannot go into the variable of an optional entry. Said here
/// it concerns this entry alone; the draft, or the exec wrapper, would end the start.
pub(super) fn storable(entry: &Entry, secrets: Vec<Fetched>) -> Outcome {
    for secret in &secrets {
        let value = secret.value.as_bytes();
        if value.len() > MAX_BYTES {
            let message = Error::value_too_large(&secret.name, value.len()).message().to_owned();
            return Err(failure("SecretTooLarge", message));
        }
        let variable = entry.env.as_ref().filter(|_| entry.optional && value.contains(&0));
        if let Some(variable) = variable {
            let message = format!(
                "The secret \"{}\" holds a NUL byte, which no variable can: {variable} cannot be set. Remove its env: and \
                 read it as bytes.",
                secret.name
            );
            return Err(failure("NoVariable", message));
        }
    }
    Ok(secrets)
}

/// Refuses all illegal, equal and nested names together: below the path `/`, `flag` and `/flag` are one name. An illegal one is part
/// of what was fetched, and may be a secret: it is described, not repeated.
fn check(entry: &Entry, what: &str, names: &[String]) -> Result<(), Failure> {
    let known: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let is_invalid = |name: &String| !name::is_valid(name.as_bytes());
    let mut problems = Vec::new();
    if let Some(first) = names.iter().position(is_invalid) {
        let count = names.iter().filter(|name| is_invalid(name)).count();
        let length = names[first].chars().count() - entry.name.chars().count() - 1;
        let cure =
            if what == "member" { "Take each with `field` under a valid name" } else { "Configure each by itself" };
        problems.push(format!(
            "{count} of {} {what}s of {} cannot be published below \"{}\", because their names are not valid there. \
             The first is {what} {}, with a name of {length} characters. {NAME_RULE} {cure}, or rename it.",
            names.len(),
            entry.id,
            entry.name,
            first + 1,
        ));
    }
    let mut seen = BTreeSet::new();
    for name in names.iter().filter(|name| !is_invalid(name)) {
        if !seen.insert(name) {
            problems.push(format!("\"{name}\" is there twice. Rename one of them."));
        }
        let folders = name::folders(name).filter(|folder| known.contains(folder));
        problems.extend(
            folders.map(|folder| format!("\"{folder}\" and \"{name}\": one name cannot be the folder of another.")),
        );
    }
    tell(problems)
}

fn tell(mut problems: Vec<String>) -> Result<(), Failure> {
    if problems.is_empty() {
        return Ok(());
    }
    if problems.len() > PROBLEMS_AT_MOST {
        let more = problems.len() - PROBLEMS_AT_MOST;
        problems.truncate(PROBLEMS_AT_MOST);
        problems.push(format!("There are {more} more."));
    }
    Err(failure("InvalidName", problems.join(" ")))
}

/// A string is published as its text, everything else as the JSON that stands in the secret.
fn member(name: String, field: &str, value: &str, answer: &Answer) -> Fetched {
    let value = json::string(value)
        .map_or_else(|| SecretBytes::from(value.as_bytes()), |text| SecretBytes::from(text.into_bytes()));
    let mut source = answer.source.clone();
    source.field = Some(field.to_owned());
    Fetched { name, value, encoding: "utf-8", source, fetched_at: answer.fetched_at }
}

/// Gives each member of a JSON object as the text it stands as, so that no number is rewritten.
fn members<'a>(entry: &Entry, answer: &'a Answer) -> Result<Vec<(String, &'a str)>, Failure> {
    match json::members(answer.value.as_bytes()) {
        Ok(Some(members)) => Ok(members),
        Ok(None) => Err(failure(
            "NotAnObject",
            format!("{} is not a JSON object, so it has no members to take. Correct the secret.", entry.id),
        )),
        Err(NotJson) => Err(failure(
            "NotJson",
            format!("{} is not valid JSON, which `field` and `expand` need. Correct the secret.", entry.id),
        )),
    }
}
