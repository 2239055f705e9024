//! What is a writer's own: which paths, and with which kind, owner, mode and file system (contract 5.14 to 5.17).

use std::collections::BTreeSet;
use std::ffi::CStr;

use rustix::fs::FileType;
use rustix::path::Arg;

use crate::files::{self, FILE_MODE, FOLDER_MODE, Trouble};
use crate::folder::{Cause, Facts, Folder, FolderResult};
use crate::inventory::SECOND_NAME;
use crate::name;

/// A folder may inherit it from the one above. It grants and refuses no access.
const SETGID: u32 = 0o2000;

/// Which paths below `secrets` are the writer's.
#[derive(Debug)]
pub(crate) struct OwnPaths {
    names: Names,
    /// False for what this writer wrote itself: its files hold secrets whatever their modes and
    /// links are by now.
    is_strict: bool,
    pub(super) devices: Devices,
}

#[derive(Debug)]
enum Names {
    /// Any valid name of a secret, because the manifest is missing.
    Valid,
    /// These files and their folders.
    Listed { files: BTreeSet<String>, folders: BTreeSet<String> },
}

impl OwnPaths {
    /// Takes the paths that an older writer left, from the manifest if it exists.
    pub fn left_behind(names: Option<Vec<String>>, devices: Devices) -> Self {
        Self { names: names.map_or(Names::Valid, Names::listed), is_strict: true, devices }
    }

    /// Takes the paths that this writer wrote itself.
    pub fn written(names: &[String], devices: Devices) -> Self {
        Self { names: Names::listed(names.to_vec()), is_strict: false, devices }
    }

    pub(super) fn may_have(&self, path: &str) -> bool {
        match &self.names {
            Names::Valid => name::is_valid(path.as_bytes()),
            Names::Listed { files, folders } => files.contains(path) || folders.contains(path),
        }
    }

    pub(super) fn check(&self, folder: &Folder, name: &CStr, path: &str, facts: &Facts) -> FolderResult<()> {
        let is_folder = match &self.names {
            Names::Valid => facts.kind == FileType::Directory,
            Names::Listed { folders, .. } => folders.contains(path),
        };
        // A folder of the writer is never empty, so its own path has fewer segments than a name may have.
        if is_folder && !name::is_valid(format!("{path}/x").as_bytes()) {
            return Err(folder.foreign(name, "is a folder deeper than a secret's name goes"));
        }
        let kind = if is_folder { FileType::Directory } else { FileType::RegularFile };
        if self.is_strict {
            // `Links` counts the names of a file.
            self.devices.check(folder, name, &Facts { links: 1, ..*facts }, kind)
        } else {
            self.devices.check_place(folder, name, facts, kind)
        }
    }
}

impl Names {
    fn listed(names: Vec<String>) -> Self {
        let folders = names.iter().flat_map(|name| name::folders(name).map(str::to_owned)).collect();
        Self::Listed { files: names.into_iter().collect(), folders }
    }
}

/// The file systems of a store. They may differ: overlayfs has one number for its folders and others for its files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Devices {
    folders: u64,
    files: u64,
}

impl Devices {
    /// Takes the file systems of a root and of the lock in it.
    pub fn new(root: &Folder, lock: &Facts) -> Self {
        Self { folders: root.device(), files: lock.device }
    }

    /// Checks that the writers' lock is a file as a writer makes it, and empty.
    pub fn check_lock<N: Arg + Copy>(self, folder: &Folder, name: N, facts: &Facts) -> FolderResult<()> {
        self.check_file(folder, name, facts)?;
        if facts.size == 0 { Ok(()) } else { Err(folder.foreign(name, "is not empty")) }
    }

    /// Checks that an entry is a file as a writer makes it.
    pub fn check_file<N: Arg + Copy>(self, folder: &Folder, name: N, facts: &Facts) -> FolderResult<()> {
        self.check(folder, name, facts, FileType::RegularFile)
    }

    /// Checks that an entry is a folder as a writer makes it.
    pub fn check_folder<N: Arg + Copy>(self, folder: &Folder, name: N, facts: &Facts) -> FolderResult<()> {
        self.check(folder, name, facts, FileType::Directory)
    }

    /// Checks that an entry is as a writer makes it.
    pub(super) fn check<N: Arg + Copy>(
        self,
        folder: &Folder,
        name: N,
        facts: &Facts,
        kind: FileType,
    ) -> FolderResult<()> {
        self.check_place(folder, name, facts, kind)?;
        let (mode, links) = match kind {
            FileType::RegularFile => (FILE_MODE, facts.links),
            FileType::Directory => (FOLDER_MODE | SETGID, 1),
            FileType::Symlink => (0o7777, facts.links),
            _ => (FOLDER_MODE, facts.links),
        };
        if facts.mode & !mode != 0 {
            return Err(folder.foreign(name, &format!("has the mode {:04o}, which no writer sets", facts.mode)));
        }
        if links != 1 {
            return Err(folder.foreign(name, SECOND_NAME));
        }
        Ok(())
    }

    /// Checks an entry's kind, its owner and its file system.
    pub fn check_place<N: Arg + Copy>(
        self,
        folder: &Folder,
        name: N,
        facts: &Facts,
        kind: FileType,
    ) -> FolderResult<()> {
        if facts.kind != kind {
            return Err(folder.denied(name, wrong_kind(facts.kind, kind)));
        }
        if !facts.is_ours() {
            return Err(folder.foreign(name, "belongs to another user"));
        }
        let device = if kind == FileType::Directory { self.folders } else { self.files };
        if facts.is_mount || facts.device != device {
            return Err(folder.foreign(name, "is on another file system"));
        }
        Ok(())
    }

    /// Checks a link to a generation, and returns the number.
    pub(super) fn read_link<N: Arg + Copy>(self, folder: &Folder, name: N, facts: &Facts) -> FolderResult<u64> {
        self.check(folder, name, facts, FileType::Symlink)?;
        let target = folder.read_link(name)?;
        target
            .and_then(|target| files::target_number(target.as_bytes()))
            .ok_or_else(|| folder.foreign(name, "does not point to a generation"))
    }
}

fn wrong_kind(found: FileType, wanted: FileType) -> Cause {
    match (found, wanted) {
        (_, FileType::Symlink) => Cause::Foreign("is not a symbolic link".to_owned()),
        (_, FileType::Socket) => Cause::Foreign("is not a socket".to_owned()),
        (FileType::Symlink, _) => Trouble::Link.into(),
        (_, FileType::Directory) => Trouble::NotFolder.into(),
        _ => Trouble::NotFile.into(),
    }
}
