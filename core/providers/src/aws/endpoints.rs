//! Checks endpoints, proxies and switches, which decide what hosts get requests, before the first
//! request. An error names the variable or the key of the profile, never the value, which may hold
//! a password.

use std::env;
use std::ffi::OsString;

use aws_config::SdkConfig;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use hyper::Uri;

use super::profiles::of_profile;
use super::proxies::{Proxies, ProxyError, has_port};
use crate::refusal::Refusal;

/// The services of a fetch, by their names in a profile's `services` and in variables.
pub(super) const OF_FETCH: &[(&str, &str)] = &[
    ("Secrets Manager", "AWS_ENDPOINT_URL_SECRETS_MANAGER"),
    ("SSM", "AWS_ENDPOINT_URL_SSM"),
    ("STS", "AWS_ENDPOINT_URL_STS"),
];
/// The services of a person's login, and Lambda, which people attach the layer with.
pub(super) const OF_LOGIN: &[(&str, &str)] = &[
    ("STS", "AWS_ENDPOINT_URL_STS"),
    ("SSO", "AWS_ENDPOINT_URL_SSO"),
    ("SSO OIDC", "AWS_ENDPOINT_URL_SSO_OIDC"),
    ("Signin", "AWS_ENDPOINT_URL_SIGNIN"),
    ("Lambda", "AWS_ENDPOINT_URL_LAMBDA"),
];
/// The switches: variables, and keys in a profile. The SDK ignores a value that it cannot read, and
/// then asks other hosts.
const SWITCHES: [(&str, &str); 3] =
    [("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint"), ("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint"), IGNORE];
const IGNORE: (&str, &str) = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls");
const ENDPOINT: (&str, &str) = ("AWS_ENDPOINT_URL", "endpoint_url");
const STS_ENDPOINTS: (&str, &str) = ("AWS_STS_REGIONAL_ENDPOINTS", "sts_regional_endpoints");
const CA_BUNDLE: (&str, &str) = ("AWS_CA_BUNDLE", "ca_bundle");
pub(super) const CONTAINER_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const CONTAINER_PATH: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";

/// Checks the variables and the profile, for requests to these services.
pub(super) fn check(config: &SdkConfig, profile: &str, services: &[(&str, &str)]) -> Result<(), Refusal> {
    let check_one = |name, check: fn(&str) -> Result<(), &'static str>| {
        value(config, "", name).map_or(Ok(()), |value| check(&value)).map_err(|what| wrong(name, profile, what))
    };
    for switch in SWITCHES {
        check_one(switch, |value| {
            // Templates set a switch that is off to an empty text.
            let is_switch = ["true", "false", ""].iter().any(|word| value.eq_ignore_ascii_case(word));
            if is_switch { Ok(()) } else { Err("must be true or false") }
        })?;
    }
    check_one(STS_ENDPOINTS, |value| {
        if ["legacy", "regional", ""].contains(&value) { Ok(()) } else { Err("must be regional or legacy") }
    })?;
    check_one(ENDPOINT, |url| check_url(url, false))?;
    for &(service, variable) in services {
        // The lookup takes the key that all services share, so name the service's own variable if it is set.
        let named = if env::var_os(variable).is_some() { variable } else { ENDPOINT.0 };
        let value = value(config, service, ENDPOINT);
        value
            .map_or(Ok(()), |value| check_url(&value, false))
            .map_err(|what| wrong((named, ENDPOINT.1), profile, what))?;
    }
    Ok(())
}

/// Checks the proxies that a login would ask. Only boto3 asks them, so no request of the core would fail.
pub(super) fn check_proxies_of_login(config: &SdkConfig) -> Result<(), Refusal> {
    let proxies = Proxies::of_environment();
    // A list of exempt hosts names AWS's by their common end.
    let own = || "https://sts.amazonaws.com".to_owned();
    for (service, _) in OF_LOGIN {
        let url = value(config, service, ENDPOINT).filter(|_| !are_ignored(config)).unwrap_or_else(own);
        let uri: Uri = url.parse().map_err(|_| wrong_variable(ENDPOINT.0, "is not a URL"))?;
        proxies.of(&uri).map_err(proxy_refusal)?;
    }
    Ok(())
}

/// Refuses a variable that should name the proxy of a request.
pub(super) fn proxy_refusal(ProxyError { variable, flaw }: ProxyError) -> Refusal {
    wrong_variable(variable, flaw)
}

