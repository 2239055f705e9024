//! `control.sock`, on which readers ask the writer (contract §9). The process decides every answer.
//!
//! Each connection is a separate task, so a client that sends garbage, half a line or nothing, or
//! that never reads, holds up nobody.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keystart_process::lock;
use keystart_store::error::{Error, Result};
use keystart_store::json::{self, Json, quote};
use keystart_store::name;
use rustix::process::{Resource, geteuid, getrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::events::{Event, Events};
use crate::runtime;

const FORMAT: &str = "keystart.control/1";
const LONGEST_LINE: usize = 65_536; // limits.toml: control.line_bytes
const MOST_CONNECTIONS: usize = 64; // limits.toml: control.connections
const PATIENCE_MS: u64 = 2_000; // limits.toml: control.patience_ms
const PATIENCE: Duration = Duration::from_millis(PATIENCE_MS);
/// How many bytes are read after a line, and thrown away.
const MOST_UNREAD: usize = 1 << 20;
/// How long a request may wait, for each holds one of the places. A start has less time than this.
const LONGEST: Duration = Duration::from_mins(1);
/// The pause before the next look when no descriptor is left for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// To fetch secrets or folders again, by their names; `None` stands for everything.
    Refresh(Option<Vec<String>>),
}

/// The requests that wait for an answer.
#[derive(Default)]
pub struct Control {
    open: Mutex<Open>,
    listening: Mutex<Option<AbortHandle>>,
}

#[derive(Default)]
struct Open {
    /// How many requests there have been.
    count: u64,
    requests: BTreeMap<u64, Waiting>,
}

struct Waiting {
    request: Request,
    answer: oneshot::Sender<String>,
}

impl Control {
    /// Serves the clients of a socket, instead of those of an earlier one.
    pub fn serve(self: &Arc<Self>, listener: StdListener, events: &Arc<Events>) -> Result<()> {
        let failed = |error: io::Error| Error::internal(&format!("control.sock: {}", error.kind()));
        listener.set_nonblocking(true).map_err(failed)?;
        let (control, events) = (Arc::clone(self), Arc::clone(events));
        let task = runtime::handle()?.spawn(async move {
            // An error here leaves a socket on which nobody listens, as readers expect it of a writer that is gone.
            if let Ok(listener) = UnixListener::from_std(listener) {
                control.accept(listener, events).await;
            }
        });
        if let Some(earlier) = lock(&self.listening).replace(task.abort_handle()) {
            earlier.abort();
        }
        Ok(())
    }

    async fn accept(self: Arc<Self>, listener: UnixListener, events: Arc<Events>) {
        let room = Arc::new(Semaphore::new(most_connections()));
        // The semaphore is never closed.
        while let Ok(place) = Arc::clone(&room).acquire_owned().await {
            let Ok((stream, _)) = listener.accept().await else {
                sleep(PAUSE).await;
                continue;
            };
            let (control, events) = (Arc::clone(&self), Arc::clone(&events));
            tokio::spawn(async move {
                control.converse(stream, &events).await;
                drop(place);
            });
        }
    }

    /// Reads one request and writes one answer.
    async fn converse(&self, mut stream: UnixStream, events: &Events) {
        if !stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == geteuid().as_raw()) {
            return;
        }
        let Ok(Some(line)) = timeout(PATIENCE, read_line(&mut stream)).await else { return };
        let answer = match parse(&line) {
            Ok(request) => {
                let (answer, answered) = oneshot::channel();
                let id = self.add(Waiting { request, answer });
                events.push(Event::Asked(id));
                // Without an answer the process is about to end, or has failed to decide one.
                let Ok(Ok(answer)) = timeout(LONGEST, answered).await else {
                    lock(&self.open).requests.remove(&id);
                    return;
                };
                answer
            }
            Err(message) => refusal("invalid_request", &message),
        };
        // A client that is gone or does not read has no answer.
        let _gone = timeout(PATIENCE, finish(stream, answer.as_bytes())).await;
    }

    fn add(&self, waiting: Waiting) -> u64 {
        let mut open = lock(&self.open);
        open.count += 1;
        let id = open.count;
        open.requests.insert(id, waiting);
        id
    }

    /// Returns a request that waits for its answer.
    pub fn request(&self, id: u64) -> Result<Request> {
        let open = lock(&self.open);
        open.requests.get(&id).map(|waiting| waiting.request.clone()).ok_or_else(unknown)
    }

    /// Answers a request: with the current generation, and the entries that could not be fetched, by name.
    pub fn answer(&self, id: u64, generation: u64, failures: &[(String, String, String)]) -> Result<()> {
        let waiting = lock(&self.open).requests.remove(&id).ok_or_else(unknown)?;
        // The client may be gone.
        let _gone = waiting.answer.send(answer(generation, failures));
        Ok(())
    }
}

/// Returns how many connections may be open at once. Most descriptors are for fetches and for Lambda.
fn most_connections() -> usize {
    let limit = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
    limit.map_or(MOST_CONNECTIONS, |limit| MOST_CONNECTIONS.min(limit / 4)).max(1)
}

fn unknown() -> Error {
    Error::internal("no request with this number waits for an answer")
}

