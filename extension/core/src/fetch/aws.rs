//! Asks Secrets Manager, Parameter Store and STS through AWS's SDK: one call a method, no retries, no policy.
//!
//! Every failure comes out as `Refused`, which says whether asking again can help.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::error::Error as StdError;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::ProvideRegion;

use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_ssm::types::Parameter;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::Blob;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use hyper::StatusCode;
use tokio::sync::OnceCell;

use super::sent::{Count, Sent};
use super::{Answer, Entry, Source, failure, roots};
use crate::task::lock;
use keystart_core::Failure;
use keystart_core::SecretBytes;
use keystart_core::time;

pub(super) const NO_WAY_OUT: &str =
    "A function in a VPC reaches AWS only through a NAT gateway or an interface endpoint.";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// What Secrets Manager, Parameter Store and STS name when asking again can help.
const RETRYABLE: [&str; 10] = [
    "InternalFailure",
    "InternalServerError",
    "InternalServiceError",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestTimeout",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];
/// How hyper tells of an answer that broke off.
const BODY_LOST: &str = "error reading a body from connection";
const DENIED: [&str; 2] = ["AccessDenied", "AccessDeniedException"];
/// Such an action is allowed for everything or for nothing.
const BATCH: &str = "secretsmanager:BatchGetSecretValue on *";
const EXPIRED: [&str; 2] = ["ExpiredToken", "ExpiredTokenException"];

/// A call that gave no value: the service's code and message, with the cure where we know one.
#[derive(Debug)]
pub(super) struct Refused {
    pub code: String,
    pub message: String,
    pub retryable: bool,
}

type Asked<T> = Result<T, Refused>;

/// What `BatchGetSecretValue` said, by id, and the token of the next page.
#[derive(Default)]
pub(super) struct Page {
    pub found: Vec<(String, Answer)>,
    pub refused: Vec<(String, Refused)>,
    pub next: Option<String>,
}

impl Refused {
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), retryable: false }
    }

    fn again(mut self) -> Self {
        self.retryable = true;
        self
    }

    pub fn to_failure(&self) -> Failure {
        failure(&self.code, self.message.clone())
    }
}

/// The clients of one start. They share connections; each role is assumed once.
pub(super) struct Aws {
    region: Option<String>,
    deadline: Duration,
    sent: Arc<Sent>,
    http: OnceCell<SharedHttpClient>,
    /// The configuration for our own credentials, and for each role's.
    sessions: Mutex<BTreeMap<Option<String>, Arc<OnceCell<SdkConfig>>>>,
    /// One client for each role and region, because to make one takes longer than to ask with it.
    secrets_managers: Clients<aws_sdk_secretsmanager::Client>,
    parameter_stores: Clients<aws_sdk_ssm::Client>,
}

type Clients<T> = Mutex<BTreeMap<(Option<String>, String), T>>;

impl Aws {
    pub fn new(region: Option<String>, deadline: Duration, sent: Arc<Sent>) -> Self {
        Self {
            region,
            deadline,
            sent,
            http: OnceCell::new(),
            sessions: Mutex::default(),
            secrets_managers: Mutex::default(),
            parameter_stores: Mutex::default(),
        }
    }

    /// Asks `GetSecretValue` once.
    pub async fn secret(&self, entry: &Entry) -> Asked<Answer> {
        let (client, region) = self.secrets_manager(entry).await?;
        let call = client
            .get_secret_value()
            .secret_id(&entry.id)
            .set_version_stage(entry.stage.clone())
            .set_version_id(entry.version_id.clone());
        let action = get_secret_value(&entry.id);
        let answer = call.send().await.map_err(|error| refused(&action, &error))?;
        let value = value(answer.secret_string, answer.secret_binary);
        secret_answer(&entry.id, &region, value, answer.version_id, answer.version_stages)
            .ok_or_else(|| no_answer(&action))
    }

