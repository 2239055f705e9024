//! Files that a person or a variable names. The path may be anything, so a read must neither hang
//! nor fill the memory.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;

/// Why a file was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileError {
    /// The system refused.
    System(Errno),
    /// It is a folder, a FIFO, a device or a socket.
    NotRegular,
    /// It has more bytes than the limit.
    TooLarge,
}

impl From<Errno> for FileError {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

/// Reads a regular file of at most `most` bytes.
pub fn read_at_most(path: &Path, most: u64) -> Result<Vec<u8>, FileError> {
    // Without NONBLOCK, opening a FIFO would wait for its writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = open(path, flags, Mode::empty())?;
    let facts = fstat(&file)?;
    if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile {
        return Err(FileError::NotRegular);
    }
    let size = u64::try_from(facts.st_size).unwrap_or(0).min(most);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
    let read = File::from(file).take(most + 1).read_to_end(&mut bytes);
    read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    if bytes.len() as u64 > most { Err(FileError::TooLarge) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    #[test]
    fn only_a_regular_file_up_to_the_size_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let read = |path: PathBuf| read_at_most(&path, 4);
        fs::write(at("file"), "four").unwrap();
        assert_eq!(read(at("file")), Ok(b"four".to_vec()));
        fs::write(at("large"), "fives").unwrap();
        assert_eq!(read(at("large")), Err(FileError::TooLarge));
        rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo"), Mode::RWXU).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        assert_eq!(read(at("fifo")), Err(FileError::NotRegular));
        assert_eq!(read(folder.path().into()), Err(FileError::NotRegular));
        assert_eq!(read("/dev/zero".into()), Err(FileError::NotRegular));
        assert!(matches!(read(at("socket")), Err(FileError::System(_))));
        assert_eq!(read(at("absent")), Err(FileError::System(Errno::NOENT)));
    }
}
