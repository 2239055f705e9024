//! A refresh: the next generation from the one before and what was fetched again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rustix::fs::FileType;
use zeroize::Zeroizing;

use crate::errors::{Error, Result};
use crate::failpoint;
use crate::failures::Failure;
use crate::files::SECRETS;
use crate::folder::{Facts, Folder, FolderResult};
use crate::freshness::Check;
use crate::inventory::Stage;
use crate::json::Json;
use crate::manifest::{self, Manifest, Secret};
use crate::name;
use crate::publish::draft::DraftSecret;
use crate::publish::{Draft, Origin, Writer};
use crate::secret::SecretBytes;
use crate::time;

/// What a writer must know of a configuration to refresh what it published.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    /// The names of all entries, and whether a refresh can find new values for them. A secret
    /// belongs to the longest name that is its own or a folder of it.
    pub entries: BTreeMap<String, bool>,
    /// The age at which readers refuse a value.
    pub max_stale: Option<Duration>,
}

/// The result of a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefreshResult {
    /// A new generation is published.
    Published {
        /// Its number.
        generation: u64,
        /// The names of the secrets that are new, gone, or of another version.
        changed: Vec<String>,
    },
    /// No value and no name has changed, so nothing is published.
    Unchanged,
    /// Nothing is published: the files of these entries are not the writer's any more. Fetch the
    /// entries, add them to the draft, and refresh again.
    Lost(Vec<String>),
}

/// What a generation will hold.
pub(super) struct Contents<'a> {
    pub manifest: Manifest,
    /// The files by the names of their secrets.
    pub files: Vec<(String, File<'a>)>,
}

/// The generation before with other secrets for some entries.
pub(super) struct Merge<'a> {
    pub contents: Contents<'a>,
    /// The names of the secrets that are new, gone, or of another version, sorted.
    pub changed: Vec<String>,
}

/// Where the bytes of a file come from.
pub(super) enum File<'a> {
    New(&'a SecretBytes),
    /// The same name in the generation before.
    Kept {
        generation: u64,
        size: usize,
    },
}

impl Contents<'_> {
    /// Refuses names of which one would be the folder of another.
    pub fn check_names(&self) -> Result<()> {
        let names: Vec<&str> = self.manifest.secrets.keys().map(String::as_str).collect();
        let missing: Vec<&str> = self.manifest.unavailable.keys().map(String::as_str).collect();
        let conflicts = manifest::conflicts(&names, &missing);
        if conflicts.is_empty() { Ok(()) } else { Err(Error::name_conflict(&conflicts.concat())) }
    }

    pub fn names(&self) -> Vec<String> {
        self.files.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Writes or links all files into a new generation.
    pub fn write(&self, generations: &Folder, generation: &Folder) -> FolderResult<()> {
        let secrets = generation.create(SECRETS)?;
        for (name, file) in &self.files {
            let (folders, last) = split(name);
            let mut inner = None;
            for part in folders {
                inner = Some(inner.as_ref().unwrap_or(&secrets).open_or_create(part)?);
            }
            let folder = inner.as_ref().unwrap_or(&secrets);
            match file {
                File::New(value) => folder.write_new(last, value.as_bytes())?,
                File::Kept { generation, size } => {
                    keep(&open_folder(generations, *generation, name)?, folder, last, *size)?;
                }
            }
        }
        Ok(())
    }
}

/// Returns the files of these secrets in a generation.
pub(super) fn kept<'a>(generation: u64, secrets: &BTreeMap<String, Secret>) -> Vec<(String, File<'a>)> {
    let file = |(name, secret): (&String, &Secret)| (name.clone(), File::Kept { generation, size: secret.size });
    secrets.iter().map(file).collect()
}

pub(super) fn split(name: &str) -> (impl Iterator<Item = &str>, &str) {
    let (folders, last) = name.rsplit_once('/').map_or((None, name), |(above, last)| (Some(above), last));
    (folders.into_iter().flat_map(|folders| folders.split('/')), last)
}

/// Opens the folder of a secret's file in a generation.
pub(super) fn open_folder(generations: &Folder, generation: u64, name: &str) -> FolderResult<Folder> {
    let mut folder = generations.open(Stage::Whole.name(generation).as_str())?.open(SECRETS)?;
    for part in split(name).0 {
        folder = folder.open(part)?;
    }
    Ok(folder)
}

/// Links a file into another folder, or copies it where the system refuses the link.
fn keep(from: &Folder, to: &Folder, name: &str, size: usize) -> FolderResult<()> {
    if !to.hard_link(from, name)? {
        return copy(from, to, name, size);
    }
    failpoint::reached("file linked");
    // It may have been replaced since it was looked at.
    let facts = to.facts(name)?;
    if facts.is_some_and(|facts| is_kept(&facts, size)) {
        return Ok(());
    }
    to.remove_file(name)?;
    Err(from.foreign(name, "was replaced"))
}

