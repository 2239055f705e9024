//! A client of Lambda's Extensions API: register, next, init/error, exit/error. It knows nothing about secrets.
//!
//! Source: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html>

use std::error::Error as StdError;
use std::io;
use std::net::ToSocketAddrs;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use keystart_process::is_signal_pending;
use keystart_store::json::{self, Json, quote};
use keystart_store::text::quoted;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

const VERSION: &str = "/2020-01-01/extension";
/// The body of `register` for an extension that has nothing to do at an INVOKE.
const SHUTDOWN_ONLY: &str = "{\"events\": [\"SHUTDOWN\"]}";
const WITH_INVOKE: &str = "{\"events\": [\"INVOKE\", \"SHUTDOWN\"]}";
/// Asks Lambda to name the account. An emulator may ignore it.
const FEATURE: (&str, &str) = ("Lambda-Extension-Accept-Feature", "accountId");
const IDENTIFIER: &str = "Lambda-Extension-Identifier";
/// The longest wait for an answer, except for that of `next`, which waits as long as the environment is frozen.
pub const PATIENCE: Duration = Duration::from_secs(5);
const LONGEST_ANSWER: usize = 1_048_576;
/// How long a process without a thread sleeps before it looks at its connection again.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// What drives a call of the API.
#[derive(Debug, Clone, Copy)]
pub enum Driver {
    /// The runtime of this process.
    Runtime,
    /// The calling thread. It needs no other thread, and no descriptor except that of the connection.
    Caller,
}

/// Why the API did not answer, as a sentence.
#[derive(Debug, PartialEq, Eq)]
pub struct ApiError(pub String);

/// Which phase of the extension failed.
#[derive(Debug, Clone, Copy)]
pub enum Phase {
    /// Before the first `next`.
    Init,
    /// After it.
    Exit,
}

/// An event from Lambda.
#[derive(Debug, PartialEq, Eq)]
pub struct ApiEvent {
    /// Its type, such as `INVOKE`.
    pub kind: String,
    /// Until when Lambda waits, in milliseconds since 1970; 0 if the event does not say so.
    pub deadline_ms: u64,
}

/// What Lambda answers to an extension that registers.
#[derive(Debug, PartialEq, Eq)]
pub struct RegisterAnswer {
    /// What every later call needs.
    pub identifier: String,
    /// The account of the function, if Lambda names it.
    pub account: Option<String>,
}

/// Registers. Lambda starts the runtime once every extension has
/// registered. `name` is the name of the executable. Without `invoke` Lambda does not send that
/// event, and ends an invocation without waiting for the extension. Calls `meanwhile` after the request is sent
/// and before the answer comes; never if it cannot connect.
pub async fn register(
    driver: Driver,
    address: &str,
    name: &str,
    invoke: bool,
    meanwhile: impl FnOnce(),
) -> Result<RegisterAnswer, ApiError> {
    let call = Call {
        method: Method::POST,
        path: "/register",
        headers: vec![("Lambda-Extension-Name", name), FEATURE],
        body: if invoke { WITH_INVOKE } else { SHUTDOWN_ONLY }.to_owned(),
    };
    let (response, body) = exchange(driver, address, call, Some(PATIENCE), meanwhile).await?;
    let identifier = response.headers().get(IDENTIFIER).and_then(|value| value.to_str().ok());
    let identifier = identifier.filter(|value| !value.is_empty());
    let account = json::parse(&body).ok().and_then(|body| Some(body.get("accountId")?.as_str()?.to_owned()));
    identifier
        .map(|identifier| RegisterAnswer { identifier: identifier.to_owned(), account })
        .ok_or_else(|| ApiError(format!("The Extensions API answered /register without {IDENTIFIER}.")))
}

/// Reports that this extension is ready, waits (for hours if need be) and returns the next event.
pub async fn next(address: &str, identifier: &str) -> Result<ApiEvent, ApiError> {
    let headers = vec![(IDENTIFIER, identifier)];
    let call = Call { method: Method::GET, path: "/event/next", headers, body: String::new() };
    let (_, body) = exchange(Driver::Runtime, address, call, None, || ()).await?;
    let event = json::parse(&body).ok();
    let member = |name| event.as_ref().and_then(|event| event.get(name));
    let deadline_ms = member("deadlineMs").and_then(Json::as_whole).unwrap_or_default();
    let kind = member("eventType").and_then(Json::as_str).filter(|kind| !kind.is_empty());
    kind.map(|kind| ApiEvent { kind: kind.to_owned(), deadline_ms }).ok_or_else(|| {
        ApiError("The Extensions API answered /event/next with something that is not an event.".to_owned())
    })
}

/// Reports that Init failed, which is legal between register and the first `next`, or that the extension ends.
pub async fn fail(
    driver: Driver,
    address: &str,
    identifier: &str,
    phase: Phase,
    kind: &str,
    message: &str,
) -> Result<(), ApiError> {
    let call = Call {
        method: Method::POST,
        path: match phase {
            Phase::Init => "/init/error",
            Phase::Exit => "/exit/error",
        },
        headers: vec![(IDENTIFIER, identifier), ("Lambda-Extension-Function-Error-Type", kind)],
        body: format!("{{\"errorMessage\": {}, \"errorType\": {}, \"stackTrace\": []}}", quote(message), quote(kind)),
    };
    exchange(driver, address, call, Some(PATIENCE), || ()).await.map(drop)
}

