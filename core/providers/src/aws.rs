//! Asks Secrets Manager, Parameter Store and STS through AWS's SDK: one call a method, no retries, no policy.
//!
//! Every failure comes out as `Refused`, which says whether asking again can help.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_ssm::types::Parameter;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::Blob;
use tokio::sync::OnceCell;

use super::limits::LimitedClient;
use super::profiles::Profiles;
use super::refused::{Asked, BATCH, Refused, no_answer, refused, said};
use super::sent::{Count, Sent};
use super::{Answer, Entry, Source, credentials, endpoints, identity, roots};
use crate::regions::is_region;
use keystart_process::lock;
use keystart_store::SecretBytes;
use keystart_store::time;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What `BatchGetSecretValue` said, by id, and the token of the next page.
#[derive(Default)]
pub(super) struct Page {
    pub found: Vec<(String, Answer)>,
    pub refused: Vec<(String, Refused)>,
    pub next: Option<String>,
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
        let (Some(arn), Some(name)) = (answer.arn, answer.name) else {
            return Err(no_answer(&action));
        };
        let value = value(answer.secret_string, answer.secret_binary);
        let answer = secret_answer(&entry.id, &region, value, answer.version_id, answer.version_stages);
        let answer = answer.ok_or_else(|| no_answer(&action))?;
        if !identity::is_secret(&entry.id, &region, &arn, &name) {
            return Err(another(&action, "secret"));
        }
        if !identity::is_version(entry, &answer.source.version_id, &answer.source.version_stages) {
            return Err(another(&action, "version"));
        }
        Ok(answer)
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
            let mut asked = ids.iter().filter(|id| identity::is_secret(id, &region, &arn, &name)).peekable();
            if asked.peek().is_none() {
                return Err(confused("gave a secret that was not asked for"));
            }
            let value = value(secret.secret_string, secret.secret_binary);
            let answer = secret_answer("", &region, value, secret.version_id, secret.version_stages);
            let answer = answer.ok_or_else(|| no_answer(BATCH))?;
            // A batch asks for no stage and no version, and so for the current one.
            if !identity::is_version(&entries[0], &answer.source.version_id, &answer.source.version_stages) {
                return Err(confused("gave a version that was not asked for"));
            }
            for id in asked {
                let mut answer = answer.copy();
                (*id).clone_into(&mut answer.source.id);
                page.found.push(((*id).to_owned(), answer));
            }
        }
        for error in answer.errors.unwrap_or_default() {
            let secret = error.secret_id.unwrap_or_default();
            for id in ids.iter().filter(|id| identity::is_secret_id(id, &secret)) {
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
            let name = parameter.name.as_deref().ok_or_else(|| no_answer(&action))?;
            let asked: Vec<String> = asked(&parameter).into_iter().filter(|id| ids.contains(&id.as_str())).collect();
            if asked.is_empty() || !is_sound(&parameter, name, &region) {
                return Err(another(&action, "parameter"));
            }
            for id in asked {
                let answer = parameter_answer(&id, &region, &parameter).ok_or_else(|| no_answer(&action))?;
                let is_twice =
                    |other: &Answer| other.source.version_id == answer.source.version_id && !other.is(&answer);
                if found.get(&id).is_some_and(is_twice) {
                    return Err(another(&action, "value"));
                }
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
        let action = get_parameters_by_path(entry);
        let call = client.get_parameters_by_path().path(&entry.id).recursive(true).with_decryption(true);
        let answer = call.set_next_token(token).send().await.map_err(|error| refused(&action, &error))?;
        let mut found = Vec::new();
        for parameter in answer.parameters.unwrap_or_default() {
            let name = parameter.name.clone().ok_or_else(|| no_answer(&action))?;
            if !identity::is_below(&entry.id, &name) || !is_sound(&parameter, &name, &region) {
                return Err(another(&action, "parameter"));
            }
            let answer = parameter_answer(&name, &region, &parameter).ok_or_else(|| no_answer(&action))?;
            found.push((name, answer));
        }
        Ok((found, answer.next_token.filter(|token| !token.is_empty())))
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
        checked_region("The region of the entry", &region)?;
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
        let profiles = Profiles::read().await?;
        let http = self.http.get_or_try_init(http_client).await?;
        let provider_config = ProviderConfig::without_region().with_http_client(http.clone());
        let region = self.own_region(&provider_config, &profiles).await?;
        let provider_config = provider_config.with_region(region.clone());
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT.min(self.deadline))
            .read_timeout(self.deadline)
            .build();
        // Our own loop retries, inside one deadline for everything; the SDK knows only about single calls.
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http.clone())
            .no_credentials()
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(timeouts);
        // Without a region none is looked for: a call that needs one says so.
        let config = loader.profile_files(profiles.files()).region(region).load().await;
        endpoints::check(&config)?;
        let credentials = credentials::load(&provider_config, &profiles).await?;
        Ok(config.into_builder().credentials_provider(SharedCredentialsProvider::new(credentials)).build())
    }

    /// The region of entries that have none: that of the configuration, of the environment, or of the profile.
    async fn own_region(&self, config: &ProviderConfig, profiles: &Profiles) -> Asked<Option<Region>> {
        let variable = |name| set(name).map(|region| (name, Region::new(region)));
        let named = self.region.clone().map(|region| ("`region:`", Region::new(region)));
        let mut found = named.or_else(|| variable("AWS_REGION")).or_else(|| variable("AWS_DEFAULT_REGION"));
        if found.is_none() {
            let provider = ProfileFileRegionProvider::builder().configure(config).profile_files(profiles.files());
            found = provider.build().region().await.map(|region| ("`region` of the AWS profile", region));
        }
        let Some((source, region)) = found else {
            return Ok(None);
        };
        checked_region(source, region.as_ref())?;
        Ok(Some(region))
    }

    async fn assumed(&self, role: &str) -> Asked<SdkConfig> {
        let own = self.own_session().await?;
        let call = aws_sdk_sts::Client::new(&own).assume_role().role_arn(role).role_session_name("keystart");
        let action = format!("sts:AssumeRole on {role}");
        let answer = call.send().await.map_err(|error| refused(&action, &error))?;
        let credentials = credentials::of_role(role, answer.credentials)?;
        Ok(own.into_builder().credentials_provider(SharedCredentialsProvider::new(credentials)).build())
    }
}

