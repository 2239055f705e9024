//! Files and folders of a store, never reached through a symbolic link. It knows where things lie,
//! not what they mean.
//!
//! Readers go by path: they look with lstat, then open (contract 6.2.4). The writer goes by descriptor (folder.rs).

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{self, FileType, Mode, OFlags, RawMode, Stat};
use rustix::io::Errno;
use rustix::path::Arg;

pub(crate) const CURRENT: &str = "current";
pub(crate) const GENERATIONS: &str = "generations";
pub(crate) const SECRETS: &str = "secrets";
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const STATE: &str = "state.json";
pub(crate) const FRESHNESS: &str = "freshness.json";
pub(crate) const CONTROL: &str = "control.sock";
/// The longest path of a socket. Programs of some languages cut a longer one without a word.
pub(crate) const LONGEST_PATH: usize = 100; // limits.toml: control.path_bytes

const MAX_GENERATION: u64 = 9_007_199_254_740_991; // limits.toml: generation.greatest
pub(crate) const FOLDER_MODE: u32 = 0o700;
pub(crate) const FILE_MODE: u32 = 0o600;

/// The type of a mode's bits is narrower on macOS; no mode of ours is.
#[allow(clippy::cast_possible_truncation)]
pub(crate) const fn mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits as RawMode)
}

pub(crate) const OPEN_FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// A FIFO must not hang a function (contract 6.2.8).
pub(crate) const OPEN_FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// What is wrong with a path. The caller knows which path it asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Missing,
    Link,
    NotFolder,
    NotFile,
    System(Errno),
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Self {
        if errno == Errno::NOENT { Self::Missing } else { Self::System(errno) }
    }
}

/// Reads a generation's number from the name of its folder (contract 1.2).
pub(crate) fn generation_number(name: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(name).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok().filter(|number| !text.starts_with('0') && *number <= MAX_GENERATION)
}

/// Returns the number after the given one, if one is left.
pub(crate) fn number_after(last: u64) -> Option<u64> {
    (last < MAX_GENERATION).then_some(last + 1)
}

/// Reads the generation's number from the target of `current` (contract 6.2.4).
pub(crate) fn target_number(target: &[u8]) -> Option<u64> {
    generation_number(target.strip_prefix(b"generations/")?)
}

/// Returns what makes a root unfit to be read, in the order of contract 6.2.2.
pub(crate) fn root_flaw(stat: &Stat) -> Option<&'static str> {
    let owner_is_root = stat.st_uid == 0;
    shape_flaw(stat)
        .or_else(|| owner_flaw(stat).filter(|_| !owner_is_root))
        .or_else(|| (stat.st_mode & 0o022 != 0).then_some("the root is writable by group or others"))
}

pub(crate) fn shape_flaw(stat: &Stat) -> Option<&'static str> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => None,
        FileType::Symlink => Some("the root is a symbolic link"),
        _ => Some("the root is not a directory"),
    }
}

pub(crate) fn owner_flaw(stat: &Stat) -> Option<&'static str> {
    (stat.st_uid != rustix::process::geteuid().as_raw()).then_some("the root belongs to another user")
}

/// Checks that a path is a folder, and no link to one.
pub(crate) fn see_folder(path: &str) -> Result<(), Trouble> {
    match FileType::from_raw_mode(fs::lstat(path)?.st_mode) {
        FileType::Directory => Ok(()),
        FileType::Symlink => Err(Trouble::Link),
        _ => Err(Trouble::NotFolder),
    }
}

/// Reads a regular file until its end or until the buffer is full, and returns the number of bytes.
pub(crate) fn read_file(path: &str, buffer: &mut [u8]) -> Result<usize, Trouble> {
    read(&open_file(fs::CWD, path, OFlags::RDONLY)?, buffer)
}

/// Opens a regular file, and nothing else, in a folder.
pub(crate) fn open_file<N: Arg + Copy>(folder: impl AsFd, name: N, access: OFlags) -> Result<OwnedFd, Trouble> {
    let file = fs::openat(folder, name, access | OPEN_FILE, Mode::empty()).map_err(|errno| match errno {
        Errno::LOOP => Trouble::Link,
        Errno::NXIO | Errno::OPNOTSUPP => Trouble::NotFile, // contract 8.6
        other => other.into(),
    })?;
    let regular = FileType::from_raw_mode(fs::fstat(&file)?.st_mode) == FileType::RegularFile;
    if regular { Ok(file) } else { Err(Trouble::NotFile) }
}

/// Reads until the end or until the buffer is full, and returns the number of bytes.
pub(crate) fn read(file: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Trouble> {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::io::read(file, &mut buffer[filled..]) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(filled)
}

/// Writes all of the bytes.
pub(crate) fn write(file: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