/// Reads up to the first line feed; `None` if the client ends before it.
async fn read_line(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let (mut line, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut part).await.ok().filter(|length| *length > 0)?;
        line.extend_from_slice(&part[..length]);
        if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            line.truncate(end + 1);
            return Some(line);
        }
        if line.len() >= LONGEST_LINE {
            return Some(line); // too long, which the caller answers
        }
    }
}

/// Writes the answer. It reads what the client has sent beyond its line, because a connection that
/// is closed with unread bytes may lose the answer.
async fn finish(mut stream: UnixStream, answer: &[u8]) -> io::Result<()> {
    stream.write_all(answer).await?;
    stream.shutdown().await?;
    let mut unread = [0; 4096];
    for _ in 0..MOST_UNREAD / unread.len() {
        match stream.try_read(&mut unread) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Reads a request. The error is a sentence.
fn parse(line: &[u8]) -> std::result::Result<Request, String> {
    if line.len() > LONGEST_LINE || line.last() != Some(&b'\n') {
        return Err(format!("The request is longer than {LONGEST_LINE} bytes. Ask for fewer names, or for all."));
    }
    let request = json::parse(line).map_err(|_| "The request is not JSON.".to_owned())?;
    if request.get("format").and_then(Json::as_str) != Some(FORMAT) {
        return Err(format!("The format of the request must be {FORMAT}."));
    }
    if request.get("op").and_then(Json::as_str) != Some("refresh") {
        return Err("This version of the extension knows only the op refresh. Use the same version of Keystart for \
                    the reader and the extension."
            .to_owned());
    }
    let wrong = || "The names of the request must be null or a list of valid names.".to_owned();
    match request.get("names") {
        Some(Json::Null) => Ok(Request::Refresh(None)),
        Some(Json::Array(names)) => {
            let valid = |name: &Json| {
                name.as_str().filter(|name| name::is_valid(name.as_bytes())).map(str::to_owned).ok_or_else(wrong)
            };
            names.iter().map(valid).collect::<std::result::Result<_, _>>().map(|names| Request::Refresh(Some(names)))
        }
        _ => Err(wrong()),
    }
}

/// Returns the line of an answer. If it would be too long, it has the first failures by the bytes of their names.
fn answer(generation: u64, failures: &[(String, String, String)]) -> String {
    let mut sorted: Vec<_> = failures.iter().collect();
    sorted.sort_unstable();
    let end = "}}\n";
    let mut line =
        format!("{{\"format\": {}, \"ok\": true, \"generation\": {generation}, \"failures\": {{", quote(FORMAT));
    let mut separator = "";
    for (name, code, message) in sorted {
        let failure =
            format!("{separator}{}: {{\"code\": {}, \"message\": {}}}", quote(name), quote(code), quote(message));
        if line.len() + failure.len() + end.len() > LONGEST_LINE {
            break;
        }
        line.push_str(&failure);
        separator = ", ";
    }
    line + end
}

fn refusal(code: &str, message: &str) -> String {
    format!(
        "{{\"format\": {}, \"ok\": false, \"error\": {{\"code\": {}, \"message\": {}}}}}\n",
        quote(FORMAT),
        quote(code),
        quote(message)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(names: &str) -> std::result::Result<Request, String> {
        parse(
            format!("{{\"format\": \"{FORMAT}\", \"op\": \"refresh\", \"names\": {names}, \"more\": 1}}\n").as_bytes(),
        )
    }

    #[test]
    fn a_request_names_secrets_or_nothing_for_all() {
        assert_eq!(asked("null"), Ok(Request::Refresh(None)));
        assert_eq!(asked("[\"db\", \"tls/key\"]"), Ok(Request::Refresh(Some(vec!["db".into(), "tls/key".into()]))));
        assert_eq!(asked("[]"), Ok(Request::Refresh(Some(vec![]))));
        for wrong in ["\"db\"", "[1]", "[\"../db\"]", "[\"\"]", "{}"] {
            assert_eq!(asked(wrong).unwrap_err(), "The names of the request must be null or a list of valid names.");
        }
    }

    #[test]
    fn what_is_no_request_gets_a_reason() {
        assert_eq!(parse(b"hello\n").unwrap_err(), "The request is not JSON.");
        assert_eq!(
            parse(b"{\"op\": \"refresh\"}\n").unwrap_err(),
            "The format of the request must be keystart.control/1."
        );
        let unknown = format!("{{\"format\": \"{FORMAT}\", \"op\": \"dance\"}}\n");
        assert!(parse(unknown.as_bytes()).unwrap_err().contains("knows only the op refresh"));
        assert!(parse(&vec![b' '; LONGEST_LINE]).unwrap_err().contains("longer than 65536 bytes"));
    }

    #[test]
    fn an_answer_has_as_many_failures_as_fit() {
        let failure = |name: usize| (format!("n{name:04}"), "Code".to_owned(), "m".repeat(200));
        let failures: Vec<_> = (0..1000).rev().map(failure).collect();
        let line = answer(3, &failures);
        assert!(line.len() <= LONGEST_LINE && line.len() > LONGEST_LINE - 300);
        let answer = json::parse(line.as_bytes()).unwrap();
        assert_eq!(answer.get("generation").and_then(Json::as_whole), Some(3));
        let listed = answer.get("failures").and_then(Json::as_object).unwrap();
        assert_eq!(listed.keys().next().map(String::as_str), Some("n0000"));
        assert!(listed.len() > 200);
    }
}
