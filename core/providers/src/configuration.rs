//! Reads the configurations that need no help: keystart.json, plain keystart.yaml, and what stands in `KEYSTART_SECRETS`.
//!
//! It takes what is surely right and leaves the rest to Python, which knows every form and tells what is wrong: a text
//! that is read here gives the plan that Python gives, and one with a problem is never read here.

mod reference;
pub mod variables;
mod yaml;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use keystart_store::json::{self, Json};
use keystart_store::name;

use crate::files;
use crate::regions::is_region;
use crate::{Entry, Kind, Plan};
use reference::Reference;

const DEFAULT_DEADLINE: Duration = Duration::from_secs(8);
const DEADLINES: std::ops::RangeInclusive<u64> = 100..=15 * 60_000;
const LARGEST_FILE: u64 = 256 * 1024;
const MAX_NAME: usize = 255;
const MAX_SEGMENTS: usize = 8;
/// Contract 4.5.
const LARGEST_MANIFEST: usize = 1_048_576;
/// The least that a manifest says of a secret, without its id and its name, which stands there twice; as in entries.py.
const SHORTEST_LINE: usize = 219;
/// What asks for what is done anyway.
const WITHOUT_EFFECT: [(&str, &str); 2] = [("ttl", "\"none\""), ("snapstart", "\"init\"")];

/// Whether the process registers before it fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Registers first, and fetches while the runtime starts.
    Overlap,
    /// Fetches and publishes first.
    Before,
}

/// Everything that a configuration says.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// When the process registers.
    pub start: Start,
    /// What it fetches.
    pub plan: Plan,
}

impl Configuration {
    /// The configuration of a process with these variables, in the order of docs/configuration.md.
    pub fn find(variable: impl Fn(&str) -> Option<OsString>, task_root: &Path) -> Option<Self> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        if let Some(named) = variable("KEYSTART_CONFIG") {
            return Self::from_file(Path::new(&named));
        }
        if let Some(value) = variable("KEYSTART_SECRETS") {
            return Self::inline(value.to_str()?);
        }
        let json = task_root.join("keystart.json");
        // Whatever lies there is the one that counts.
        let is_absent = fs::symlink_metadata(&json).is_err_and(|error| error.kind() == ErrorKind::NotFound);
        Self::from_file(&if is_absent { task_root.join("keystart.yaml") } else { json })
    }

    fn from_file(path: &Path) -> Option<Self> {
        let form = match path.extension()?.to_str()? {
            "json" => Self::document,
            "yaml" | "yml" => Self::yaml,
            _ => return None,
        };
        if !path.is_absolute() || !printable(path.to_str()?) {
            return None;
        }
        form(std::str::from_utf8(&files::read_at_most(path, LARGEST_FILE).ok()?).ok()?)
    }

    /// What keystart.json holds.
    pub fn document(text: &str) -> Option<Self> {
        let members = members(text)?;
        let member = |name: &str| members.iter().find(|member| member.0 == name).map(|member| member.1);
        let known = ["version", "start", "deadline", "region", "batch", "env_overwrite", "secrets"];
        let is_known = |(key, value): &(String, &str)| known.contains(&key.as_str()) || is_without_effect(key, value);
        if !members.iter().all(is_known) || member("version") != Some("1") {
            return None;
        }
        let start = match member("start").map(string) {
            None => Start::Overlap,
            Some(start) => match start?.as_str() {
                "overlap" => Start::Overlap,
                "before" => Start::Before,
                _ => return None,
            },
        };
        let deadline = match member("deadline") {
            None => DEFAULT_DEADLINE,
            Some(deadline) => duration(&string(deadline)?)?,
        };
        let region = match member("region") {
            None => None,
            Some(region) => Some(string(region).filter(|region| is_region(region))?),
        };
        let batch = member("batch").map_or(Some(false), boolean)?;
        let env_overwrite = member("env_overwrite").map_or(Some(false), boolean)?;
        let entries = entries(member("secrets")?, region.as_deref())?;
        Some(Self { start, plan: Plan { deadline, region, batch, entries, env_overwrite } })
    }

    /// What keystart.yaml holds.
    pub fn yaml(text: &str) -> Option<Self> {
        if text.lines().all(printable) { Self::document(&yaml::to_json(text)?) } else { None }
    }

    /// What `KEYSTART_SECRETS` holds: the mapping of secrets, or pairs.
    pub fn inline(value: &str) -> Option<Self> {
        let entries = if value.trim_start().starts_with('{') { entries(value, None)? } else { pairs(value)? };
        let plan = Plan { deadline: DEFAULT_DEADLINE, region: None, batch: false, entries, env_overwrite: false };
        Some(Self { start: Start::Overlap, plan })
    }

    /// As `keystart check --json` prints a plan, without the places of its entries.
    pub fn to_json(&self) -> Json {
        let start = match self.start {
            Start::Overlap => "overlap",
            Start::Before => "before",
        };
        let mut plan = self.plan.to_json();
        if let Json::Object(members) = &mut plan {
            members.insert("start".to_owned(), Json::Text(start.to_owned()));
        }
        plan
    }
}

