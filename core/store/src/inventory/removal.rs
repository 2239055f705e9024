//! Removes generations, and nothing in them that is not the writer's.

use std::ffi::CStr;

use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::path::Arg;

use crate::files::{MANIFEST, SECRETS, Trouble};
use crate::folder::{Cause, Folder, FolderError, FolderResult, Wipe};
use crate::inventory::{OwnPaths, joined};

/// Removes what a generation holds except what is not the writer's. It continues after an error and
/// returns the first.
pub(crate) fn clear_generation<N: Arg + Copy>(
    generations: &Folder,
    name: N,
    own: &OwnPaths,
    wipe: Option<&Wipe>,
) -> FolderResult<()> {
    let Some(facts) = generations.facts(name)? else { return Ok(()) };
    own.devices.check_place(generations, name, &facts, FileType::Directory)?;
    let generation = generations.open(name)?;
    let mut first = Ok(());
    if let Some(facts) = generation.facts(MANIFEST)? {
        // The manifest holds no secret, and a reader that has it open must not read zeros.
        let own = own.devices.check_place(&generation, MANIFEST, &facts, FileType::RegularFile);
        first = first.and(own.and_then(|()| generation.remove_file(MANIFEST)));
    }
    if let Some(facts) = generation.facts(SECRETS)? {
        let own_folder = own.devices.check_place(&generation, SECRETS, &facts, FileType::Directory);
        first = first.and(own_folder.and_then(|()| {
            clear_secrets(&generation.open(SECRETS)?, "", own, wipe)?;
            generation.remove_folder(SECRETS)
        }));
    }
    first
}

/// Removes a generation, as `clear_generation` does, and its folder.
pub(crate) fn remove_generation(
    generations: &Folder,
    name: &str,
    own: &OwnPaths,
    wipe: Option<&Wipe>,
) -> FolderResult<()> {
    clear_generation(generations, name, own, wipe)?;
    generations.remove_folder(name).map_err(|denied| explained(generations, name, denied))
}

fn clear_secrets(folder: &Folder, path: &str, own: &OwnPaths, wipe: Option<&Wipe>) -> FolderResult<()> {
    let mut entries = Vec::new();
    folder.each_name(|name| {
        entries.push(name);
        true
    })?;
    let mut first = Ok(());
    for name in entries {
        let path = joined(path, name.as_bytes());
        first = first.and(remove_secret(folder, name.as_c_str(), &path, own, wipe));
    }
    first
}

fn remove_secret(folder: &Folder, name: &CStr, path: &str, own: &OwnPaths, wipe: Option<&Wipe>) -> FolderResult<()> {
    if !own.may_have(path) {
        return Err(folder.holds_foreign("holds an entry that Keystart did not make".to_owned()));
    }
    let Some(facts) = folder.facts(name)? else { return Ok(()) };
    own.check(folder, name, path, &facts)?;
    if facts.kind == FileType::Directory {
        clear_secrets(&folder.open(name)?, path, own, wipe)?;
        return folder.remove_folder(name);
    }
    let overwritten = wipe.map_or(Ok(()), |wipe| folder.overwrite(name, wipe));
    overwritten.and(folder.remove_file(name))
}

/// Finds what keeps a folder from being removed: the system only says that it is not empty.
fn explained(folder: &Folder, name: &str, denied: FolderError) -> FolderError {
    if denied.cause == Cause::Trouble(Trouble::System(Errno::NOTEMPTY)) {
        folder.foreign(name, "holds entries that Keystart did not make")
    } else {
        denied
    }
}
