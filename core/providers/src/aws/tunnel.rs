//! Opens ways through a proxy (CONNECT). Of what a refusing proxy answers it keeps the status alone.
//!
//! hyper-util does the same, and its error has no status.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{fmt, io};

use aws_smithy_runtime_api::box_error::BoxError;
use hyper::Uri;
use hyper::rt::{Read, Write};
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tower_service::Service;

const LONGEST_ANSWER: usize = 8_192;
const MOST_HEADERS: usize = 100;

/// Why there is no way through a proxy.
#[derive(Debug)]
pub(super) enum TunnelError {
    /// There is no connection to the proxy.
    NoConnection(BoxError),
    /// The connection to the proxy broke off.
    Broken(io::Error),
    /// The proxy answered something other than HTTP.
    NoHttp,
    /// The proxy answered with a status.
    Refused(u16),
}

impl fmt::Display for TunnelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnection(_) => f.write_str("no connection to the proxy"),
            Self::Broken(_) => f.write_str("the connection to the proxy broke off"),
            Self::NoHttp => f.write_str("the proxy did not answer in HTTP"),
            Self::Refused(status) => write!(f, "the proxy answered {status}"),
        }
    }
}

impl StdError for TunnelError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::NoConnection(error) => Some(&**error),
            Self::Broken(error) => Some(error),
            Self::NoHttp | Self::Refused(_) => None,
        }
    }
}

/// Connects to hosts through a proxy. `connector` connects to the proxy.
pub(super) struct Tunnel<C> {
    pub connector: C,
    pub proxy: Intercept,
}

impl<C> Service<Uri> for Tunnel<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
    C::Response: Read + Write + Unpin + Send + 'static,
    C::Error: Into<BoxError>,
{
    type Response = C::Response;
    type Error = TunnelError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, TunnelError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), TunnelError>> {
        self.connector.poll_ready(context).map_err(|error| TunnelError::NoConnection(error.into()))
    }

    fn call(&mut self, host: Uri) -> Self::Future {
        let connecting = self.connector.call(self.proxy.uri().clone());
        let request = request(&host, &self.proxy);
        Box::pin(async move {
            let connection = connecting.await.map_err(|error| TunnelError::NoConnection(error.into()))?;
            let mut connection = TokioIo::new(connection);
            connection.write_all(&request).await.map_err(TunnelError::Broken)?;
            match status(&mut connection).await? {
                200..300 => Ok(connection.into_inner()),
                status => Err(TunnelError::Refused(status)),
            }
        })
    }
}

fn request(host: &Uri, proxy: &Intercept) -> Vec<u8> {
    let (host, port) = (host.host().unwrap_or_default(), host.port_u16().unwrap_or(443));
    let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes();
    if let Some(login) = proxy.basic_auth() {
        request.extend([b"Proxy-Authorization: ", login.as_bytes(), b"\r\n"].concat());
    }
    request.extend(b"\r\n");
    request
}

/// Reads heads until one is the answer and not a notice before it (1xx), and returns its status.
///
/// Nobody reads what follows a refusal.
async fn status(connection: &mut (impl AsyncRead + Unpin)) -> Result<u16, TunnelError> {
    let mut answer = [0; LONGEST_ANSWER];
    let (mut begin, mut length) = (0, 0);
    loop {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        match head.parse(&answer[begin..length]).map_err(|_| TunnelError::NoHttp)? {
            httparse::Status::Complete(size) => match head.code.ok_or(TunnelError::NoHttp)? {
                100..200 => begin += size,
                status => return Ok(status),
            },
            httparse::Status::Partial if length == answer.len() => return Err(TunnelError::NoHttp),
            httparse::Status::Partial => {
                match connection.read(&mut answer[length..]).await.map_err(TunnelError::Broken)? {
                    0 => return Err(TunnelError::Broken(io::ErrorKind::UnexpectedEof.into())),
                    read => length += read,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of(mut answer: &[u8]) -> Result<u16, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(status(&mut answer)).map_err(|error| error.to_string())
    }

    #[test]
    fn of_an_answer_it_keeps_the_status_alone() {
        assert_eq!(status_of(b"HTTP/1.1 200 Connected\r\n\r\n"), Ok(200));
        assert_eq!(status_of(b"HTTP/1.0 407 secret words\r\nX: y\r\n\r\n<html>"), Ok(407));
        assert_eq!(status_of(b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n"), Ok(200));
        assert_eq!(status_of(b"HTTP/1.1 103 Wait\nX: y\n\nHTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), Ok(200));
        let no_http = "the proxy did not answer in HTTP".to_owned();
        let long = [&b"HTTP/1.1 200 OK\r\nX: "[..], &[b'x'; LONGEST_ANSWER]].concat();
        let endless = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(LONGEST_ANSWER);
        for answer in [&b"SSH-2.0-secret\r\n"[..], b"HTTP/1.1 2000 OK\r\n\r\n", &long, &endless] {
            assert_eq!(status_of(answer), Err(no_http.clone()));
        }
        for cut in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"] {
            assert_eq!(status_of(cut), Err("the connection to the proxy broke off".to_owned()));
        }
    }
}
