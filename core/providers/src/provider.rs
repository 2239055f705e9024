//! What Keystart needs to know about a service that holds secrets.

use std::pin::Pin;

use keystart_store::{SecretBytes, time};

use crate::aws::Aws;
use crate::permission::{Permission, Place};
use crate::refusal::Refusal;
use keystart_config::{Entry, EntrySchema, Plan};

/// A service that holds secrets. Its [`EntrySchema`] says what an entry may hold. This trait groups
/// entries into requests, and sends one request once. Deadline, pauses, retries and the names of
/// secrets are the same for all providers (`prefetch.rs`, `request.rs`, `shape.rs`).
pub trait Provider: EntrySchema {
    /// Returns the provider's name in manifests.
    fn name(&self) -> &'static str;

    /// Returns what people call the service.
    fn service(&self) -> &'static str {
        self.name()
    }

    /// Returns what the service charges for a request, in millionths of a dollar.
    fn price(&self) -> u64 {
        0
    }

    /// Returns whether an entry is one of this provider's.
    fn owns(&self, entry: &Entry) -> bool {
        self.keywords().contains(entry.keyword)
    }

    /// Groups its entries into requests. By default each entry is one request.
    fn group(&self, _plan: &Plan, entries: Vec<Entry>) -> Vec<Vec<Entry>> {
        entries.into_iter().map(|entry| vec![entry]).collect()
    }

    /// Returns whether an entry has the stages AWSPENDING and AWSPREVIOUS beside the version that it asks for.
    fn has_stages(&self, _entry: &Entry) -> bool {
        false
    }

    /// Names a request in messages, by the action that a policy must allow: `ssm:GetParameters on /app/flag`.
    fn action(&self, entries: &[Entry]) -> String;

    /// Names the quota of a request. Requests of one quota, region and role slow down together.
    fn quota(&self, _entries: &[Entry]) -> &'static str {
        self.name()
    }

    /// Sends a request once. `page` is the token of a further page of its answer.
    fn send<'a>(&'a self, entries: &'a [Entry], page: Option<&'a str>, aws: &'a Aws) -> Reply<'a>;

    /// Returns whether the entries in a gap are fetched alone, with one request for each id.
    fn asks_alone(&self, _entries: &[Entry], _gap: Gap<'_>) -> bool {
        false
    }

    /// Returns the refusal of an entry that a whole answer leaves out.
    fn missing(&self, entry: &Entry) -> Refusal;

    /// Returns the refusal of pages that hold two values of one secret.
    fn contradiction(&self, entries: &[Entry], _id: &str) -> Refusal {
        Refusal::other(&self.action(entries), "value")
    }

    /// Returns what messages call one secret of a folder.
    fn noun(&self) -> &'static str {
        "secret"
    }

    /// Returns what a policy must allow for these entries, or a sentence about why that is unknown.
    fn permissions(&self, _plan: &Plan, _entries: &[&Entry], _place: &Place) -> Result<Vec<Permission>, String> {
        Ok(Vec::new())
    }
}

/// An answer that is on its way.
pub type Reply<'a> = Pin<Box<dyn Future<Output = Result<Answer, Refusal>> + Send + 'a>>;

/// The answer to a request, or one page of it.
#[derive(Debug, Default)]
pub struct Answer {
    /// The values. Several may have the same id: those of a folder, or those for two entries that
    /// ask for the same.
    pub found: Vec<Match>,
    /// The ids that the service refused while it answered others.
    pub refusals: Vec<(String, Refusal)>,
    /// The token of the next page.
    pub next: Option<String>,
}

/// A value, and the id it answers.
#[derive(Debug)]
pub struct Match {
    /// The id in the entries that it answers.
    pub id: String,
    /// Its name below the name of the entry, if the entry is a folder.
    pub name: Option<String>,
    /// The value.
    pub value: SecretValue,
}

/// Why entries have no value.
#[derive(Debug, Clone, Copy)]
pub enum Gap<'a> {
    /// The service refused the request.
    Request(&'a Refusal),
    /// It refused them and answered others.
    Entry(&'a Refusal),
    /// It left them out.
    Missing,
}

/// One value from a service.
#[derive(Debug)]
pub struct SecretValue {
    pub(crate) bytes: SecretBytes,
    pub(crate) encoding: Encoding,
    pub(crate) source: Source,
    pub(crate) fetched_at: i64,
}

/// How a service declares a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Text, which is UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// Where a value came from, as in the manifest (contract §4).
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The provider's name.
    pub provider: &'static str,
    /// What the service calls the secret.
    pub id: String,
    /// The service's region.
    pub region: Option<String>,
    /// The version of the value.
    pub version_id: Option<String>,
    /// The labels of that version.
    pub version_stages: Vec<String>,
    /// When that version was created, in milliseconds since 1970, if the service says so.
    pub created_at: Option<i64>,
    /// The member of a JSON secret.
    pub field: Option<String>,
}

impl SecretValue {
    /// Takes a value that a service has just returned.
    pub fn new(bytes: SecretBytes, encoding: Encoding, source: Source) -> Self {
        Self { bytes, encoding, source, fetched_at: time::now() }
    }

    /// Returns whether both are the same version of the same secret.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.source.version_id == other.source.version_id && self.bytes.as_bytes() == other.bytes.as_bytes()
    }

    /// Returns a copy for another entry that asks for the same.
    pub(crate) fn copy(&self) -> Self {
        let bytes = SecretBytes::from(self.bytes.as_bytes());
        Self { bytes, encoding: self.encoding, source: self.source.clone(), fetched_at: self.fetched_at }
    }
}

impl Encoding {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Text => "utf-8",
            Self::Binary => "binary",
        }
    }
}