/// Returns whether variables and the profile turn off all the endpoints that they name.
pub(super) fn are_ignored(config: &SdkConfig) -> bool {
    value(config, "", IGNORE).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// An environment and a profile without endpoints for services.
#[derive(Debug)]
pub(super) struct NoServiceConfig;

impl LoadServiceConfig for NoServiceConfig {
    fn load_config(&self, _: ServiceConfigKey<'_>) -> Option<String> {
        None
    }
}

/// Returns the variable that names a file of authorities, and its value.
pub(super) fn ca_bundle_variable() -> Option<(String, OsString)> {
    env::var_os(CA_BUNDLE.0).map(|path| (CA_BUNDLE.0.to_owned(), path))
}

/// Returns the variable or key that names the file of authorities, and the file.
pub(super) fn ca_bundle(config: &SdkConfig, profile: &str) -> Option<(String, OsString)> {
    let named = ca_bundle_variable();
    let named = named.or_else(|| Some((of_profile(CA_BUNDLE.1, profile), value(config, "", CA_BUNDLE)?.into())));
    named.filter(|(_, path)| !path.is_empty())
}

/// Checks the address for a container's credentials.
pub(super) fn check_container() -> Result<(), Refusal> {
    let check = |variable: &str, check: fn(&str) -> Result<(), &'static str>| {
        text(variable)?.map_or(Ok(()), |value| check(&value)).map_err(|what| wrong_variable(variable, what))
    };
    check(CONTAINER_URI, |uri| check_url(uri, true))?;
    check(CONTAINER_PATH, |path| {
        let is_path = path.starts_with('/') && path.parse::<Uri>().is_ok_and(|uri| uri.host().is_none());
        if is_path { Ok(()) } else { Err("must be a path that begins with /") }
    })
}

/// Returns the value of a variable, else of the key in the profile.
fn value(config: &SdkConfig, service: &str, (variable, key): (&str, &str)) -> Option<String> {
    let wanted = ServiceConfigKey::builder().service_id(service).env(variable).profile(key).build().ok()?;
    config.service_config()?.load_config(wanted)
}

fn check_url(url: &str, with_query: bool) -> Result<(), &'static str> {
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err("must begin with http:// or https://");
    }
    if url.contains('#') || (url.contains('?') && !with_query) {
        return Err("must have no query and no fragment");
    }
    let parsed: Uri = url.parse().map_err(|_| "is not a URL")?;
    let authority = parsed.authority().ok_or("must name a host")?;
    if authority.as_str().contains('@') {
        return Err("must have no user and no password");
    }
    if authority.host().is_empty() || !has_port(authority.as_str()) {
        return Err("must name a host, and a port from 1 to 65535 if any");
    }
    Ok(())
}

/// Returns the text of a variable that is set and not empty.
fn text(variable: &str) -> Result<Option<String>, Refusal> {
    let value = env::var_os(variable).filter(|value| !value.is_empty());
    value.map(OsString::into_string).transpose().map_err(|_| wrong_variable(variable, "is not UTF-8"))
}

/// Refuses a setting by the name of its variable, or of its key if the variable is not set.
fn wrong((variable, key): (&str, &str), profile: &str, what: &str) -> Refusal {
    let is_variable = env::var_os(variable).is_some();
    wrong_variable(&if is_variable { variable.to_owned() } else { of_profile(key, profile) }, what)
}

fn wrong_variable(source: &str, what: &str) -> Refusal {
    Refusal::new("InvalidVariable", format!("{source} {what}. Correct or unset it."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_endpoints_are_checked_whole() {
        let good = [
            "http://127.0.0.1:4566",
            "https://vpce-1.secretsmanager.eu-west-1.vpce.amazonaws.com",
            "http://[::1]:1/path/",
        ];
        for url in good {
            assert_eq!(check_url(url, false), Ok(()), "{url}");
        }
        let wrong = [
            "",
            "127.0.0.1:4566",
            "localhost",
            "//host",
            "ftp://host",
            "HTTP://",
            "http://",
            "http:///path",
            "https://user@host",
            "https://user:password@host",
            "http://host?query",
            "http://host/?query",
            "http://host#fragment",
            "http://ho st",
            "http://host\n",
            "http://host\r\nX: y",
            "http://host:",
            "http://host:0",
            "http://host:99999",
            "http://host:port",
            " http://host",
            "http://host/\u{7f}",
        ];
        for url in wrong {
            assert!(check_url(url, false).is_err(), "{url:?}");
        }
        assert_eq!(check_url("http://169.254.170.2/get?id=1", true), Ok(()));
    }
}
