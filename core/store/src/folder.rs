//! Folders of a store as the writer has them: open, with everything in them reached relative to
//! their descriptors, and never through a link (contract 5.1). This module looks, writes and
//! removes. It does not know what belongs to a store.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::path::Arg;

use crate::failpoint;
use crate::files::{self, FILE_MODE, FOLDER_MODE, OPEN_FILE, OPEN_FOLDER, Trouble};

/// Why the writer does not do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The system refused, or a path has another kind than it must have.
    Trouble(Trouble),
    /// Something is not the writer's. The text follows the path in a sentence: `belongs to another user`.
    Foreign(String),
}

impl From<Trouble> for Cause {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<Errno> for Cause {
    fn from(errno: Errno) -> Self {
        Self::Trouble(errno.into())
    }
}

/// What the writer could not do, and where (relative to the root).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FolderError {
    pub path: String,
    pub cause: Cause,
}

impl FolderError {
    /// Returns whether more space would have helped.
    pub fn is_out_of_space(&self) -> bool {
        matches!(self.cause, Cause::Trouble(Trouble::System(Errno::NOSPC | Errno::DQUOT)))
    }
}

pub(crate) type FolderResult<T> = Result<T, FolderError>;

/// Facts about an entry that was not opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub kind: FileType,
    /// The permissions, with setuid, setgid and the sticky bit.
    pub mode: u32,
    pub owner: u32,
    pub links: u64,
    pub size: u64,
    pub device: u64,
    pub inode: u64,
    /// Something is mounted here. Old kernels do not say so, and then this is false; `device` may
    /// still show it.
    pub is_mount: bool,
}

impl Facts {
    /// Returns whether the entry belongs to this process's user.
    pub fn is_ours(&self) -> bool {
        self.owner == rustix::process::geteuid().as_raw()
    }
}

impl From<fs::Stat> for Facts {
    // The types differ between systems.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast, clippy::cast_sign_loss, clippy::cast_lossless)]
    fn from(stat: fs::Stat) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            mode: u32::from(stat.st_mode) & 0o7777,
            owner: stat.st_uid,
            links: stat.st_nlink as u64,
            size: stat.st_size as u64,
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            is_mount: false,
        }
    }
}