pub(super) fn copy(from: &Folder, to: &Folder, name: &str, size: usize) -> FolderResult<()> {
    to.write_new(name, &read(from, name, size)?)
}

fn is_kept(facts: &Facts, size: usize) -> bool {
    facts.kind == FileType::RegularFile && facts.is_ours() && usize::try_from(facts.size) == Ok(size)
}

impl Secret {
    /// Returns whether the draft has the same version of the same secret.
    pub(super) fn is_version_of(&self, added: &DraftSecret) -> bool {
        self.size == added.value.as_bytes().len() && self.entry.is_same(&added.entry)
    }
}

pub(super) fn read(folder: &Folder, name: &str, size: usize) -> FolderResult<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; size + 1]);
    let length = folder.read(name, &mut bytes)?;
    if length != size {
        return Err(folder.foreign(name, "was replaced"));
    }
    bytes.truncate(length);
    Ok(bytes)
}

impl Writer {
    /// Sets what a refresh must know of the configuration. Call it before the first publish.
    pub fn watch(&mut self, watch: Watch) {
        self.watch = watch;
    }

    /// Publishes the generation before with the secrets of the entries that the draft covers, if a
    /// value or a name has changed. It leaves out what the draft has of other entries.
    ///
    /// Files that did not change become hard links. The values are compared with the files, because
    /// the writer keeps none: a provider may use a version twice. A secret that did not change keeps
    /// its entry in the manifest, so that two generations differ in a name exactly if their entries do.
    /// An accepted version stays while the draft has the version in whose place it was published.
    /// freshness.json has the times of the check, and the failures that the draft lists.
    pub fn refresh(&mut self, draft: &Draft) -> Result<RefreshResult> {
        let number = self.next_number()?;
        let before = self.published_manifest()?;
        let staying = self.staying(draft);
        let covered: BTreeSet<String> = draft.covered.difference(&staying).cloned().collect();
        let lost = self.lost(before, &covered);
        if !lost.is_empty() {
            // The accepted version is gone, so the fetched one must take its place.
            if self.forget_accepted(lost.intersection(&staying)) {
                return self.refresh(draft);
            }
            return Ok(RefreshResult::Lost(lost.into_iter().collect()));
        }
        let Merge { contents, changed } = self.merge(draft, number, &covered)?;
        let manifest = if changed.is_empty() { before } else { &contents.manifest };
        let checks = self.checks(draft, manifest, |entry| draft.covered.contains(entry));
        if changed.is_empty() {
            self.note(before.generation, checks).map_err(|denied| self.refusal(&denied))?;
            self.superseded.retain(|entry, _| !covered.contains(entry));
            return Ok(RefreshResult::Unchanged);
        }
        let generation =
            self.publish_contents(contents, Some(checks), Origin::Refresh { covered, changed: changed.clone() })?;
        Ok(RefreshResult::Published { generation, changed })
    }

    /// Returns the manifest of what is published.
    pub(super) fn published_manifest(&self) -> Result<&Manifest> {
        self.manifest.as_ref().ok_or_else(|| Error::internal("nothing is published to refresh"))
    }

    /// Returns the manifest of the next generation, if it had all that is published except for these entries.
    pub(super) fn published_without(&self, entries: &BTreeSet<String>, number: u64) -> Result<Manifest> {
        let mut manifest = Manifest { generation: number, ..self.published_manifest()?.clone() };
        manifest.secrets.retain(|name, _| !entries.contains(self.entry_of(name)));
        manifest.unavailable.retain(|name, _| !entries.contains(name));
        Ok(manifest)
    }

    /// Returns the entries that must be kept from a generation, and whose files are not the writer's any more.
    pub(super) fn lost(&self, before: &Manifest, covered: &BTreeSet<String>) -> BTreeSet<String> {
        let kept = before.secrets.iter().filter(|(name, _)| !covered.contains(self.entry_of(name)));
        let lost = kept.filter(|(name, secret)| !self.can_keep(before.generation, name, secret.size));
        lost.map(|(name, _)| self.entry_of(name).to_owned()).collect()
    }

