//! The services that hold secrets. This crate fetches what a plan asks for, in parallel and inside
//! one deadline.
//!
//! It decides nothing about failures: each entry gets its secrets or the reason why it has none.

mod aws;
mod cost;
mod files;
mod first_requests;
mod freeze;
mod habits;
mod limits;
mod pace;
mod parameter_store;
mod permission;
mod pointer;
mod prefetch;
mod provider;
mod refusal;
mod request;
mod retries;
mod secrets_manager;
mod shape;

pub use aws::{Aws, Login, check_login};
pub use cost::requests_of_refresh;
pub use keystart_config::{Entry, Label, Plan};
pub use permission::{Permission, Place};
pub use prefetch::Prefetch;
pub use provider::{Answer, Encoding, Gap, Match, Provider, Reply, SecretValue, Source};
pub use refusal::{Refusal, Retry};

use std::collections::BTreeSet;
use std::ops::Range;

use keystart_config::arn::is_role;
use keystart_config::{EntrySchema, Schemas, shown};
use keystart_store::Failure;
use keystart_store::SecretBytes;
use keystart_store::json::Json;
use keystart_store::time;

/// The providers of Keystart. Add a new one here and nowhere else. The first one gets each id of
/// the short form `name: id` that no other provider claims.
pub const PROVIDERS: &[&dyn Provider] = &[&secrets_manager::SecretsManager, &parameter_store::ParameterStore];

/// What a configuration may say about them.
pub const SCHEMAS: Schemas = &schemas();

const fn schemas() -> [&'static dyn EntrySchema; PROVIDERS.len()] {
    let mut schemas: [&'static dyn EntrySchema; PROVIDERS.len()] = [PROVIDERS[0]; PROVIDERS.len()];
    let mut at = 1;
    while at < PROVIDERS.len() {
        schemas[at] = PROVIDERS[at];
        at += 1;
    }
    schemas
}

/// One value, with the name it is published under.
#[derive(Debug)]
pub struct FetchedSecret {
    /// The name by contract §2.
    pub name: String,
    /// The bytes to publish.
    pub value: SecretBytes,
    encoding: Encoding,
    source: Source,
    fetched_at: i64,
}

/// The secrets of an entry, or why it has none.
pub type Outcome = std::result::Result<Vec<FetchedSecret>, Failure>;

/// The result of a fetch, in the order of the plan.
#[derive(Debug, Default)]
pub struct PrefetchResult {
    /// The values.
    pub secrets: Vec<FetchedSecret>,
    /// The names of the entries with values, each with the places of its secrets.
    pub entries: Vec<(String, Range<usize>)>,
    /// The variables that the exec wrapper sets.
    pub variables: Vec<Variable>,
    /// The names of the entries without values, each with the reason.
    pub failures: Vec<(String, Failure)>,
    /// What people call each of them: its name, its id and its region.
    pub labels: Vec<Label>,
    /// A log line for each retry.
    pub retries: Vec<String>,
    /// A log line for each value that was skipped or looks damaged.
    pub warnings: Vec<String>,
}

/// A variable that the exec wrapper sets to a secret.
#[derive(Debug)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// The name of the secret.
    pub secret: String,
    /// Whether it replaces a variable that is set.
    pub overwrite: bool,
}

impl FetchedSecret {
    /// Returns when its version was created, in milliseconds since 1970, if the service says so.
    pub fn created_at(&self) -> Option<i64> {
        self.source.created_at
    }

    fn whole(name: &str, value: SecretValue) -> Self {
        let SecretValue { bytes, encoding, source, fetched_at } = value;
        Self { name: name.to_owned(), value: bytes, encoding, source, fetched_at }
    }

    /// Returns the manifest's entry except `path` and `size`, which the draft adds.
    pub fn entry(&self) -> Json {
        let text = |text: &str| Json::Text(text.to_owned());
        let or_null = |member: &Option<String>| member.as_deref().map_or(Json::Null, text);
        let stages = self.source.version_stages.iter().map(|stage| text(stage)).collect();
        let source = object([
            ("provider", text(self.source.provider)),
            ("id", text(&self.source.id)),
            ("region", or_null(&self.source.region)),
            ("version_id", or_null(&self.source.version_id)),
            ("version_stages", Json::Array(stages)),
            ("field", or_null(&self.source.field)),
        ]);
        object([
            ("encoding", text(self.encoding.word())),
            ("fetched_at", Json::Text(time::format(self.fetched_at))),
            ("refresh_after", Json::Null),
            ("source", source),
        ])
    }
}

/// Returns whether an entry has the stages AWSPENDING and AWSPREVIOUS beside the version that it asks for.
pub fn has_stages(entry: &Entry) -> bool {
    PROVIDERS.iter().any(|provider| provider.owns(entry) && provider.has_stages(entry))
}

/// Returns what a policy must allow for the entries of a plan that are fetched with `role`; `None`
/// is the function's role, which also assumes the others. The error is a sentence.
pub fn permissions(plan: &Plan, role: Option<&str>, mut place: Place) -> Result<Vec<Permission>, String> {
    let roles = plan.roles();
    if let Some(role) = role {
        check_role(role, &roles).map_err(|problem| format!("{}: {problem}", plan.source()))?;
        // Its own account, unless the caller names another: arn:aws:iam::ACCOUNT:role/NAME.
        place.account = place.account.or_else(|| role.split(':').nth(4).map(str::to_owned));
    }
    let mut permissions = Vec::new();
    for provider in PROVIDERS {
        let entries: Vec<&Entry> =
            plan.entries.iter().filter(|entry| entry.role.as_deref() == role && provider.owns(entry)).collect();
        permissions.extend(provider.permissions(plan, &entries, &place)?);
    }
    if role.is_none() {
        let resources = roles.into_iter().map(str::to_owned).collect();
        permissions.push(Permission { sid: "Roles", action: "sts:AssumeRole", resources });
    }
    permissions.retain(|permission| !permission.resources.is_empty());
    for permission in &mut permissions {
        let mut seen = BTreeSet::new();
        permission.resources.retain(|resource| seen.insert(resource.clone()));
    }
    Ok(permissions)
}

fn check_role(role: &str, roles: &[&str]) -> Result<(), String> {
    if roles.contains(&role) {
        return Ok(());
    }
    let shown =
        if is_role(role) { format!("the role {role}") } else { format!("this role of {}", shown::characters(role)) };
    let known = if roles.is_empty() { "none".to_owned() } else { roles.join(", ") };
    Err(format!("no secret has {shown}. It has {known}."))
}

fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.map(|(name, value)| (name.to_owned(), value)).into())
}
