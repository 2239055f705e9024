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
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, FlockOperation, flock, fstat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};

use crate::crash::CrashReport;
use crate::errors::{Error, MAX_BYTES, Result};
use crate::failpoint;
use crate::failures::{Failure, Failures};
use crate::files::{self, CURRENT, FOLDER_MODE, FRESHNESS, GENERATIONS, MANIFEST, STATE, Trouble};
use crate::folder::{Cause, Facts, Folder, FolderError, FolderResult, Root, Wipe};
use crate::freshness::{Check, Freshness};
use crate::inventory::{self, Devices, Inventory, LOCK, NEW_FRESHNESS, NEW_STATE, OwnPaths, Stage, new_link, target};
use crate::json::Json;
use crate::manifest::{self, Entry, Identity, Manifest, Secret};
use crate::name;
use crate::options::Options;
use crate::secret::SecretBytes;
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
    /// Takes over the store: steps 1 to 3.
    pub fn open(options: &Options<'_>, identity: Identity) -> Result<Self> {
        Self::take_over(options, identity, false)
    }

    /// Takes over the store, and leaves what is published there until the first publish (contract 5.21).
    pub fn open_keeping(options: &Options<'_>, identity: Identity) -> Result<Self> {
        Self::take_over(options, identity, true)
    }

    fn take_over(options: &Options<'_>, identity: Identity, keeps: bool) -> Result<Self> {
        let root = options.root()?;
        let denied = |denied| refused_root(&root, &denied);

        // (1)
        let (folder, mode) = match Folder::open_root(&root).map_err(denied)? {
            Root::Own { folder, mode } => (folder, mode),
            Root::OfAnotherUser => return Err(Error::root_of_another_user(&root)),
            Root::Unsafe(what) => return Err(Error::root_unsafe_to_write(&root, what)),
        };
        failpoint::reached("1");

        // (2)
        let Lock { file: lock, devices, is_new } = open_lock(&folder, mode).map_err(denied)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|errno| match errno {
            Errno::WOULDBLOCK => Error::store_locked(&root),
            other => Error::refused_write(&root, other, LOCK),
        })?;
        let found =
            if is_new { Inventory::default() } else { take_inventory(&folder, mode, devices).map_err(denied)? };
        failpoint::reached("2");

        // (3)
        let denied = |denied| refusal(&root, &denied);
        let generations = open_generations(&folder, devices).map_err(denied)?;
        let keeps = keeps && found.current.is_some();
        if !keeps {
            if found.current.is_some() {
                folder.remove_file(CURRENT).map_err(denied)?;
            }
            remove_beside(&folder, &found).map_err(denied)?;
            failpoint::reached("3, current removed");
        }
        let last = found.last_number();
        let (folder, generations) = (Arc::new(folder), Arc::new(generations));
        let crash = Arc::new(CrashReport::new(&folder, &generations, last));
        let reserve = Reserve(Cell::new(fcntl_dupfd_cloexec(&lock, 0).ok()));
        let mut writer = Self {
            root: root.clone(),
            folder,
            generations,
            devices,
            identity,
            last,
            published: None,
            kept: None,
            manifest: None,
            watch: Watch::default(),
            freshness: Freshness::default(),
            written: BTreeMap::new(),
            candidates: BTreeMap::new(),
            superseded: BTreeMap::new(),
            kept_for: failpoint::kept_for(retention::KEPT_FOR),
            state: State::new(Phase::Starting),
            stopped: false,
            listens: false,
            crash,
            reserve,
            lock,
        };
        if keeps {
            writer.kept = Some(found);
            writer.state = State::new(Phase::Ready);
            return Ok(writer);
        }
        if writer.report_state(State::new(Phase::Starting)).is_err() {
            // A writer that was killed on a full disk left no space except in its own files.
            let _as_far_as_it_goes = writer.empty_leftovers(&found);
            writer.report_state(State::new(Phase::Starting))?;
        }
        failpoint::reached("3, starting");
        writer.remove_leftovers(&found).map_err(denied)?;
        failpoint::reached("3");
        Ok(writer)
    }

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

    /// Empties the generations of older writers. Their names stay: they may be the only trace of
    /// the last number.
    fn empty_leftovers(&self, found: &Inventory) -> FolderResult<()> {
        let own = OwnPaths::left_behind(None, self.devices);
        for (_, number) in found.generations.iter().filter(|(stage, _)| *stage == Stage::Whole) {
            let old = Stage::Old.name(*number);
            inventory::remove_generation(&self.generations, &old, &own, None)?;
            ignore_missing(self.generations.rename(&Stage::Whole.name(*number), &old))?;
        }
        failpoint::reached("3, renamed");
        for name in temporary_names(found) {
            inventory::clear_generation(&self.generations, name.as_str(), &own, None)?;
        }
        failpoint::reached("3, emptied");
        Ok(())
    }

    fn remove_leftovers(&self, found: &Inventory) -> FolderResult<()> {
        self.empty_leftovers(found)?;
        for name in temporary_names(found) {
            self.generations.remove_folder(name.as_str())?;
        }
        found.new_links.iter().try_for_each(|number| self.folder.remove_file(new_link(*number).as_str()))
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

/// Removes what older writers left beside the generations.
fn remove_beside(folder: &Folder, found: &Inventory) -> FolderResult<()> {
    found.freshness.iter().try_for_each(|name| folder.remove_file(*name))?;
    found.sockets.iter().try_for_each(|socket| folder.remove_file(socket.as_c_str()))
}

fn ignore_missing(done: FolderResult<()>) -> FolderResult<()> {
    match done {
        Err(FolderError { cause: Cause::Trouble(Trouble::Missing), .. }) => Ok(()),
        other => other,
    }
}

/// Returns the names of older writers' generations after all are renamed.
fn temporary_names(found: &Inventory) -> impl Iterator<Item = String> {
    let renamed = |(stage, number): &(Stage, u64)| match stage {
        Stage::Whole => Stage::Old.name(*number),
        other => other.name(*number),
    };
    found.generations.iter().map(renamed)
}

/// The file that keeps out a second writer.
struct Lock {
    file: OwnedFd,
    devices: Devices,
    /// This writer made it now, in an empty root.
    is_new: bool,
}

/// Opens the lock of a store, or makes it in an empty root. A root that holds anything else is not ours.
fn open_lock(folder: &Folder, mode: u32) -> FolderResult<Lock> {
    let mut refused = Ok(());
    // Another writer may make it meanwhile, and then the root is no longer empty.
    for _ in 0..2 {
        if let Some(facts) = folder.facts(LOCK)? {
            let devices = Devices::new(folder, &facts);
            devices.check_lock(folder, LOCK, &facts)?;
            let file = folder.open_file(LOCK)?;
            let opened = Facts::from(fstat(&file).map_err(|errno| folder.denied(LOCK, errno))?);
            if opened.inode != facts.inode {
                return Err(folder.foreign(LOCK, "was replaced meanwhile"));
            }
            return Ok(Lock { file, devices, is_new: false });
        }
        refused = inventory::check_is_empty(folder);
        if refused.is_ok() {
            if is_too_open(mode) {
                return Err(folder.holds_foreign("is empty, and group or others may write to it".to_owned()));
            }
            tighten(folder, mode)?;
            if let Some(file) = folder.create_lock(LOCK)? {
                let facts = fstat(&file).map_err(|errno| folder.denied(LOCK, errno))?;
                return Ok(Lock { file, devices: Devices::new(folder, &facts.into()), is_new: true });
            }
        }
    }
    refused.and_then(|()| Err(folder.denied(LOCK, Errno::EXIST)))
}

/// Looks at everything before it changes anything, and again if others could write there until now.
fn take_inventory(folder: &Folder, mode: u32, devices: Devices) -> FolderResult<Inventory> {
    let found = Inventory::take(folder, devices)?;
    tighten(folder, mode)?;
    if is_too_open(mode) { Inventory::take(folder, devices) } else { Ok(found) }
}

fn tighten(folder: &Folder, mode: u32) -> FolderResult<()> {
    if mode == FOLDER_MODE { Ok(()) } else { folder.tighten() }
}

fn is_too_open(mode: u32) -> bool {
    mode & 0o022 != 0
}

fn open_generations(folder: &Folder, devices: Devices) -> FolderResult<Folder> {
    let Some(facts) = folder.facts(GENERATIONS)? else { return folder.create(GENERATIONS) };
    devices.check_folder(folder, GENERATIONS, &facts)?;
    let generations = folder.open(GENERATIONS)?;
    tighten(&generations, facts.mode)?;
    Ok(generations)
}

/// Makes the error of a root that is being taken over. Nothing in it was changed.
fn refused_root(root: &str, denied: &FolderError) -> Error {
    foreign_text(denied).map_or_else(
        |errno| Error::refused_write(root, errno, &denied.path),
        |what| Error::root_unsafe_to_write(root, &what),
    )
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

/// The values to publish, and the optional entries that could not be fetched.
#[derive(Debug, Default)]
pub struct Draft {
    secrets: Vec<DraftSecret>,
    unavailable: Vec<(String, Failure)>,
    env: BTreeMap<String, Json>,
    covered: BTreeSet<String>,
    refresh_after: Option<i64>,
    retry_after: Option<i64>,
}

#[derive(Debug)]
struct DraftSecret {
    name: String,
    value: SecretBytes,
    entry: Entry,
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

    fn manifest(&self, generation: u64) -> Result<Manifest> {
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

mod candidate;
mod fingerprint;
mod refresh;
mod retention;

use candidate::{Candidate, Origin};
pub use fingerprint::fingerprint;
use refresh::{Contents, File};
pub use refresh::{RefreshResult, Watch};
use retention::{Moment, Usage};

#[cfg(test)]
mod tests;
