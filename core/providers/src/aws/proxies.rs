//! Which proxy a request goes through, by the rules that curl and boto share.
//!
//! The lower-case variable wins, and an empty one counts as unset. `NO_PROXY` lists hosts, separated
//! by commas or blanks: a name counts for its subdomains too, with or without a dot in front; an
//! address may be a network (only curl); a port limits an entry (only boto); `*` is every host.
//!
//! A variable counts only for requests that go through its proxy. If it names none, those are refused.

use std::env;
use std::error::Error as StdError;
use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use hyper::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

const HTTPS: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const HTTP: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
const EXEMPT: [&str; 2] = ["no_proxy", "NO_PROXY"];
/// A web server sets this one. Its clients may then choose the value of `HTTP_PROXY`.
const CGI: &str = "REQUEST_METHOD";

/// A proxy, and the variable that names it.
pub(crate) struct Proxy {
    pub variable: &'static str,
    /// With a scheme, and the user and the password if there are any.
    pub url: String,
    /// The host and the port, for messages.
    pub address: String,
    /// The same in the client's form.
    pub intercept: Intercept,
}

/// A variable that should name a proxy, and what is wrong with it. Never its value, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProxyError {
    pub variable: &'static str,
    pub flaw: &'static str,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.variable, self.flaw)
    }
}

impl StdError for ProxyError {}

/// The variable that wins for a scheme, if one is set.
type Choice = Option<Result<Arc<Proxy>, ProxyError>>;

/// The proxies of an environment.
#[derive(Default)]
pub(crate) struct Proxies {
    https: Choice,
    http: Choice,
    exempt: Vec<Exempt>,
}

/// An entry of `NO_PROXY`.
#[derive(Debug, PartialEq, Eq)]
struct Exempt {
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, PartialEq, Eq)]
enum Host {
    Any,
    Name(String),
    Network(IpAddr, u8),
}

impl Proxies {
    /// Reads the variables.
    pub fn of_environment() -> Self {
        Self::read(&|name| env::var_os(name))
    }

    fn read(variable: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let is_cgi = variable(CGI).is_some();
        let is_ignored = |name: &str| is_cgi && name == "HTTP_PROXY";
        let set = |name: &str| variable(name).filter(|value| !value.is_empty() && !is_ignored(name));
        let first = |names: [&'static str; 4]| {
            let (variable, url) = names.into_iter().find_map(|name| Some((name, set(name)?)))?;
            let proxy = url.to_str().ok_or("is not UTF-8").and_then(|url| Proxy::new(variable, url));
            Some(proxy.map(Arc::new).map_err(|flaw| ProxyError { variable, flaw }))
        };
        let exempt = EXEMPT.into_iter().find_map(set).unwrap_or_default();
        let exempt = exempt.to_string_lossy();
        let entries = exempt.split([',', ' ', '\t', '\n', '\r']).filter_map(Exempt::parse);
        Self { https: first(HTTPS), http: first(HTTP), exempt: entries.collect() }
    }

    /// Returns the proxy for a request; `None` if the request goes to its host directly.
    pub fn of(&self, uri: &Uri) -> Result<Option<&Arc<Proxy>>, ProxyError> {
        let is_https = uri.scheme_str() == Some("https");
        let choice = if is_https { &self.https } else { &self.http }.as_ref();
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let choice = choice.filter(|_| !self.exempt.iter().any(|entry| entry.covers(host, port)));
        choice.map(|proxy| proxy.as_ref().map_err(|error| *error)).transpose()
    }
}