    /// Asks `BatchGetSecretValue` once for entries of a region, role and account: one page of answers.
    pub async fn secrets(&self, entries: &[Entry], token: Option<String>) -> Asked<Page> {
        let (client, region) = self.secrets_manager(&entries[0]).await?;
        let ids: BTreeSet<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
        let wanted = ids.iter().map(|id| (*id).to_owned()).collect();
        let call = client.batch_get_secret_value().set_secret_id_list(Some(wanted)).set_next_token(token);
        let answer = call.send().await.map_err(|error| refused(BATCH, &error))?;
        if answer.secret_values.is_none() && answer.errors.is_none() && answer.next_token.is_none() {
            return Err(no_answer(BATCH));
        }
        let mut page = Page { next: answer.next_token.filter(|token| !token.is_empty()), ..Page::default() };
        for secret in answer.secret_values.unwrap_or_default() {
            let (Some(arn), Some(name)) = (secret.arn, secret.name) else {
                return Err(no_answer(BATCH));
            };
            let mut asked = ids.iter().filter(|id| is_id_of(id, &arn, &name)).peekable();
            if asked.peek().is_none() {
                return Err(confused("gave a secret that was not asked for"));
            }
            let value = value(secret.secret_string, secret.secret_binary);
            let answer = secret_answer("", &region, value, secret.version_id, secret.version_stages);
            let answer = answer.ok_or_else(|| no_answer(BATCH))?;
            for id in asked {
                let mut answer = answer.copy();
                (*id).clone_into(&mut answer.source.id);
                page.found.push(((*id).to_owned(), answer));
            }
        }
        for error in answer.errors.unwrap_or_default() {
            let secret = error.secret_id.unwrap_or_default();
            for id in ids.iter().filter(|id| is_id_of(id, &secret, &secret)) {
                let action = get_secret_value(id);
                let refused = said(&action, error.error_code.as_deref(), error.message.as_deref(), 200);
                page.refused.push(((*id).to_owned(), refused));
            }
        }
        Ok(page)
    }

    /// Asks `GetParameters` once for at most 10 entries of a region and role; one that does not exist is missing in the answer.
    pub async fn parameters(&self, entries: &[Entry]) -> Asked<BTreeMap<String, Answer>> {
        let (client, region) = self.parameter_store(&entries[0]).await?;
        let mut ids: Vec<&str> = Vec::new();
        for entry in entries {
            if !ids.contains(&entry.id.as_str()) {
                ids.push(&entry.id);
            }
        }
        let action = format!("ssm:GetParameters on {}, and kms:Decrypt on the key of a SecureString", ids.join(", "));
        let names = ids.iter().map(|id| (*id).to_owned()).collect();
        let answer = client.get_parameters().set_names(Some(names)).with_decryption(true).send().await;
        let mut parameters = answer.map_err(|error| refused(&action, &error))?.parameters.unwrap_or_default();
        parameters.sort_by_key(|parameter| parameter.version);
        let mut found = BTreeMap::new();
        for parameter in parameters {
            for id in asked(&parameter).into_iter().filter(|id| ids.contains(&id.as_str())) {
                let answer = parameter_answer(&id, &region, &parameter).ok_or_else(|| no_answer(&action))?;
                found.insert(id, answer);
            }
        }
        Ok(found)
    }

    /// Asks `GetParametersByPath` for one page: names with answers, and the token of the next page.
    pub async fn parameters_below(
        &self,
        entry: &Entry,
        token: Option<String>,
    ) -> Asked<(Vec<(String, Answer)>, Option<String>)> {
        let (client, region) = self.parameter_store(entry).await?;
        let action = format!("ssm:GetParametersByPath on {}, and kms:Decrypt on the key of a SecureString", entry.id);
        let call = client.get_parameters_by_path().path(&entry.id).recursive(true).with_decryption(true);
        let answer = call.set_next_token(token).send().await.map_err(|error| refused(&action, &error))?;
        let mut found = Vec::new();
        for parameter in answer.parameters.unwrap_or_default() {
            let name = parameter.name.clone().ok_or_else(|| no_answer(&action))?;
            let answer = parameter_answer(&name, &region, &parameter).ok_or_else(|| no_answer(&action))?;
            found.push((name, answer));
        }
        Ok((found, answer.next_token))
    }

