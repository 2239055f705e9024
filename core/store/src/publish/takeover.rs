//! Taking over a store: steps 1 to 3 of the writer.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock, fstat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};

use crate::crash::CrashReport;
use crate::errors::{Error, Result};
use crate::failpoint;
use crate::files::{CURRENT, FOLDER_MODE, GENERATIONS, Trouble};
use crate::folder::{Cause, Facts, Folder, FolderError, FolderResult, Root};
use crate::freshness::Freshness;
use crate::inventory::{self, Devices, Inventory, LOCK, OwnPaths, Stage, new_link};
use crate::manifest::Identity;
use crate::options::Options;
use crate::publish::{Reserve, Watch, Writer, foreign_text, refusal, retention};
use crate::state::{Phase, State};

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

    pub(super) fn remove_leftovers(&self, found: &Inventory) -> FolderResult<()> {
        self.empty_leftovers(found)?;
        for name in temporary_names(found) {
            self.generations.remove_folder(name.as_str())?;
        }
        found.new_links.iter().try_for_each(|number| self.folder.remove_file(new_link(*number).as_str()))
    }
}

/// Removes what older writers left beside the generations.
pub(super) fn remove_beside(folder: &Folder, found: &Inventory) -> FolderResult<()> {
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
