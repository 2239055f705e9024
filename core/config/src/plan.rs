//! What a checked configuration asks for, and its forms for people and for programs.

use std::collections::HashMap;
use std::env;
use std::time::Duration;

use crate::account;
use crate::arn;
use crate::members::Selection;
use crate::problem::{Origin, Position};
use crate::region::is_region;
use crate::schema::Keyword;
use crate::shown::{self, Place, characters, is_certain};
use crate::value::Value;
use crate::variables;

/// What messages call the variable that holds secrets.
pub(crate) const VARIABLE: &str = "KEYSTART_SECRETS";
pub(crate) const REFRESH_DEADLINE: Duration = Duration::from_secs(2);

/// Whether the process registers before it fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Registers first, and fetches while the runtime starts.
    Overlap,
    /// Fetches and publishes first.
    Before,
}

impl Start {
    /// Returns the word for this in a configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Overlap => "overlap",
            Self::Before => "before",
        }
    }
}

/// What a start does in an environment that Lambda takes a snapshot of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SnapStart {
    /// Fetches during Init, so the snapshot holds the secrets.
    #[default]
    Init,
    /// Fetches nothing before the first invocation.
    FirstInvoke,
}

impl SnapStart {
    pub(crate) const ALL: [Self; 2] = [Self::Init, Self::FirstInvoke];

    /// Returns the word for this in a configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::FirstInvoke => "first-invoke",
        }
    }
}

/// One thing to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the configuration")]
pub struct Entry {
    /// The name that its secret is published under, or the folder of several secrets.
    pub name: String,
    /// The keyword, which says what kind of thing `id` names.
    pub keyword: &'static Keyword,
    /// What the service's API takes: a name, an ARN or a path. For a parameter, with its `:version`
    /// or `:label`.
    pub id: String,
    /// The service's region; none means that of the environment.
    pub region: Option<String>,
    /// The one member of a JSON secret to publish.
    pub field: Option<String>,
    /// Whether each member of a JSON secret is published.
    pub expand: bool,
    /// What of several secrets it takes.
    pub selection: Selection,
    /// A staging label other than AWSCURRENT.
    pub stage: Option<String>,
    /// A version of the secret.
    pub version_id: Option<String>,
    /// A role to assume first.
    pub role: Option<String>,
    /// What the trust policy of that role asks for, if it does.
    pub external_id: Option<String>,
    /// What `CloudTrail` calls the session of that role.
    pub session_name: Option<String>,
    /// Whether the rest is published without it when it cannot be fetched.
    pub optional: bool,
    /// The variable that the exec wrapper puts it into; with `*` at its end, the beginning of several.
    pub env: Option<String>,
    /// Whether a refresh may fetch it again: not with `ttl: none`.
    pub is_refreshed: bool,
    /// Whether its value is meant as it is, although it looks like a mistake: with `as_is: true`.
    pub is_meant: bool,
    /// Where it was configured.
    pub origin: Origin,
}

/// What people call an entry, and its parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Label {
    /// For example `db (secret prod/db in eu-west-1 of account 123456789012)`.
    pub text: String,
    /// What the entry asks the service for.
    pub id: String,
    /// The region of the service, empty if none is known.
    pub region: String,
    /// The account in which the service looks for the id, empty if it is not known.
    pub account: String,
}

/// A file name below [`Plan::links_home`] that must lead to a published secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The secret's name.
    pub name: String,
    /// The file's path below the folder of links.
    pub path: String,
}

/// The whole configuration of one start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// When the process registers.
    pub start: Start,
    /// The time for all fetches together.
    pub deadline: Duration,
    /// The region of entries without their own; none means that of the environment.
    pub region: Option<String>,
    /// Whether one call asks for several secrets.
    pub batch: bool,
    /// Whether the exec wrapper replaces variables that exist.
    pub env_overwrite: bool,
    /// The time after which everything is fetched again; none means never.
    pub ttl: Option<Duration>,
    /// The age at which readers refuse a value; none means never. With it a ttl is set.
    pub max_stale: Option<Duration>,
    /// The time for all fetches of one refresh together.
    pub refresh_deadline: Duration,
    /// What a start does before Lambda takes a snapshot of the environment.
    pub snapstart: SnapStart,
    /// The entries; their names differ.
    pub entries: Vec<Entry>,
    /// The links that functions written for Square's extension read.
    pub links: Vec<Link>,
    /// The folder of the links; none without links.
    pub links_home: Option<String>,
    /// The path of the file, or `KEYSTART_SECRETS`.
    pub source_file: String,
}

