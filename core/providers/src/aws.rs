//! What all AWS services share: credentials, roles, regions, endpoints, and one HTTP client. The
//! SDK retries nothing.

pub(crate) mod arn;
mod connector;
mod credentials;
mod endpoints;
pub(crate) mod errors;
pub(crate) mod ids;
mod lookups;
mod profiles;
mod proxies;
mod roots;
pub(crate) mod route;
mod tls;
mod tunnel;

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::env;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tokio::sync::OnceCell;

use crate::Entry;
use crate::limits::LimitedClient;
use crate::refusal::Refusal;
use connector::Connections;
pub use credentials::Login;
use endpoints::NoServiceConfig;
use errors::refusal;
use keystart_config::region::is_region;
use keystart_process::lock;
use profiles::Profiles;
use proxies::{Proxies, Proxy};
use route::{Pending, RoutingClient};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Returns the time that a connection may take. Under a deadline that ends no later, the deadline alone counts: both
/// would pass at once, and either could be the reported one.
fn connect_timeout(deadline: Duration) -> Duration {
    if deadline > CONNECT_TIMEOUT { CONNECT_TIMEOUT } else { deadline * 2 }
}

/// The clients of one start. They share connections, and assume each role once.
pub struct Aws {
    region: Option<String>,
    deadline: Duration,
    login: Option<Login>,
    pending: Arc<Pending>,
    http: OnceCell<HttpClients>,
    /// The configuration with the function's own credentials, and one for each role.
    sessions: Mutex<BTreeMap<Option<String>, Arc<OnceCell<SdkConfig>>>>,
    /// One client for each service, role and region: making a client takes longer than a request with it.
    clients: Mutex<Clients>,
}

/// The HTTP clients of one start.
struct HttpClients {
    of_services: SharedHttpClient,
    /// A container's endpoint for credentials is on the same machine: boto asks no proxy for it.
    of_container: SharedHttpClient,
}

/// Clients by type, role and region.
type Clients = BTreeMap<(TypeId, Option<String>, String), Box<dyn Any + Send>>;

impl Aws {
    /// Prepares the clients. `pending` will know which requests have no answer yet.
    pub(crate) fn new(region: Option<String>, deadline: Duration, login: Option<Login>, pending: Arc<Pending>) -> Self {
        let (sessions, clients) = (Mutex::default(), Mutex::default());
        Self { region, deadline, login, pending, http: OnceCell::new(), sessions, clients }
    }

    /// Returns the client of a service for an entry's region and role, and that region. `make` makes it, once.
    pub(crate) async fn client<C: Clone + Send + 'static>(
        &self,
        entry: &Entry,
        make: impl FnOnce(&SdkConfig, Region) -> C,
    ) -> Result<(C, String), Refusal> {
        let (session, region) = self.session(entry).await?;
        let mut known = lock(&self.clients);
        let key = (TypeId::of::<C>(), entry.role.clone(), region.clone());
        let client = known.entry(key).or_insert_with(|| Box::new(make(&session, Region::new(region.clone()))));
        let client = client.downcast_ref::<C>().cloned();
        client.map(|client| (client, region)).ok_or_else(|| Refusal::new("InternalError", "A client has another type."))
    }

    /// Returns the configuration with the credentials for an entry, and its region.
    async fn session(&self, entry: &Entry) -> Result<(SdkConfig, String), Refusal> {
        let session = match &entry.role {
            None => self.own_session().await?,
            Some(role) => self.role_session(role, entry).await?,
        };
        let region = entry.region.clone().or_else(|| session.region().map(ToString::to_string));
        let region =
            region.ok_or_else(|| Refusal::new("NoRegion", "No region is known. Set `region:` or AWS_REGION."))?;
        checked_region("The region of the entry", &region)?;
        Ok((session, region))
    }

    async fn own_session(&self) -> Result<SdkConfig, Refusal> {
        let cell = self.session_cell(None);
        cell.get_or_try_init(|| self.own_config()).await.cloned()
    }

    async fn role_session(&self, role: &str, entry: &Entry) -> Result<SdkConfig, Refusal> {
        let cell = self.session_cell(Some(role.to_owned()));
        cell.get_or_try_init(|| self.assumed(role, entry)).await.cloned()
    }

    fn session_cell(&self, role: Option<String>) -> Arc<OnceCell<SdkConfig>> {
        Arc::clone(lock(&self.sessions).entry(role).or_default())
    }

    async fn own_config(&self) -> Result<SdkConfig, Refusal> {
        let profiles = Profiles::read().await?;
        let profile = self.login.as_ref().map_or_else(profiles::of_environment, |login| login.profile.clone());
        let region = own_region(self.region.as_deref(), &profiles, &profile).await?;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(connect_timeout(self.deadline))
            // The deadline of the fetch counts. Another one could pass in a freeze, before an answer
            // that has arrived is looked at.
            .disable_read_timeout()
            .build();
        // Keystart's own loop retries, inside one deadline for everything. The SDK only knows single calls.
        let loader = loader(&profiles, &profile)
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(timeouts);
        // The SDK must not look for a region: a call that needs one reports that it is missing.
        let config = loader.region(region.clone()).load().await;
        endpoints::check(&config, &profile, endpoints::OF_FETCH)?;
        let http = self.http.get_or_try_init(|| http_clients(&config, &profile, &self.pending)).await?;
        let HttpClients { of_services: http, of_container } = http;
        let credentials = if let Some(login) = &self.login {
            login.credentials()?
        } else {
            let provider_config = ProviderConfig::without_region().with_http_client(http.clone()).with_region(region);
            credentials::load(&provider_config, of_container, &profiles, &profile).await?
        };
        let are_ignored = endpoints::are_ignored(&config);
        let builder = config.into_builder().http_client(http.clone());
        // The SDK's clients look there for endpoints even if they are to be ignored.
        let builder = if are_ignored { builder.service_config(NoServiceConfig) } else { builder };
        Ok(builder.credentials_provider(SharedCredentialsProvider::new(credentials)).build())
    }

    /// Assumes a role. All of its entries have the same external id and session name.
    async fn assumed(&self, role: &str, entry: &Entry) -> Result<SdkConfig, Refusal> {
        let own = self.own_session().await?;
        let name = entry.session_name.as_deref().unwrap_or("keystart");
        let call = aws_sdk_sts::Client::new(&own)
            .assume_role()
            .role_arn(role)
            .role_session_name(name)
            .set_external_id(entry.external_id.clone());
        let action = format!("sts:AssumeRole on {role}");
        let answer = call.send().await.map_err(|error| refusal(&action, &error))?;
        let credentials = credentials::role_credentials(role, answer.credentials)?;
        Ok(own.into_builder().credentials_provider(SharedCredentialsProvider::new(credentials)).build())
    }
}

