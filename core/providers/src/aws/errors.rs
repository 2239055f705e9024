//! Messages for failures, with words from closed sets: a library's text may hold what was sent or answered.
//!
//! A message is repeated only if an AWS service sent it in the form of its errors: the first line,
//! up to a length.

use std::error::Error as StdError;
use std::{env, io, iter};

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use hyper::StatusCode;
use rustls::CertificateError;

use super::arn::is_arn;
use super::endpoints::proxy_refusal as refusal_of_variable;
use super::proxies::{Proxy, ProxyError};
use super::route::{Route, RouteFailure};
use super::tunnel::TunnelError;
use crate::Entry;
use crate::limits::Excess;
use crate::refusal::{Refusal, Retry};
use keystart_config::region::is_region;
use keystart_store::json;

/// The codes of Secrets Manager, Parameter Store and STS for too many requests.
const THROTTLED: [&str; 5] =
    ["RequestLimitExceeded", "RequestThrottled", "Throttling", "ThrottlingException", "TooManyRequestsException"];
/// The codes for failures where another try can help.
const RETRYABLE: [&str; 5] =
    ["InternalFailure", "InternalServerError", "InternalServiceError", "RequestTimeout", "ServiceUnavailable"];
const DENIED: [&str; 2] = ["AccessDenied", "AccessDeniedException"];
/// The codes of Secrets Manager, Parameter Store and KMS for a key that cannot be used.
const OF_KEYS: [&str; 9] = [
    "DecryptionFailure",
    "DisabledException",
    "IncorrectKeyException",
    "InvalidKeyId",
    "InvalidKeyUsageException",
    "KMSAccessDeniedException",
    "KMSInvalidStateException",
    "KMSNotFoundException",
    "KeyUnavailableException",
];
/// The codes for a request whose signature AWS does not accept.
const UNKNOWN_LOGIN: [&str; 5] = [
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];
const EXPIRED: [&str; 2] = ["ExpiredToken", "ExpiredTokenException"];
/// What to do if credentials have expired.
pub(super) const EXPIRED_CURE: &str = "On your own machine log in again. In a new environment of Lambda something sets \
     other credentials than the role's: look for AWS_ in the function's variables and in what starts the extension.";
/// What a denial ends with if AWS may know no such secret.
const PERHAPS_NONE: &str = "so perhaps there is no such secret in this region and account: look there first.";
/// The most bytes of a service's message that are repeated.
const LONGEST_MESSAGE: usize = 1_024; // limits.toml: extension.message_bytes
const LONGEST_CODE: usize = 128;
const NO_REASON: &str = "The service named no reason";
/// What follows a status without an error of AWS.
const FOREIGN: &str =
    "A proxy, a firewall or a load balancer answered, not AWS. Check HTTPS_PROXY and AWS_ENDPOINT_URL.";
/// The beginning of the name resolver's errors, as in `gai_strerror(3)`.
const LOOKUP: &str = "failed to lookup address information: ";
const LOOKUPS: [&str; 6] = [
    "Name or service not known",
    "No address associated with hostname",
    "Non-recoverable failure in name resolution",
    "Temporary failure in name resolution",
    "System error",
    "Try again",
];

/// Describes the SDK's error in our words: which call was refused, and what would help.
pub(crate) fn refusal<E>(action: &str, error: &SdkError<E, HttpResponse>) -> Refusal
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    if let Some(excess) = find::<Excess>(error) {
        return excess.refusal(action);
    }
    if let Some(error) = find::<ProxyError>(error) {
        return refusal_of_variable(*error);
    }
    match error {
        SdkError::ServiceError(context) => {
            let (meta, raw) = (context.err().meta(), context.raw());
            let code = meta.code().filter(|_| is_error_of_aws(raw));
            service_refusal(action, code, meta.message(), raw.status().as_u16())
        }
        SdkError::TimeoutError(_) => {
            let host = find::<RouteFailure>(error).map_or("The endpoint", |failed| failed.route.host.as_str());
            Refusal::new("ConnectionFailed", format!("{host} did not answer in time.")).with_retry(Retry::Failed)
        }
        SdkError::DispatchFailure(failure) => {
            failure.as_connector_error().map_or_else(|| no_answer(action), connection_refusal)
        }
        SdkError::ResponseError(_) => no_answer(action),
        _ => Refusal::new(
            "InvalidRequest",
            "The request could not be made. Check AWS_ENDPOINT_URL, the region and the credentials.",
        ),
    }
}

