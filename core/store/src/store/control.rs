//! One request to the writer and its answer, over control.sock (contract §9). It looks at no generation, and never waits.

use std::os::fd::{AsFd, OwnedFd};
use std::process;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SendFlags, Shutdown, SocketAddrUnix, SocketType};

use crate::control::{FORMAT, MAX_LINE};
use crate::failures::{self, Failure, Failures};
use crate::json::{self, Json, quote};

/// What the writer answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It did what was asked, except for these.
    Done(Failures),
    /// It did nothing.
    Refused(Failure),
}

/// What the writer answers to `try` (contract 12.4).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Permission {
    pub generation: Option<u64>,
    pub candidate: Option<u64>,
    pub retry_after_ms: Option<u64>,
    /// An entry of the configuration publishes the name.
    pub is_configured: bool,
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

/// What an exchange has come to.
#[derive(Debug)]
pub(super) enum Progress {
    /// The answer, without its line feed.
    Line(Vec<u8>),
    /// It continues when its socket is ready.
    Blocked(PollFlags),
    /// The backlog of the writer is full. It continues after a pause.
    Full,
}

/// A connection. The writer sees its end even if a child that was forked meanwhile has it too.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    owner: u32,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.owner == process::id() {
            let _closed_anyway = net::shutdown(&self.socket, Shutdown::Both);
        }
    }
}

/// One request on its way, and its answer as far as it has come.
#[derive(Debug)]
pub(super) struct Exchange {
    path: String,
    request: Vec<u8>,
    sent: usize,
    line: Vec<u8>,
    connection: Option<Connection>,
}

impl Exchange {
    /// Asks for these secrets and folders, or for all if there are none.
    pub fn refresh(path: String, names: &[&str]) -> Self {
        let request = |names: &str| line("refresh", &format!("\"names\": {names}"));
        let listed = request(&format!("[{}]", names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ")));
        Self::new(path, if names.is_empty() || listed.len() > MAX_LINE { request("null") } else { listed })
    }

    /// Reports that Lambda has restored the environment from a snapshot.
    pub fn report_restore(path: String) -> Self {
        Self::new(path, format!("{{\"format\": \"{FORMAT}\", \"op\": \"restored\"}}\n"))
    }

    /// Asks for a login with this name; `rejected` is the generation of the last login that was.
    pub fn ask_login(path: String, name: &str, rejected: Option<u64>) -> Self {
        let generation = rejected.map_or_else(|| "null".to_owned(), |number| number.to_string());
        Self::new(path, line("try", &format!("\"name\": {}, \"generation\": {generation}", quote(name))))
    }

    /// Reports a login that succeeded.
    pub fn report_accepted(path: String, name: &str, generation: u64) -> Self {
        Self::new(path, line("accepted", &format!("\"name\": {}, \"generation\": {generation}", quote(name))))
    }

    /// Reports a login that the server rejected.
    pub fn report_rejected(path: String, name: &str, generation: u64, is_locked: bool) -> Self {
        let members = format!("\"name\": {}, \"generation\": {generation}, \"locked\": {is_locked}", quote(name));
        Self::new(path, line("rejected", &members))
    }

    fn new(path: String, request: String) -> Self {
        Self { path, request: request.into_bytes(), sent: 0, line: Vec::new(), connection: None }
    }

    /// Does what can be done at once.
    pub fn advance(&mut self) -> Result<Progress, Silence> {
        if self.connection.is_none() {
            match connect(&self.path)? {
                None => return Ok(Progress::Full),
                connection => self.connection = connection,
            }
        }
        let Some(Connection { socket, .. }) = &self.connection else { return Err(Silence::Nobody) };
        while self.sent < self.request.len() {
            match net::send(socket, &self.request[self.sent..], SEND) {
                Ok(sent) => self.sent += sent,
                Err(Errno::AGAIN) => return Ok(Progress::Blocked(PollFlags::OUT)),
                Err(Errno::INTR) => {}
                Err(_) => return Err(Silence::Nobody),
            }
        }
        let mut some = [0; 4096];
        loop {
            match rustix::io::read(socket, &mut some) {
                Ok(0) => return Err(Silence::Nobody),
                Ok(more) => {
                    let end = some[..more].iter().position(|byte| *byte == b'\n');
                    self.line.extend_from_slice(&some[..end.unwrap_or(more)]);
                    if self.line.len() >= MAX_LINE {
                        return Err(Silence::Nobody);
                    }
                    if end.is_some() {
                        return Ok(Progress::Line(std::mem::take(&mut self.line)));
                    }
                }
                Err(Errno::AGAIN) => return Ok(Progress::Blocked(PollFlags::IN)),
                Err(Errno::INTR) => {}
                Err(_) => return Err(Silence::Nobody),
            }
        }
    }

    /// Returns the socket that `Blocked` is about.
    pub fn socket(&self) -> Option<&OwnedFd> {
        self.connection.as_ref().map(|connection| &connection.socket)
    }

    /// Keeps the connection open after the answer.
    pub fn into_connection(self) -> Option<Connection> {
        self.connection
    }
}

/// Returns a request as its line.
fn line(op: &str, members: &str) -> String {
    format!("{{\"format\": \"{FORMAT}\", \"op\": \"{op}\", {members}}}\n")
}

/// Connects; `None` if the backlog is full.
fn connect(path: &str) -> Result<Option<Connection>, Silence> {
    let address = SocketAddrUnix::new(path).map_err(Silence::System)?;
    let socket = socket().map_err(Silence::System)?;
    match net::connect(&socket, &address) {
        Ok(()) => Ok(Some(Connection { socket, owner: process::id() })),
        Err(Errno::AGAIN) => Ok(None),
        Err(Errno::NOENT | Errno::CONNREFUSED) => Err(Silence::Nobody),
        Err(errno) => Err(Silence::System(errno)),
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

/// Waits until a socket is ready; false if the time is over.
pub(super) fn wait(socket: impl AsFd, flag: PollFlags, time: Duration) -> Result<bool, Silence> {
    let time = Timespec::try_from(time).unwrap_or_default();
    match poll(&mut [PollFd::new(&socket, flag)], Some(&time)) {
        Ok(0) => Ok(false),
        Ok(_) | Err(Errno::INTR) => Ok(true),
        Err(errno) => Err(Silence::System(errno)),
    }
}

/// Reads an answer (contract 9.4).
pub(super) fn answer(line: &[u8]) -> Option<Answer> {
    answer_in(&json::parse(line).ok()?)
}

/// Reads an answer to `try`; `None` also if the writer refuses.
pub(super) fn permission(line: &[u8]) -> Option<Permission> {
    let document = json::parse(line).ok()?;
    let Answer::Done(failures) = answer_in(&document)? else { return None };
    let number = |member: &str, least: u64| match document.get(member) {
        None | Some(Json::Null) => Some(None),
        Some(value) => value.as_whole().filter(|number| *number >= least).map(Some),
    };
    Some(Permission {
        generation: number("generation", 1)?,
        candidate: number("candidate", 1)?,
        retry_after_ms: number("retry_after_ms", 0)?,
        is_configured: failures.is_empty(),
    })
}

fn answer_in(document: &Json) -> Option<Answer> {
    if document.get("format")?.as_str()? != FORMAT {
        return None;
    }
    match document.get("ok")? {
        Json::Bool(true) => Some(Answer::Done(failures::parse(document.get("failures")?)?)),
        Json::Bool(false) => Some(Answer::Refused(Failure::from_json(document.get("error")?, false)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(names: &[&str]) -> String {
        String::from_utf8(Exchange::refresh(String::new(), names).request).unwrap()
    }

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
