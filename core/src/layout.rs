//! Files and folders of a store, never through a symbolic link. It knows where things lie, not what they mean.
//!
//! Readers go by path: they look with lstat, then open (contract 6.2.4). The writer goes by descriptor: a `Folder` is
//! opened relative to the one above it (contract 5.1).

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::path::Arg;

use crate::failpoint;

pub(crate) const CURRENT: &str = "current";
pub(crate) const GENERATIONS: &str = "generations";
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const STATE: &str = "state.json";

const MAX_GENERATION: u64 = (1 << 53) - 1;
const FOLDER_MODE: u32 = 0o700;
pub(crate) const FILE_MODE: u32 = 0o600;
pub(crate) const OPEN_FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// A FIFO must not hang a function (contract 6.2.8).
pub(crate) const OPEN_FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// What is wrong with a path; which path is known where it was asked.
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

/// The number after the given one, while there is one.
pub(crate) fn number_after(last: u64) -> Option<u64> {
    (last < MAX_GENERATION).then_some(last + 1)
}

/// Reads the generation's number from the target of `current` (contract 6.2.4).
pub(crate) fn target_number(target: &[u8]) -> Option<u64> {
    generation_number(target.strip_prefix(b"generations/")?)
}

/// What makes a root unfit to be read, the order being that of contract 6.2.2.
pub(crate) fn root_flaw(stat: &Stat) -> Option<&'static str> {
    let owner_is_root = stat.st_uid == 0;
    shape_flaw(stat)
        .or_else(|| owner_flaw(stat).filter(|_| !owner_is_root))
        .or_else(|| (stat.st_mode & 0o022 != 0).then_some("the root is writable by group or others"))
}

fn shape_flaw(stat: &Stat) -> Option<&'static str> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => None,
        FileType::Symlink => Some("the root is a symbolic link"),
        _ => Some("the root is not a directory"),
    }
}

fn owner_flaw(stat: &Stat) -> Option<&'static str> {
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

/// Reads a regular file until its end or until the buffer is full, and says how many bytes that were.
pub(crate) fn read_file(path: &str, buffer: &mut [u8]) -> Result<usize, Trouble> {
    read(&open_file(fs::CWD, path, OFlags::RDONLY)?, buffer)
}

fn open_file<N: Arg + Copy>(folder: impl AsFd, name: N, access: OFlags) -> Result<OwnedFd, Trouble> {
    let file = fs::openat(folder, name, access | OPEN_FILE, Mode::empty()).map_err(|errno| match errno {
        Errno::LOOP => Trouble::Link,
        Errno::NXIO => Trouble::NotFile,
        other => other.into(),
    })?;
    let regular = FileType::from_raw_mode(fs::fstat(&file)?.st_mode) == FileType::RegularFile;
    if regular { Ok(file) } else { Err(Trouble::NotFile) }
}