/// Returns whether an answer has the form of AWS's errors. A proxy's page must not be repeated.
fn is_error_of_aws(raw: &HttpResponse) -> bool {
    let body = raw.body().bytes().unwrap_or_default();
    // From XML, the SDK takes a code only if the answer is an ErrorResponse. From JSON it takes one
    // from any object.
    raw.headers().get("x-amzn-errortype").is_some()
        || body.trim_ascii_start().starts_with(b"<")
        || json::parse(body).is_ok_and(|body| body.get("__type").is_some())
}

/// Describes the error of a service, or of something in front of it.
pub(crate) fn service_refusal(action: &str, code: Option<&str>, message: Option<&str>, status: u16) -> Refusal {
    let Some(code) = code.filter(|code| is_code(code)) else {
        if status < 300 {
            return no_answer(action);
        }
        // Not a service of AWS: a proxy, a firewall, a load balancer.
        let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let reason = format!("{} {FOREIGN}", sentence(reason.unwrap_or(NO_REASON)));
        let mut refusal = Refusal::new(&status.to_string(), reason);
        refusal.retry = match status {
            429 => Retry::Throttled,
            500.. => Retry::Failed,
            _ => Retry::Never,
        };
        return refusal;
    };
    let mut message = service_message(message.unwrap_or_default());
    if DENIED.contains(&code) {
        message = format!("{message} {}", denial_cure(action, &message));
    } else if OF_KEYS.contains(&code) {
        message = format!("{message} {}", key_cure(action));
    } else if code == "ResourceNotFoundException" {
        message = format!("{message} {}", missing_cure(&message));
    } else if code == "InvalidRequestException" && message.contains("marked for deletion") {
        message += " Restore it (aws secretsmanager restore-secret), or name another secret.";
    } else if UNKNOWN_LOGIN.contains(&code) {
        message = format!("{message} {}", login_cure(&message));
    } else if EXPIRED.contains(&code) {
        message = format!("{message} {EXPIRED_CURE}");
    } else if THROTTLED.contains(&code) {
        message = format!("{message} {}", quota_cure(action, &message));
    }
    let retry = if THROTTLED.contains(&code) || status == 429 {
        Retry::Throttled
    } else if RETRYABLE.contains(&code) || status >= 500 {
        Retry::Failed
    } else {
        Retry::Never
    };
    Refusal { code: code.to_owned(), message, retry }
}

/// Returns which quota the account has used up, with its number if AWS documents one, and what to do.
fn quota_cure(action: &str, message: &str) -> &'static str {
    if message.contains("KMS") {
        return "The quota is that of KMS for the account in this region: send fewer requests, or raise it \
                (https://docs.aws.amazon.com/kms/latest/developerguide/throttling.html).";
    }
    match action.split(' ').next() {
        Some("secretsmanager:BatchGetSecretValue") => {
            "Secrets Manager answers 100 BatchGetSecretValue a second for an account in a region, and AWS does not raise \
             that (https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html): send fewer \
             requests, or write `batch: false`."
        }
        Some("secretsmanager:GetSecretValue") => {
            "Secrets Manager answers 10,000 GetSecretValue a second for an account in a region, and AWS does not raise that \
             (https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html): send fewer requests."
        }
        Some(action) if action.starts_with("ssm:") => {
            "Parameter Store answers 40 requests a second for an account in a region: send fewer, or turn on its higher \
             throughput (https://docs.aws.amazon.com/general/latest/gr/ssm.html)."
        }
        _ => "Send fewer requests, or raise the quota.",
    }
}

/// The policies that AWS's messages name, except the role's own, and where each is.
const PLACES: [(&str, &str); 5] = [
    ("VPC endpoint policy", "the policy of the VPC endpoint"),
    ("permissions boundary", "the permissions boundary of the role"),
    ("service control policy", "the service control policy of the organization"),
    ("resource control policy", "the resource control policy of the organization"),
    ("session policy", "the policy of the session"),
];

