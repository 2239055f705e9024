//! Fetches what a plan asks for from AWS, in parallel and inside one deadline, into a draft of the store.
//!
//! It decides nothing about failures: each entry gets its secrets or the reason why there are none.

mod ask;
mod aws;
pub mod configuration;
mod credentials;
mod endpoints;
mod files;
mod identity;
mod limits;
mod pace;
mod plan;
mod profiles;
mod refused;
mod regions;
mod roots;
mod sent;
mod shape;

pub use ask::Prefetch;
pub use plan::{Entry, Kind, Plan};

use keystart_store::Failure;
use keystart_store::SecretBytes;
use keystart_store::json::Json;
use keystart_store::time;

/// One value as a service gave it.
#[derive(Debug)]
pub struct Answer {
    value: SecretBytes,
    encoding: &'static str,
    source: Source,
    fetched_at: i64,
}

/// What the manifest tells about where a value came from (contract §4).
#[derive(Debug, Clone)]
struct Source {
    provider: &'static str,
    id: String,
    region: String,
    version_id: String,
    version_stages: Vec<String>,
    field: Option<String>,
}

/// One value under the name that it is published with.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "the manifest calls it so")]
pub struct Fetched {
    /// The name by contract §2.
    pub name: String,
    /// The bytes as they are published.
    pub value: SecretBytes,
    encoding: &'static str,
    source: Source,
    fetched_at: i64,
}

/// What became of an entry.
pub type Outcome = std::result::Result<Vec<Fetched>, Failure>;

/// What became of a plan.
#[derive(Debug)]
pub struct Prefetched {
    /// Each entry with its outcome, in the plan's order.
    pub outcomes: Vec<(Entry, Outcome)>,
    /// A line for each time that something was asked for again.
    pub again: Vec<String>,
    /// As the plan has it.
    pub env_overwrite: bool,
}

impl Answer {
    /// Whether it is the same version of the same secret.
    fn is(&self, other: &Self) -> bool {
        self.source.version_id == other.source.version_id && self.value.as_bytes() == other.value.as_bytes()
    }

    /// A second one, for another entry that asks for the same.
    fn copy(&self) -> Self {
        let value = SecretBytes::from(self.value.as_bytes());
        Self { value, encoding: self.encoding, source: self.source.clone(), fetched_at: self.fetched_at }
    }
}

impl Fetched {
    fn whole(name: &str, answer: Answer) -> Self {
        let Answer { value, encoding, source, fetched_at } = answer;
        Self { name: name.to_owned(), value, encoding, source, fetched_at }
    }

    /// The manifest's entry but for `path` and `size`, which the draft adds.
    pub fn entry(&self) -> Json {
        let text = |text: &str| Json::Text(text.to_owned());
        let stages = self.source.version_stages.iter().map(|stage| text(stage)).collect();
        let source = object([
            ("provider", text(self.source.provider)),
            ("id", text(&self.source.id)),
            ("region", text(&self.source.region)),
            ("version_id", text(&self.source.version_id)),
            ("version_stages", Json::Array(stages)),
            ("field", self.source.field.as_deref().map_or(Json::Null, text)),
        ]);
        object([
            ("encoding", text(self.encoding)),
            ("fetched_at", Json::Text(time::format(self.fetched_at))),
            ("refresh_after", Json::Null),
            ("source", source),
        ])
    }
}

fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.map(|(name, value)| (name.to_owned(), value)).into())
}

fn failure(code: &str, message: impl Into<String>) -> Failure {
    Failure { code: code.to_owned(), message: message.into() }
}