fn read(file: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Trouble> {
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

fn write(file: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
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

/// What the writer could not do, and where, relative to the root.
#[derive(Debug)]
pub(crate) struct Denied {
    pub path: String,
    pub trouble: Trouble,
}

type Done<T> = Result<T, Denied>;

/// The root as the writer found it.
pub(crate) enum Root {
    /// Ours, and nobody else could write there.
    Sound(Folder),
    /// Ours and tightened now, but others may have planted something.
    WasOpen(Folder),
    /// Not to be touched.
    Unsafe(&'static str),
}

/// An open folder of the store; everything is done relative to it.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    /// Relative to the root, for messages; empty for the root itself.
    path: String,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Folder {
    /// Opens the root, and makes it when it is missing.
    pub fn open_root(path: &str) -> Done<Root> {
        let denied = |errno: Errno| Denied { path: ".".to_owned(), trouble: errno.into() };
        match fs::mkdir(path, Mode::from_raw_mode(FOLDER_MODE)) {
            Ok(()) | Err(Errno::EXIST) => {}
            // Not `Missing`: it is the folder above that is.
            Err(errno) => return Err(Denied { path: ".".to_owned(), trouble: Trouble::System(errno) }),
        }
        let flaw = |stat: &Stat| shape_flaw(stat).or_else(|| owner_flaw(stat));
        if let Some(what) = flaw(&fs::lstat(path).map_err(denied)?) {
            return Ok(Root::Unsafe(what));
        }
        let fd = fs::open(path, OPEN_FOLDER, Mode::empty()).map_err(denied)?;
        let stat = fs::fstat(&fd).map_err(denied)?;
        if let Some(what) = flaw(&stat) {
            return Ok(Root::Unsafe(what));
        }
        fs::fchmod(&fd, Mode::from_raw_mode(FOLDER_MODE)).map_err(denied)?;
        let folder = Self { fd, path: String::new() };
        Ok(if stat.st_mode & 0o022 == 0 { Root::Sound(folder) } else { Root::WasOpen(folder) })
    }

    fn denied<N: Arg + Copy>(&self, name: N, trouble: impl Into<Trouble>) -> Denied {
        let name = name.to_string_lossy();
        let path = if self.path.is_empty() { name.into_owned() } else { format!("{}/{name}", self.path) };
        Denied { path, trouble: trouble.into() }
    }

    /// Opens a folder in this one.
    pub fn open<N: Arg + Copy>(&self, name: N) -> Done<Self> {
        let fd = fs::openat(&self.fd, name, OPEN_FOLDER, Mode::empty())
            .map_err(|errno| self.denied(name, self.why_no_folder(name, errno)))?;
        let Denied { path, .. } = self.denied(name, Trouble::Missing);
        Ok(Self { fd, path })
    }

    /// Systems differ in the errno for a link where a folder must be, so the path is looked at.
    fn why_no_folder<N: Arg>(&self, name: N, errno: Errno) -> Trouble {
        match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::Symlink) => Trouble::Link,
            Ok(FileType::Directory) | Err(_) => errno.into(),
            Ok(_) => Trouble::NotFolder,
        }
    }

    /// Opens a folder in this one, made when it is missing; its mode is ours in any case.
    pub fn create<N: Arg + Copy>(&self, name: N) -> Done<Self> {
        match fs::mkdirat(&self.fd, name, Mode::from_raw_mode(FOLDER_MODE)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(self.denied(name, errno)),
        }
        let folder = self.open(name)?;
        fs::fchmod(&folder.fd, Mode::from_raw_mode(FOLDER_MODE)).map_err(|errno| self.denied(name, errno))?;
        Ok(folder)
    }

    /// Writes a file that must not be there yet. One that cannot be written whole is removed.
    pub fn write_new(&self, name: &str, bytes: &[u8]) -> Done<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OPEN_FILE;
        let mode = Mode::from_raw_mode(FILE_MODE);
        let file = fs::openat(&self.fd, name, flags, mode).map_err(|errno| self.denied(name, errno))?;
        failpoint::reached("file made");
        // The umask must not decide (contract 5.4).
        let written = fs::fchmod(&file, mode).and_then(|()| write(&file, bytes));
        written.map_err(|errno| {
            let _stays = fs::unlinkat(&self.fd, name, AtFlags::empty());
            self.denied(name, errno)
        })
    }

    /// True for a regular file that belongs to this process.
    pub fn is_own_file(&self, name: &str) -> Done<bool> {
        match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
                Ok(regular && owner_flaw(&stat).is_none())
            }
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.denied(name, errno)),
        }
    }

    /// Opens the file that the writer locks, made when it is missing.
    pub fn open_lock(&self, name: &str) -> Done<OwnedFd> {
        let mode = Mode::from_raw_mode(FILE_MODE);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OPEN_FILE;
        match fs::openat(&self.fd, name, flags, mode) {
            Ok(file) => fs::fchmod(&file, mode).map(|()| file).map_err(|errno| self.denied(name, errno)),
            Err(Errno::EXIST) => open_file(&self.fd, name, OFlags::RDWR).map_err(|trouble| self.denied(name, trouble)),
            Err(errno) => Err(self.denied(name, errno)),
        }
    }

    /// Reads a regular file until its end or until the buffer is full.
    pub fn read(&self, name: &str, buffer: &mut [u8]) -> Done<usize> {
        open_file(&self.fd, name, OFlags::RDONLY)
            .and_then(|file| read(&file, buffer))
            .map_err(|trouble| self.denied(name, trouble))
    }

    /// Reads the target of a link; `None` for what is missing or no link.
    pub fn read_link(&self, name: &str) -> Done<Option<CString>> {
        match fs::readlinkat(&self.fd, name, Vec::new()) {
            Ok(target) => Ok(Some(target)),
            Err(Errno::NOENT | Errno::INVAL) => Ok(None),
            Err(errno) => Err(self.denied(name, errno)),
        }
    }

    /// Makes a link in this folder.
    pub fn link(&self, target: &str, name: &str) -> Done<()> {
        fs::symlinkat(target, &self.fd, name).map_err(|errno| self.denied(name, errno))
    }

    /// Renames within this folder; what has the new name is replaced.
    pub fn rename(&self, from: &str, to: &str) -> Done<()> {
        fs::renameat(&self.fd, from, &self.fd, to).map_err(|errno| self.denied(to, errno))
    }

    /// Lists what is in this folder, in no order.
    pub fn names(&self) -> Done<Vec<CString>> {
        let denied = |errno: Errno| Denied { path: self.path.clone(), trouble: errno.into() };
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(&self.fd).map_err(denied)? {
            let name = entry.map_err(denied)?.file_name().to_owned();
            if name.as_bytes() != b"." && name.as_bytes() != b".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Removes whatever has the name, with all that is in it. A missing one is no error.
    pub fn remove<N: Arg + Copy>(&self, name: N) -> Done<()> {
        match fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) => {
                failpoint::reached("file removed");
                return Ok(());
            }
            Err(Errno::NOENT) => return Ok(()),
            // Linux says EISDIR, POSIX EPERM.
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(errno) => return Err(self.denied(name, errno)),
        }
        self.open(name)?.clear()?;
        fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR).map_err(|errno| self.denied(name, errno))
    }

    /// Removes all that is in this folder.
    pub fn clear(&self) -> Done<()> {
        self.names()?.iter().try_for_each(|inner| self.remove(inner.as_c_str()))
    }

    /// Overwrites every file below the name with zeros and removes it all. Goes on after an error, and tells the first.
    pub fn wipe<N: Arg + Copy>(&self, name: N) -> Done<()> {
        let inside = match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => Err(self.denied(name, errno)),
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => self.wipe_inside(name),
                FileType::RegularFile => self.overwrite(name, stat.st_size),
                _ => Ok(()),
            },
        };
        inside.and(self.remove(name))
    }

    fn wipe_inside<N: Arg + Copy>(&self, name: N) -> Done<()> {
        let folder = self.open(name)?;
        let mut first = Ok(());
        for inner in folder.names()? {
            first = first.and(folder.wipe(inner.as_c_str()));
        }
        first
    }

    fn overwrite<N: Arg + Copy>(&self, name: N, size: i64) -> Done<()> {
        let zeros = vec![0; usize::try_from(size).unwrap_or(0)];
        let file = open_file(&self.fd, name, OFlags::WRONLY).map_err(|trouble| self.denied(name, trouble))?;
        write(&file, &zeros).map_err(|errno| self.denied(name, errno))?;
        failpoint::reached("file overwritten");
        Ok(())
    }
}