/// Returns what to do about a denial. AWS's message says which policy denies, and for KMS which action.
fn denial_cure(action: &str, message: &str) -> String {
    let said = |words: &str| message.contains(words);
    if said("explicit deny") {
        return "A Deny in the policy that AWS names is stronger than any Allow. Remove it there.".to_owned();
    }
    if said("Access to KMS") || said("perform: kms:") {
        return key_cure(action);
    }
    if let Some((_, place)) = PLACES.iter().find(|(policy, _)| said(&format!("no {policy} allows"))) {
        return format!("Allow {action} in {place}.");
    }
    // AWS knows the ARN of every secret that exists. For any other it repeats the name of the request.
    let is_unknown = message.split_once(" on resource: ").is_some_and(|(_, resource)| !resource.starts_with("arn:"));
    if is_unknown && action.starts_with("secretsmanager:") && !action.ends_with(" on *") {
        return format!("AWS names no ARN, {PERHAPS_NONE} If there is, allow {action}.");
    }
    // Such an action is allowed for everything or for nothing, so no policy of a resource can allow it.
    let is_for_all = action.ends_with(" on *");
    let other = if is_for_all { "the policy of a VPC endpoint" } else { "the resource policy and the KMS key" };
    format!("Allow {action}; {other} can deny it too.")
}

/// Returns what to do about a secret that was not found, or that has no value.
fn missing_cure(message: &str) -> &'static str {
    if message.contains("secret value for") {
        "The secret exists, and has no such version. Put a value into it (aws secretsmanager put-secret-value), or correct \
         the stage or the version."
    } else {
        "Correct the id, the region, the account or the stage."
    }
}

/// Adds to the refusal of a secret that AWS does not find that its region is not the function's.
pub(crate) fn with_other_region(entry: &Entry, mut refusal: Refusal) -> Refusal {
    let is_missing = ["ResourceNotFoundException", "ParameterNotFound"].contains(&refusal.code.as_str())
        || refusal.message.contains(PERHAPS_NONE);
    let own = env::var("AWS_REGION").ok().filter(|region| is_region(region));
    if let (true, Some(asked), Some(own)) = (is_missing, &entry.region, own)
        && *asked != own
    {
        let source = if is_arn(&entry.id) { "Its ARN" } else { "`region:`" };
        refusal.message = format!("{} {source} names {asked}, and AWS_REGION is {own}.", refusal.message);
    }
    refusal
}

/// Returns what to do if AWS does not accept the signature of a request.
fn login_cure(message: &str) -> &'static str {
    if message.contains("Signature expired") || message.contains("Signature not yet current") {
        "Correct the clock of this machine."
    } else {
        "Perhaps the access key was deleted, or its secret is that of another key: log in again. In Lambda look for AWS_ in \
         the function's variables and in what starts the extension. A region that the account has not enabled answers \
         this too."
    }
}

/// Returns what to do if KMS refuses the key of a secret.
fn key_cure(action: &str) -> String {
    let of = action.split_once(" on ").map_or(action, |(_, of)| of.split(", and ").next().unwrap_or(of));
    format!(
        "Allow kms:Decrypt on the key of {of}, in the role's policy (keystart iam-policy --kms-key) and in the key's, \
         and look whether the key is enabled."
    )
}

/// Returns whether a text has the form of an AWS error code: letters, digits, dots.
fn is_code(code: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    code.len() <= LONGEST_CODE
        && code.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
        && code.bytes().all(is_part)
}

/// Returns the part of a service's message that is repeated.
///
/// Only the first line: in `SignatureDoesNotMatch` the next lines hold the request's headers, and
/// so the session token.
fn service_message(message: &str) -> String {
    let mut lines = message.split(['\n', '\r', '\u{2028}', '\u{2029}']);
    let line = lines.find(|line| !line.trim().is_empty()).unwrap_or(NO_REASON).trim();
    let line: String = line.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    if line.len() <= LONGEST_MESSAGE {
        return sentence(&line);
    }
    let mut end = LONGEST_MESSAGE;
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &line[..end])
}