/// Returns a loader of the environment and the profile, without credentials.
fn loader(profiles: &Profiles, profile: &str) -> ConfigLoader {
    let loader = aws_config::defaults(BehaviorVersion::latest()).no_credentials();
    loader.profile_name(profile).profile_files(profiles.files())
}

/// Returns the region of entries without one: that of the configuration, the environment, or the profile.
async fn own_region(configured: Option<&str>, profiles: &Profiles, profile: &str) -> Result<Option<Region>, Refusal> {
    let variable = |name: &str| set(name).map(|region| (name.to_owned(), Region::new(region)));
    let configured = configured.map(|region| ("`region:`".to_owned(), Region::new(region.to_owned())));
    let mut found = configured.or_else(|| variable("AWS_REGION")).or_else(|| variable("AWS_DEFAULT_REGION"));
    if found.is_none() {
        let provider = ProfileFileRegionProvider::builder().configure(&ProviderConfig::without_region());
        let provider = provider.profile_files(profiles.files()).profile_name(profile).build();
        found = provider.region().await.map(|region| (profiles::of_profile("region", profile), region));
    }
    let Some((source, region)) = found else {
        return Ok(None);
    };
    checked_region(&source, region.as_ref())?;
    Ok(Some(region))
}

/// Checks the variables and files that a person's login reads, before boto3 reads them. Without a
/// `profile`, the environment names it, and may have the credentials.
pub async fn check_login(profile: Option<&str>) -> Result<(), Refusal> {
    let profiles = Profiles::read().await?;
    let of_environment = || set("AWS_DEFAULT_PROFILE").unwrap_or_else(profiles::of_environment);
    let name = profile.map_or_else(of_environment, str::to_owned);
    own_region(None, &profiles, &name).await?;
    let config = loader(&profiles, &name).region(None::<Region>).load().await;
    endpoints::check(&config, &name, endpoints::OF_LOGIN)?;
    endpoints::check_proxies_of_login(&config)?;
    if let Some((source, path)) = endpoints::ca_bundle_variable()
        && !path.is_empty()
    {
        roots::read(&source, path).await?;
    }
    credentials::check_sources(&profiles).await?;
    if profile.is_none() { credentials::check_environment() } else { Ok(()) }
}

fn checked_region(source: &str, region: &str) -> Result<(), Refusal> {
    if is_region(region) {
        return Ok(());
    }
    Err(Refusal::new("InvalidRegion", format!("{source} is not a region such as eu-west-1. Correct or unset it.")))
}

/// Makes the HTTP clients. All requests to a host share its connections.
async fn http_clients(config: &SdkConfig, profile: &str, pending: &Arc<Pending>) -> Result<HttpClients, Refusal> {
    let tls = tls::config(roots::load(endpoints::ca_bundle(config, profile)).await?)?;
    let read = Arc::default();
    let client = |variable, proxies| {
        let (tls, read) = (Arc::clone(&tls), Arc::clone(&read));
        let make = move |proxy: Option<&Proxy>| {
            let connections = Connections::new(Arc::clone(&tls), proxy.map(|proxy| proxy.intercept.clone()));
            SharedHttpClient::new(LimitedClient::new(SharedHttpClient::new(connections), Arc::clone(&read)))
        };
        SharedHttpClient::new(RoutingClient::new(variable, proxies, Arc::clone(pending), make))
    };
    Ok(HttpClients {
        of_services: client("AWS_ENDPOINT_URL", Proxies::of_environment()),
        of_container: client(endpoints::CONTAINER_URI, Proxies::default()),
    })
}

fn set(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}