    async fn secrets_manager(&self, entry: &Entry) -> Asked<(aws_sdk_secretsmanager::Client, String)> {
        let (session, region) = self.session(entry).await?;
        let mut known = lock(&self.secrets_managers);
        let client = known.entry((entry.role.clone(), region.clone())).or_insert_with(|| {
            let config = aws_sdk_secretsmanager::config::Builder::from(&session).region(Region::new(region.clone()));
            aws_sdk_secretsmanager::Client::from_conf(config.interceptor(Count(Arc::clone(&self.sent))).build())
        });
        Ok((client.clone(), region))
    }

    async fn parameter_store(&self, entry: &Entry) -> Asked<(aws_sdk_ssm::Client, String)> {
        let (session, region) = self.session(entry).await?;
        let mut known = lock(&self.parameter_stores);
        let client = known.entry((entry.role.clone(), region.clone())).or_insert_with(|| {
            let config = aws_sdk_ssm::config::Builder::from(&session).region(Region::new(region.clone()));
            aws_sdk_ssm::Client::from_conf(config.interceptor(Count(Arc::clone(&self.sent))).build())
        });
        Ok((client.clone(), region))
    }

    /// The configuration with the credentials that the entry asks for, and its region.
    async fn session(&self, entry: &Entry) -> Asked<(SdkConfig, String)> {
        let session = match &entry.role {
            None => self.own_session().await?,
            Some(role) => self.role_session(role).await?,
        };
        let region = entry.region.clone().or_else(|| session.region().map(ToString::to_string));
        let region =
            region.ok_or_else(|| Refused::new("NoRegion", "No region is known. Set `region:` or AWS_REGION."))?;
        Ok((session, region))
    }

    async fn own_session(&self) -> Asked<SdkConfig> {
        let cell = self.session_cell(None);
        cell.get_or_try_init(|| self.own_config()).await.cloned()
    }

    async fn role_session(&self, role: &str) -> Asked<SdkConfig> {
        let cell = self.session_cell(Some(role.to_owned()));
        cell.get_or_try_init(|| self.assumed(role)).await.cloned()
    }

    fn session_cell(&self, role: Option<String>) -> Arc<OnceCell<SdkConfig>> {
        Arc::clone(lock(&self.sessions).entry(role).or_default())
    }

    async fn own_config(&self) -> Asked<SdkConfig> {
        let http = self.http.get_or_try_init(|| async { http_client() }).await?;
        let provider_config = ProviderConfig::without_region().with_http_client(http.clone());
        let region = match self.region.clone().or_else(|| set("AWS_REGION")).or_else(|| set("AWS_DEFAULT_REGION")) {
            Some(region) => Some(Region::new(region)),
            None => ProfileFileRegionProvider::builder().configure(&provider_config).build().region().await,
        };
        let provider_config = provider_config.with_region(region.clone());
        let credentials = credentials(&provider_config).await?;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT.min(self.deadline))
            .read_timeout(self.deadline)
            .build();
        // Our own loop retries, inside one deadline for everything; the SDK knows only about single calls.
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http.clone())
            .credentials_provider(credentials)
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(timeouts);
        // Without a region none is looked for: a call that needs one says so.
        Ok(loader.region(region).load().await)
    }

    async fn assumed(&self, role: &str) -> Asked<SdkConfig> {
        let own = self.own_session().await?;
        let call = aws_sdk_sts::Client::new(&own).assume_role().role_arn(role).role_session_name("keystart");
        let action = format!("sts:AssumeRole on {role}");
        let answer = call.send().await.map_err(|error| refused(&action, &error))?;
        let given = answer.credentials.ok_or_else(|| no_answer(&action))?;
        let credentials = Credentials::new(
            given.access_key_id,
            given.secret_access_key,
            Some(given.session_token),
            None,
            "AssumeRole",
        );
        Ok(own.into_builder().credentials_provider(SharedCredentialsProvider::new(credentials)).build())
    }
}

/// One client for everything: its connections are shared by all that ask the same host.
fn http_client() -> Asked<SharedHttpClient> {
    let context = roots::context()?;
    let proxies = ProxyConfig::from_env();
    // The one way to a client with proxies: they are a setting of the connector, which is made once and kept.
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(context.clone())
            .proxy_config(proxies.clone());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.build()
    }))
}

