//! The credentials of a start: from the environment, a profile, a web identity or a container.
//! Never from the instance metadata service, which Lambda does not have.
//!
//! Each source is asked separately, so that a failure names the variable or the file to look at and
//! repeats nothing of its content. If a person's login has found credentials before (`Login`), no
//! source is asked.

use std::env;
use std::future::poll_fn;
use std::os::unix::ffi::OsStrExt;
use std::pin::pin;
use std::task::Poll;
use std::time::SystemTime;

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials};
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::endpoints;
use super::errors::{EXPIRED_CURE, connection_reason, find, no_answer, refusal, system_words};
use super::profiles::{self, Profiles};
use crate::files;
use crate::limits::Excess;
use crate::refusal::{Refusal, Retry};

const UNAVAILABLE: &str = "CredentialsUnavailable";
const INVALID: &str = "InvalidCredentials";
const EXPIRED: &str = "ExpiredTokenException";
/// The variables of AWS's environment provider. It accepts the third one instead of the second.
const VARIABLES: [&str; 4] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
const ADDRESSES: [&str; 2] = ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];

/// The result of a person's login, on that person's machine. A login may ask the person to type
/// something, so it may take longer than a fetch has.
#[derive(Clone)]
pub struct Login {
    credentials: Credentials,
    origin: Option<String>,
    /// The profile, which may set endpoints.
    pub(super) profile: String,
}

impl Login {
    /// Takes credentials. `origin` is what messages call their source, `None` for the variables of
    /// the environment.
    pub fn new(
        access_key_id: &str,
        secret_access_key: &str,
        session_token: Option<&str>,
        origin: Option<&str>,
        profile: &str,
    ) -> Self {
        let token = session_token.map(str::to_owned);
        Self {
            credentials: Credentials::new(access_key_id, secret_access_key, token, None, "login"),
            origin: origin.map(str::to_owned),
            profile: profile.to_owned(),
        }
    }

    /// Returns whether the credentials are usable.
    pub fn check(&self) -> Result<(), Refusal> {
        self.credentials().map(drop)
    }

    /// Returns the credentials if they are usable.
    pub(super) fn credentials(&self) -> Result<Credentials, Refusal> {
        match &self.origin {
            Some(origin) => checked(origin, self.credentials.clone()),
            None => check_variables().and_then(|()| checked("the environment", self.credentials.clone())),
        }
    }
}

/// Where credentials come from, except the environment.
#[derive(Clone, Copy)]
enum Origin {
    Profile,
    WebIdentity,
    Container,
}

/// The instance metadata service as a source of a profile: it is asked nothing.
#[derive(Debug)]
struct NoInstance;

impl ProvideCredentials for NoInstance {
    fn provide_credentials<'a>(&'a self) -> provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let refused = CredentialsError::invalid_configuration("the instance metadata service is not asked");
        provider::future::ProvideCredentials::ready(Err(refused))
    }
}

/// Returns the first credentials that a source has.
pub(super) async fn load(
    config: &ProviderConfig,
    of_container: &SharedHttpClient,
    profiles: &Profiles,
    profile: &str,
) -> Result<Credentials, Refusal> {
    match EnvironmentVariableCredentialsProvider::new().provide_credentials().await {
        Err(CredentialsError::CredentialsNotLoaded(_)) => {}
        found => {
            check_variables()?;
            // The SDK refuses only a variable that is not text, and those are checked before.
            return found.map_err(|_| Refusal::new(UNAVAILABLE, "The credentials of the environment cannot be read."));
        }
    }
    endpoints::check_container()?;
    profiles.check_tokens().await?;
    let direct = config.clone().with_http_client(of_container.clone());
    for origin in [Origin::Profile, Origin::WebIdentity, Origin::Container] {
        if matches!(origin, Origin::Container) {
            check_token()?;
        }
        match origin.load(config, &direct, profiles).await {
            Err(CredentialsError::CredentialsNotLoaded(_)) => {}
            Ok(found) => return checked(&origin.words(profile), found),
            Err(error) => return Err(origin.refusal(&error, profile)),
        }
    }
    Err(Refusal::new(
        "NoCredentials",
        "There are no AWS credentials. In Lambda something removed its AWS_ variables before the extension started, such \
         as a script in an image; on your own machine log in, or set AWS_PROFILE.",
    ))
}

