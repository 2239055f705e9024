//! Turns values from the services into named secrets: `field`, `expand`, and the parameters below a path.
//!
//! It knows the names before anything is written, so it refuses every illegal one (contract §2).

use std::collections::{BTreeMap, BTreeSet};

use crate::pointer;
use crate::provider::{Encoding, SecretValue, Source};
use crate::{Entry, FetchedSecret, Outcome};
use keystart_store::Failure;
use keystart_store::SecretBytes;
use keystart_store::errors::{Error, MAX_BYTES, NAME_RULE};
use keystart_store::json::{self, NotJson};
use keystart_store::name;

/// How many wrong names of one entry a message lists: state.json must hold all of them.
const PROBLEMS_AT_MOST: usize = 50;

/// Returns the value of an entry under its name, or the members that `field` or `expand` take from it.
pub(crate) fn secret(entry: &Entry, value: SecretValue, warnings: &mut Vec<String>) -> Outcome {
    if entry.field.is_none() && !entry.expand {
        return Ok(vec![FetchedSecret::whole(&entry.name, value)]);
    }
    let members = members(entry, &value)?;
    if let Some(field) = &entry.field {
        let text = pointer::find(&members, field)
            .ok_or_else(|| Failure::new("FieldNotFound", pointer::not_found(&entry.id, field, &members)))?;
        return Ok(vec![member(entry.name.clone(), field, text, &value)]);
    }
    let names: Vec<&str> = members.iter().map(|(member, _)| member.as_str()).collect();
    let taken = choose(entry, "member", &names, warnings)?;
    Ok(taken.into_iter().map(|(at, name)| member(name, &members[at].0, members[at].1, &value)).collect())
}

/// Returns each secret of a folder as `<entry>/<its own name>`. `noun` is what messages call one of them.
pub(crate) fn folder(
    entry: &Entry,
    noun: &str,
    found: Vec<(String, SecretValue)>,
    warnings: &mut Vec<String>,
) -> Outcome {
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let mut taken: BTreeMap<usize, String> = choose(entry, noun, &names, warnings)?.into_iter().collect();
    let values = found.into_iter().map(|(_, value)| value).enumerate();
    Ok(values.filter_map(|(at, value)| Some(FetchedSecret::whole(&taken.remove(&at)?, value))).collect())
}

/// Returns what an entry takes of several members: the place of each, and the name that it is published under.
///
/// A member without a valid name, and one that is the folder of another, is skipped with a warning,
/// unless the configuration asks for it (contract 2.6).
fn choose(
    entry: &Entry,
    noun: &str,
    members: &[&str],
    warnings: &mut Vec<String>,
) -> Result<Vec<(usize, String)>, Failure> {
    let (id, selection) = (&entry.id, &entry.selection);
    refuse_missing(entry, noun, members)?;
    let named = members.iter().enumerate().filter_map(|(at, member)| Some((at, selection.name_of(member)?)));
    let mut taken: Vec<(usize, String)> = named.map(|(at, name)| (at, format!("{}/{name}", entry.name))).collect();
    if taken.is_empty() {
        let what = if members.is_empty() {
            "is an object without members. Correct the secret."
        } else {
            "has only what `except` names. Correct the configuration."
        };
        return Err(Failure::new("NothingToExpand", format!("{id} {what}")));
    }
    let asked: BTreeSet<&str> = selection.asked_for().collect();
    let is_asked = |at: usize| asked.contains(members[at]);
    let (valid, wrong): (Vec<_>, Vec<_>) = taken.iter().cloned().partition(|(_, name)| name::is_valid(name.as_bytes()));
    if valid.is_empty() || wrong.iter().any(|(at, _)| is_asked(*at)) {
        let all: Vec<String> = taken.into_iter().map(|(_, name)| name).collect();
        return check_names(entry, noun, &all).map(|()| Vec::new());
    }
    let mut skipped = nested(&valid, is_asked, noun);
    skipped.extend(wrong.iter().map(|(at, name)| {
        let length = name.chars().count() - entry.name.chars().count() - 1;
        let why = format!("its name of {length} characters is not valid below \"{}\"", entry.name);
        (*at, format!("{noun} {} of {id} is skipped: {why}.", at + 1))
    }));
    taken.retain(|(at, _)| !skipped.contains_key(at));
    check_names(entry, noun, &taken.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>())?;
    let cure = "Take it with `rename`, or leave it out with `except`.";
    warnings.extend(skipped.values().take(PROBLEMS_AT_MOST).map(|what| format!("The {what} {cure}")));
    if skipped.len() > PROBLEMS_AT_MOST {
        let more = skipped.len() - PROBLEMS_AT_MOST;
        warnings.push(format!("There are {more} more {noun}s of {id} that are skipped."));
    }
    Ok(taken)
}

/// Returns which of these to skip because one name cannot be the folder of another, and why, by their
/// places. The folder goes, unless the configuration names it alone.
fn nested(taken: &[(usize, String)], is_asked: impl Fn(usize) -> bool, noun: &str) -> BTreeMap<usize, String> {
    let places: BTreeMap<&str, usize> = taken.iter().map(|(at, name)| (name.as_str(), *at)).collect();
    let mut skipped = BTreeMap::new();
    for (at, name) in taken {
        for (outer, folder) in name::folders(name).filter_map(|outer| Some((outer, *places.get(outer)?))) {
            let (gone, one, is, other) = match (is_asked(folder), is_asked(*at)) {
                (true, true) => continue,
                (true, false) => (*at, name.as_str(), "lies inside", outer),
                (false, _) => (folder, outer, "is the folder of", name.as_str()),
            };
            skipped.entry(gone).or_insert_with(|| format!("{noun} \"{one}\" is skipped: it {is} \"{other}\"."));
        }
    }
    skipped
}

/// Refuses a configuration that names members which do not exist.
fn refuse_missing(entry: &Entry, noun: &str, members: &[&str]) -> Result<(), Failure> {
    let missing: Vec<&str> = entry.selection.asked_for().filter(|asked| !members.contains(asked)).collect();
    let Some(first) = missing.first() else { return Ok(()) };
    let code = if entry.expand { "FieldNotFound" } else { "ParameterNotFound" };
    let count = match missing.len() {
        1 => String::new(),
        count => format!(" and {} more that `only` and `rename` name", count - 1),
    };
    let shown = pointer::shown(first, "`only` or `rename`");
    let message = format!("{} has no {noun} {shown}{count}. Correct the configuration or the secret.", entry.id);
    Err(Failure::new(code, message))
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
        problems.push(format!(
            "{count} of {} {what}s of {} cannot be published below \"{}\", because their names are not valid there. \
             The first is {what} {}, with a name of {length} characters. {NAME_RULE} Take each under a valid name with `rename`.",
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