/// Describes the failure of a connection: a certificate that is not trusted, no connection, or one that broke off.
fn connection_refusal(error: &ConnectorError) -> Refusal {
    let route = find::<RouteFailure>(error).map(|failed| &failed.route);
    let host = route.map_or_else(|| "The endpoint".to_owned(), |route| route.host.clone());
    if let Some(reason) = certificate_flaw(error) {
        // What is not trusted now is not trusted a moment later.
        let proxy = route.and_then(|route| Some((route, route.proxy.as_ref()?)));
        let message = match proxy {
            None => format!("{host} cannot be trusted: {reason}. Check AWS_CA_BUNDLE and AWS_ENDPOINT_URL."),
            Some((route, proxy)) if !route.is_tls || find::<TunnelError>(error).is_some() => {
                let Proxy { address, variable, .. } = &**proxy;
                format!("The proxy {address} cannot be trusted: {reason}. Check AWS_CA_BUNDLE and {variable}.")
            }
            Some((_, proxy)) => format!(
                "{host} cannot be trusted: {reason}. If the proxy {} answers for it, AWS_CA_BUNDLE must name its authority.",
                proxy.address
            ),
        };
        return Refusal::new("ConnectionFailed", message);
    }
    let is_connect = |error: &hyper_util::client::legacy::Error| error.is_connect();
    if !error.is_timeout() && !find(error).is_some_and(is_connect) {
        return closed_connection(&host);
    }
    let refusal = |message| Refusal::new("ConnectionFailed", message).with_retry(Retry::Failed);
    let reason = if error.is_timeout() { "timed out".to_owned() } else { connection_reason(error) };
    let Some(route) = route else {
        return refusal(format!("{host} cannot be reached: {reason}."));
    };
    match &route.proxy {
        // The proxy opened the way.
        Some(proxy) if route.is_tls && !error.is_timeout() && find::<TunnelError>(error).is_none() => {
            let advice = route.advice();
            refusal(format!("{host} cannot be reached through the proxy {}: {reason}. {advice}", proxy.address))
        }
        Some(proxy) => proxy_refusal(error, route, &proxy.address, &reason),
        None if is_lookup(error) => refusal(format!("{host} cannot be found: {reason}. {}", route.advice_about_name())),
        None => refusal(format!("{host} cannot be reached: {reason}. {}", route.advice())),
    }
}

/// Describes the failure of a connection through a proxy, which may have refused it.
fn proxy_refusal(error: &ConnectorError, route: &Route, proxy: &str, reason: &str) -> Refusal {
    let Route { host, .. } = route;
    let advice = route.advice();
    let Some(TunnelError::Refused(status)) = find(error) else {
        let message = format!("The proxy {proxy} on the way to {host} cannot be reached: {reason}. {advice}");
        return Refusal::new("ConnectionFailed", message).with_retry(Retry::Failed);
    };
    // A proxy says in its own words why it refuses. They are not repeated.
    let meaning = match status {
        403 => Some("its rules deny the host"),
        407 => Some("it asks for a user and a password, or refuses those that it got"),
        _ => StatusCode::from_u16(*status).ok().and_then(|status| status.canonical_reason()),
    };
    let what = format!("it answered {status}{}", meaning.map(|words| format!(" ({words})")).unwrap_or_default());
    let refusal =
        Refusal::new("ProxyRefused", format!("The proxy {proxy} refused the way to {host}: {what}. {advice}"));
    // A proxy that has no way, or is busy, may have one a moment later. A rule or a login stays as it is.
    match status {
        408 | 425 | 429 | 500.. => refusal.with_retry(Retry::Failed),
        _ => refusal,
    }
}

/// Returns whether the name of a host could not be looked up.
fn is_lookup(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|error| error.to_string().starts_with(LOOKUP))
}

