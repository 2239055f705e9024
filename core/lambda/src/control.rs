//! `control.sock`, on which readers ask the writer (contract §9). The process decides every answer.
//!
//! Each connection is a separate task, so a client that sends garbage, half a line or nothing, or
//! that never reads, holds up nobody.

use std::collections::BTreeMap;
use std::future::{pending, poll_fn};
use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use keystart_process::lock;
use keystart_store::control::{FORMAT, MAX_LINE};
use keystart_store::errors::{Error, Result};
use keystart_store::json::{self, Json, quote};
use rustix::process::{Resource, geteuid, getrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::events::{Event, Events};
use crate::runtime;

const MOST_CONNECTIONS: usize = 64; // limits.toml: control.connections
const MOST_REFRESHES: usize = 128; // limits.toml: control.refreshes
const PATIENCE_MS: u64 = 2_000; // limits.toml: control.patience_ms
const PATIENCE: Duration = Duration::from_millis(PATIENCE_MS);
/// How many bytes are read after a line, and thrown away.
const MOST_UNREAD: usize = 1 << 20;
/// How long a request may wait, for each holds one of the places. A start has less time than this.
const LONGEST: Duration = Duration::from_mins(1);
/// The pause before the next look when no descriptor is left for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// What a client asks for, or reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// To fetch secrets or folders again, by their names; `None` stands for everything.
    Refresh(Option<Vec<String>>),
    /// To fetch before the first invocation, because Lambda has restored the environment from a snapshot.
    Restored,
    /// Which generation to log in with, for a secret or folder.
    Try(String),
    /// The server accepted a login with this generation.
    Accepted(String, u64),
    /// The server rejected a login with this generation.
    Rejected {
        /// The secret or folder.
        name: String,
        /// The generation.
        generation: u64,
        /// The server will reject every other login too.
        is_locked: bool,
    },
}

/// The answer to a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// The current generation; 0 if nothing is published.
    pub generation: u64,
    /// The generation to log in with instead.
    pub candidate: Option<u64>,
    /// When to ask again, in milliseconds, instead of a login.
    pub retry_after_ms: Option<u64>,
    /// The entries that could not be fetched: name, code and message.
    pub failures: Vec<(String, String, String)>,
    /// Whether the end of the connection is an event after the answer, too.
    pub is_watched: bool,
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
    /// Those that the process has not read yet.
    requests: BTreeMap<u64, Request>,
    /// Those that wait for their answers.
    answers: BTreeMap<u64, oneshot::Sender<Reply>>,
}

/// How many connections are served. Two kinds need no place of these: a refresh that waits for its fetch, and a
/// login that is watched after its answer. Otherwise a store that hangs would shut out every login.
struct Places {
    served: Arc<Semaphore>,
    refreshing: Semaphore,
    watched: Semaphore,
}