fn entries(text: &str, region: Option<&str>) -> Option<Vec<Entry>> {
    let entries = members(text)?.into_iter().map(|(name, value)| match string(value) {
        Some(id) => short(name, &id, region),
        None => long(name, value, region),
    });
    checked(entries.collect::<Option<_>>()?)
}

fn pairs(value: &str) -> Option<Vec<Entry>> {
    if !printable(value) {
        return None;
    }
    let entries = value.split(',').map(|pair| {
        // The first "=" ends the name; ids may hold more of them.
        let (name, id) = pair.split_once('=')?;
        short(name.trim().to_owned(), id.trim(), None)
    });
    checked(entries.collect::<Option<_>>()?)
}

fn short(name: String, id: &str, region: Option<&str>) -> Option<Entry> {
    let Reference { kind, id, region: own, field, stage, version_id } = Reference::short(id)?;
    let region = own.or_else(|| region.map(str::to_owned));
    let (expand, role, optional, env) = (false, None, false, None);
    Some(Entry { name, kind, id, region, field, expand, stage, version_id, role, optional, env })
}

fn long(name: String, text: &str, region: Option<&str>) -> Option<Entry> {
    let (mut reference, mut expand, mut optional, mut only_for_secrets) = (None, false, false, false);
    let (mut field, mut stage, mut version_id, mut role, mut env) = (None, None, None, None, None);
    for (key, value) in members(text)? {
        only_for_secrets |= matches!(key.as_str(), "field" | "expand" | "stage" | "version_id");
        match key.as_str() {
            "secret" | "parameter" | "parameters" if reference.is_some() => return None,
            "secret" => reference = Some(Reference::secret(&string(value)?)?),
            "parameter" => reference = Some(Reference::parameter(&string(value)?)?),
            "parameters" => reference = Some(Reference::path(&string(value)?)?),
            "field" => field = Some(string(value)?),
            "expand" => expand = boolean(value)?,
            "stage" => stage = Some(string(value).filter(|stage| reference::is_stage(stage))?),
            "version_id" => version_id = Some(string(value).filter(|id| reference::is_version_id(id))?),
            "role" => role = Some(string(value).filter(|role| reference::is_role(role))?),
            "optional" => optional = boolean(value)?,
            "env" => env = Some(string(value).filter(|env| variables::is_allowed(env))?),
            "ttl" if is_without_effect("ttl", value) => {}
            _ => return None,
        }
    }
    let reference = reference?;
    if only_for_secrets && reference.kind != Kind::Secret {
        return None;
    }
    Some(Entry {
        name,
        kind: reference.kind,
        id: reference.id,
        region: reference.region.or_else(|| region.map(str::to_owned)),
        field: one(field, reference.field)?,
        expand,
        stage: one(stage, reference.stage)?,
        version_id: one(version_id, reference.version_id)?,
        role,
        optional,
        env,
    })
}

/// What the key says or the reference does; `None` when both do.
#[expect(clippy::option_option, reason = "the outer one is for what is not read here")]
fn one(explicit: Option<String>, referred: Option<String>) -> Option<Option<String>> {
    if explicit.is_some() && referred.is_some() { None } else { Some(explicit.or(referred)) }
}