/// Why entries change together: one id with region, role, stage and version, or one first segment of their names.
#[derive(PartialEq, Eq, Hash)]
enum ChangeGroup<'a> {
    Source(&'a str, &'a str, [Option<&'a str>; 4]),
    Folder(&'a str),
}

impl Entry {
    /// Returns the name with what is fetched for it.
    pub fn label(&self) -> Label {
        let own = || env::var("AWS_REGION").ok().filter(|region| is_region(region));
        let region = self.region.clone().or_else(own).unwrap_or_default();
        let place = if region.is_empty() { String::new() } else { format!(" in {region}") };
        let stated = arn::account(&self.id);
        let other = match &self.role {
            Some(role) => arn::account(role),
            None => account::of_function(),
        };
        let account = stated.or(other).unwrap_or_default().to_owned();
        // An ARN names its account already.
        let of = if stated.is_some() || account.is_empty() { String::new() } else { format!(" of account {account}") };
        let text = format!("{} ({} {}{place}{of})", self.name, self.keyword.name, self.id);
        Label { text, id: self.id.clone(), region, account }
    }

    /// Returns whether it brings several secrets, all below its name.
    pub fn is_folder(&self) -> bool {
        self.expand || self.keyword.is_folder
    }

    /// Returns the variable of one of its secrets, by the secret's whole name, or why it cannot have one; `None`
    /// without `env`.
    pub fn variable(&self, name: &str) -> Option<Result<String, String>> {
        let env = self.env.as_deref()?;
        let Some(own) = name.strip_prefix(&self.name).and_then(|rest| rest.strip_prefix('/')) else {
            return Some(Ok(env.to_owned()));
        };
        let variable = variables::of_several(env, own);
        Some(variables::refusal(&variable).map_or(Ok(variable), Err))
    }

    /// Returns whether its values can change: no version of it is configured, and no `ttl: none`.
    pub fn can_become_due(&self) -> bool {
        self.is_refreshed && self.version_id.is_none() && !(self.keyword.is_pinned)(&self.id)
    }

    /// Returns the place that its values come from. Entries of one place change together.
    fn source(&self) -> ChangeGroup<'_> {
        let version = [&self.region, &self.role, &self.stage, &self.version_id].map(Option::as_deref);
        ChangeGroup::Source(self.keyword.name, &self.id, version)
    }

    /// Returns the first segment of its name.
    fn folder(&self) -> ChangeGroup<'_> {
        ChangeGroup::Folder(self.name.split('/').next().unwrap_or_default())
    }

    pub(crate) fn position(&self) -> Position {
        let Origin { line, column, .. } = &self.origin;
        Position { line: line.unwrap_or(1), column: column.unwrap_or(1) }
    }

    /// Returns the field if it is certainly no secret, else its length.
    fn shown_field(&self) -> Option<Result<&str, usize>> {
        let field = self.field.as_deref()?;
        let pointed = field.strip_prefix('/').unwrap_or(field);
        Some(if is_certain(pointed, Place::Name, &[]) { Ok(field) } else { Err(field.chars().count()) })
    }
}

impl Link {
    fn to_value(&self) -> Value {
        Value::object([("name", Value::text(&self.name)), ("path", Value::text(&self.path))])
    }
}

impl Plan {
    /// Returns a plan that has only what is under `secrets`.
    pub(crate) fn of_secrets(entries: Vec<Entry>, source_file: &str) -> Self {
        Self {
            start: Start::Overlap,
            deadline: Duration::from_secs(8),
            region: None,
            batch: false,
            env_overwrite: false,
            ttl: None,
            max_stale: None,
            refresh_deadline: REFRESH_DEADLINE,
            snapstart: SnapStart::default(),
            entries,
            links: Vec::new(),
            links_home: None,
            source_file: source_file.to_owned(),
        }
    }