impl Places {
    fn new() -> Arc<Self> {
        let served = most_connections();
        Arc::new(Self {
            served: Arc::new(Semaphore::new(served)),
            refreshing: Semaphore::new(part_of_descriptors(8).min(MOST_REFRESHES)),
            watched: Semaphore::new(served),
        })
    }
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
        let places = Places::new();
        // The semaphore is never closed.
        while let Ok(place) = Arc::clone(&places.served).acquire_owned().await {
            let Ok((stream, _)) = listener.accept().await else {
                sleep(PAUSE).await;
                continue;
            };
            let (control, events, places) = (Arc::clone(&self), Arc::clone(&events), Arc::clone(&places));
            tokio::spawn(async move { control.converse(stream, &events, place, &places).await });
        }
    }

    /// Reads one request and writes one answer.
    async fn converse(&self, mut stream: UnixStream, events: &Events, place: OwnedSemaphorePermit, places: &Places) {
        if !stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == geteuid().as_raw()) {
            return;
        }
        let Ok(Some(line)) = timeout(PATIENCE, read_line(&mut stream)).await else { return };
        let request = match parse(&line) {
            Ok(request) => request,
            Err(message) => {
                let refusal = refusal("invalid_request", &message);
                // A client that is gone or does not read has no answer.
                let _gone = timeout(PATIENCE, write(&mut stream, refusal.as_bytes(), true)).await;
                return;
            }
        };
        let is_try = matches!(request, Request::Try(_));
        let is_refresh = matches!(request, Request::Refresh(_));
        let refreshing = if is_refresh { places.refreshing.try_acquire().ok() } else { None };
        let place = Some(place).filter(|_| refreshing.is_none());
        let (id, answered) = self.add(request);
        events.push(Event::Asked(id));
        // Without an answer the process is about to end, or has failed to decide one.
        let answered = async { timeout(LONGEST, answered).await.ok().and_then(std::result::Result::ok) };
        let gone = async {
            if !is_try {
                return pending().await;
            }
            end_of(&stream).await;
            events.push(Event::Left(id));
            None
        };
        let reply = first(answered, gone).await;
        let Some(reply) = reply else {
            lock(&self.open).answers.remove(&id);
            return;
        };
        let watching = if reply.is_watched { places.watched.try_acquire().ok() } else { None };
        let written = timeout(PATIENCE, write(&mut stream, answer(&reply).as_bytes(), watching.is_none())).await;
        drop(place);
        if watching.is_some() {
            let has_left = !matches!(written, Ok(Ok(()))) || timeout(PATIENCE, end_of(&stream)).await.is_ok();
            if has_left {
                events.push(Event::Left(id));
            }
        }
    }

    fn add(&self, request: Request) -> (u64, oneshot::Receiver<Reply>) {
        let (answer, answered) = oneshot::channel();
        let mut open = lock(&self.open);
        open.count += 1;
        let id = open.count;
        open.requests.insert(id, request);
        open.answers.insert(id, answer);
        (id, answered)
    }

    /// Returns a request, once.
    pub fn take(&self, id: u64) -> Result<Request> {
        let unknown = || Error::internal("no request with this number is left to read");
        lock(&self.open).requests.remove(&id).ok_or_else(unknown)
    }

    /// Answers a request. Its client may be gone.
    pub fn answer(&self, id: u64, reply: Reply) {
        if let Some(answer) = lock(&self.open).answers.remove(&id) {
            let _gone = answer.send(reply);
        }
    }
}

/// Returns how many connections are served at once. Other descriptors are for fetches and for Lambda.
pub fn most_connections() -> usize {
    part_of_descriptors(4).min(MOST_CONNECTIONS)
}

/// Returns a part of the descriptors that the process may have, and at least one.
fn part_of_descriptors(parts: u64) -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit / parts).unwrap_or(usize::MAX).max(1)
}

/// Returns the result of whichever ends first, and drops the other one.
async fn first<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> T {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|context| match one.as_mut().poll(context) {
        Poll::Pending => other.as_mut().poll(context),
        ready @ Poll::Ready(_) => ready,
    })
    .await
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
        if line.len() >= MAX_LINE {
            return Some(line); // too long, which the caller answers
        }
    }
}