/// Checks entries in themselves and their names against each other.
fn checked(entries: Vec<Entry>) -> Option<Vec<Entry>> {
    let is_folder = |entry: &Entry| entry.expand || entry.kind == Kind::Parameters;
    let files: BTreeSet<&str> =
        entries.iter().filter(|entry| !is_folder(entry)).map(|entry| entry.name.as_str()).collect();
    let names: BTreeSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let variables: Vec<&String> = entries.iter().filter_map(|entry| entry.env.as_ref()).collect();
    let is_sound = |entry: &Entry| {
        let name = entry.name.as_str();
        let leaves_room = name.split('/').count() < MAX_SEGMENTS && name.len() <= MAX_NAME - 2;
        let two_versions = entry.stage.is_some() && entry.version_id.is_some();
        let one_and_each = entry.expand && entry.field.is_some();
        let lies_inside = name::folders(name).any(|folder| files.contains(folder));
        let is_wrong_folder = is_folder(entry) && (!leaves_room || entry.env.is_some());
        let contradicts = two_versions || one_and_each || lies_inside || is_wrong_folder;
        name::is_valid(name.as_bytes()) && !contradicts
    };
    let differ = names.len() == entries.len() && variables.iter().collect::<BTreeSet<_>>().len() == variables.len();
    let line = |entry: &Entry| SHORTEST_LINE + 2 * entry.name.len() + entry.id.len();
    let least: usize = entries.iter().filter(|entry| !entry.optional).map(line).sum();
    let sound = !entries.is_empty() && differ && least <= LARGEST_MANIFEST && entries.iter().all(is_sound);
    sound.then_some(entries)
}

/// The members of an object, none of them twice.
fn members(text: &str) -> Option<Vec<(String, &str)>> {
    let members = json::every_member(text.as_bytes()).ok()??;
    let names: BTreeSet<&str> = members.iter().map(|member| member.0.as_str()).collect();
    let differ = names.len() == members.len();
    differ.then_some(members)
}

fn string(text: &str) -> Option<String> {
    json::string(text).filter(|text| !text.is_empty() && printable(text))
}

fn boolean(text: &str) -> Option<bool> {
    text.parse().ok()
}

fn is_without_effect(key: &str, value: &str) -> bool {
    WITHOUT_EFFECT.contains(&(key, value))
}

/// Of what else there is Python decides whether it may stand in a configuration.
fn printable(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

fn duration(text: &str) -> Option<Duration> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = &text[..text.len() - unit.len()];
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return None,
    };
    let number: u64 = digits.parse().ok().filter(|_| digits.len() <= 9)?;
    DEADLINES.contains(&(number * factor)).then(|| Duration::from_millis(number * factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)], task_root: &Path) -> Option<Vec<String>> {
        let variable = |name: &str| variables.iter().find(|one| one.0 == name).map(|one| one.1.into());
        let found = Configuration::find(variable, task_root)?;
        Some(found.plan.entries.into_iter().map(|entry| entry.id).collect())
    }

    #[test]
    fn each_place_is_looked_at_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, id: &str| {
            let path = folder.path().join(name);
            fs::write(&path, format!(r#"{{"version": 1, "secrets": {{"db": "{id}"}}}}"#)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let root = folder.path();
        assert_eq!(found(&[], root), None);
        fs::write(root.join("keystart.yaml"), "version: 1\nsecrets:\n  db: yaml\n").unwrap();
        assert_eq!(found(&[], root), Some(vec!["yaml".to_owned()]));
        let json = root.join("keystart.json");
        std::os::unix::fs::symlink("absent", &json).unwrap();
        assert_eq!(found(&[], root), None);
        fs::remove_file(json).unwrap();
        write("keystart.json", "task");
        let named = write("named.json", "named");
        let inline = ("KEYSTART_SECRETS", "db=inline");
        assert_eq!(found(&[], root), Some(vec!["task".to_owned()]));
        assert_eq!(found(&[inline], root), Some(vec!["inline".to_owned()]));
        assert_eq!(found(&[("KEYSTART_CONFIG", ""), inline], root), Some(vec!["inline".to_owned()]));
        assert_eq!(found(&[("KEYSTART_CONFIG", &named), inline], root), Some(vec!["named".to_owned()]));
    }

    #[test]
    fn what_is_no_file_of_its_own_is_left_to_python() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"version": 1, "secrets": {"db": "x"}}"#;
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            found(&[("KEYSTART_CONFIG", path.to_str().unwrap())], folder.path())
        };
        assert!(file("good.json", text).is_some());
        assert!(file("good.toml", text).is_none());
        assert!(file("large.json", &format!("{text}{}", " ".repeat(256 * 1024))).is_none());
        assert!(found(&[("KEYSTART_CONFIG", "good.json")], folder.path()).is_none());
        assert!(found(&[("KEYSTART_CONFIG", folder.path().to_str().unwrap())], folder.path()).is_none());
    }
}