/// Checks everything that a source may read, for a login: boto3 reads any file, whole and without a
/// time limit, and takes an address for another host.
pub(super) async fn check_sources(profiles: &Profiles) -> Result<(), Refusal> {
    endpoints::check_container()?;
    profiles.check_tokens().await?;
    check_token()
}

/// Checks the credentials in the environment, if it has any.
pub(super) fn check_environment() -> Result<(), Refusal> {
    if env::var_os(VARIABLES[0]).is_some_and(|key| !key.is_empty()) { check_variables() } else { Ok(()) }
}

/// Returns the credentials of a role, unless the answer ended too early.
pub(super) fn role_credentials(
    role: &str,
    answer: Option<aws_sdk_sts::types::Credentials>,
) -> Result<Credentials, Refusal> {
    let action = format!("sts:AssumeRole on {role}");
    let answer = answer.ok_or_else(|| no_answer(&action))?;
    let members = [&answer.access_key_id, &answer.secret_access_key, &answer.session_token];
    let is_whole = members.iter().all(|member| !member.is_empty() && flaw(member.as_bytes()).is_none());
    // The SDK reports a missing time as 0.
    if !is_whole || answer.expiration.secs() == 0 {
        return Err(no_answer(&action));
    }
    if SystemTime::try_from(answer.expiration).is_ok_and(|end| end <= SystemTime::now()) {
        let reason = format!("{action} returned credentials that have expired already. Check the clock.");
        return Err(Refusal::new(EXPIRED, reason));
    }
    let token = Some(answer.session_token);
    Ok(Credentials::new(answer.access_key_id, answer.secret_access_key, token, None, "AssumeRole"))
}

impl Origin {
    /// Asks the source on a thread, because the SDK reads token files in the calling thread. A
    /// deadline abandons the thread, and its requests end.
    async fn load(
        self,
        config: &ProviderConfig,
        direct: &ProviderConfig,
        profiles: &Profiles,
    ) -> Result<Credentials, CredentialsError> {
        let (wanted, unwanted) = oneshot::channel::<()>();
        let (runtime, config, direct) = (Handle::current(), config.clone(), direct.clone());
        let files = profiles.files();
        let work = move || {
            let (mut found, mut unwanted) = (pin!(self.ask(&config, &direct, files)), pin!(unwanted));
            runtime.block_on(poll_fn(|context| match found.as_mut().poll(context) {
                Poll::Pending => unwanted.as_mut().poll(context).map(|_| Err(CredentialsError::not_loaded("unwanted"))),
                found @ Poll::Ready(_) => found,
            }))
        };
        let found = files::on_a_thread(work).await;
        drop(wanted);
        found.unwrap_or_else(|| Err(CredentialsError::unhandled("the search ended without a result")))
    }

    /// Makes each source only when it is asked: each one makes a separate client. A container's
    /// endpoint is asked directly, also where a profile names it: a proxy would see its token.
    async fn ask(
        self,
        config: &ProviderConfig,
        direct: &ProviderConfig,
        files: EnvConfigFiles,
    ) -> Result<Credentials, CredentialsError> {
        match self {
            Self::Profile => {
                let container = EcsCredentialsProvider::builder().configure(direct).build();
                let builder = ProfileFileCredentialsProvider::builder()
                    .configure(config)
                    .profile_files(files)
                    .with_custom_provider("EcsContainer", container)
                    .with_custom_provider("Ec2InstanceMetadata", NoInstance);
                builder.build().provide_credentials().await
            }
            Self::WebIdentity => {
                WebIdentityTokenCredentialsProvider::builder().configure(config).build().provide_credentials().await
            }
            Self::Container => EcsCredentialsProvider::builder().configure(direct).build().provide_credentials().await,
        }
    }

