//! What a writer's process still does when it crashes: it reports the reason to readers and removes the
//! secrets (contract 5.13).
//!
//! All of it runs in a signal handler, in a process where anything may be broken. So it allocates
//! nothing, takes no lock, and uses only what the writer has already opened.

use std::ffi::CStr;
use std::fmt::{self, Write};
#[cfg(target_os = "linux")]
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
#[cfg(target_os = "linux")]
use rustix::fs::{RawDir, SeekFrom};
use rustix::io::{Errno, Result, write};
use rustix::path::Arg;

use crate::files::{self, CONTROL, CURRENT, FILE_MODE, FRESHNESS, MANIFEST, OPEN_FILE, OPEN_FOLDER, STATE};
use crate::folder::Folder;
use crate::inventory::Stage;
use crate::log;
use crate::name;
use crate::state::{self, Phase};

const NEW_STATE: &CStr = c".state.json";
/// The most folders in a name (contract 2.1), and `secrets`.
const DEPTH: u32 = 8;
const SECRETS: &CStr = c"secrets";
const ZEROS: &[u8] = &[0; 4096];
/// What the line of a crash has in JSON.
const MEMBERS: &str = ", \"event\": \"crash\"";

/// What a signal handler needs to know about a writer.
#[derive(Debug)]
pub struct CrashReport {
    root: Arc<Folder>,
    generations: Arc<Folder>,
    /// The generation for state.json.
    number: AtomicU64,
    /// Nothing is left to remove, or the store belongs to another writer.
    is_over: AtomicBool,
    log_is_json: bool,
}

impl CrashReport {
    pub(crate) fn new(root: &Arc<Folder>, generations: &Arc<Folder>, number: u64) -> Self {
        Self {
            root: Arc::clone(root),
            generations: Arc::clone(generations),
            number: AtomicU64::new(number),
            is_over: AtomicBool::new(false),
            log_is_json: log::is_json(),
        }
    }

    pub(crate) fn set_number(&self, number: u64) {
        self.number.store(number, Ordering::SeqCst);
    }

    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// Removes `current`, writes the state `failed`, then overwrites and removes the secrets as far
    /// as possible.
    pub fn write(&self, signal: &str) {
        if self.is_over.swap(true, Ordering::SeqCst) {
            return;
        }
        let mut message = Text::<128>::new();
        let _fits = write!(message, "The extension crashed ({signal}); its secrets are removed. Please report it.");
        let root = self.root.as_fd();
        if is_own(root, CONTROL, FileType::Socket) {
            let _each_is_tried = fs::unlinkat(root, CONTROL, AtFlags::empty());
        }
        if is_own(root, CURRENT, FileType::Symlink) {
            let _each_is_tried = fs::unlinkat(root, CURRENT, AtFlags::empty());
        }
        if is_own(root, FRESHNESS, FileType::RegularFile) {
            let _each_is_tried = fs::unlinkat(root, FRESHNESS, AtFlags::empty());
        }
        let _each_is_tried = self.report_failed(root, message.as_str());
        self.wipe();
        let mut line = Text::<512>::new();
        if log::write_line(&mut line, "ERROR", message.as_str(), MEMBERS, self.log_is_json).is_ok() {
            log::write_in_handler(line.as_str());
        }
    }

    fn report_failed(&self, root: BorrowedFd<'_>, message: &str) -> Result<()> {
        let mut document = Text::<1024>::new();
        let number = self.number.load(Ordering::SeqCst);
        state::write_document(&mut document, Phase::Failed, number, Some(message), "").map_err(|_| Errno::NOSPC)?;
        if is_own(root, NEW_STATE, FileType::RegularFile) {
            fs::unlinkat(root, NEW_STATE, AtFlags::empty())?;
        }
        let mode = files::mode(FILE_MODE);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OPEN_FILE;
        let file = fs::openat(root, NEW_STATE, flags, mode)?;
        fs::fchmod(&file, mode)?;
        let text = document.as_str().as_bytes();
        if write(&file, text)? != text.len() {
            return Err(Errno::NOSPC);
        }
        let is_free = fs::statat(root, STATE, AtFlags::SYMLINK_NOFOLLOW).is_err();
        if is_free || is_own(root, STATE, FileType::RegularFile) {
            fs::renameat(root, NEW_STATE, root, STATE)
        } else {
            fs::unlinkat(root, NEW_STATE, AtFlags::empty())
        }
    }