impl Proxy {
    /// Takes the URL of a proxy, or says what is wrong with it.
    fn new(variable: &'static str, url: &str) -> Result<Self, &'static str> {
        let parsed: Uri = url.parse().map_err(|_| "is not the URL of a proxy")?;
        if !matches!(parsed.scheme_str(), None | Some("http" | "https")) {
            return Err("must begin with http:// or https://");
        }
        let authority = parsed.authority().ok_or("must name a host")?.as_str();
        // The client ends the password at the first one.
        if authority.matches('@').count() > 1 {
            return Err("must write an \"@\" of its user or password as %40");
        }
        if parsed.host().unwrap_or_default().is_empty() || !has_port(authority) {
            return Err("must name a host, and a port from 1 to 65535 if any");
        }
        let address = authority.rsplit('@').next().unwrap_or_default().to_owned();
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let intercept = Matcher::builder().all(url.as_str()).build().intercept(&Uri::from_static("https://any.test"));
        let intercept = intercept.ok_or("is not the URL of a proxy")?;
        Ok(Self { variable, url, address, intercept })
    }
}

impl Exempt {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self { host: Host::Any, port: None });
        }
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        if let Ok(address) = address.parse::<IpAddr>() {
            let longest = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Some(longest), |bits| bits.parse().ok().filter(|bits| *bits <= longest))?;
            return Some(Self { host: Host::Network(address, bits), port: None });
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port.parse().ok()?)),
            _ => (text, None),
        };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = name.parse::<IpAddr>() {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            return Some(Self { host: Host::Network(address, bits), port });
        }
        let name = name.trim_matches('.').to_ascii_lowercase();
        (!name.is_empty()).then_some(Self { host: Host::Name(name), port })
    }

    fn covers(&self, host: &str, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
            && match &self.host {
                Host::Any => true,
                Host::Name(name) => {
                    let host = host.trim_end_matches('.').to_ascii_lowercase();
                    host.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
                }
                Host::Network(network, bits) => host.parse().is_ok_and(|address| is_within(address, *network, *bits)),
            }
    }
}

/// Returns whether an address lies in a network. Those of the other version never do.
fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let number = |address| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    let rest = 128 - u32::from(bits);
    let begin = |address| number(address).checked_shr(rest).unwrap_or_default();
    address.is_ipv4() == network.is_ipv4() && (bits == 0 || begin(address) == begin(network))
}

