//! Publishing: the one writer of a store (contract §5). It does not fetch, and does not decide what is published.
//!
//! 1. Open the root without following links; create it, refuse one that is not ours.
//! 2. Take `lock`, which an empty root does not have yet. Refuse a root that holds anything except a store; only then tighten
//!    one that is too open, and look again.
//! 3. Find the last number; remove `current`, write the state `starting`, and only then remove what older writers left.
//! 4. Write each file into `generations/.new-<n>`, `manifest.json` last. A refresh links the files that did not change.
//! 5. Rename `.new-<n>` to `<n>`.
//! 6. Make `.current-<n>` and rename it over `current`. This is the publish.
//! 7. Say `ready`, and write freshness.json.
//! 8. Collect the generations that nobody needs any more: rename first, remove then.
//!
//! A candidate takes steps 4, 5 and 8 only.
//!
//! A stop after any of them leaves the old set, the new set, or none; never a part of one (contract 5.10).
//! From step 4 on the writer removes only what it wrote itself: it knows the names.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::crash::CrashReport;
use crate::errors::{Error, Result};
use crate::failpoint;
use crate::failures::Failures;
use crate::files::{self, CURRENT, FRESHNESS, MANIFEST, STATE, Trouble};
use crate::folder::{Cause, Folder, FolderError, FolderResult, Wipe};
use crate::freshness::{Check, Freshness};
use crate::inventory::{self, Devices, Inventory, NEW_FRESHNESS, NEW_STATE, OwnPaths, Stage, new_link, target};
use crate::manifest::{Identity, Manifest, Secret};
use crate::state::{Phase, State};

/// How long the end of a store waits for disks (contract 5.11). Lambda ends an extension 2 s after SHUTDOWN.
const WIPE_TIME: Duration = Duration::from_millis(500);

/// The one writer of a store. It holds the lock until it is dropped; what it published stays.
#[derive(Debug)]
pub struct Writer {
    pub(crate) root: String,
    pub(crate) folder: Arc<Folder>,
    generations: Arc<Folder>,
    devices: Devices,
    pub(crate) identity: Identity,
    /// The highest number that was ever used under this root.
    pub(crate) last: u64,
    pub(crate) published: Option<u64>,
    /// What older writers left, until this writer has published (contract 5.21).
    kept: Option<Inventory>,
    /// What the published generation holds, without values. A refresh compares with it.
    manifest: Option<Manifest>,
    watch: Watch,
    /// What freshness.json says; no secrets if this writer has not written it.
    freshness: Freshness,
    /// What this writer wrote and has not removed yet, by number.
    written: BTreeMap<u64, WrittenGeneration>,
    /// The candidates that can be accepted, by number.
    candidates: BTreeMap<u64, Candidate>,
    /// By entry, the secrets in whose place an accepted version was published.
    superseded: BTreeMap<String, BTreeMap<String, Secret>>,
    /// How long former generations and candidates stay.
    kept_for: Duration,
    /// What state.json says.
    state: State,
    stopped: bool,
    /// It made `control.sock`.
    pub(crate) listens: bool,
    crash: Arc<CrashReport>,
    /// A spare descriptor. The writer closes it when no other is left and readers must still learn the reason.
    reserve: Reserve,
    pub(crate) lock: OwnedFd,
}

/// A spare descriptor for the moment when no other is left.
struct Reserve(Cell<Option<OwnedFd>>);

impl fmt::Debug for Reserve {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Reserve")
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.crash.end(); // from now on the store may belong to another writer
    }
}

/// A generation that this writer wrote.
#[derive(Debug)]
struct WrittenGeneration {
    stage: Stage,
    /// The names of its secrets.
    names: Vec<String>,
    usage: Usage,
}

impl Writer {
    /// Returns the absolute path of the root.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Returns what the process must do when it crashes.
    pub fn crash_report(&self) -> Arc<CrashReport> {
        Arc::clone(&self.crash)
    }

    /// Reports to readers that there will be no publish, and why. After a publish the set stays and only
    /// people see the reason: readers must not take it for the reason of the next writer, which
    /// removes `current` first.
    pub fn fail(&mut self, message: &str, failures: Failures) -> Result<()> {
        if self.stopped {
            return Err(Error::writer_stopped(&self.root));
        }
        let phase = if self.published.is_some() || self.kept.is_some() { Phase::Ready } else { Phase::Failed };
        self.report_state(State { phase, message: Some(message.to_owned()), failures })
    }

