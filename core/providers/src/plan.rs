//! What a checked configuration asks for, read from the JSON that `keystart check --json` prints. It checks no configuration.

use std::time::Duration;

use keystart_store::json::{self, Json};

/// What an entry's id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// One secret of Secrets Manager.
    Secret,
    /// One parameter of Parameter Store.
    Parameter,
    /// Every parameter below a path.
    Parameters,
}

/// One thing to fetch. `id` is what the service's API takes: a name, an ARN, for a parameter with its `:version` or `:label`, or a path.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The name that its secret is published with, or the folder of several.
    pub name: String,
    /// What `id` names.
    pub kind: Kind,
    /// What the service's API takes.
    pub id: String,
    /// The service's region; none means that of the plan.
    pub region: Option<String>,
    /// The one member of a JSON secret to publish.
    pub field: Option<String>,
    /// Whether each member of a JSON secret is published.
    pub expand: bool,
    /// A staging label other than AWSCURRENT.
    pub stage: Option<String>,
    /// A version of the secret.
    pub version_id: Option<String>,
    /// A role to assume first.
    pub role: Option<String>,
    /// Whether the rest is published without it when it cannot be had.
    pub optional: bool,
    /// The variable that the exec wrapper puts it into.
    pub env: Option<String>,
}

/// Everything that one prefetch asks for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The time for all of it together.
    pub deadline: Duration,
    /// The region of entries without one; none means that of the environment.
    pub region: Option<String>,
    /// Whether `BatchGetSecretValue` asks for several secrets at once.
    pub batch: bool,
    /// The entries; their names differ.
    pub entries: Vec<Entry>,
    /// Whether the exec wrapper replaces variables that are there already.
    pub env_overwrite: bool,
}

impl Plan {
    /// Reads a plan; gives the name of the member that is missing or wrong.
    pub fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let document = json::parse(text).map_err(|_| "the document")?;
        let Some(Json::Number(seconds)) = document.get("deadline") else {
            return Err("deadline");
        };
        let seconds: f64 = seconds.parse().map_err(|_| "deadline")?;
        let deadline = Duration::try_from_secs_f64(seconds).map_err(|_| "deadline")?;
        let Some(Json::Array(entries)) = document.get("entries") else {
            return Err("entries");
        };
        let entries = entries.iter().map(Entry::from_json).collect::<Result<_, _>>()?;
        let (batch, env_overwrite) = (flag(&document, "batch")?, flag(&document, "env_overwrite")?);
        Ok(Self { deadline, region: optional(&document, "region")?, batch, entries, env_overwrite })
    }

    /// The JSON that `parse` reads.
    pub fn to_json(&self) -> Json {
        super::object([
            ("deadline", Json::Number(self.deadline.as_secs_f64().to_string())),
            ("region", or_null(self.region.as_ref())),
            ("batch", Json::Bool(self.batch)),
            ("entries", Json::Array(self.entries.iter().map(Entry::to_json).collect())),
            ("env_overwrite", Json::Bool(self.env_overwrite)),
        ])
    }
}

impl Entry {
    fn to_json(&self) -> Json {
        let kind = match self.kind {
            Kind::Secret => "secret",
            Kind::Parameter => "parameter",
            Kind::Parameters => "parameters",
        };
        super::object([
            ("name", Json::Text(self.name.clone())),
            ("kind", Json::Text(kind.to_owned())),
            ("id", Json::Text(self.id.clone())),
            ("region", or_null(self.region.as_ref())),
            ("field", or_null(self.field.as_ref())),
            ("expand", Json::Bool(self.expand)),
            ("stage", or_null(self.stage.as_ref())),
            ("version_id", or_null(self.version_id.as_ref())),
            ("role", or_null(self.role.as_ref())),
            ("optional", Json::Bool(self.optional)),
            ("env", or_null(self.env.as_ref())),
        ])
    }

    fn from_json(value: &Json) -> Result<Self, &'static str> {
        let kind = match required(value, "kind")?.as_str() {
            "secret" => Kind::Secret,
            "parameter" => Kind::Parameter,
            "parameters" => Kind::Parameters,
            _ => return Err("kind"),
        };
        Ok(Self {
            name: required(value, "name")?,
            kind,
            id: required(value, "id")?,
            region: optional(value, "region")?,
            field: optional(value, "field")?,
            expand: flag(value, "expand")?,
            stage: optional(value, "stage")?,
            version_id: optional(value, "version_id")?,
            role: optional(value, "role")?,
            optional: flag(value, "optional")?,
            env: optional(value, "env")?,
        })
    }
}

fn or_null(text: Option<&String>) -> Json {
    text.map_or(Json::Null, |text| Json::Text(text.clone()))
}

fn flag(value: &Json, member: &'static str) -> Result<bool, &'static str> {
    if let Some(Json::Bool(flag)) = value.get(member) { Ok(*flag) } else { Err(member) }
}

fn required(value: &Json, member: &'static str) -> Result<String, &'static str> {
    value.get(member).and_then(Json::as_str).map(str::to_owned).ok_or(member)
}

fn optional(value: &Json, member: &'static str) -> Result<Option<String>, &'static str> {
    match value.get(member) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Text(text)) => Ok(Some(text.clone())),
        Some(_) => Err(member),
    }
}