    fn words(self, profile: &str) -> String {
        match self {
            Self::Profile => profiles::words(profile),
            Self::WebIdentity => "the web identity".to_owned(),
            Self::Container => "the container's endpoint".to_owned(),
        }
    }

    fn refusal(self, error: &CredentialsError, profile: &str) -> Refusal {
        if let Some(error) = find::<SdkError<AssumeRoleError, HttpResponse>>(error) {
            return refusal(&format!("sts:AssumeRole on the role of {}", profiles::words(profile)), error);
        }
        if let Some(error) = find::<SdkError<AssumeRoleWithWebIdentityError, HttpResponse>>(error) {
            return refusal("sts:AssumeRoleWithWebIdentity on the role of the web identity", error);
        }
        if let Some(excess) = find::<Excess>(error) {
            return excess.refusal("the request for credentials");
        }
        let reason = match self {
            Self::Profile => profile_reason(error, &profiles::words(profile)),
            Self::WebIdentity => web_identity_reason(error),
            Self::Container => container_reason(error),
        };
        let refusal = Refusal::new(UNAVAILABLE, reason);
        if matches!(error, CredentialsError::ProviderTimedOut(_)) { refusal.with_retry(Retry::Failed) } else { refusal }
    }
}

/// Returns credentials that are complete, can be sent, and have not expired.
fn checked(from: &str, found: Credentials) -> Result<Credentials, Refusal> {
    let members = [
        ("access key id", Some(found.access_key_id())),
        ("secret access key", Some(found.secret_access_key())),
        ("session token", found.session_token()),
    ];
    for (member, value) in members {
        let Some(value) = value else { continue };
        if value.is_empty() {
            let reason = format!("The credentials from {from} have no {member}. Correct them there.");
            return Err(Refusal::new(INVALID, reason));
        }
        if let Some(flaw) = flaw(value.as_bytes()) {
            let reason = format!("The {member} from {from} holds {flaw}, which none has. Correct it there.");
            return Err(Refusal::new(INVALID, reason));
        }
    }
    if found.expiry().is_some_and(|end| end <= SystemTime::now()) {
        return Err(Refusal::new(EXPIRED, format!("The credentials have expired. {EXPIRED_CURE}")));
    }
    Ok(found)
}

fn profile_reason(error: &CredentialsError, profile: &str) -> String {
    // The SDK shows the kind only at the beginning of its text. The rest repeats the file, and is not shown.
    let text = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let text = text.strip_prefix("ProfileFile provider could not be built: ").unwrap_or_default();
    if text.starts_with("invalid profile: ") {
        "A file of AWS profiles cannot be read. Correct what AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name; \
         without them it is ~/.aws/config and ~/.aws/credentials."
            .to_owned()
    } else if text.starts_with("profile formed an infinite loop") {
        format!("The `source_profile` of {profile} leads back to itself. Correct it.")
    } else if text.starts_with("profile `") && text.contains("` was not defined") {
        format!(
            "{}, or one that its `source_profile` names, does not exist. Correct AWS_PROFILE or the profile.",
            capital(profile)
        )
    } else if text.starts_with("missing credential source") || text.starts_with("invalid credential source") {
        format!("{} names no source of credentials, or a wrong one. Correct it.", capital(profile))
    } else if text.starts_with("profile referenced") {
        format!("The `credential_source` of {profile} is not one that AWS's SDK knows. Correct it.")
    } else if let Some(feature) = text.strip_prefix("This behavior requires following cargo feature(s) enabled: ") {
        let from = match feature {
            feature if feature.starts_with("credentials-process") => "a process",
            feature if feature.starts_with("sso") => "IAM Identity Center",
            _ => "a login",
        };
        unsupported_source(profile, from)
    } else if text.starts_with("sso-session") || text.contains("SSO config") || text.starts_with("selected profile") {
        unsupported_source(profile, "IAM Identity Center")
    } else {
        format!(
            "{} cannot be used, for an unknown reason. Correct it, or set AWS_ACCESS_KEY_ID, \
             AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.",
            capital(profile)
        )
    }
}