    /// Reports to readers that nothing is fetched before the first invocation.
    pub fn defer(&mut self) -> Result<()> {
        self.report_state(State::new(Phase::Deferred))
    }

    /// Reports to readers that the deferred fetch has begun.
    pub fn start(&mut self) -> Result<()> {
        self.report_state(State::new(Phase::Starting))
    }

    /// Returns whether `stop` was called.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Overwrites and removes every secret (contract 5.11). With a reason, readers see that the
    /// writer gave up. Continues after an error, and returns the first.
    pub fn stop(&mut self, reason: Option<&str>) -> Result<()> {
        let phase = if reason.is_some() { Phase::Failed } else { Phase::Stopped };
        let end = State { message: reason.map(str::to_owned), ..State::new(phase) };
        let until = Instant::now() + WIPE_TIME;
        self.stopped = true;
        let closed = self.remove_socket().map_err(|denied| self.refusal(&denied));
        let unlinked = self.check_current().and_then(|()| self.folder.remove_file(CURRENT));
        let unlinked = unlinked.map_err(|denied| self.refusal(&denied));
        self.published = None;
        self.manifest = None;
        self.candidates.clear();
        let forgotten = self.remove_own(FRESHNESS).map_err(|denied| self.refusal(&denied));
        failpoint::reached("11, current removed");
        let reported = self.report_state(end.clone());
        failpoint::reached("11, stopped");
        let wiped = self.wipe_generations(until).map_err(|denied| self.refusal(&denied));
        // The wipe may have freed the space that was missing.
        let reported = reported.or_else(|_| self.report_state(end));
        // The function may have cleared /tmp: then no reader is left, and nothing is left to remove.
        let reported = if self.folder.is_removed() { Ok(()) } else { reported };
        failpoint::reached("11");
        if wiped.is_ok() {
            self.crash.end();
        }
        closed.and(unlinked).and(forgotten).and(reported).and(wiped)
    }

    fn wipe_generations(&mut self, until: Instant) -> FolderResult<()> {
        let wipe = Wipe { reaches_a_disk: self.folder.is_on_disk(), until };
        let mut first = Ok(());
        // Renames all before it overwrites the first: readers discard what they read from a
        // generation that is gone.
        for (number, written) in &mut self.written {
            first = first.and(retire(&self.generations, self.devices, *number, written));
        }
        failpoint::reached("11, renamed");
        for (number, written) in std::mem::take(&mut self.written) {
            let own = OwnPaths::written(&written.names, self.devices);
            let name = written.stage.name(number);
            first = first.and(inventory::remove_generation(&self.generations, &name, &own, Some(&wipe)));
        }
        first
    }

    /// Returns the number of the generation that is published.
    pub fn published(&self) -> Option<u64> {
        self.published
    }

    /// Publishes a draft as the next generation.
    fn publish(&mut self, draft: &Draft) -> Result<u64> {
        let number = self.next_number()?;
        let files = draft.secrets.iter().map(|added| (added.name.clone(), File::New(&added.value))).collect();
        let max_stale = self.watch.max_stale.map(|age| age.as_secs());
        let manifest = Manifest { max_stale, ..draft.manifest(number)? };
        let checks = draft.refresh_after.map(|_| self.checks(draft, &manifest, |_| true));
        self.publish_contents(Contents { manifest, files }, checks, Origin::Whole)
    }

    fn next_number(&self) -> Result<u64> {
        if self.stopped {
            return Err(Error::writer_stopped(&self.root));
        }
        files::number_after(self.last).ok_or_else(|| Error::numbers_used_up(&self.root))
    }

    /// Publishes the next generation: steps 4 to 8. An error of step 7 or 8 leaves the new set
    /// published. Without `checks` it writes no freshness.json.
    fn publish_contents(
        &mut self,
        contents: Contents<'_>,
        checks: Option<BTreeMap<String, Check>>,
        origin: Origin,
    ) -> Result<u64> {
        let number = contents.manifest.generation;
        self.put_in_place(&contents, |writer, manifest| {
            // Step 4 writes the text of step 7, so that a full disk cannot come between steps 6 and 7.
            writer.write_generation(&contents, manifest, &State::new(Phase::Ready))?;
            writer.point_current_to(number)
        })?;
        if let Some(before) = self.published.replace(number) {
            self.set_usage(before, Usage::Former(Moment::now()));
        }
        self.set_usage(number, Usage::Current);
        let before = self.manifest.replace(contents.manifest);
        self.settle(origin, before);

        // (7)
        let reported = self.replace_state();
        self.state = State::new(Phase::Ready);
        failpoint::reached("7, ready");
        let replaced = match self.kept.take() {
            Some(found) => remove_beside(&self.folder, &found).and_then(|()| self.remove_leftovers(&found)),
            None => Ok(()),
        };
        let noted = checks.map_or(Ok(()), |checks| self.note(number, checks));
        failpoint::reached("7");

        // (8)
        let collected = self.collect_past();
        failpoint::reached("8");
        reported
            .and(replaced)
            .and(noted)
            .and(collected)
            .map_err(|denied| self.refusal(&denied).after_publish(number))?;
        Ok(number)
    }

