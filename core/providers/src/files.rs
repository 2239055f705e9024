//! Files that a variable or a profile names, read in a way that a fetch can abandon.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use keystart_config::files::{FileError, read_at_most};
use keystart_process::{lock, start_thread};
use tokio::sync::oneshot;

/// The largest file of certificates, profiles or a token. Mozilla's whole list of authorities has 0.2 MiB.
pub(crate) const LARGEST: u64 = 1_048_576; // limits.toml: extension.file_bytes

/// Returns what is wrong with a file, for the end of a sentence. It does not repeat the path,
/// because the variable may hold something that is not a path.
pub(crate) fn reason(error: FileError) -> String {
    match error {
        FileError::System(errno) => {
            format!("names a file that cannot be read: {}", io::Error::from(errno).kind())
        }
        FileError::NotRegular => "names something that is not a regular file".to_owned(),
        FileError::TooLarge => format!("names a file that has more than {LARGEST} bytes"),
    }
}

/// Reads a file in the calling thread.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    read_at_most(path, LARGEST)
}

/// Runs work on files in a thread that nobody has to wait for: a dead mount hangs forever, and a
/// deadline abandons the thread. If no thread is left, the work runs in the calling one. `None` if
/// it panics.
pub(crate) async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, result) = oneshot::channel();
    let slot = Arc::new(Mutex::new(Some(move || drop(sender.send(work())))));
    let taken = Arc::clone(&slot);
    if start_thread("keystart-files", move || run(&taken)).is_err() {
        run(&slot);
    }
    result.await.ok()
}

fn run(slot: &Mutex<Option<impl FnOnce()>>) {
    if let Some(work) = lock(slot).take() {
        work();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