/// The credentials of this start: from the environment, a profile, a web identity or a container, and never from the
/// instance metadata service, which Lambda does not have.
async fn credentials(config: &ProviderConfig) -> Asked<Credentials> {
    let given = match EnvironmentVariableCredentialsProvider::new().provide_credentials().await {
        // The others are made only now: each brings a client of STS along, and Lambda gives variables.
        Err(CredentialsError::CredentialsNotLoaded(_)) => elsewhere(config).provide_credentials().await,
        given => given,
    };
    let given = given.map_err(|error| match error {
        CredentialsError::CredentialsNotLoaded(_) => Refused::new(
            "NoCredentials",
            "There are no AWS credentials. In Lambda the function's role gives them; on your own machine log in, \
             or set AWS_PROFILE.",
        ),
        CredentialsError::ProviderTimedOut(_) => Refused::new("CredentialsUnavailable", sentences(&error)).again(),
        other => Refused::new("CredentialsUnavailable", sentences(&other)),
    })?;
    if given.expiry().is_some_and(|end| end <= SystemTime::now()) {
        let reason = "The credentials have expired. Log in again, or get new credentials.";
        return Err(Refused::new("ExpiredTokenException", reason));
    }
    Ok(given)
}

fn elsewhere(config: &ProviderConfig) -> CredentialsProviderChain {
    CredentialsProviderChain::first_try("Profile", ProfileFileCredentialsProvider::builder().configure(config).build())
        .or_else("WebIdentityToken", WebIdentityTokenCredentialsProvider::builder().configure(config).build())
        .or_else("Container", EcsCredentialsProvider::builder().configure(config).build())
}

fn set(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}

fn get_secret_value(id: &str) -> String {
    format!("secretsmanager:GetSecretValue on {id}")
}

fn value(text: Option<String>, binary: Option<Blob>) -> Option<(SecretBytes, &'static str)> {
    let text = text.map(|text| (SecretBytes::from(text.into_bytes()), "utf-8"));
    text.or_else(|| binary.map(|binary| (SecretBytes::from(binary.into_inner()), "binary")))
}