    /// Writes a generation, and removes what was written if that fails. The number is used up. If the
    /// disk is full, former generations make room, once.
    fn put_in_place(
        &mut self,
        contents: &Contents<'_>,
        write: impl Fn(&mut Self, &str) -> FolderResult<()>,
    ) -> Result<()> {
        let number = contents.manifest.generation;
        let text = contents.manifest.to_json(&self.identity)?;
        self.last = number;
        self.crash.set_number(number);
        let mut written = write(self, &text);
        if written.as_ref().is_err_and(FolderError::is_out_of_space) && self.make_room(number) {
            written = write(self, &text);
        }
        written.map_err(|denied| {
            // The first error is the one to report. The next writer removes what cannot be removed now.
            let _leftovers = self.discard(number);
            // The number must not be used again, not even after a restart.
            let _number = self.report_state(self.state.clone());
            self.refusal(&denied)
        })
    }

    /// Steps 4 and 5. It also writes the next state.json under its temporary name.
    fn write_generation(&mut self, contents: &Contents<'_>, manifest: &str, state: &State) -> FolderResult<()> {
        // (4)
        let number = contents.manifest.generation;
        let new = Stage::New.name(number);
        let generation = self.generations.create(new.as_str())?;
        let written = WrittenGeneration { stage: Stage::New, names: contents.names(), usage: Usage::Unfinished };
        self.written.insert(number, written);
        failpoint::reached("4, folder made");
        contents.write(&self.generations, &generation)?;
        failpoint::reached("4, secrets written");
        generation.write_new(MANIFEST, manifest.as_bytes())?;
        self.write_state(state)?;
        failpoint::reached("4");

        // (5)
        self.generations.rename(&new, &number.to_string())?;
        self.written.entry(number).and_modify(|written| written.stage = Stage::Whole);
        failpoint::reached("5");
        Ok(())
    }

    /// Step 6.
    fn point_current_to(&mut self, number: u64) -> FolderResult<()> {
        let link = new_link(number);
        self.folder.link(&target(number), &link)?;
        failpoint::reached("6, link made");
        self.check_current()?;
        self.folder.rename(&link, CURRENT)?;
        failpoint::reached("6");
        Ok(())
    }

    /// Refuses to touch a `current` that this writer did not make.
    fn check_current(&self) -> FolderResult<()> {
        let Some(found) = self.folder.read_link(CURRENT)? else { return Ok(()) };
        let known = self.published.or_else(|| self.kept.as_ref()?.current);
        let is_own = known.is_some_and(|number| found.as_bytes() == target(number).as_bytes());
        if is_own { Ok(()) } else { Err(self.folder.foreign(CURRENT, "is none that this writer made")) }
    }

    /// Removes what a failed publish left. Continues after an error, and returns the first.
    fn discard(&mut self, number: u64) -> FolderResult<()> {
        let link = new_link(number);
        let found = self.folder.read_link(link.as_str());
        let is_own = found.is_ok_and(|found| found.is_some_and(|found| found.as_bytes() == target(number).as_bytes()));
        let unlinked = if is_own { self.folder.remove_file(link.as_str()) } else { Ok(()) };
        unlinked.and(self.remove_own(NEW_STATE)).and(self.collect_one(number))
    }

    /// Removes a generation as a whole: a reader finds it complete or not at all.
    fn collect_one(&mut self, number: u64) -> FolderResult<()> {
        let Some(written) = self.written.get_mut(&number) else { return Ok(()) };
        retire(&self.generations, self.devices, number, written)?;
        failpoint::reached("8, renamed");
        let own = OwnPaths::written(&written.names, self.devices);
        inventory::remove_generation(&self.generations, &written.stage.name(number), &own, None)?;
        self.written.remove(&number);
        self.candidates.remove(&number);
        Ok(())
    }