    /// Returns whether a refresh can ever have something to do: with a ttl, if some entry can become due.
    pub fn is_refreshed(&self) -> bool {
        self.ttl.is_some() && self.entries.iter().any(Entry::can_become_due)
    }

    /// Returns a number for each entry, which those of one source share.
    pub fn sources(&self) -> Vec<usize> {
        let mut first = HashMap::new();
        self.entries.iter().enumerate().map(|(index, entry)| *first.entry(entry.source()).or_insert(index)).collect()
    }

    /// Returns a number for each entry. A refresh publishes all entries of one number, or none of them: those of one
    /// source, and those whose names have the same first segment.
    pub fn groups(&self) -> Vec<usize> {
        let mut groups: Vec<usize> = (0..self.entries.len()).collect();
        let mut first = HashMap::new();
        for (index, entry) in self.entries.iter().enumerate() {
            for reason in [entry.source(), entry.folder()] {
                let [from, to] = [groups[index], groups[*first.entry(reason).or_insert(index)]];
                if from != to {
                    groups.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
                }
            }
        }
        groups
    }

    /// Returns the roles that fetch entries instead of the function's, each once.
    pub fn roles(&self) -> Vec<&str> {
        let mut roles = Vec::new();
        for role in self.entries.iter().filter_map(|entry| entry.role.as_deref()) {
            if !roles.contains(&role) {
                roles.push(role);
            }
        }
        roles
    }

    /// Returns what messages call the file or the variable of the plan.
    pub fn source(&self) -> String {
        if self.source_file == VARIABLE { VARIABLE.to_owned() } else { shown::path(&self.source_file) }
    }

    /// Returns the plan as JSON for `keystart check --json`: with ids, and without text that may be a secret.
    pub fn to_json(&self) -> String {
        Value::object([
            ("start", Value::text(self.start.word())),
            ("deadline", seconds(Some(self.deadline))),
            ("region", Value::optional(self.region.as_ref())),
            ("entries", Value::List(self.entries.iter().map(Entry::to_value).collect())),
            ("links", Value::List(self.links.iter().map(Link::to_value).collect())),
            ("links_home", Value::optional(self.links_home.as_ref())),
            ("source_file", Value::Text(self.source())),
            ("batch", Value::Flag(self.batch)),
            ("env_overwrite", Value::Flag(self.env_overwrite)),
            ("ttl", seconds(self.ttl)),
            ("max_stale", seconds(self.max_stale)),
            ("refresh_deadline", seconds(Some(self.refresh_deadline))),
            ("snapstart", Value::text(self.snapstart.word())),
            ("warnings", Value::List(self.warnings().iter().map(|warning| Value::text(warning)).collect())),
        ])
        .compact()
    }

    /// Returns the plan as text for people, one line an entry.
    pub fn to_text(&self) -> String {
        let region = self.region.as_deref().unwrap_or("AWS_REGION");
        let flag = |flag: bool| flag.then(|| "true".to_owned());
        let settings = [
            ("configuration", Some(self.source())),
            ("start", Some(self.start.word().to_owned())),
            ("deadline", Some(duration(self.deadline))),
            ("region", Some(region.to_owned())),
            ("batch", flag(self.batch)),
            ("env_overwrite", flag(self.env_overwrite)),
            ("ttl", self.ttl.map(span)),
            ("max_stale", self.max_stale.map(span)),
            ("refresh_deadline", self.ttl.map(|_| duration(self.refresh_deadline))),
            ("snapstart", (self.snapstart != SnapStart::default()).then(|| self.snapstart.word().to_owned())),
        ];
        let rows = settings.into_iter().filter_map(|(key, value)| Some([key.to_owned(), value?]));
        let mut lines = table(&rows.collect::<Vec<_>>());
        let mut rows = vec![["NAME", "SOURCE", "ID", "REGION", "DETAILS"].map(str::to_owned)];
        rows.extend(self.entries.iter().map(|entry| {
            // The names below a folder are known only after the fetch.
            let below = if entry.is_folder() { "/*" } else { "" };
            let region = entry.region.as_deref().unwrap_or(region);
            let name = format!("{}{below}", entry.name);
            [name, entry.keyword.name.to_owned(), entry.id.clone(), region.to_owned(), entry.details()]
        }));
        lines.push(String::new());
        lines.extend(table(&rows));
        if let Some(home) = &self.links_home {
            let mut rows = vec![["LINK", "SECRET"].map(str::to_owned)];
            rows.extend(self.links.iter().map(|link| [format!("{home}/{}", link.path), link.name.clone()]));
            lines.push(String::new());
            lines.extend(table(&rows));
        }
        lines.join("\n") + "\n"
    }
}