/// Returns whether the port is valid or missing.
pub(super) fn has_port(authority: &str) -> bool {
    let host = authority.rsplit('@').next().unwrap_or_default();
    let rest = host.rsplit_once(']').map_or(host, |(_, rest)| rest);
    rest.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        let value =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(*value));
        Proxies::read(&value)
    }

    fn variable(proxies: &Proxies, uri: &str) -> Option<&'static str> {
        proxies.of(&uri.parse().unwrap()).unwrap().map(|proxy| proxy.variable)
    }

    #[test]
    fn a_variable_that_names_no_proxy_is_refused_where_it_counts_and_nowhere_else() {
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        let flaw = "must begin with http:// or https://";
        let all = proxies(&[("ALL_PROXY", "socks5://p:1"), ("HTTPS_PROXY", "p:1"), ("NO_PROXY", "localhost")]);
        assert_eq!(variable(&all, "https://host"), Some("HTTPS_PROXY"));
        assert_eq!(variable(&all, "http://localhost"), None);
        let refused = all.of(&uri("http://host")).err();
        assert_eq!(refused, Some(ProxyError { variable: "ALL_PROXY", flaw }));
        let lower = proxies(&[("https_proxy", "socks5://p:1"), ("HTTPS_PROXY", "p:1")]);
        assert_eq!(lower.of(&uri("https://host")).err(), Some(ProxyError { variable: "https_proxy", flaw }));
        assert_eq!(variable(&lower, "http://host"), None);
    }

    #[test]
    fn proxies_are_checked_whole() {
        for url in ["http://proxy:3128", "proxy:3128", "proxy", "https://user:password@proxy:3128/", "http://[::1]:1"] {
            assert!(Proxy::new("HTTPS_PROXY", url).is_ok(), "{url}");
        }
        for url in
            ["http://", "http://pro xy:3128", "proxy:port", "socks5://proxy", "http://proxy:0", "/proxy", "http:/proxy"]
        {
            assert!(Proxy::new("HTTPS_PROXY", url).is_err(), "{url:?}");
        }
    }

    #[test]
    fn the_lower_case_variable_wins_and_an_empty_one_is_unset() {
        let both = proxies(&[("https_proxy", "a:1"), ("HTTPS_PROXY", "b:1"), ("ALL_PROXY", "c:1")]);
        assert_eq!(variable(&both, "https://host/"), Some("https_proxy"));
        assert_eq!(variable(&both, "http://host/"), Some("ALL_PROXY"));
        assert_eq!(
            variable(&proxies(&[("https_proxy", ""), ("HTTPS_PROXY", "b:1")]), "https://host"),
            Some("HTTPS_PROXY")
        );
        assert_eq!(variable(&proxies(&[("HTTPS_PROXY", "b:1")]), "http://host"), None);
        let cgi = [("HTTP_PROXY", "b:1"), ("REQUEST_METHOD", "GET")];
        assert_eq!(variable(&proxies(&cgi), "http://host"), None);
    }

    #[test]
    fn a_message_names_the_address_of_a_proxy_and_not_its_password() {
        let proxies = proxies(&[("HTTPS_PROXY", "user:password@proxy.test:3128")]);
        let proxy = proxies.of(&"https://host".parse().unwrap()).unwrap().unwrap();
        assert_eq!(
            (proxy.address.as_str(), proxy.url.as_str()),
            ("proxy.test:3128", "http://user:password@proxy.test:3128")
        );
    }

    #[test]
    fn no_proxy_lists_names_with_their_subdomains_addresses_networks_and_ports() {
        for (list, uri, is_direct) in [
            ("*", "https://host", true),
            ("*", "https://127.0.0.1", true),
            ("*", "https://[::1]:8000", true),
            ("a.test, *", "https://host", true),
            ("amazonaws.com", "https://ssm.eu-west-1.amazonaws.com", true),
            (".amazonaws.com", "https://ssm.eu-west-1.amazonaws.com", true),
            (".amazonaws.com", "https://amazonaws.com", true),
            ("AmazonAWS.com.", "https://ssm.eu-west-1.amazonAWS.com", true),
            ("amazonaws.com", "https://eu-amazonaws.com", false),
            ("ssm.eu-west-1.amazonaws.com", "https://amazonaws.com", false),
            ("a.test,b.test", "https://b.test", true),
            ("a.test b.test", "https://b.test", true),
            ("b.test:443", "https://b.test", true),
            ("b.test:8443", "https://b.test", false),
            ("localhost:4566", "http://localhost:4566", true),
            ("localhost:4566", "http://localhost:4567", false),
            ("127.0.0.1:4566", "http://127.0.0.1:4566", true),
            ("127.0.0.1", "http://127.0.0.1:4566", true),
            ("127.0.0.1", "http://127.0.0.2", false),
            ("127.0.0.0/8", "http://127.1.2.3:80", true),
            ("10.0.0.0/8", "http://127.1.2.3", false),
            ("10.0.0.0/99", "http://10.0.0.1", false),
            ("0.0.0.0/0", "http://10.0.0.1", true),
            ("127.0.0.0/8", "http://localhost", false),
            ("::1", "http://[::1]:4566", true),
            ("[::1]:4566", "http://[::1]:4566", true),
            ("fd00::/8", "http://[fd00::1]", true),
            ("fd00::/8", "http://[fe80::1]", false),
            ("::/0", "http://10.0.0.1", false),
            ("", "https://host", false),
            (",, .", "https://host", false),
        ] {
            let proxies = proxies(&[("HTTPS_PROXY", "p:1"), ("HTTP_PROXY", "p:1"), ("NO_PROXY", list)]);
            assert_eq!(variable(&proxies, uri).is_none(), is_direct, "{list:?} {uri}");
        }
    }
}
