//! Limits on the answers of an endpoint, checked before the SDK parses them: the SDK buffers an
//! answer of any length, and its parsers recurse to any depth.
//!
//! hyper limits the rest: a head has at most 100 headers and 400 KB, the extensions of chunks and
//! the trailers 16 KB each. The client follows no redirect and decompresses nothing.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::fmt;
use std::mem::replace;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use http_body_util::BodyExt;

use crate::refusal::Refusal;

/// One answer: a batch of 20 secrets of 64 KiB, each byte written as the six of `\u0000`, has less.
const LONGEST_ANSWER: usize = 8_388_608; // limits.toml: extension.answer_bytes
/// All answers of a start together, because their values stay in memory until they are published. Small functions have
/// 128 MiB, and an answer lies there up to three times while it is parsed.
const LONGEST_ANSWERS: usize = 33_554_432; // limits.toml: extension.answers_bytes
/// An error. AWS's own have a few hundred bytes; of a longer page only the status counts.
const LONGEST_ERROR: usize = 65_536; // limits.toml: extension.error_bytes
/// Objects and lists inside each other. AWS's answers have four.
const DEEPEST_JSON: usize = 32; // limits.toml: extension.json_depth
/// Tags of an answer in XML, which bounds its depth too. Those of STS have about thirty.
const MOST_TAGS: usize = 512; // limits.toml: extension.xml_tags
/// Pages of one list. Parameter Store puts ten parameters on a page, at times fewer.
const MOST_PAGES: usize = 1_000; // limits.toml: extension.pages

/// The limit that an answer exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excess {
    Long,
    LongTogether,
    Deep,
    Pages,
    SamePage,
}

impl Excess {
    /// Returns the failure of the call with this answer.
    pub fn refusal(self, action: &str) -> Refusal {
        let cure = match self {
            Self::LongTogether => "Configure fewer or smaller secrets",
            _ => "Check AWS_ENDPOINT_URL",
        };
        Refusal::new("InvalidAnswer", format!("The answer to {action} {self}. {cure}."))
    }
}

impl StdError for Excess {}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Long => write!(f, "has more than {LONGEST_ANSWER} bytes"),
            Self::LongTogether => {
                write!(f, "makes more than {LONGEST_ANSWERS} bytes of all answers, the most that one start reads")
            }
            Self::Deep => f.write_str("is nested deeper than any of AWS"),
            Self::Pages => write!(f, "has more than {MOST_PAGES} pages"),
            Self::SamePage => f.write_str("leads to a page that was read already"),
        }
    }
}

/// The pages of one list.
#[derive(Default)]
pub(crate) struct Pages(BTreeSet<String>);

impl Pages {
    /// Refuses a page that was read already, and an endless list.
    pub fn turn(&mut self, token: &str) -> Result<(), Excess> {
        if self.0.len() + 1 >= MOST_PAGES {
            return Err(Excess::Pages);
        }
        if self.0.insert(token.to_owned()) { Ok(()) } else { Err(Excess::SamePage) }
    }
}

/// A client that reads each answer whole and passes it on if it is within the limits.
#[derive(Debug)]
pub(crate) struct LimitedClient {
    inner: SharedHttpClient,
    read: Arc<AtomicUsize>,
}

impl LimitedClient {
    /// Makes a client. All clients of a start count their bytes in `read`.
    pub fn new(inner: SharedHttpClient, read: Arc<AtomicUsize>) -> Self {
        Self { inner, read }
    }
}

impl HttpClient for LimitedClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(LimitedConnector { inner, read: Arc::clone(&self.read) })
    }

    fn validate_base_client_config(&self, base: &RuntimeComponentsBuilder, bag: &ConfigBag) -> Result<(), BoxError> {
        self.inner.validate_base_client_config(base, bag)
    }

    fn validate_final_config(&self, components: &RuntimeComponents, bag: &ConfigBag) -> Result<(), BoxError> {
        self.inner.validate_final_config(components, bag)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.inner.connector_metadata()
    }
}

#[derive(Debug)]
struct LimitedConnector {
    inner: SharedHttpConnector,
    read: Arc<AtomicUsize>,
}

impl HttpConnector for LimitedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let is_too_deep = if is_query(&request) { has_too_many_tags } else { is_too_deep };
        let answer = self.inner.call(request);
        let read = Arc::clone(&self.read);
        HttpConnectorFuture::new(async move {
            let mut response = answer.await?;
            let bytes = whole_body(&mut response, &read).await?;
            if is_too_deep(&bytes) {
                return Err(too_much(Excess::Deep));
            }
            *response.body_mut() = SdkBody::from(bytes);
            Ok(response)
        })
    }
}

/// Reads the whole body. Reads nothing of an error that is too long.
async fn whole_body(response: &mut HttpResponse, read: &AtomicUsize) -> Result<Vec<u8>, ConnectorError> {
    let is_error = !response.status().is_success();
    let mut body = replace(response.body_mut(), SdkBody::taken());
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(ConnectorError::io)?;
        let Some(data) = frame.data_ref() else {
            continue; // trailers
        };
        let length = bytes.len() + data.len();
        if is_error {
            if length > LONGEST_ERROR {
                return Ok(Vec::new());
            }
        } else if length > LONGEST_ANSWER {
            return Err(too_much(Excess::Long));
        } else if read.fetch_add(data.len(), Relaxed) + data.len() > LONGEST_ANSWERS {
            return Err(too_much(Excess::LongTogether));
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}

fn too_much(excess: Excess) -> ConnectorError {
    ConnectorError::other(Box::new(excess), None)
}

/// Returns whether the request goes to STS, which answers in XML. The request decides, not the answer.
fn is_query(request: &HttpRequest) -> bool {
    request.headers().get("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
}

/// Returns whether JSON is nested too deep. It counts as a parser does until the first mistake,
/// where a parser stops.
fn is_too_deep(json: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > DEEPEST_JSON {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Returns whether XML could be nested too deep: its depth is at most the number of its tags.
fn has_too_many_tags(xml: &[u8]) -> bool {
    xml.iter().filter(|byte| **byte == b'<').nth(MOST_TAGS).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_count_only_outside_of_strings() {
        let nested = |depth| [b"[".repeat(depth), b"]".repeat(depth)].concat();
        assert!(!is_too_deep(&nested(DEEPEST_JSON)));
        assert!(is_too_deep(&nested(DEEPEST_JSON + 1)));
        assert!(is_too_deep(&b"{\"a\":".repeat(DEEPEST_JSON + 1)));
        assert!(!is_too_deep(&[b"{\"\\\\\\\"".to_vec(), nested(100), b"\": 1}".to_vec()].concat()));
        assert!(is_too_deep(&[b"{\"\\\\\"".to_vec(), nested(100), b"\": 1}".to_vec()].concat()));
        assert!(!is_too_deep(&b"[],{},".repeat(100)));
        assert!(is_too_deep(&[b"]".repeat(100), nested(100)].concat()));
    }

    #[test]
    fn pages_end_at_a_repeated_token_and_at_a_number() {
        let mut pages = Pages::default();
        assert_eq!(pages.turn("a"), Ok(()));
        assert_eq!(pages.turn("b"), Ok(()));
        assert_eq!(pages.turn("a"), Err(Excess::SamePage));
        let turned = (0..2 * MOST_PAGES).take_while(|number| pages.turn(&number.to_string()).is_ok()).count();
        assert_eq!(turned + 2 + 1, MOST_PAGES);
        assert_eq!(pages.turn("z"), Err(Excess::Pages));
    }
}