fn unsupported_source(profile: &str, from: &str) -> String {
    format!(
        "{} takes its credentials from {from}, which only \"keystart pull\" does. Set the variables that \
         `aws configure export-credentials --format env` prints.",
        capital(profile)
    )
}

/// Returns words for the beginning of a sentence.
fn capital(words: &str) -> String {
    words.replacen("the ", "The ", 1)
}

fn web_identity_reason(error: &CredentialsError) -> String {
    const FILE: &str = "The file that AWS_WEB_IDENTITY_TOKEN_FILE names";
    match (error, system_words(error)) {
        (_, Some(words)) => format!("{FILE} cannot be read: {words}."),
        (CredentialsError::InvalidConfiguration(_), _) => {
            "AWS_WEB_IDENTITY_TOKEN_FILE is set without AWS_ROLE_ARN. Set both, or none.".to_owned()
        }
        (CredentialsError::Unhandled(_), _) => format!("{FILE} holds no token, or STS's answer no credentials."),
        _ => "The web identity returned no credentials, for an unknown reason.".to_owned(),
    }
}

fn container_reason(error: &CredentialsError) -> String {
    match error {
        CredentialsError::InvalidConfiguration(_) if is_set(&[TOKEN_FILE]) => {
            "The file that AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names holds characters that no header can hold, such \
             as a line break, or AWS_CONTAINER_CREDENTIALS_FULL_URI is not an address where credentials may be fetched."
        }
        CredentialsError::InvalidConfiguration(_) => {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI or AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not an address where \
             credentials may be fetched."
        }
        _ if find::<ConnectorError>(error).is_some() => {
            return format!("The container's endpoint cannot be reached: {}.", connection_reason(error));
        }
        _ if system_words(error).is_some() => {
            let words = system_words(error).unwrap_or_default();
            return format!("The file that AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names cannot be read: {words}.");
        }
        CredentialsError::ProviderTimedOut(_) => "The container's endpoint did not answer in time.",
        _ => "The container's endpoint returned no credentials.",
    }
    .to_owned()
}

fn is_set(variables: &[&str]) -> bool {
    variables.iter().any(|variable| env::var_os(variable).is_some())
}

/// Checks the token for a container's endpoint before it is used: HTTP libraries send every token
/// that HTTP allows.
fn check_token() -> Result<(), Refusal> {
    if is_set(&ADDRESSES) && !is_set(&[TOKEN_FILE]) { check_variable(TOKEN, header_flaw) } else { Ok(()) }
}

fn check_variables() -> Result<(), Refusal> {
    VARIABLES.iter().try_for_each(|variable| check_variable(variable, flaw))
}

/// Refuses a variable with a character that its kind never has. The message does not repeat the value.
fn check_variable(variable: &str, flaw: impl Fn(&[u8]) -> Option<&'static str>) -> Result<(), Refusal> {
    let Some(value) = env::var_os(variable) else { return Ok(()) };
    match flaw(value.as_bytes()) {
        Some(flaw) if !value.as_bytes().trim_ascii().is_empty() => {
            let reason = format!("{variable} holds {flaw}, which no credential has. Set it again without it.");
            Err(Refusal::new(INVALID, reason))
        }
        _ => Ok(()),
    }
}

/// Returns which characters of a text no key and no token has.
fn flaw(value: &[u8]) -> Option<&'static str> {
    header_flaw(value).or_else(|| value.iter().any(|byte| matches!(byte, b' ' | b'\t')).then_some("a space"))
}

/// Returns which characters of a value no header can hold.
fn header_flaw(value: &[u8]) -> Option<&'static str> {
    if value.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return Some("a line break");
    }
    let is_wrong = |byte: &u8| !matches!(byte, b'\t' | b' '..=b'~');
    value.iter().any(is_wrong).then_some("a character that is not printable ASCII")
}
