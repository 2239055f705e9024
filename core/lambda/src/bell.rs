//! What wakes the thread that waits for events: a descriptor that can be read after a ring.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, read, write};

/// An eventfd on Linux, and a pipe elsewhere.
#[derive(Debug)]
pub(crate) struct Bell {
    heard: OwnedFd,
    #[cfg(not(target_os = "linux"))]
    rung: OwnedFd,
}

impl Bell {
    #[cfg(target_os = "linux")]
    pub fn new() -> Result<Self, Errno> {
        use rustix::event::{EventfdFlags, eventfd};

        Ok(Self { heard: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    #[cfg(not(target_os = "linux"))]
    pub fn new() -> Result<Self, Errno> {
        use rustix::fs::{OFlags, fcntl_setfl};

        let (heard, rung) = std::io::pipe().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let (heard, rung) = (OwnedFd::from(heard), OwnedFd::from(rung));
        for end in [&heard, &rung] {
            fcntl_setfl(end, OFlags::NONBLOCK)?;
        }
        Ok(Self { heard, rung })
    }

    /// Makes the bell readable.
    pub fn ring(&self) {
        #[cfg(target_os = "linux")]
        let end = &self.heard;
        #[cfg(not(target_os = "linux"))]
        let end = &self.rung;
        // A write is refused only at the largest count, which is never reached, or to a full pipe, which can be read.
        let _rung = write(end, &1_u64.to_ne_bytes());
    }

    /// Takes rings away. If there were many, the bell may stay readable.
    pub fn clear(&self) {
        let _cleared = read(&self.heard, &mut [0; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.heard.as_fd()
    }
}