    fn report_state(&mut self, state: State) -> Result<()> {
        self.write_state(&state).and_then(|()| self.replace_state()).map_err(|denied| self.refusal(&denied))?;
        self.state = state;
        Ok(())
    }

    fn replace_state(&self) -> FolderResult<()> {
        self.replace(NEW_STATE, STATE)
    }

    fn write_state(&self, state: &State) -> FolderResult<()> {
        self.write_text(NEW_STATE, &state.to_json(self.last))
    }

    /// Replaces freshness.json.
    fn note(&mut self, generation: u64, secrets: BTreeMap<String, Check>) -> FolderResult<()> {
        self.freshness = Freshness { generation, secrets };
        self.write_text(NEW_FRESHNESS, &self.freshness.to_json())?;
        failpoint::reached("7, freshness written");
        self.replace(NEW_FRESHNESS, FRESHNESS)
    }

    /// Renames a new file over the old one.
    fn replace(&self, new: &str, name: &str) -> FolderResult<()> {
        if let Some(facts) = self.folder.facts(name)? {
            self.devices.check_file(&self.folder, name, &facts)?;
        }
        self.folder.rename(new, name)
    }

    /// Writes a new file.
    fn write_text(&self, new: &str, text: &str) -> FolderResult<()> {
        match self.folder.write_new(new, text.as_bytes()) {
            // A killed writer left it.
            Err(FolderError { cause: Cause::Trouble(Trouble::System(Errno::EXIST)), .. }) => {
                self.remove_own(new)?;
                self.folder.write_new(new, text.as_bytes())
            }
            Err(FolderError { cause: Cause::Trouble(Trouble::System(Errno::MFILE | Errno::NFILE)), .. }) => {
                drop(self.reserve.0.take());
                self.folder.write_new(new, text.as_bytes())
            }
            other => other,
        }
    }

    fn remove_own(&self, name: &str) -> FolderResult<()> {
        let Some(facts) = self.folder.facts(name)? else { return Ok(()) };
        self.devices.check_file(&self.folder, name, &facts)?;
        self.folder.remove_file(name)
    }

    pub(crate) fn refusal(&self, denied: &FolderError) -> Error {
        refusal(&self.root, denied)
    }
}

/// Renames a generation to `.old-<n>`, unless that was done before.
fn retire(generations: &Folder, devices: Devices, number: u64, written: &mut WrittenGeneration) -> FolderResult<()> {
    if written.stage != Stage::Whole {
        return Ok(());
    }
    let (whole, old) = (Stage::Whole.name(number), Stage::Old.name(number));
    if generations.facts(old.as_str())?.is_some() {
        return Err(generations.foreign(old.as_str(), "is none that this writer made"));
    }
    if let Some(facts) = generations.facts(whole.as_str())? {
        devices.check_place(generations, whole.as_str(), &facts, FileType::Directory)?;
        generations.rename(&whole, &old)?;
    }
    written.stage = Stage::Old;
    Ok(())
}

/// Makes the error of a store that is being written.
fn refusal(root: &str, denied: &FolderError) -> Error {
    match foreign_text(denied) {
        Ok(what) => Error::store_holds_foreign(root, &what),
        Err(errno) => Error::refused_write(root, errno, &denied.path),
    }
}

/// Returns what an error says about a foreign entry, or the system's reason.
fn foreign_text(FolderError { path, cause }: &FolderError) -> std::result::Result<String, Errno> {
    let what = match cause {
        Cause::Foreign(what) => what,
        Cause::Trouble(Trouble::Link) => "is a symbolic link",
        Cause::Trouble(Trouble::NotFolder) => "is not a directory",
        Cause::Trouble(Trouble::NotFile) => "is not a regular file",
        Cause::Trouble(Trouble::Missing) => return Err(Errno::NOENT),
        Cause::Trouble(Trouble::System(errno)) => return Err(*errno),
    };
    Ok(format!("{path} {what}"))
}

mod candidate;
mod draft;
mod fingerprint;
mod refresh;
mod retention;
mod takeover;

use candidate::{Candidate, Origin};
pub use draft::Draft;
pub use fingerprint::fingerprint;
use refresh::{Contents, File};
pub use refresh::{RefreshResult, Watch};
use retention::{Moment, Usage};
use takeover::remove_beside;

#[cfg(test)]
mod tests;
