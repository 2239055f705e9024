//! manifest.json: what one generation holds (contract §4). It reads and writes text, not files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::error::{Error, MAX_BYTES, Result};
use crate::json::{self, Json, quote};
use crate::name;
use crate::state::{Failure, Failures};
use crate::time;

const FORMAT: &str = "keystart.manifest/1";

/// The writer's name and version, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Such as `keystart-extension`.
    pub name: String,
    /// Such as `0.1.0`.
    pub version: String,
}

/// What the manifest tells of one secret, but its size. Times are not checked here (contract 6.5.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    encoding: &'static str,
    pub fetched_at: String,
    pub refresh_after: Option<String>,
    source: Json,
}

impl Entry {
    /// Reads the members that a writer gives for one secret; the error is the first member that is wrong.
    pub fn from_json(value: &Json) -> std::result::Result<Self, &'static str> {
        let encoding = match value.get("encoding").and_then(Json::as_str) {
            Some("utf-8") => "utf-8",
            Some("binary") => "binary",
            _ => return Err(".encoding"),
        };
        let fetched_at = value.get("fetched_at").and_then(Json::as_str).ok_or(".fetched_at")?.to_owned();
        let refresh_after = match value.get("refresh_after") {
            Some(Json::Null) => None,
            other => Some(other.and_then(Json::as_str).ok_or(".refresh_after")?.to_owned()),
        };
        let source = value.get("source").filter(|source| source.as_object().is_some()).ok_or(".source")?;
        let is_text = |member| source.get(member).is_some_and(|value| value.as_str().is_some());
        if !is_text("provider") {
            return Err(".source.provider");
        }
        if !is_text("id") {
            return Err(".source.id");
        }
        Ok(Self { encoding, fetched_at, refresh_after, source: source.clone() })
    }

    /// The first member that is no time by contract 4.3, if there is one.
    pub fn wrong_time(&self) -> Option<&'static str> {
        if time::parse(&self.fetched_at).is_none() {
            return Some(".fetched_at");
        }
        self.refresh_after.as_ref().filter(|at| time::parse(at).is_none()).map(|_| ".refresh_after")
    }

    /// True when the secret should have been fetched again by now.
    pub fn is_stale(&self, now: i64) -> bool {
        self.refresh_after.as_deref().and_then(time::parse).is_some_and(|due| due <= now)
    }

    /// The members as they stand in the manifest, without the braces around them.
    pub fn members(&self, name: &str, size: usize) -> String {
        let path = quote(&format!("secrets/{name}"));
        let refresh_after = self.refresh_after.as_deref().map_or_else(|| "null".to_owned(), quote);
        format!(
            r#""path": {path}, "size": {size}, "encoding": "{}", "fetched_at": {}, "refresh_after": {refresh_after}, "source": {}"#,
            self.encoding,
            quote(&self.fetched_at),
            self.source,
        )
    }
}

/// One secret of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Secret {
    pub size: usize,
    pub entry: Entry,
}

/// A valid manifest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub generation: u64,
    pub secrets: BTreeMap<String, Secret>,
    pub unavailable: Failures,
}

