//! The HTTP client: HTTP/1.1 with TLS 1.2 or 1.3, to the host or through a proxy.
//!
//! AWS's own client takes authorities only as PEM, parses all of them several times in each start, and lets
//! nobody choose how a chain is verified.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use hyper::Uri;
use hyper::header::PROXY_AUTHORIZATION;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector as TcpConnector, capture_connection};
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use keystart_process::lock;
use rustls::ClientConfig;
use tokio::time::timeout;
use tower_service::Service;

use super::errors::find;
use super::lookups::Lookups;
use super::tunnel::Tunnel;

/// A client. Its requests share connections.
pub(super) struct Connections {
    tls: Arc<ClientConfig>,
    proxy: Option<Intercept>,
    lookups: Lookups,
    by_limits: Mutex<HashMap<Limits, SharedHttpConnector>>,
}

/// How long a connection and an answer may take.
type Limits = (Option<Duration>, Option<Duration>);

impl Connections {
    /// Makes a client that sends everything through the proxy, or without one everything to the hosts.
    pub fn new(tls: Arc<ClientConfig>, proxy: Option<Intercept>) -> Self {
        Self { tls, proxy, lookups: Lookups::new(GaiResolver::new()), by_limits: Mutex::default() }
    }

    fn sender(&self, (connecting, answer): Limits) -> Sender {
        let (tls, proxy, lookups) = (Arc::clone(&self.tls), self.proxy.clone(), self.lookups.clone());
        let connector = Connector { tls, proxy: proxy.clone(), lookups: lookups.clone(), limit: connecting };
        let mut builder = Client::builder(TokioExecutor::new());
        let client = builder.pool_timer(TokioTimer::new()).build(connector);
        Sender { client, proxy, lookups, limit: answer }
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connections")
    }
}

impl HttpClient for Connections {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let limits = (settings.connect_timeout(), settings.read_timeout());
        let make = || SharedHttpConnector::new(self.sender(limits));
        lock(&self.by_limits).entry(limits).or_insert_with(make).clone()
    }
}

/// Sends requests over the connections of one client.
struct Sender {
    client: Client<Connector, SdkBody>,
    proxy: Option<Intercept>,
    lookups: Lookups,
    limit: Option<Duration>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl HttpConnector for Sender {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        // Without TLS each request logs in to the proxy. With TLS the tunnel has done that.
        let login = self.proxy.as_ref().and_then(Intercept::basic_auth);
        if let Some(login) = login.filter(|_| request.uri().scheme_str() == Some("http")) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, login.clone());
        }
        let connection = capture_connection(&mut request);
        let (answer, limit, lookups) = (self.client.request(request), self.limit, self.lookups.clone());
        HttpConnectorFuture::new(async move {
            let answered = within(limit, answer).await;
            if !answered.as_ref().is_ok_and(|answer| !answer.status().is_server_error()) {
                // Perhaps only this one of the host's servers fails. The next try shall reach another one.
                connection.connection_metadata().as_ref().inspect(|connected| connected.poison());
                lookups.forget();
            }
            let answer = answered.map_err(classified)?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// The time for a connection or an answer has passed.
#[derive(Debug)]
struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out")
    }
}

impl StdError for TimedOut {}

async fn within<T, E: Into<BoxError>>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, BoxError> {
    match limit {
        None => work.await.map_err(Into::into),
        Some(limit) => timeout(limit, work).await.map_err(|_| TimedOut)?.map_err(Into::into),
    }
}

/// Sorts a failure into the kinds that the SDK's retries and our messages distinguish.
fn classified(error: BoxError) -> ConnectorError {
    let failed = error.as_ref();
    if find::<TimedOut>(failed).is_some() {
        return ConnectorError::timeout(error);
    }
    let is_of_connection = find::<hyper::Error>(failed).is_some_and(|error| error.is_closed() || error.is_canceled());
    let is_connect =
        find::<hyper_util::client::legacy::Error>(failed).is_some_and(hyper_util::client::legacy::Error::is_connect);
    if is_of_connection || is_connect || find::<io::Error>(failed).is_some() {
        return ConnectorError::io(error);
    }
    ConnectorError::other(error, None)
}

/// Opens connections.
#[derive(Clone)]
struct Connector {
    tls: Arc<ClientConfig>,
    proxy: Option<Intercept>,
    lookups: Lookups,
    limit: Option<Duration>,
}

type Connecting = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, host: Uri) -> Connecting {
        let Self { tls, proxy, lookups, limit } = self.clone();
        Box::pin(within(limit, async move {
            let mut tcp = TcpConnector::new_with_resolver(lookups);
            tcp.set_nodelay(true);
            tcp.enforce_http(false);
            let mut direct = HttpsConnector::from((tcp, Arc::clone(&tls)));
            match proxy {
                None => Stream::open(direct.call(host), false).await,
                Some(proxy) if host.scheme_str() == Some("https") => {
                    let tunnel = Tunnel { connector: direct, proxy };
                    Stream::open(HttpsConnector::from((tunnel, tls)).call(host), false).await
                }
                Some(proxy) => Stream::open(direct.call(proxy.uri().clone()), true).await,
            }
        }))
    }
}

/// Everything that a connection must be able to do.
trait Duplex: Read + Write + Connection + Send + Unpin {}

impl<T: Read + Write + Connection + Send + Unpin> Duplex for T {}

/// A connection of any kind.
struct Stream {
    inner: Box<dyn Duplex>,
    /// The proxy reads the requests, so they name the host.
    is_read_by_proxy: bool,
}

impl Stream {
    async fn open<T: Duplex + 'static>(
        opening: impl Future<Output = Result<T, BoxError>>,
        is_read_by_proxy: bool,
    ) -> Result<Self, BoxError> {
        Ok(Self { inner: Box::new(opening.await?), is_read_by_proxy })
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.inner.connected().proxy(self.is_read_by_proxy)
    }
}

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, into)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener};
    use std::thread;

    use super::super::{roots, tls};
    use super::*;

    #[test]
    fn after_a_failed_request_the_name_of_its_host_is_looked_up_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let server = thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            assert!(connection.read(&mut [0; 1_024]).unwrap() > 0);
            connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        });
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let connections = Connections::new(tls::config(roots::load(None).await.unwrap()).unwrap(), None);
            let sender = connections.sender((None, None));
            connections.lookups.know("localhost", SocketAddr::from(([127, 0, 0, 9], 0))); // where nobody listens
            let ask = || sender.call(HttpRequest::get(host.as_str()).unwrap());
            assert!(ask().await.is_err_and(|error| error.is_io()));
            assert!(ask().await.is_ok());
        });
        server.join().unwrap();
    }
}