fn checked_region(source: &str, region: &str) -> Asked<()> {
    if is_region(region) {
        return Ok(());
    }
    Err(Refused::new("InvalidRegion", format!("{source} is not a region such as eu-west-1. Correct or unset it.")))
}

/// One client for everything: its connections are shared by all that ask the same host.
async fn http_client() -> Asked<SharedHttpClient> {
    let context = roots::context().await?;
    let proxies = ProxyConfig::from_env();
    // The one way to a client with proxies: they are a setting of the connector, which is made once and kept.
    let client = LimitedClient::new(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(context.clone())
            .proxy_config(proxies.clone());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.build()
    }));
    Ok(SharedHttpClient::new(client))
}

fn set(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}

fn get_secret_value(id: &str) -> String {
    format!("secretsmanager:GetSecretValue on {id}")
}

pub(super) fn get_parameters_by_path(entry: &Entry) -> String {
    format!("ssm:GetParametersByPath on {}, and kms:Decrypt on the key of a SecureString", entry.id)
}

/// Refuses pages that hold one parameter with two values.
pub(super) fn two_values(entry: &Entry) -> Refused {
    another(&get_parameters_by_path(entry), "value")
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

/// Refuses an answer about something else than what was asked for, which may be another secret's value.
fn another(action: &str, what: &str) -> Refused {
    let reason = format!("The endpoint answered {action} with another {what}. Check AWS_ENDPOINT_URL.");
    Refused::new("InvalidAnswer", reason)
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

fn is_sound(parameter: &Parameter, name: &str, region: &str) -> bool {
    identity::is_parameter(region, name, parameter.arn.as_deref())
        && identity::is_selected(parameter.selector.as_deref(), parameter.version)
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