struct Call<'a> {
    method: Method,
    path: &'static str,
    headers: Vec<(&'static str, &'a str)>,
    body: String,
}

/// Sends one request on a new connection: the other side may drop a kept one during a long fetch or a freeze.
async fn exchange(
    driver: Driver,
    address: &str,
    call: Call<'_>,
    patience: Option<Duration>,
    meanwhile: impl FnOnce(),
) -> Result<(Response<()>, Bytes), ApiError> {
    let path = call.path;
    let failed = |why: &str| ApiError(format!("The Extensions API at {address} cannot be reached for {path}: {why}."));
    if !is_address(address) {
        return Err(ApiError(format!(
            "AWS_LAMBDA_RUNTIME_API must be a host and a port, found {}.",
            quoted(address.as_bytes())
        )));
    }
    let ask = async {
        match driver {
            Driver::Runtime => ask(TcpStream::connect(address).await, address, call, meanwhile).await,
            Driver::Caller => ask(PolledStream::connect(address), address, call, meanwhile).await,
        }
    };
    let asked = match patience {
        None => ask.await,
        Some(patience) => timeout(patience, ask).await.unwrap_or_else(|_| Err("timed out".to_owned())),
    };
    let (response, body) = asked.map_err(|why| failed(&why))?;
    if !matches!(response.status().as_u16(), 200 | 202) {
        let text = quoted(&body);
        return Err(ApiError(format!("The Extensions API answered {} to {path}: {text}.", response.status().as_u16())));
    }
    Ok((response, body))
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: io::Result<S>,
    address: &str,
    call: Call<'_>,
    meanwhile: impl FnOnce(),
) -> Result<(Response<()>, Bytes), String> {
    let stream = stream.map_err(|error| reason_of(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| reason_of(&error))?;
    // It ends with the sender. An error of the connection becomes the error of the answer.
    let driver = tokio::spawn(async move { drop(connection.await) });
    let mut request = Request::builder().method(call.method).uri(format!("{VERSION}{}", call.path));
    request = request.header("Host", address);
    for (name, value) in call.headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::from(call.body))).map_err(|error| reason_of(&error))?;
    let answer = sender.send_request(request);
    tokio::task::yield_now().await; // the driver sends it meanwhile
    meanwhile();
    let response = answer.await.map_err(|error| reason_of(&error))?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, LONGEST_ANSWER).collect().await.map_err(|error| reason_of(&*error))?.to_bytes();
    driver.abort();
    Ok((Response::from_parts(head, ()), body))
}

/// A connection that is polled again and again, because no reactor reports when it is ready.
struct PolledStream {
    stream: std::net::TcpStream,
    /// A byte was written. Before that no answer can come, and hyper reads before it writes.
    is_written: bool,
}

impl PolledStream {
    fn connect(address: &str) -> io::Result<Self> {
        let mut refused = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in address.to_socket_addrs()? {
            match std::net::TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => return stream.set_nonblocking(true).map(|()| Self { stream, is_written: false }),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Tries once. If the call would block, lets other tasks run before the next try, and sleeps a
    /// little unless it waits for the answer to a request that is not written yet.
    fn attempt<T>(
        &self,
        context: &Context<'_>,
        flag: PollFlags,
        act: impl FnOnce(&std::net::TcpStream) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        match act(&self.stream) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if self.is_written || flag == PollFlags::OUT {
                    // The next attempt shows whether it is ready.
                    let _ready = poll(&mut [PollFd::new(&self.stream, flag)], Some(&PAUSE));
                }
                if is_signal_pending() {
                    return Poll::Ready(Err(io::Error::from(io::ErrorKind::Interrupted)));
                }
                context.waker().wake_by_ref();
                Poll::Pending
            }
            done => Poll::Ready(done),
        }
    }
}

impl AsyncRead for PolledStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = |mut stream: &std::net::TcpStream| io::Read::read(&mut stream, into.initialize_unfilled());
        let length = ready!(self.attempt(context, PollFlags::IN, read))?;
        into.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PolledStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let length = ready!(self.attempt(context, PollFlags::OUT, |mut stream| io::Write::write(&mut stream, bytes)))?;
        self.is_written = true;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.shutdown(std::net::Shutdown::Write))
    }
}

fn is_address(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else {
        return false;
    };
    !host.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

/// Returns the innermost cause. It says what happened; the outer ones only say that something did.
fn reason_of(error: &(dyn StdError + 'static)) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    if innermost.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message) {
        return "the connection was closed before the answer".to_owned();
    }
    let text = innermost.to_string();
    // The system's words, without Rust's addition.
    text.split_once(" (os error ").map_or(text.as_str(), |(words, _)| words).to_owned()
}