impl Entry {
    fn to_value(&self) -> Value {
        let number = |number: usize| Value::Number(number.to_string());
        let field = match self.shown_field() {
            None => Value::Null,
            Some(Ok(field)) => Value::text(field),
            Some(Err(length)) => Value::object([("characters", number(length))]),
        };
        // Some people treat it as a secret.
        let external_id = self
            .external_id
            .as_ref()
            .map_or(Value::Null, |id| Value::object([("characters", number(id.chars().count()))]));
        Value::object([
            ("name", Value::text(&self.name)),
            ("kind", Value::text(self.keyword.name)),
            ("id", Value::text(&self.id)),
            ("region", Value::optional(self.region.as_ref())),
            ("field", field),
            ("expand", Value::Flag(self.expand)),
            ("members", if self.is_folder() { self.selection.shown() } else { Value::Null }),
            ("stage", Value::optional(self.stage.as_ref())),
            ("version_id", Value::optional(self.version_id.as_ref())),
            ("role", Value::optional(self.role.as_ref())),
            ("external_id", external_id),
            ("session_name", Value::optional(self.session_name.as_ref())),
            ("optional", Value::Flag(self.optional)),
            ("env", Value::optional(self.env.as_ref())),
            ("ttl", if self.is_refreshed { Value::Null } else { Value::text("none") }),
            ("as_is", Value::Flag(self.is_meant)),
            ("origin", self.origin.to_value()),
        ])
    }

    fn details(&self) -> String {
        let field = self.shown_field().map(|field| match field {
            Ok(field) => format!("field {field}"),
            Err(_) => format!("field of {}", characters(self.field.as_deref().unwrap_or_default())),
        });
        let named = |word: &str, value: &Option<String>| value.as_ref().map(|value| format!("{word} {value}"));
        let details = [
            field,
            named("stage", &self.stage),
            named("version", &self.version_id),
            named("role", &self.role),
            self.external_id.as_ref().map(|_| "external_id".to_owned()),
            named("session_name", &self.session_name),
            self.expand.then(|| "expand".to_owned()),
            self.optional.then(|| "optional".to_owned()),
            named("env", &self.env),
            (!self.is_refreshed).then(|| "ttl none".to_owned()),
            self.is_meant.then(|| "as_is".to_owned()),
        ];
        let mut details: Vec<String> = details.into_iter().flatten().collect();
        details.extend(self.selection.details());
        details.join(", ")
    }
}

/// Returns a time as a configuration spells it: `500ms`, `8s`.
pub(crate) fn duration(time: Duration) -> String {
    match time.as_millis() {
        milliseconds if milliseconds % 1000 == 0 => format!("{}s", milliseconds / 1000),
        milliseconds => format!("{milliseconds}ms"),
    }
}

/// Returns a time as a configuration spells it, in the largest unit that holds it: `90s`, `5m`, `24h`.
pub(crate) fn span(time: Duration) -> String {
    match time.as_secs() {
        0 => duration(time),
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

fn seconds(time: Option<Duration>) -> Value {
    time.map_or(Value::Null, |time| Value::Number(format!("{:?}", time.as_secs_f64())))
}

fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