/// Writes an answer, and ends the connection if it is the last one. Then it reads what the client
/// has sent beyond its line, because a connection that is closed with unread bytes may lose the answer.
async fn write(stream: &mut UnixStream, answer: &[u8], is_end: bool) -> io::Result<()> {
    stream.write_all(answer).await?;
    if is_end {
        stream.shutdown().await?;
        let mut unread = [0; 4096];
        for _ in 0..MOST_UNREAD / unread.len() {
            match stream.try_read(&mut unread) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
    }
    Ok(())
}

/// Waits until the client has closed its connection, or has sent far too much. It throws away what
/// the client sends beyond its line.
async fn end_of(stream: &UnixStream) {
    let (mut part, mut unread) = ([0; 4096], 0);
    while unread < MOST_UNREAD && stream.readable().await.is_ok() {
        match stream.try_read(&mut part) {
            Ok(length) if length > 0 => unread += length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Reads a request. The error is a sentence.
fn parse(line: &[u8]) -> std::result::Result<Request, String> {
    if line.len() > MAX_LINE || line.last() != Some(&b'\n') {
        return Err(format!("The request is longer than {MAX_LINE} bytes. Ask for fewer names, or for all."));
    }
    let request = json::parse(line).map_err(|_| "The request is not JSON.".to_owned())?;
    if request.get("format").and_then(Json::as_str) != Some(FORMAT) {
        return Err(format!("The format of the request must be {FORMAT}."));
    }
    match request.get("op").and_then(Json::as_str) {
        Some("refresh") => Ok(Request::Refresh(names(&request)?)),
        Some("restored") => Ok(Request::Restored),
        Some("try") => {
            generation(&request, true)?;
            Ok(Request::Try(name(&request)?))
        }
        Some("accepted") => Ok(Request::Accepted(name(&request)?, generation(&request, false)?)),
        Some("rejected") => {
            let is_locked = match request.get("locked") {
                None | Some(Json::Bool(false)) => false,
                Some(Json::Bool(true)) => true,
                Some(_) => return Err("The member locked of the request must be true or false.".to_owned()),
            };
            Ok(Request::Rejected { name: name(&request)?, generation: generation(&request, false)?, is_locked })
        }
        _ => Err("This version of the extension knows only the ops refresh, restored, try, accepted and rejected. \
                  Use the same version of Keystart for the reader and the extension."
            .to_owned()),
    }
}

/// Returns the names that a refresh is about; `None` for all.
fn names(request: &Json) -> std::result::Result<Option<Vec<String>>, String> {
    let wrong = || "The names of the request must be null or a list of valid names.".to_owned();
    match request.get("names") {
        Some(Json::Null) => Ok(None),
        Some(Json::Array(names)) => {
            names.iter().map(|name| valid(name).ok_or_else(wrong)).collect::<std::result::Result<_, _>>().map(Some)
        }
        _ => Err(wrong()),
    }
}

/// Returns the name that a login is about.
fn name(request: &Json) -> std::result::Result<String, String> {
    let wrong = "The name of the request must be a valid name.";
    request.get("name").and_then(valid).ok_or_else(|| wrong.to_owned())
}

fn valid(name: &Json) -> Option<String> {
    name.as_str().filter(|name| keystart_store::name::is_valid(name.as_bytes())).map(str::to_owned)
}

/// Returns the generation that a login used; 0 for none, where there may be none.
fn generation(request: &Json, may_be_none: bool) -> std::result::Result<u64, String> {
    match request.get("generation") {
        None | Some(Json::Null) if may_be_none => Ok(0),
        Some(number) if number.as_whole().is_some_and(|number| number > 0) => Ok(number.as_whole().unwrap_or_default()),
        _ => Err("The generation of the request must be a whole number from 1.".to_owned()),
    }
}

/// Returns the line of an answer. If it would be too long, it has the first failures by the bytes of their names.
fn answer(reply: &Reply) -> String {
    let mut sorted: Vec<_> = reply.failures.iter().collect();
    sorted.sort_unstable();
    let or_null = |number: Option<u64>| number.map_or_else(|| "null".to_owned(), |number| number.to_string());
    let end = "}}\n";
    let mut line = format!(
        "{{\"format\": {}, \"ok\": true, \"generation\": {}, \"candidate\": {}, \"retry_after_ms\": {}, \"failures\": {{",
        quote(FORMAT),
        or_null(Some(reply.generation).filter(|number| *number > 0)),
        or_null(reply.candidate),
        or_null(reply.retry_after_ms),
    );
    let mut separator = "";
    for (name, code, message) in sorted {
        let failure =
            format!("{separator}{}: {{\"code\": {}, \"message\": {}}}", quote(name), quote(code), quote(message));
        if line.len() + failure.len() + end.len() > MAX_LINE {
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
    fn a_restore_names_nothing() {
        let line = format!("{{\"format\": \"{FORMAT}\", \"op\": \"restored\", \"names\": 1}}\n");
        assert_eq!(parse(line.as_bytes()), Ok(Request::Restored));
    }

    #[test]
    fn logins_name_a_secret_and_a_generation() {
        let parse = |members: &str| parse(format!("{{\"format\": \"{FORMAT}\", {members}}}\n").as_bytes());
        let db = || "db".to_owned();
        assert_eq!(parse("\"op\": \"try\", \"name\": \"db\", \"generation\": null"), Ok(Request::Try(db())));
        assert_eq!(parse("\"op\": \"try\", \"name\": \"db\""), Ok(Request::Try(db())));
        assert_eq!(parse("\"op\": \"accepted\", \"name\": \"db\", \"generation\": 7"), Ok(Request::Accepted(db(), 7)));
        for (locked, is_locked) in [("", false), (", \"locked\": false", false), (", \"locked\": true", true)] {
            assert_eq!(
                parse(&format!("\"op\": \"rejected\", \"name\": \"db\", \"generation\": 7{locked}")),
                Ok(Request::Rejected { name: db(), generation: 7, is_locked })
            );
        }
        for wrong in ["\"name\": 1", "\"name\": \"../db\"", "\"generation\": 7"] {
            assert_eq!(
                parse(&format!("\"op\": \"try\", {wrong}")).unwrap_err(),
                "The name of the request must be a valid name."
            );
        }
        for wrong in ["", ", \"generation\": null", ", \"generation\": 0", ", \"generation\": 1.5"] {
            for op in ["accepted", "rejected"] {
                assert_eq!(
                    parse(&format!("\"op\": \"{op}\", \"name\": \"db\"{wrong}")).unwrap_err(),
                    "The generation of the request must be a whole number from 1."
                );
            }
        }
        assert_eq!(
            parse("\"op\": \"rejected\", \"name\": \"db\", \"generation\": 7, \"locked\": 1").unwrap_err(),
            "The member locked of the request must be true or false."
        );
    }

    #[test]
    fn an_answer_names_a_candidate_or_when_to_ask_again() {
        let parsed = |reply: &Reply| json::parse(answer(reply).as_bytes()).unwrap();
        let candidate = parsed(&Reply { generation: 6, candidate: Some(7), ..Reply::default() });
        assert_eq!(candidate.get("candidate").and_then(Json::as_whole), Some(7));
        assert_eq!(candidate.get("retry_after_ms"), Some(&Json::Null));
        let retry = parsed(&Reply { generation: 6, retry_after_ms: Some(0), ..Reply::default() });
        assert_eq!(retry.get("candidate"), Some(&Json::Null));
        assert_eq!(retry.get("retry_after_ms").and_then(Json::as_whole), Some(0));
        assert_eq!(parsed(&Reply::default()).get("generation"), Some(&Json::Null), "nothing is published");
    }

    #[test]
    fn what_is_not_a_request_gets_a_reason() {
        assert_eq!(parse(b"hello\n").unwrap_err(), "The request is not JSON.");
        assert_eq!(
            parse(b"{\"op\": \"refresh\"}\n").unwrap_err(),
            "The format of the request must be keystart.control/1."
        );
        let unknown = format!("{{\"format\": \"{FORMAT}\", \"op\": \"dance\"}}\n");
        assert!(
            parse(unknown.as_bytes())
                .unwrap_err()
                .contains("knows only the ops refresh, restored, try, accepted and rejected")
        );
        assert!(parse(&vec![b' '; MAX_LINE]).unwrap_err().contains("longer than 65536 bytes"));
    }

    #[test]
    fn an_answer_has_as_many_failures_as_fit() {
        let failure = |name: usize| (format!("n{name:04}"), "Code".to_owned(), "m".repeat(200));
        let failures: Vec<_> = (0..1000).rev().map(failure).collect();
        let line = answer(&Reply { generation: 3, failures, ..Reply::default() });
        assert!(line.len() <= MAX_LINE && line.len() > MAX_LINE - 300);
        let answer = json::parse(line.as_bytes()).unwrap();
        assert_eq!(answer.get("generation").and_then(Json::as_whole), Some(3));
        let listed = answer.get("failures").and_then(Json::as_object).unwrap();
        assert_eq!(listed.keys().next().map(String::as_str), Some("n0000"));
        assert!(listed.len() > 200);
    }
}