fn secret_answer(
    id: &str,
    region: &str,
    value: Option<(SecretBytes, &'static str)>,
    version_id: Option<String>,
    version_stages: Option<Vec<String>>,
) -> Option<Answer> {
    let (value, encoding) = value?;
    let source = Source {
        provider: "secretsmanager",
        id: id.to_owned(),
        region: region.to_owned(),
        version_id: version_id?,
        version_stages: version_stages.unwrap_or_default(),
        field: None,
    };
    Some(Answer { value, encoding, source, fetched_at: time::now() })
}

/// Whether an id asks for this secret: by name, by ARN, or by ARN without the six characters at its end.
fn is_id_of(id: &str, arn: &str, name: &str) -> bool {
    let is_suffix = |rest: &str| {
        let suffix = rest.strip_prefix('-').unwrap_or_default();
        suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    id == arn || id == name || (id.starts_with("arn:") && arn.strip_prefix(id).is_some_and(is_suffix))
}

/// An answer to a batch from which nobody can tell whose secret is whose.
fn confused(what: &str) -> Refused {
    let told = format!("secretsmanager:BatchGetSecretValue {what}. Check AWS_ENDPOINT_URL, or set `batch: false`.");
    Refused::new("InvalidAnswer", told)
}

pub(super) fn two_answers(id: &str) -> Refused {
    confused(&format!("gave two secrets for {id}"))
}

fn parameter_answer(id: &str, region: &str, parameter: &Parameter) -> Option<Answer> {
    let source = Source {
        provider: "ssm",
        id: id.to_owned(),
        region: region.to_owned(),
        version_id: parameter.version.to_string(),
        version_stages: Vec::new(),
        field: None,
    };
    let value = SecretBytes::from(parameter.value.as_ref()?.as_bytes());
    Some(Answer { value, encoding: "utf-8", source, fetched_at: time::now() })
}

/// The ids that ask for this parameter; an emulator does not say which version was asked for.
fn asked(parameter: &Parameter) -> Vec<String> {
    let selectors = match &parameter.selector {
        Some(selector) => vec![selector.clone()],
        None => vec![String::new(), format!(":{}", parameter.version)],
    };
    let names = [&parameter.name, &parameter.arn].into_iter().flatten();
    names.flat_map(|name| selectors.iter().map(move |selector| format!("{name}{selector}"))).collect()
}

/// Turns a failure into words: what was refused, and what would help.
fn refused<E>(action: &str, error: &SdkError<E, HttpResponse>) -> Refused
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    match error {
        SdkError::ServiceError(context) => {
            let meta = context.err().meta();
            said(action, meta.code(), meta.message(), context.raw().status().as_u16())
        }
        SdkError::TimeoutError(_) => Refused::new("ConnectionFailed", "The endpoint did not answer in time.").again(),
        SdkError::DispatchFailure(failure) => {
            failure.as_connector_error().map_or_else(|| no_answer(action), |error| lost(error, error.is_timeout()))
        }
        // Its own text may hold what was answered, and so perhaps a secret.
        SdkError::ResponseError(_) if causes(error).iter().any(|text| text == BODY_LOST) => closed(),
        SdkError::ResponseError(_) => no_answer(action),
        other => Refused::new("InvalidRequest", sentences(other)),
    }
}

/// What a service, or something before it, said instead of an answer.
fn said(action: &str, code: Option<&str>, message: Option<&str>, status: u16) -> Refused {
    let Some(code) = code.filter(|code| !code.is_empty()) else {
        if status < 300 {
            return no_answer(action);
        }
        // No service of AWS: a proxy, a firewall, a load balancer.
        let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let refused = Refused::new(&status.to_string(), sentence(reason.unwrap_or("The service gave no reason")));
        return if status >= 500 { refused.again() } else { refused };
    };
    let message = message.filter(|text| !text.is_empty());
    let mut message = sentence(message.unwrap_or("The service gave no reason"));
    if DENIED.contains(&code) {
        let other =
            if action == BATCH { "the policy of a VPC endpoint" } else { "the resource policy and the KMS key" };
        message = format!("{message} Allow {action}; {other} can deny it too.");
    } else if EXPIRED.contains(&code) {
        message += " Log in again, or get new credentials.";
    }
    Refused { code: code.to_owned(), message, retryable: RETRYABLE.contains(&code) || status >= 500 }
}

/// Says how a connection failed: before it stood, by what was seen on it, or after it.
fn lost(error: &(dyn StdError + 'static), timed_out: bool) -> Refused {
    let texts = causes(error);
    let cause = texts.last().map(String::as_str).unwrap_or_default();
    if let Some(reason) = cause.strip_prefix("invalid peer certificate: ") {
        let reason = reason.split(": verification time").next().unwrap_or(reason);
        // What is not trusted now is not trusted a moment later.
        let reason = format!("The endpoint cannot be trusted: {reason}. Check AWS_CA_BUNDLE and AWS_ENDPOINT_URL.");
        return Refused::new("ConnectionFailed", reason);
    }
    if !timed_out && !texts.iter().any(|text| text.contains("(Connect)")) {
        return closed();
    }
    let reason = if timed_out { "timed out" } else { system(cause) };
    Refused::new("ConnectionFailed", format!("The endpoint cannot be reached: {reason}. {NO_WAY_OUT}")).again()
}

fn closed() -> Refused {
    let reason = "The endpoint closed the connection before its whole answer was there.";
    Refused::new("ConnectionFailed", reason).again()
}

/// The system's own words for an error, without Rust's additions.
fn system(cause: &str) -> &str {
    let cause = cause.strip_prefix("failed to lookup address information: ").unwrap_or(cause);
    cause.split_once(" (os error ").map_or(cause, |(words, _)| words)
}

fn no_answer(action: &str) -> Refused {
    Refused::new(
        "InvalidAnswer",
        format!("The endpoint gave no answer that AWS gives to {action}. Check AWS_ENDPOINT_URL."),
    )
}

/// An error's text with those of its causes.
fn sentences(error: &(dyn StdError + 'static)) -> String {
    sentence(&causes(error).join(": "))
}

fn causes(error: &(dyn StdError + 'static)) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
        cause = error.source();
    }
    texts
}

fn sentence(text: &str) -> String {
    let text = text.trim_end();
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}