impl Manifest {
    /// Reads and checks the manifest of a generation, in the order of contract 4.7.
    pub fn parse(bytes: &[u8], generation: u64) -> Result<Self> {
        let invalid = |what: &str| Error::manifest_invalid(generation, what);
        let wrong = |member: &str| Error::manifest_invalid(generation, &format!("{member} is missing or wrong"));

        let document = json::parse(bytes).map_err(|_| invalid("manifest.json is not JSON"))?;
        if document.as_object().is_none() {
            return Err(invalid("manifest.json is not an object"));
        }
        let text = |member: &str| document.get(member).and_then(Json::as_str);
        let format = text("format").ok_or_else(|| wrong("format"))?;
        if format != FORMAT {
            return Err(Error::manifest_unsupported(generation, format));
        }
        if document.get("generation").and_then(Json::as_whole) != Some(generation) {
            return Err(wrong("generation"));
        }
        text("published_at").ok_or_else(|| wrong("published_at"))?;
        let object = |member: &str| document.get(member).and_then(Json::as_object).ok_or_else(|| wrong(member));
        let writer = object("writer")?;
        for member in ["name", "version"] {
            writer.get(member).and_then(Json::as_str).ok_or_else(|| wrong(&format!("writer.{member}")))?;
        }

        let mut secrets = BTreeMap::new();
        for (name, value) in object("secrets")? {
            if !name::is_valid(name.as_bytes()) {
                return Err(invalid("a name under secrets is not valid"));
            }
            let secret = Secret::from_json(name, value).map_err(|m| wrong(&format!("secrets[\"{name}\"]{m}")))?;
            secrets.insert(name.clone(), secret);
        }
        let mut unavailable = BTreeMap::new();
        for (name, value) in object("unavailable")? {
            if !name::is_valid(name.as_bytes()) {
                return Err(invalid("a name under unavailable is not valid"));
            }
            let member = |m: &'static str| wrong(&format!("unavailable[\"{name}\"]{m}"));
            value.as_object().ok_or_else(|| member(""))?;
            value.get("code").and_then(Json::as_str).ok_or_else(|| member(".code"))?;
            let failure = Failure::from_json(value).ok_or_else(|| member(".message"))?;
            if secrets.contains_key(name) {
                return Err(invalid(&format!("\"{name}\" is under secrets and under unavailable")));
            }
            unavailable.insert(name.clone(), failure);
        }
        Ok(Self { generation, secrets, unavailable })
    }

    /// Finds a secret, or says why it is not there (contract 6.5.6).
    pub fn secret(&self, name: &str) -> Result<&Secret> {
        if let Some(secret) = self.secrets.get(name) {
            return Ok(secret);
        }
        for entry in std::iter::once(name).chain(name::folders(name)) {
            if let Some(failure) = self.unavailable.get(entry) {
                return Err(Error::secret_unavailable(name, entry, failure));
            }
        }
        let nearest = name::nearest(name, self.secrets.keys().map(String::as_str));
        Err(Error::secret_not_found(name, &nearest))
    }

    /// Writes the document, one secret a line, or refuses one that readers would refuse.
    pub fn to_json(&self, writer: &Identity) -> Result<String> {
        let mut text = format!(
            "{{\n  \"format\": \"{FORMAT}\",\n  \"generation\": {},\n  \"published_at\": \"{}\",\n  \"writer\": {{\"name\": \
             {}, \"version\": {}}},\n  \"secrets\": {{",
            self.generation,
            time::format(time::now()),
            quote(&writer.name),
            quote(&writer.version),
        );
        for (i, (name, secret)) in self.secrets.iter().enumerate() {
            let members = secret.entry.members(name, secret.size);
            let _infallible = write!(text, "{}\n    {}: {{{members}}}", comma(i), quote(name));
        }
        text.push_str("\n  },\n  \"unavailable\": {");
        for (i, (name, failure)) in self.unavailable.iter().enumerate() {
            let _infallible = write!(text, "{}\n    {}: {}", comma(i), quote(name), failure.to_json());
        }
        text.push_str("\n  }\n}\n");
        if text.len() > MAX_BYTES {
            return Err(Error::manifest_too_large(self.secrets.len(), text.len()));
        }
        Ok(text)
    }
}

fn comma(index: usize) -> &'static str {
    if index == 0 { "" } else { "," }
}

impl Secret {
    fn from_json(name: &str, value: &Json) -> std::result::Result<Self, &'static str> {
        value.as_object().ok_or("")?;
        if value.get("path").and_then(Json::as_str) != Some(&format!("secrets/{name}")) {
            return Err(".path");
        }
        let size = value.get("size").and_then(Json::as_whole).and_then(|size| usize::try_from(size).ok());
        let size = size.filter(|size| *size <= MAX_BYTES).ok_or(".size")?;
        Ok(Self { size, entry: Entry::from_json(value)? })
    }
}

/// Every reason why the names cannot be in one store (contract 2.4), each on a line of its own.
pub(crate) fn conflicts(secrets: &[&str], unavailable: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for name in secrets.iter().chain(unavailable) {
        if !seen.insert(*name) {
            found.push(format!("\n  - \"{name}\" is there twice"));
        }
    }
    let stored: BTreeSet<&str> = secrets.iter().copied().collect();
    for name in &stored {
        for folder in name::folders(name).filter(|folder| stored.contains(folder)) {
            found.push(format!("\n  - \"{folder}\" is the folder of \"{name}\""));
        }
    }
    found
}