    /// Combines what is published with the secrets that the draft has of some entries. The files of
    /// all other entries must be in place.
    pub(super) fn merge<'a>(&self, draft: &'a Draft, number: u64, covered: &BTreeSet<String>) -> Result<Merge<'a>> {
        let before = self.published_manifest()?;
        let is_covered = |name: &str| covered.contains(self.entry_of(name));
        let mut manifest = self.published_without(covered, number)?;
        let mut files: Vec<(String, File<'a>)> = kept(before.generation, &manifest.secrets);

        let mut new = draft.manifest(number)?;
        new.secrets.retain(|name, _| is_covered(name));
        let gone = before.secrets.keys().filter(|name| is_covered(name) && !new.secrets.contains_key(*name));
        let mut changed: Vec<String> = gone.cloned().collect();
        for added in draft.secrets.iter().filter(|added| is_covered(&added.name)) {
            let (name, size) = (added.name.as_str(), added.value.as_bytes().len());
            let is_same_value = self.has_value(before.generation, added);
            match before.secrets.get(name) {
                Some(known) if known.is_version_of(added) && is_same_value => {
                    new.secrets.insert(name.to_owned(), known.clone());
                }
                _ => changed.push(name.to_owned()),
            }
            let file = if is_same_value && self.can_keep(before.generation, name, size) {
                File::Kept { generation: before.generation, size }
            } else {
                File::New(&added.value)
            };
            files.push((name.to_owned(), file));
        }
        changed.sort_unstable();
        manifest.secrets.extend(new.secrets);
        manifest.env = variables(&manifest, draft);
        let contents = Contents { manifest, files };
        contents.check_names()?;
        Ok(Merge { contents, changed })
    }

    /// Returns whether a generation has the value of a secret in its file.
    pub(super) fn has_value(&self, generation: u64, added: &DraftSecret) -> bool {
        let expected = added.value.as_bytes();
        let bytes = open_folder(&self.generations, generation, &added.name)
            .and_then(|folder| read(&folder, split(&added.name).1, expected.len()));
        bytes.is_ok_and(|bytes| *bytes == *expected)
    }

    /// Returns what freshness.json says of the secrets in a manifest after what the draft brings.
    /// `is_fetched` says of which entries the draft has all.
    pub(super) fn checks(
        &self,
        draft: &Draft,
        manifest: &Manifest,
        is_fetched: impl Fn(&str) -> bool,
    ) -> BTreeMap<String, Check> {
        let now = time::now();
        let checked = draft.secrets.iter().map(|added| (self.entry_of(&added.name), added.entry.check()));
        let checked: BTreeMap<&str, Check> = checked.filter(|(entry, _)| is_fetched(entry)).collect();
        let failures: BTreeMap<&str, &Failure> =
            draft.unavailable.iter().map(|(name, failure)| (name.as_str(), failure)).collect();
        let check = |(name, secret): (&String, &Secret)| {
            let entry = self.entry_of(name);
            let mut check = match checked.get(entry) {
                Some(check) => Check { refresh_after: draft.refresh_after, ..check.clone() },
                None => self.freshness.secrets.get(name).cloned().unwrap_or_else(|| secret.entry.check()),
            };
            if let Some(failure) = failures.get(entry) {
                check.refresh_after = draft.retry_after;
                check.failure = Some(((*failure).clone(), now));
            }
            (name.clone(), self.limited(name, check))
        };
        manifest.secrets.iter().map(check).collect()
    }

    /// Sets what follows from the configuration in a check.
    pub(super) fn limited(&self, name: &str, check: Check) -> Check {
        let max_stale = self.watch.max_stale.and_then(|age| i64::try_from(age.as_millis()).ok());
        let can_become_due = self.watch.entries.get(self.entry_of(name)).copied().unwrap_or(false);
        Check {
            refresh_after: check.refresh_after.filter(|_| can_become_due),
            usable_until: max_stale.filter(|_| can_become_due).map(|age| check.checked_at.saturating_add(age)),
            ..check
        }
    }

    /// Returns the entry that a secret belongs to. A secret that belongs to none is its own.
    pub(super) fn entry_of<'a>(&self, name: &'a str) -> &'a str {
        owner(name, &self.watch.entries).unwrap_or(name)
    }

    /// Returns whether a file of a generation is still as this writer made it.
    pub(super) fn can_keep(&self, generation: u64, name: &str, size: usize) -> bool {
        let facts = open_folder(&self.generations, generation, name)
            .and_then(|folder| folder.facts(split(name).1))
            .unwrap_or(None);
        facts.is_some_and(|facts| is_kept(&facts, size))
    }
}

/// Returns the entry that a secret belongs to.
fn owner<'a>(name: &'a str, entries: &BTreeMap<String, bool>) -> Option<&'a str> {
    let folders: Vec<&str> = name::folders(name).collect();
    std::iter::once(name).chain(folders).filter(|entry| entries.contains_key(*entry)).max_by_key(|entry| entry.len())
}

/// Returns the variables of the secrets that are left, and new ones of the draft (contract 4.9).
fn variables(manifest: &Manifest, draft: &Draft) -> Option<Json> {
    let is_listed = |name: &str| manifest.secrets.contains_key(name) || manifest.unavailable.contains_key(name);
    let before = manifest.env.as_ref().and_then(Json::as_object).cloned().unwrap_or_default();
    let left = before.into_iter().filter(|(_, to)| to.get("secret").and_then(Json::as_str).is_some_and(is_listed));
    let mut env: BTreeMap<String, Json> = left.collect();
    for (variable, to) in &draft.env {
        env.entry(variable.clone()).or_insert_with(|| to.clone());
    }
    (!env.is_empty()).then_some(Json::Object(env))
}
