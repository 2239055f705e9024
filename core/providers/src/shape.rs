//! Turns values from the services into named secrets: `field`, `expand`, and the parameters below a path.
//!
//! It knows the names before anything is written, so it refuses every illegal one (contract §2).

use std::collections::BTreeSet;

use crate::provider::{Encoding, SecretValue, Source};
use crate::{Entry, FetchedSecret, Outcome};
use keystart_store::Failure;
use keystart_store::SecretBytes;
use keystart_store::error::{Error, MAX_BYTES, NAME_RULE, quoted};
use keystart_store::json::{self, NotJson};
use keystart_store::name;

/// How many wrong names of one entry a message lists: state.json must hold all of them.
const PROBLEMS_AT_MOST: usize = 50;

/// Returns the value of an entry under its name, or the members that `field` or `expand` take from it.
pub(crate) fn secret(entry: &Entry, value: SecretValue) -> Outcome {
    if entry.field.is_none() && !entry.expand {
        return Ok(vec![FetchedSecret::whole(&entry.name, value)]);
    }
    let members = members(entry, &value)?;
    if let Some(field) = &entry.field {
        let Some((_, text)) = members.iter().find(|(member, _)| member == field) else {
            // Only a valid name is certainly no secret that was pasted here.
            let shown = if name::is_valid(field.as_bytes()) {
                quoted(field.as_bytes())
            } else {
                format!("with the {} characters of `field`", field.chars().count())
            };
            let message = format!("{} has no member {shown}. Correct `field` or the secret.", entry.id);
            return Err(Failure::new("FieldNotFound", message));
        };
        return Ok(vec![member(entry.name.clone(), field, text, &value)]);
    }
    if members.is_empty() {
        return Err(Failure::new(
            "NothingToExpand",
            format!("{} is an object without members. Correct the secret.", entry.id),
        ));
    }
    let names: Vec<String> = members.iter().map(|(member, _)| format!("{}/{member}", entry.name)).collect();
    check_names(entry, "member", &names)?;
    let both = members.iter().zip(names);
    Ok(both.map(|((field, text), name)| member(name, field, text, &value)).collect())
}

/// Returns each secret of a folder as `<entry>/<its own name>`. `noun` is what messages call one of them.
pub(crate) fn folder(entry: &Entry, noun: &str, found: Vec<(String, SecretValue)>) -> Outcome {
    let named = |(name, value)| FetchedSecret::whole(&format!("{}/{name}", entry.name), value);
    let secrets: Vec<FetchedSecret> = found.into_iter().map(named).collect();
    check_names(entry, noun, &secrets.iter().map(|secret| secret.name.clone()).collect::<Vec<_>>())?;
    Ok(secrets)
}

/// Returns the secrets of `entry`, unless their names equal or nest with other entries (contract 2.4).
///
/// Only an entry below the folder of `entry` can conflict: `tls/ca` with an expanded `tls`.
pub(crate) fn check_conflicts(entry: &Entry, secrets: Vec<FetchedSecret>, others: &[&str]) -> Outcome {
    let folder = format!("{}/", entry.name);
    let below: BTreeSet<&str> = others.iter().copied().filter(|other| other.starts_with(&folder)).collect();
    let around: BTreeSet<&str> = below.iter().flat_map(|other| name::folders(other)).collect();
    let in_the_way = |name: &str| {
        below.contains(name) || around.contains(name) || name::folders(name).any(|folder| below.contains(folder))
    };
    let problems = secrets.iter().filter(|secret| in_the_way(&secret.name)).map(|secret| {
        format!("\"{}\" is in the way of another entry, or another entry of it. Rename one of them.", secret.name)
    });
    refuse_names(problems.collect())?;
    Ok(secrets)
}

/// Returns the secrets of `entry`, unless one cannot be stored, or cannot go into the variable of
/// an optional entry. Here the fault fails this entry alone; in the draft or the exec wrapper it
/// would end the start.
pub(crate) fn check_values(entry: &Entry, secrets: Vec<FetchedSecret>) -> Outcome {
    for secret in &secrets {
        let value = secret.value.as_bytes();
        if value.len() > MAX_BYTES {
            let message = Error::value_too_large(&secret.name, value.len()).message().to_owned();
            return Err(Failure::new("SecretTooLarge", message));
        }
        let variable = entry.env.as_ref().filter(|_| entry.optional && value.contains(&0));
        if let Some(variable) = variable {
            let message = format!(
                "The secret \"{}\" holds a NUL byte, which no variable can: {variable} cannot be set. Remove its env: and \
                 read it as bytes.",
                secret.name
            );
            return Err(Failure::new("NoVariable", message));
        }
    }
    Ok(secrets)
}

/// Refuses all illegal, equal and nested names together: below the path `/`, `flag` and `/flag` are
/// one name. An illegal name comes from the fetched value and may be a secret, so the message
/// describes it.
fn check_names(entry: &Entry, what: &str, names: &[String]) -> Result<(), Failure> {
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
    refuse_names(problems)
}

fn refuse_names(mut problems: Vec<String>) -> Result<(), Failure> {
    if problems.is_empty() {
        return Ok(());
    }
    if problems.len() > PROBLEMS_AT_MOST {
        let more = problems.len() - PROBLEMS_AT_MOST;
        problems.truncate(PROBLEMS_AT_MOST);
        problems.push(format!("There are {more} more."));
    }
    Err(Failure::new("InvalidName", problems.join(" ")))
}

/// Returns a member as a secret: a string as its text, everything else as the JSON in the secret.
fn member(name: String, field: &str, text: &str, whole: &SecretValue) -> FetchedSecret {
    let value = json::string(text)
        .map_or_else(|| SecretBytes::from(text.as_bytes()), |text| SecretBytes::from(text.into_bytes()));
    let source = Source { field: Some(field.to_owned()), ..whole.source.clone() };
    FetchedSecret { name, value, encoding: Encoding::Text, source, fetched_at: whole.fetched_at }
}

/// Returns each member of a JSON object as its original text, so that no number is rewritten.
fn members<'a>(entry: &Entry, value: &'a SecretValue) -> Result<Vec<(String, &'a str)>, Failure> {
    match json::members(value.bytes.as_bytes()) {
        Ok(Some(members)) => Ok(members),
        Ok(None) => Err(Failure::new(
            "NotAnObject",
            format!("{} is not a JSON object, so it has no members to take. Correct the secret.", entry.id),
        )),
        Err(NotJson) => Err(Failure::new(
            "NotJson",
            format!("{} is not valid JSON, which `field` and `expand` need. Correct the secret.", entry.id),
        )),
    }
}
