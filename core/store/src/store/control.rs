//! One request to the writer and its answer, over control.sock (contract §9). It looks at no generation.

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SendFlags, SocketAddrUnix, SocketType};

use super::Patience;
use crate::json::{self, Json, quote};
use crate::state::{self, Failure, Failures};

const FORMAT: &str = "keystart.control/1";
/// The longest request and the longest answer, with their line feed.
const MAX_LINE: usize = 65_536; // limits.toml: control.line_bytes

/// What the writer answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It did what was asked, except for these.
    Done(Failures),
    /// It did nothing.
    Refused(Failure),
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Nobody listens, or something else than an answer came.
    Nobody,
    /// The time is over.
    TimedOut,
    /// The system refuses the connection.
    System(Errno),
}

/// Asks for these secrets and folders, or for all if there are none.
pub(super) fn refresh(path: &str, names: &[&str], patience: &mut Patience) -> Result<Answer, Silence> {
    let socket = connect(path, patience)?;
    send(&socket, request(names).as_bytes(), patience)?;
    parse(&receive_line(&socket, patience)?).ok_or(Silence::Nobody)
}

/// Returns the line that asks for these, or for all if the line would be too long.
fn request(names: &[&str]) -> String {
    let line = |names: &str| format!("{{\"format\": \"{FORMAT}\", \"op\": \"refresh\", \"names\": {names}}}\n");
    let listed = line(&format!("[{}]", names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ")));
    if names.is_empty() || listed.len() > MAX_LINE { line("null") } else { listed }
}

/// Reads an answer (contract 9.4).
fn parse(line: &[u8]) -> Option<Answer> {
    let document = json::parse(line).ok()?;
    if document.get("format")?.as_str()? != FORMAT {
        return None;
    }
    match document.get("ok")? {
        Json::Bool(true) => Some(Answer::Done(state::failures_from_json(document.get("failures")?)?)),
        Json::Bool(false) => Some(Answer::Refused(Failure::from_json(document.get("error")?, false)?)),
        _ => None,
    }
}

fn connect(path: &str, patience: &mut Patience) -> Result<OwnedFd, Silence> {
    let address = SocketAddrUnix::new(path).map_err(Silence::System)?;
    loop {
        let socket = socket().map_err(Silence::System)?;
        match net::connect(&socket, &address) {
            Ok(()) => return Ok(socket),
            // The backlog is full.
            Err(Errno::AGAIN) if patience.pause() => {}
            Err(Errno::AGAIN) => return Err(Silence::TimedOut),
            Err(Errno::NOENT | Errno::CONNREFUSED) => return Err(Silence::Nobody),
            Err(errno) => return Err(Silence::System(errno)),
        }
    }
}

/// Makes a socket that no child inherits and that never blocks.
#[cfg(target_os = "linux")]
fn socket() -> Result<OwnedFd, Errno> {
    let flags = net::SocketFlags::CLOEXEC | net::SocketFlags::NONBLOCK;
    net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// The same where a new socket takes no flags, and where the socket, not the call, refuses SIGPIPE.
#[cfg(not(target_os = "linux"))]
fn socket() -> Result<OwnedFd, Errno> {
    let socket = net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&socket, rustix::fs::OFlags::NONBLOCK)?;
    #[cfg(target_vendor = "apple")]
    net::sockopt::set_socket_nosigpipe(&socket, true)?;
    Ok(socket)
}

#[cfg(target_os = "linux")]
const SEND: SendFlags = SendFlags::NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const SEND: SendFlags = SendFlags::empty();

fn send(socket: &OwnedFd, mut bytes: &[u8], patience: &Patience) -> Result<(), Silence> {
    while !bytes.is_empty() {
        match net::send(socket, bytes, SEND) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(Errno::AGAIN) => wait(socket, PollFlags::OUT, patience)?,
            Err(Errno::INTR) => {}
            Err(_) => return Err(Silence::Nobody),
        }
    }
    Ok(())
}

/// Receives up to the first line feed, and returns the bytes before it.
fn receive_line(socket: &OwnedFd, patience: &Patience) -> Result<Vec<u8>, Silence> {
    let mut line = vec![0; MAX_LINE];
    let mut filled = 0;
    loop {
        match rustix::io::read(socket, &mut line[filled..]) {
            // The connection has ended, or the line is too long.
            Ok(0) => return Err(Silence::Nobody),
            Ok(more) => {
                let end = line[filled..filled + more].iter().position(|byte| *byte == b'\n');
                if let Some(end) = end {
                    line.truncate(filled + end);
                    return Ok(line);
                }
                filled += more;
            }
            Err(Errno::AGAIN) => wait(socket, PollFlags::IN, patience)?,
            Err(Errno::INTR) => {}
            Err(_) => return Err(Silence::Nobody),
        }
    }
}

/// Waits until the socket is ready.
fn wait(socket: &OwnedFd, flag: PollFlags, patience: &Patience) -> Result<(), Silence> {
    let left = Timespec::try_from(patience.left()).unwrap_or_default();
    match poll(&mut [PollFd::new(socket, flag)], Some(&left)) {
        Ok(0) => Err(Silence::TimedOut),
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(Silence::System(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_does_not_fit_into_a_line_asks_for_all() {
        let all = "{\"format\": \"keystart.control/1\", \"op\": \"refresh\", \"names\": null}\n";
        assert_eq!(request(&[]), all);
        let name = "n".repeat(255);
        // Each name takes 259 bytes with its quotes and its comma.
        let fit = request(&vec![name.as_str(); 252]);
        assert!(fit.len() <= MAX_LINE && fit.len() + 259 > MAX_LINE, "{}", fit.len());
        assert_eq!(request(&vec![name.as_str(); 253]), all);
    }
}