/// Returns why no connection was made, in the system's words or ours.
pub(crate) fn connection_reason(error: &(dyn StdError + 'static)) -> String {
    if let Some(error) = find::<rustls::Error>(error) {
        let reason = match error {
            rustls::Error::AlertReceived(_) => "it refused TLS",
            rustls::Error::InvalidMessage(_) => "it does not speak TLS",
            rustls::Error::PeerIncompatible(_) => "it speaks no TLS that is safe",
            _ => "TLS failed",
        };
        return reason.to_owned();
    }
    if let Some(words) = system_words(error) {
        return words;
    }
    let texts: Vec<String> = causes(error).map(ToString::to_string).collect();
    if let Some(reason) = texts.iter().find_map(|text| text.strip_prefix(LOOKUP)) {
        let known = LOOKUPS.iter().find(|known| **known == reason);
        return (*known.unwrap_or(&"its name cannot be looked up")).to_owned();
    }
    if let Some(TunnelError::NoHttp) = find(error) {
        return "it does not answer as a proxy".to_owned();
    }
    if causes(error).any(is_end) {
        return "it closed the connection".to_owned();
    }
    "the connection failed for an unknown reason".to_owned()
}

fn is_end(error: &(dyn StdError + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
}

/// Returns the system's words for the errno in an error.
pub(crate) fn system_words(error: &(dyn StdError + 'static)) -> Option<String> {
    let errno = causes(error).filter_map(|error| error.downcast_ref::<io::Error>()?.raw_os_error()).last()?;
    let text = io::Error::from_raw_os_error(errno).to_string();
    Some(text.split(" (os error ").next().unwrap_or_default().to_owned())
}

/// Returns what is wrong with a certificate. The names in it may not be repeated.
fn certificate_flaw(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    let rustls::Error::InvalidCertificate(error) = find::<rustls::Error>(error)? else {
        return None;
    };
    Some(match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name"
        }
        CertificateError::UnknownIssuer => "its certificate is from an authority that is not known",
        CertificateError::Revoked => "its certificate is revoked",
        _ => "its certificate is not valid",
    })
}

fn closed_connection(host: &str) -> Refusal {
    let reason = format!("{host} closed the connection before it had sent its whole answer.");
    Refusal::new("ConnectionFailed", reason).with_retry(Retry::Failed)
}

pub(crate) fn no_answer(action: &str) -> Refusal {
    Refusal::new(
        "InvalidAnswer",
        format!("The endpoint's answer to {action} is not one that AWS sends. Check AWS_ENDPOINT_URL."),
    )
}

/// Returns the first error of a type among an error and its causes.
pub(crate) fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// Lists an error and its causes. The `source` of an `io::Error` skips the error that it was made from.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    }
    iter::successors(Some(error), |error| cause(*error))
}

fn sentence(text: &str) -> String {
    let text = text.trim_end();
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_hide_their_cause_get_the_cure_of_the_cause() {
        let denied = "User: u is not authorized to perform: secretsmanager:GetSecretValue on resource:";
        for (code, message, cure) in [
            ("AccessDeniedException", format!("{denied} prod/db because"), "perhaps there is no such secret"),
            ("AccessDeniedException", format!("{denied} arn:aws:x because"), "the resource policy and the KMS key can"),
            (
                "ResourceNotFoundException",
                "can't find the specified secret value for staging label: AWSCURRENT".into(),
                "Put a value into it",
            ),
            ("ResourceNotFoundException", "can't find the specified secret.".into(), "Correct the id, the region"),
            ("InvalidRequestException", "because it was marked for deletion.".into(), "Restore it"),
            (
                "UnrecognizedClientException",
                "The security token included in the request is invalid.".into(),
                "log in again",
            ),
            ("SignatureDoesNotMatch", "The request signature we calculated does not match".into(), "log in again"),
            ("InvalidSignatureException", "Signature expired: 20261129T0 is now earlier".into(), "Correct the clock"),
        ] {
            let action = "secretsmanager:GetSecretValue on prod/db";
            let said = service_refusal(action, Some(code), Some(&message), 400).message;
            assert!(said.contains(cure), "{said}");
        }
    }

    #[test]
    fn a_used_up_quota_is_named_with_its_service_and_number() {
        let of = |action, message| service_refusal(action, Some("ThrottlingException"), Some(message), 400).message;
        for (action, words) in [
            ("secretsmanager:GetSecretValue on prod/db", "Secrets Manager answers 10,000 GetSecretValue a second"),
            ("secretsmanager:BatchGetSecretValue on *", "100 BatchGetSecretValue a second"),
            ("ssm:GetParameters on /a", "Parameter Store answers 40 requests a second"),
            ("ssm:GetParametersByPath on /a", "Parameter Store answers 40 requests a second"),
        ] {
            assert!(of(action, "Rate exceeded").contains(words), "{action}");
        }
        assert!(
            of("secretsmanager:GetSecretValue on a", "You have exceeded the rate of KMS")
                .contains("quota is that of KMS")
        );
        assert_eq!(
            of("sts:AssumeRole on a", "Rate exceeded"),
            "Rate exceeded. Send fewer requests, or raise the quota."
        );
    }
}
