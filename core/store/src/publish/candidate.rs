//! Candidates: generations that are not published, for a login with another version (contract §12).

use std::collections::{BTreeMap, BTreeSet};

use crate::errors::{Error, Result};
use crate::failpoint;
use crate::freshness::Check;
use crate::inventory::target;
use crate::manifest::{Manifest, Secret};
use crate::publish::refresh::{Contents, Merge, kept};
use crate::publish::retention::{Moment, Usage};
use crate::publish::{Draft, Writer};

/// A generation that can be accepted.
#[derive(Debug)]
pub(super) struct Candidate {
    /// The entries whose secrets it brings.
    entries: BTreeSet<String>,
    manifest: Manifest,
}

/// Where a generation that was just published comes from.
pub(super) enum Origin {
    /// Everything was fetched.
    Whole,
    /// These entries were fetched, and these secrets changed.
    Refresh { covered: BTreeSet<String>, changed: Vec<String> },
    /// A candidate that brought these entries.
    Candidate(BTreeSet<String>),
}

impl Writer {
    /// Makes a generation that is not published: what is published, with the draft's secrets of the
    /// entries that it covers. Returns its number; `None` if it would equal what is published.
    ///
    /// For the same versions it returns the same number again, until one of these entries is published
    /// or the candidate is collected.
    pub fn candidate(&mut self, draft: &Draft) -> Result<Option<u64>> {
        let number = self.next_number()?;
        self.check_files(&draft.covered)?;
        let Merge { contents, changed } = self.merge(draft, number, &draft.covered)?;
        if changed.is_empty() {
            return Ok(None);
        }
        let same = self.candidates.iter().rev().find(|(number, known)| self.is_same(**number, known, draft));
        if let Some(number) = same.map(|(number, _)| *number) {
            self.set_usage(number, Usage::Candidate(Moment::now()));
            return Ok(Some(number));
        }
        self.put_in_place(&contents, |writer, manifest| {
            writer.write_generation(&contents, manifest, &writer.state.clone())?;
            // The number must not be used again after a restart, when the candidate may be gone.
            writer.replace_state()
        })?;
        failpoint::reached("candidate made");
        self.set_usage(number, Usage::Candidate(Moment::now()));
        let made = Candidate { entries: draft.covered.clone(), manifest: contents.manifest };
        self.candidates.insert(number, made);
        Ok(Some(number))
    }

    /// Publishes what is published, with the secrets that a candidate brought. Returns the number of
    /// the new generation; `None` if one of these entries was published since, or the candidate is gone.
    ///
    /// What it publishes stays although a refresh finds the version that was fetched before, until
    /// that one moves or `refused` is called.
    pub fn accept(&mut self, candidate: u64) -> Result<Option<u64>> {
        let number = self.next_number()?;
        let Some(found) = self.candidates.get(&candidate) else { return Ok(None) };
        let entries = found.entries.clone();
        let brought = found.manifest.secrets.iter().filter(|(name, _)| entries.contains(self.entry_of(name)));
        let new: BTreeMap<String, Secret> = brought.map(|(name, secret)| (name.clone(), secret.clone())).collect();
        if !new.iter().all(|(name, secret)| self.can_keep(candidate, name, secret.size)) {
            self.candidates.remove(&candidate);
            return Ok(None);
        }
        self.check_files(&entries)?;
        let mut manifest = self.published_without(&entries, number)?;
        let mut files = kept(self.published_manifest()?.generation, &manifest.secrets);
        files.extend(kept(candidate, &new));
        manifest.secrets.extend(new);
        let contents = Contents { manifest, files };
        contents.check_names()?;
        let checks = self.checks_of_accepted(&contents.manifest, &entries);
        self.publish_contents(contents, checks, Origin::Candidate(entries)).map(Some)
    }

    /// Notes that the server refused the accepted version of an entry: the next refresh publishes
    /// what it finds.
    pub fn refused(&mut self, entry: &str) {
        self.superseded.remove(entry);
    }

