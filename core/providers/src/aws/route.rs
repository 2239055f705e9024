//! The way of a request: to its host, or through a proxy. Failures name it, and so does whatever is
//! still on its way at the deadline.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::config_bag::ConfigBag;
use hyper::Uri;
use keystart_process::lock;

use super::proxies::{Proxies, Proxy};

/// The ends of AWS's own hosts, in every partition.
const OF_AWS: [&str; 9] = [
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".api.aws",
    ".amazonwebservices.com.cn",
    ".amazonaws.eu",
    ".ic.gov",
    ".sgov.gov",
    ".adc-e.uk",
    ".hci.ic.gov",
];
const VPC: &str = "A function in a VPC reaches AWS only through a NAT gateway, or an interface endpoint whose security group \
                   lets it in at port 443.";

/// The way of a request.
#[derive(Clone)]
pub(crate) struct Route {
    /// The host, and the port if it is not the usual one.
    pub host: String,
    pub proxy: Option<Arc<Proxy>>,
    /// Without TLS, a proxy reads the requests.
    pub is_tls: bool,
    /// The variable that may name the host.
    variable: &'static str,
}

impl Route {
    fn new(uri: &Uri, proxy: Option<Arc<Proxy>>, variable: &'static str) -> Self {
        let host = uri.authority().map_or_else(|| "the endpoint".to_owned(), ToString::to_string);
        Self { host, proxy, is_tls: uri.scheme_str() == Some("https"), variable }
    }

    fn is_to_aws(&self) -> bool {
        OF_AWS.iter().any(|end| self.host.ends_with(end))
    }

    /// Returns what may help if the host does not answer.
    pub fn advice(&self) -> String {
        match &self.proxy {
            Some(proxy) => format!("Correct {}, or name {} in NO_PROXY.", proxy.variable, self.host),
            None if self.is_to_aws() => VPC.to_owned(),
            None => format!("Check {}.", self.variable),
        }
    }

    /// Returns what may help if the name of the host is not known.
    pub fn advice_about_name(&self) -> String {
        if self.is_to_aws() {
            "Check the region, and the resolver of the network.".to_owned()
        } else {
            format!("Check {}.", self.variable)
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.proxy.as_ref().map_or(Ok(()), |proxy| write!(f, " through the proxy {}", proxy.address))
    }
}

/// The routes of the requests that have no answer yet.
#[derive(Default)]
pub(crate) struct Pending(Mutex<BTreeMap<String, (Route, usize)>>);

impl Pending {
    /// Returns each route once.
    pub fn routes(&self) -> Vec<Route> {
        lock(&self.0).values().map(|(route, _)| route.clone()).collect()
    }

    fn begin(self: &Arc<Self>, route: &Route) -> Visit {
        lock(&self.0).entry(route.to_string()).or_insert_with(|| (route.clone(), 0)).1 += 1;
        Visit { pending: Arc::clone(self), key: route.to_string() }
    }
}

/// One request on its way.
struct Visit {
    pending: Arc<Pending>,
    key: String,
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut routes = lock(&self.pending.0);
        if let Some((_, count)) = routes.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                routes.remove(&self.key);
            }
        }
    }
}

/// A failure on a route.
pub(crate) struct RouteFailure {
    pub route: Route,
    source: BoxError,
}

impl RouteFailure {
    fn wrap(route: Route, error: ConnectorError) -> ConnectorError {
        let (is_timeout, is_io, is_user, kind) = (error.is_timeout(), error.is_io(), error.is_user(), error.as_other());
        let failed = Box::new(Self { route, source: error.into_source() });
        match kind {
            _ if is_timeout => ConnectorError::timeout(failed),
            _ if is_io => ConnectorError::io(failed),
            _ if is_user => ConnectorError::user(failed),
            kind => ConnectorError::other(failed, kind),
        }
    }
}

impl fmt::Debug for RouteFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Failed")
    }
}

impl fmt::Display for RouteFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request failed")
    }
}

impl StdError for RouteFailure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.source.as_ref())
    }
}

/// Makes a client that sends everything through the proxy, or without one everything to the hosts.
type MakeClient = dyn Fn(Option<&Proxy>) -> SharedHttpClient + Send + Sync;

/// The client of one start, which chooses the way of each request.
pub(crate) struct RoutingClient {
    routes: Arc<Routes>,
}

struct Routes {
    variable: &'static str,
    proxies: Proxies,
    make: Box<MakeClient>,
    direct: SharedHttpClient,
    /// The clients of the proxies, by their URLs.
    proxied: Mutex<BTreeMap<String, SharedHttpClient>>,
    pending: Arc<Pending>,
}

impl RoutingClient {
    /// Makes a client. `variable` may name the host that it asks.
    pub fn new(
        variable: &'static str,
        proxies: Proxies,
        pending: Arc<Pending>,
        make: impl Fn(Option<&Proxy>) -> SharedHttpClient + Send + Sync + 'static,
    ) -> Self {
        let direct = make(None);
        let make: Box<MakeClient> = Box::new(make);
        Self { routes: Arc::new(Routes { variable, proxies, make, direct, proxied: Mutex::default(), pending }) }
    }
}

impl Routes {
    /// Returns the client for a proxy.
    fn client(&self, proxy: Option<&Arc<Proxy>>) -> SharedHttpClient {
        let Some(proxy) = proxy else { return self.direct.clone() };
        let mut clients = lock(&self.proxied);
        clients.entry(proxy.url.clone()).or_insert_with(|| (self.make)(Some(proxy))).clone()
    }
}

impl fmt::Debug for RoutingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoutingClient")
    }
}

impl HttpClient for RoutingClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let (settings, components) = (settings.clone(), components.clone());
        SharedHttpConnector::new(RoutingConnector { routes: Arc::clone(&self.routes), settings, components })
    }

    fn validate_base_client_config(&self, base: &RuntimeComponentsBuilder, bag: &ConfigBag) -> Result<(), BoxError> {
        self.routes.direct.validate_base_client_config(base, bag)
    }

    fn validate_final_config(&self, components: &RuntimeComponents, bag: &ConfigBag) -> Result<(), BoxError> {
        self.routes.direct.validate_final_config(components, bag)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.routes.direct.connector_metadata()
    }
}

struct RoutingConnector {
    routes: Arc<Routes>,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl fmt::Debug for RoutingConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoutingConnector")
    }
}

impl HttpConnector for RoutingConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let uri: Uri = match request.uri().parse() {
            Ok(uri) => uri,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(Box::new(error)))),
        };
        let proxy = match self.routes.proxies.of(&uri) {
            Ok(proxy) => proxy,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(Box::new(error)))),
        };
        let route = Route::new(&uri, proxy.cloned(), self.routes.variable);
        let client = self.routes.client(proxy);
        let visit = self.routes.pending.begin(&route);
        let answer = client.http_connector(&self.settings, &self.components).call(request);
        HttpConnectorFuture::new(async move {
            let _visit = visit;
            answer.await.map_err(|error| RouteFailure::wrap(route, error))
        })
    }
}