    /// Renames all generations before it overwrites one: readers discard what they read from a
    /// generation that is gone.
    fn wipe(&self) {
        let generations = self.generations.as_fd();
        for_each(generations, |folder, name| {
            if Stage::parse(name.to_bytes()).is_none_or(|(stage, _)| stage != Stage::Whole)
                || !is_own(folder, name, FileType::Directory)
            {
                return Ok(());
            }
            let mut old = Text::<32>::new();
            write!(old, ".old-{}", name.to_str().unwrap_or_default()).map_err(|_| Errno::NAMETOOLONG)?;
            if fs::statat(folder, old.as_str(), AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                return Ok(()); // a rename would replace it
            }
            fs::renameat(folder, name, folder, old.as_str())
        });
        for_each(generations, |folder, name| {
            if Stage::parse(name.to_bytes()).is_none() || !is_own(folder, name, FileType::Directory) {
                return Ok(());
            }
            let generation = fs::openat(folder, name, OPEN_FOLDER, Mode::empty())?;
            if is_own(generation.as_fd(), MANIFEST, FileType::RegularFile) {
                let _each_is_tried = fs::unlinkat(&generation, MANIFEST, AtFlags::empty());
            }
            let _each_is_tried = wipe(generation.as_fd(), SECRETS, DEPTH);
            fs::unlinkat(folder, name, AtFlags::REMOVEDIR)
        });
    }
}

/// Returns whether an entry is ours and of that kind. Anything else stays (contract 5.16).
fn is_own<N: Arg>(folder: BorrowedFd<'_>, name: N, kind: FileType) -> bool {
    let of_ours = |stat: fs::Stat| FileType::from_raw_mode(stat.st_mode) == kind && files::owner_flaw(&stat).is_none();
    fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(of_ours)
}

/// Calls `act` for each name in a folder. An error for one name does not stop the others.
#[cfg(target_os = "linux")]
fn for_each(folder: BorrowedFd<'_>, mut act: impl FnMut(BorrowedFd<'_>, &CStr) -> Result<()>) {
    let _from_the_beginning = fs::seek(folder, SeekFrom::Start(0));
    let mut buffer = [MaybeUninit::uninit(); 2048];
    let mut entries = RawDir::new(folder, &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name();
        if name != c"." && name != c".." {
            let _each_is_tried = act(folder, name);
        }
    }
}

/// Only Linux has signal handlers of ours, so this may allocate.
#[cfg(not(target_os = "linux"))]
fn for_each(folder: BorrowedFd<'_>, mut act: impl FnMut(BorrowedFd<'_>, &CStr) -> Result<()>) {
    for entry in fs::Dir::read_from(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name != c"." && name != c".." {
            let _each_is_tried = act(folder, name);
        }
    }
}

/// Overwrites and removes a file whose name a secret can have, or all such files in a folder,
/// without following links. The handler does not know which secrets exist.
fn wipe(folder: BorrowedFd<'_>, name: &CStr, depth: u32) -> Result<()> {
    if !name::is_valid(name.to_bytes()) {
        return Ok(());
    }
    if depth > 0 && is_own(folder, name, FileType::Directory) {
        let inner = fs::openat(folder, name, OPEN_FOLDER, Mode::empty())?;
        for_each(inner.as_fd(), |folder, name| wipe(folder, name, depth - 1));
        return fs::unlinkat(folder, name, AtFlags::REMOVEDIR);
    }
    if !is_own(folder, name, FileType::RegularFile) {
        return Ok(());
    }
    let _removed_all_the_same = overwrite(folder, name);
    fs::unlinkat(folder, name, AtFlags::empty())
}

fn overwrite(folder: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let file = fs::openat(folder, name, OFlags::WRONLY | OPEN_FILE, Mode::empty())?;
    let stat = fs::fstat(&file)?;
    // A file with a second name may belong to somebody else.
    let mut left = if stat.st_nlink == 1 { usize::try_from(stat.st_size).unwrap_or(0) } else { 0 };
    while left > 0 {
        left -= write(&file, &ZEROS[..left.min(ZEROS.len())])?.max(1);
    }
    Ok(())
}

/// A text that grows on the stack.
struct Text<const SIZE: usize> {
    bytes: [u8; SIZE],
    length: usize,
}

impl<const SIZE: usize> Text<SIZE> {
    fn new() -> Self {
        Self { bytes: [0; SIZE], length: 0 }
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl<const SIZE: usize> Write for Text<SIZE> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.length..self.length + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}