    /// Returns the entries of a draft whose accepted version stays: the draft has just the version in
    /// whose place it was published.
    pub(super) fn staying(&self, draft: &Draft) -> BTreeSet<String> {
        let is_old = |entry: &&String| {
            self.superseded.get(*entry).is_some_and(|old| {
                let mut found = draft.secrets.iter().filter(|added| self.entry_of(&added.name) == *entry).peekable();
                let is_same = |known: &Secret, added| known.entry.has_version() && known.is_version_of(added);
                let count = found.clone().count();
                found.peek().is_some()
                    && count == old.len()
                    && found.all(|added| old.get(&added.name).is_some_and(|known| is_same(known, added)))
            })
        };
        draft.covered.iter().filter(is_old).cloned().collect()
    }

    /// Forgets that versions of these entries were accepted. Returns whether there were any.
    pub(super) fn forget_accepted<'a>(&mut self, entries: impl Iterator<Item = &'a String>) -> bool {
        let known = self.superseded.len();
        entries.for_each(|entry| drop(self.superseded.remove(entry)));
        self.superseded.len() < known
    }

    /// Notes what was published: which candidates remain, and which entries have an accepted version.
    pub(super) fn settle(&mut self, origin: Origin, before: Option<Manifest>) {
        let changed: BTreeSet<String> = match origin {
            Origin::Whole => {
                self.candidates.clear();
                self.superseded.clear();
                return;
            }
            Origin::Refresh { covered, changed } => {
                self.superseded.retain(|entry, _| !covered.contains(entry));
                changed.iter().map(|name| self.entry_of(name).to_owned()).collect()
            }
            Origin::Candidate(entries) => {
                let mut old = before.map(|manifest| manifest.secrets).unwrap_or_default();
                old.retain(|name, _| entries.contains(self.entry_of(name)));
                for entry in &entries {
                    let of_entry = old.iter().filter(|(name, _)| self.entry_of(name) == entry);
                    let of_entry = of_entry.map(|(name, secret)| (name.clone(), secret.clone())).collect();
                    // The version that was fetched counts, and not one that was accepted meanwhile.
                    self.superseded.entry(entry.clone()).or_insert(of_entry);
                }
                entries
            }
        };
        self.candidates.retain(|_, candidate| candidate.entries.is_disjoint(&changed));
    }

    /// Refuses to continue without a file that would be linked.
    fn check_files(&self, covered: &BTreeSet<String>) -> Result<()> {
        let before = self.published_manifest()?;
        self.lost(before, covered).first().map_or(Ok(()), |entry| {
            let path = format!("{}/secrets/{entry}", target(before.generation));
            Err(Error::store_holds_foreign(&self.root, &format!("{path} is gone, or is none that this writer made")))
        })
    }

    /// Returns whether a candidate has the versions of a draft, and still their files.
    fn is_same(&self, number: u64, known: &Candidate, draft: &Draft) -> bool {
        let is_covered = |name: &str| draft.covered.contains(self.entry_of(name));
        let names = known.manifest.secrets.keys().filter(|name| is_covered(name)).count();
        let mut added = draft.secrets.iter().filter(|added| is_covered(&added.name));
        known.entries == draft.covered
            && added.clone().count() == names
            && added.all(|added| {
                let secret = known.manifest.secrets.get(&added.name);
                secret.is_some_and(|secret| secret.is_version_of(added)) && self.has_value(number, added)
            })
    }

    /// Returns what freshness.json says of an accepted version; `None` if the writer has written none.
    fn checks_of_accepted(&self, manifest: &Manifest, entries: &BTreeSet<String>) -> Option<BTreeMap<String, Check>> {
        if self.freshness.generation == 0 {
            return None;
        }
        let mut checks = self.checks(&Draft::new(), manifest, |_| false);
        for (name, check) in &mut checks {
            if let Some(secret) = manifest.secrets.get(name).filter(|_| entries.contains(self.entry_of(name))) {
                // The source has answered, whatever stage was fetched.
                check.checked_at = secret.entry.check().checked_at;
                *check = self.limited(name, check.clone());
            }
        }
        Some(checks)
    }
}
