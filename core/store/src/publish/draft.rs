//! Drafts: what a writer publishes next. They are in memory only.

use std::collections::{BTreeMap, BTreeSet};

use crate::errors::{Error, MAX_BYTES, Result};
use crate::failures::Failure;
use crate::json::Json;
use crate::manifest::{self, Entry, Manifest, Secret};
use crate::name;
use crate::publish::Writer;
use crate::secret::SecretBytes;

/// The values to publish, and the optional entries that could not be fetched.
#[derive(Debug, Default)]
pub struct Draft {
    pub(super) secrets: Vec<DraftSecret>,
    pub(super) unavailable: Vec<(String, Failure)>,
    pub(super) env: BTreeMap<String, Json>,
    pub(super) covered: BTreeSet<String>,
    pub(super) refresh_after: Option<i64>,
    pub(super) retry_after: Option<i64>,
}

#[derive(Debug)]
pub(super) struct DraftSecret {
    pub name: String,
    pub value: SecretBytes,
    pub entry: Entry,
}

impl Draft {
    /// Makes an empty draft.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a secret. `entry` holds `encoding`, `fetched_at`, `refresh_after` and `source`, as in the manifest.
    pub fn add(&mut self, name: impl AsRef<[u8]>, value: SecretBytes, entry: &Json) -> Result<()> {
        let name = name::check(name.as_ref())?;
        let size = value.as_bytes().len();
        if size > MAX_BYTES {
            return Err(Error::value_too_large(name, size));
        }
        let entry = Entry::from_json(entry).map_err(|member| Error::invalid_entry(name, member))?;
        if let Some(member) = entry.wrong_time() {
            return Err(Error::invalid_entry(name, member));
        }
        self.secrets.push(DraftSecret { name: name.to_owned(), value, entry });
        Ok(())
    }

    /// Lists an entry that could not be fetched. A publish lists it in the manifest, a refresh in freshness.json.
    pub fn mark_unavailable(&mut self, name: impl AsRef<[u8]>, failure: Failure) -> Result<()> {
        let name = name::check(name.as_ref())?;
        self.unavailable.push((name.to_owned(), failure));
        Ok(())
    }

    /// Notes that the draft has all that an entry of the configuration brings. A refresh replaces
    /// the secrets of these entries, and keeps all others.
    pub fn cover(&mut self, entry: impl AsRef<[u8]>) -> Result<()> {
        self.covered.insert(name::check(entry.as_ref())?.to_owned());
        Ok(())
    }

    /// Sets when entries are fetched again: those that the draft has, and those that failed. Times are
    /// milliseconds since 1970. A publish without the first time writes no freshness.json.
    pub fn schedule(&mut self, refresh_after: Option<i64>, retry_after: Option<i64>) {
        (self.refresh_after, self.retry_after) = (refresh_after, retry_after);
    }

    /// Assigns a secret to a variable, which the exec wrapper sets (contract 4.9).
    pub fn assign(&mut self, variable: &str, secret: impl AsRef<[u8]>, overwrite: bool) -> Result<()> {
        let secret = name::check(secret.as_ref())?;
        if !manifest::is_variable(variable) || self.env.contains_key(variable) {
            return Err(Error::internal("a variable is assigned twice, or its name is not valid"));
        }
        let members = [("secret", Json::Text(secret.to_owned())), ("overwrite", Json::Bool(overwrite))];
        let members = members.map(|(member, value)| (member.to_owned(), value));
        self.env.insert(variable.to_owned(), Json::Object(members.into()));
        Ok(())
    }

    /// Publishes the draft and returns the number of its generation. It reports a fault of the
    /// draft before it writes anything.
    pub fn publish(&self, writer: &mut Writer) -> Result<u64> {
        writer.publish(self)
    }

    pub(super) fn manifest(&self, generation: u64) -> Result<Manifest> {
        let names: Vec<&str> = self.secrets.iter().map(|added| added.name.as_str()).collect();
        let missing: Vec<&str> = self.unavailable.iter().map(|(name, _)| name.as_str()).collect();
        let conflicts = manifest::conflicts(&names, &missing);
        if !conflicts.is_empty() {
            return Err(Error::name_conflict(&conflicts.concat()));
        }
        let secret = |added: &DraftSecret| {
            (added.name.clone(), Secret { size: added.value.as_bytes().len(), entry: added.entry.clone() })
        };
        let secrets: BTreeMap<String, Secret> = self.secrets.iter().map(secret).collect();
        let unavailable = self.unavailable.iter().cloned().collect();
        let env = (!self.env.is_empty()).then(|| Json::Object(self.env.clone()));
        Ok(Manifest { generation, secrets, unavailable, env, max_stale: None })
    }
}
