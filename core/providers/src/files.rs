//! Reads files that a variable or a configuration names: regular ones, up to a size.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use tokio::sync::oneshot;

use keystart_process::{lock, start_thread};

/// The largest file of certificates, profiles or a token. Mozilla's whole list of authorities has 0.2 MiB.
pub(crate) const LARGEST: u64 = 1_048_576; // limits.toml: extension.file_bytes

/// Why a file gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The system refused.
    Refused(io::ErrorKind),
    /// A folder, a FIFO, a device, a socket.
    NotRegular,
    /// The most that is read, in bytes.
    TooLarge(u64),
    /// Not UTF-8, where text is wanted.
    NotText,
}

impl Unreadable {
    /// Says so after what named the file. The path is not repeated: whatever was put into the variable may be no path.
    pub fn reason(self) -> String {
        match self {
            Self::Refused(kind) => format!("names a file that cannot be read: {kind}"),
            Self::NotRegular => "names something that is not a regular file".to_owned(),
            Self::TooLarge(most) => format!("names a file that has more than {most} bytes"),
            Self::NotText => "names a file that is not UTF-8".to_owned(),
        }
    }
}

/// Does something with files on a thread that nobody has to wait for: a dead mount hangs for ever, and a deadline leaves it
/// behind. Where no thread is left it happens here and now. `None` when it panics.
pub(crate) async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tell, told) = oneshot::channel();
    let slot = Arc::new(Mutex::new(Some(move || drop(tell.send(work())))));
    let taken = Arc::clone(&slot);
    if start_thread("keystart-files", move || run(&taken)).is_err() {
        run(&slot);
    }
    told.await.ok()
}

fn run(slot: &Mutex<Option<impl FnOnce()>>) {
    if let Some(work) = lock(slot).take() {
        work();
    }
}

/// Reads a file here and now.
pub(crate) fn read_at_most(path: &Path, most: u64) -> Result<Vec<u8>, Unreadable> {
    let refused = |error: io::Error| Unreadable::Refused(error.kind());
    // Opening a FIFO would wait for somebody who writes to it.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = open(path, flags, Mode::empty()).map_err(|errno| refused(errno.into()))?;
    let about = fstat(&file).map_err(|errno| refused(errno.into()))?;
    if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
        return Err(Unreadable::NotRegular);
    }
    let size = u64::try_from(about.st_size).unwrap_or(0).min(most);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
    File::from(file).take(most + 1).read_to_end(&mut bytes).map_err(refused)?;
    if bytes.len() as u64 > most { Err(Unreadable::TooLarge(most)) } else { Ok(bytes) }
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
        assert_eq!(read(at("large")), Err(Unreadable::TooLarge(4)));
        rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo"), Mode::RWXU).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        assert_eq!(read(at("fifo")), Err(Unreadable::NotRegular));
        assert_eq!(read(folder.path().into()), Err(Unreadable::NotRegular));
        assert_eq!(read("/dev/zero".into()), Err(Unreadable::NotRegular));
        assert!(matches!(read(at("socket")), Err(Unreadable::Refused(_))));
        assert_eq!(read(at("absent")), Err(Unreadable::Refused(io::ErrorKind::NotFound)));
    }

    #[test]
    fn a_read_that_hangs_is_left_behind() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (end, hang) = std::sync::mpsc::channel::<()>();
        let read = on_a_thread(move || hang.recv().is_err());
        let late = async { tokio::time::timeout(std::time::Duration::from_millis(1), read).await };
        assert!(runtime.block_on(late).is_err());
        drop(end);
    }
}
