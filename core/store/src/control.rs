//! The socket of a store, on which readers ask the writer (contract §9), and a root that was removed (11.6).

use std::os::unix::net::UnixListener;
use std::process;

use rustix::fs::{self, FileType, FlockOperation, flock};

use crate::errors::{Error, Result};
use crate::files::{CONTROL, CURRENT, LONGEST_PATH};
use crate::folder::{Folder, FolderResult};
use crate::options::Options;
use crate::publish::Writer;

/// The format of requests and answers.
pub const FORMAT: &str = "keystart.control/1";
/// The longest request and the longest answer, with their line feed.
pub const MAX_LINE: usize = 65_536; // limits.toml: control.line_bytes

impl Writer {
    /// Makes the socket of the store and listens on it; `None` if its path is too long. From then
    /// on `stop` removes it.
    pub fn listen(&mut self) -> Result<Option<UnixListener>> {
        if self.root.len() + 1 + CONTROL.len() > LONGEST_PATH {
            return Ok(None);
        }
        // A name that readers do not look for: they must find it with its mode.
        let new = format!(".control-{}", process::id());
        let refused = |error: &std::io::Error| {
            let errno = rustix::io::Errno::from_io_error(error).unwrap_or(rustix::io::Errno::IO);
            self.refusal(&self.folder.denied(new.as_str(), errno))
        };
        let listener = UnixListener::bind(format!("{}/{new}", self.root)).map_err(|error| refused(&error))?;
        let placed = self.folder.restrict(&new).and_then(|()| self.folder.rename(&new, CONTROL));
        placed.map_err(|denied| {
            let _leftover = self.folder.remove_file(new.as_str());
            self.refusal(&denied)
        })?;
        self.listens = true;
        Ok(Some(listener))
    }

    /// Removes the socket, if this writer made one.
    pub(crate) fn remove_socket(&mut self) -> FolderResult<()> {
        if std::mem::take(&mut self.listens) { remove_socket(&self.folder) } else { Ok(()) }
    }

    /// Returns whether readers can no longer find this store, because the function has removed or moved the
    /// root or `current`.
    pub fn is_gone(&self) -> bool {
        let is_unlinked = || self.folder.read_link(CURRENT).is_ok_and(|current| current.is_none());
        let is_elsewhere = || {
            let found = fs::lstat(&self.root).map(crate::folder::Facts::from);
            !found.is_ok_and(|facts| self.folder.is_same(&facts))
        };
        (self.published.is_some() && is_unlinked()) || is_elsewhere()
    }

    /// Takes over the store again after `is_gone`: steps 1 to 3. Its numbers continue.
    pub fn reopen(&mut self) -> Result<()> {
        let (root, last) = (self.root.clone(), self.last);
        let options = Options { root: Some(root.as_bytes()), ..Options::default() };
        // The lock may still lie in the root, and belong to this writer.
        let unlocked = flock(&self.lock, FlockOperation::Unlock);
        unlocked.map_err(|errno| Error::refused_write(&root, errno, crate::inventory::LOCK))?;
        match Self::open(&options, self.identity.clone()) {
            Ok(mut writer) => {
                writer.last = writer.last.max(last);
                *self = writer;
                Ok(())
            }
            Err(error) => {
                let _still_ours = flock(&self.lock, FlockOperation::NonBlockingLockExclusive);
                Err(error)
            }
        }
    }
}

/// Removes the socket of a store unless something else has its name.
fn remove_socket(folder: &Folder) -> FolderResult<()> {
    match folder.facts(CONTROL)? {
        Some(facts) if facts.kind == FileType::Socket && facts.is_ours() => folder.remove_file(CONTROL),
        Some(_) => Err(folder.foreign(CONTROL, "is none that this writer made")),
        None => Ok(()),
    }
}