#[cfg(target_os = "linux")]
fn facts_at<N: Arg + Copy>(folder: &OwnedFd, name: N) -> Result<Facts, Errno> {
    use rustix::fs::{StatxAttributes, StatxFlags};

    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    match fs::statx(folder, name, flags, StatxFlags::BASIC_STATS) {
        Ok(found) => Ok(Facts {
            kind: FileType::from_raw_mode(found.stx_mode.into()),
            mode: u32::from(found.stx_mode) & 0o7777,
            owner: found.stx_uid,
            links: found.stx_nlink.into(),
            size: found.stx_size,
            device: fs::makedev(found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            is_mount: found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
        }),
        // An old kernel, or a sandbox that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => Ok(fs::statat(folder, name, flags)?.into()),
        Err(errno) => Err(errno),
    }
}

#[cfg(not(target_os = "linux"))]
fn facts_at<N: Arg + Copy>(folder: &OwnedFd, name: N) -> Result<Facts, Errno> {
    Ok(fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.into())
}

/// What the writer found at the root. It changed nothing.
pub(crate) enum Root {
    /// A folder of ours.
    Own { folder: Folder, mode: u32 },
    /// A folder of somebody else.
    OfAnotherUser,
    /// No folder.
    Unsafe(&'static str),
}

/// An open folder of the store; everything is done relative to it.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    /// Relative to the root, for messages; empty for the root itself.
    path: String,
    /// The file system of the folder.
    device: u64,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Folder {
    /// Opens the root, and makes it if it is missing.
    pub fn open_root(path: &str) -> FolderResult<Root> {
        let denied = |errno: Errno| FolderError { path: ".".to_owned(), cause: errno.into() };
        match fs::mkdir(path, files::mode(FOLDER_MODE)) {
            Ok(()) | Err(Errno::EXIST) => {}
            // Not `Missing`: the folder above is missing.
            Err(errno) => return Err(FolderError { path: ".".to_owned(), cause: Trouble::System(errno).into() }),
        }
        let flawed = |stat: &fs::Stat| {
            let of_another_user = || files::owner_flaw(stat).map(|_| Root::OfAnotherUser);
            files::shape_flaw(stat).map(Root::Unsafe).or_else(of_another_user)
        };
        if let Some(root) = flawed(&fs::lstat(path).map_err(denied)?) {
            return Ok(root);
        }
        let fd = fs::open(path, OPEN_FOLDER, Mode::empty()).map_err(denied)?;
        let stat = fs::fstat(&fd).map_err(denied)?;
        if let Some(root) = flawed(&stat) {
            return Ok(root);
        }
        let Facts { mode, device, .. } = stat.into();
        Ok(Root::Own { folder: Self { fd, path: String::new(), device }, mode })
    }

    /// Returns the file system of the folder.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// Returns the path of an entry, relative to the root.
    pub fn path_of<N: Arg + Copy>(&self, name: N) -> String {
        let name = name.to_string_lossy();
        if self.path.is_empty() { name.into_owned() } else { format!("{}/{name}", self.path) }
    }

    /// Makes the error of an entry.
    pub fn denied<N: Arg + Copy>(&self, name: N, cause: impl Into<Cause>) -> FolderError {
        FolderError { path: self.path_of(name), cause: cause.into() }
    }

    /// Makes the error of an entry that is not the writer's.
    pub fn foreign<N: Arg + Copy>(&self, name: N, what: &str) -> FolderError {
        FolderError { path: self.path_of(name), cause: Cause::Foreign(what.to_owned()) }
    }

    /// Makes the error of the folder itself, which holds something that is not the writer's.
    pub fn holds_foreign(&self, what: String) -> FolderError {
        let path = if self.path.is_empty() { "the root".to_owned() } else { self.path.clone() };
        FolderError { path, cause: Cause::Foreign(what) }
    }

    /// Looks at an entry without opening it; `None` for a missing one.
    pub fn facts<N: Arg + Copy>(&self, name: N) -> FolderResult<Option<Facts>> {
        match facts_at(&self.fd, name) {
            Ok(facts) => Ok(Some(facts)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.denied(name, errno)),
        }
    }

    /// Sets the mode of this folder to that of a store. The folder must be ours.
    pub fn tighten(&self) -> FolderResult<()> {
        fs::fchmod(&self.fd, files::mode(FOLDER_MODE)).map_err(|errno| self.denied(".", errno))
    }

    /// Opens a folder in this one.
    pub fn open<N: Arg + Copy>(&self, name: N) -> FolderResult<Self> {
        let fd = fs::openat(&self.fd, name, OPEN_FOLDER, Mode::empty())
            .map_err(|errno| self.denied(name, self.why_no_folder(name, errno)))?;
        Ok(Self { fd, path: self.path_of(name), device: self.device })
    }

    /// Finds the reason by a look at the path: systems differ in the errno for a link where a folder must be.
    fn why_no_folder<N: Arg>(&self, name: N, errno: Errno) -> Trouble {
        match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::Symlink) => Trouble::Link,
            Ok(FileType::Directory) | Err(_) => errno.into(),
            Ok(_) => Trouble::NotFolder,
        }
    }

    /// Makes a folder in this one that must not exist yet. The umask must not decide its mode (contract 5.4).
    pub fn create<N: Arg + Copy>(&self, name: N) -> FolderResult<Self> {
        fs::mkdirat(&self.fd, name, files::mode(FOLDER_MODE)).map_err(|errno| self.denied(name, errno))?;
        let folder = self.open(name)?;
        fs::fchmod(&folder.fd, files::mode(FOLDER_MODE)).map_err(|errno| self.denied(name, errno))?;
        Ok(folder)
    }

    /// Opens a folder in this one, and makes it if it is missing.
    pub fn open_or_create(&self, name: &str) -> FolderResult<Self> {
        match self.create(name) {
            Err(FolderError { cause: Cause::Trouble(Trouble::System(Errno::EXIST)), .. }) => self.open(name),
            other => other,
        }
    }

    /// Writes a file that must not exist yet, and removes it if it cannot be written whole.
    pub fn write_new(&self, name: &str, bytes: &[u8]) -> FolderResult<()> {
        let file = self.create_file(name)?;
        failpoint::reached("file made");
        // The umask must not decide (contract 5.4).
        let written = fs::fchmod(&file, files::mode(FILE_MODE)).and_then(|()| files::write(&file, bytes));
        written.map_err(|errno| {
            let _stays = fs::unlinkat(&self.fd, name, AtFlags::empty());
            self.denied(name, errno)
        })
    }

    fn create_file(&self, name: &str) -> FolderResult<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OPEN_FILE;
        fs::openat(&self.fd, name, flags, files::mode(FILE_MODE)).map_err(|errno| self.denied(name, errno))
    }

    /// Makes the file that the writer locks; `None` when the name is taken.
    pub fn create_lock(&self, name: &str) -> FolderResult<Option<OwnedFd>> {
        match self.create_file(name) {
            Ok(file) => {
                fs::fchmod(&file, files::mode(FILE_MODE)).map(|()| Some(file)).map_err(|errno| self.denied(name, errno))
            }
            Err(FolderError { cause: Cause::Trouble(Trouble::System(Errno::EXIST)), .. }) => Ok(None),
            Err(denied) => Err(denied),
        }
    }

    /// Opens a regular file for reading and writing.
    pub fn open_file(&self, name: &str) -> FolderResult<OwnedFd> {
        files::open_file(&self.fd, name, OFlags::RDWR).map_err(|trouble| self.denied(name, trouble))
    }

    /// Reads a regular file until its end or until the buffer is full.
    pub fn read(&self, name: &str, buffer: &mut [u8]) -> FolderResult<usize> {
        files::open_file(&self.fd, name, OFlags::RDONLY)
            .and_then(|file| files::read(&file, buffer))
            .map_err(|trouble| self.denied(name, trouble))
    }

    /// Reads the target of a link; `None` for a missing one. Anything else is an error.
    pub fn read_link<N: Arg + Copy>(&self, name: N) -> FolderResult<Option<CString>> {
        match fs::readlinkat(&self.fd, name, Vec::new()) {
            Ok(target) => Ok(Some(target)),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::INVAL) => Err(self.foreign(name, "is not a symbolic link")),
            Err(errno) => Err(self.denied(name, errno)),
        }
    }

    /// Makes a link in this folder.
    pub fn link(&self, target: &str, name: &str) -> FolderResult<()> {
        fs::symlinkat(target, &self.fd, name).map_err(|errno| self.denied(name, errno))
    }

    /// Links a file of another folder under the same name. Returns false if the system
    /// makes no second name here.
    pub fn hard_link(&self, from: &Self, name: &str) -> FolderResult<bool> {
        match fs::linkat(&from.fd, name, &self.fd, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::PERM | Errno::ACCESS | Errno::XDEV | Errno::MLINK | Errno::NOSYS | Errno::OPNOTSUPP) => {
                Ok(false)
            }
            Err(errno) => Err(self.denied(name, errno)),
        }
    }

    /// Renames an entry within this folder, and replaces an entry that has the new name.
    pub fn rename(&self, from: &str, to: &str) -> FolderResult<()> {
        fs::renameat(&self.fd, from, &self.fd, to).map_err(|errno| self.denied(to, errno))
    }

    /// Calls `each` with the name of every entry, in no order, until it returns false.
    pub fn each_name(&self, mut each: impl FnMut(CString) -> bool) -> FolderResult<()> {
        let denied = |errno: Errno| FolderError { path: self.path_of("."), cause: errno.into() };
        for entry in fs::Dir::read_from(&self.fd).map_err(denied)? {
            let name = entry.map_err(denied)?.file_name().to_owned();
            if name.as_bytes() != b"." && name.as_bytes() != b".." && !each(name) {
                break;
            }
        }
        Ok(())
    }

    /// Removes a file or a link. A missing one is not an error.
    pub fn remove_file<N: Arg + Copy>(&self, name: N) -> FolderResult<()> {
        match fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) => {
                failpoint::reached("file removed");
                Ok(())
            }
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.denied(name, errno)),
        }
    }

    /// Removes a folder that is empty. A missing one is not an error.
    pub fn remove_folder<N: Arg + Copy>(&self, name: N) -> FolderResult<()> {
        match fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.denied(name, errno)),
        }
    }

    /// Overwrites a regular file with zeros, unless it can be reached by another name too.
    pub fn overwrite<N: Arg + Copy>(&self, name: N, wipe: &Wipe) -> FolderResult<()> {
        let denied = |errno: Errno| self.denied(name, errno);
        if wipe.is_over() {
            return Ok(());
        }
        let file = files::open_file(&self.fd, name, OFlags::WRONLY).map_err(|trouble| self.denied(name, trouble))?;
        // The facts of the open file: its name may belong to another file since the caller looked.
        let Facts { links, size, .. } = fs::fstat(&file).map_err(denied)?.into();
        if links != 1 {
            return Ok(());
        }
        let zeros = vec![0; usize::try_from(size).unwrap_or(0)];
        files::write(&file, &zeros).map_err(denied)?;
        failpoint::reached("file overwritten");
        if wipe.reaches_a_disk { synced(&file).map_err(denied) } else { Ok(()) }
    }

    /// Returns whether an entry is this folder.
    pub fn is_same(&self, facts: &Facts) -> bool {
        let own = fs::fstat(&self.fd).map(Facts::from);
        own.is_ok_and(|own| (own.device, own.inode) == (facts.device, facts.inode))
    }

    /// Takes the rights of group and others from an entry that was just made, and has no other name.
    pub fn restrict(&self, name: &str) -> FolderResult<()> {
        let mode = files::mode(FILE_MODE);
        fs::chmodat(&self.fd, name, mode, AtFlags::empty()).map_err(|errno| self.denied(name, errno))
    }

    /// Returns whether the folder was removed while it was open.
    pub fn is_removed(&self) -> bool {
        fs::fstat(&self.fd).is_ok_and(|stat| stat.st_nlink == 0)
    }

    /// Returns whether what is written may reach a disk.
    pub fn is_on_disk(&self) -> bool {
        is_on_disk(&self.fd)
    }
}

/// How the bytes of files are overwritten before they are removed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wipe {
    /// Zeros must be on the disk before a file is removed. Otherwise the system drops the ones it
    /// has not written yet.
    pub reaches_a_disk: bool,
    /// From then on files are only removed.
    pub until: Instant,
}

impl Wipe {
    fn is_over(&self) -> bool {
        self.reaches_a_disk && Instant::now() >= self.until
    }
}

#[cfg(target_os = "linux")]
fn is_on_disk(fd: &OwnedFd) -> bool {
    const TMPFS: fs::FsWord = 0x0102_1994;
    const RAMFS: fs::FsWord = 0x8584_58f6;
    fs::fstatfs(fd).map_or(true, |found| !matches!(found.f_type, TMPFS | RAMFS))
}

#[cfg(not(target_os = "linux"))]
fn is_on_disk(_fd: &OwnedFd) -> bool {
    true
}

#[cfg(target_os = "linux")]
fn synced(file: &OwnedFd) -> Result<(), Errno> {
    fs::fdatasync(file)
}

#[cfg(not(target_os = "linux"))]
fn synced(file: &OwnedFd) -> Result<(), Errno> {
    fs::fsync(file)
}
