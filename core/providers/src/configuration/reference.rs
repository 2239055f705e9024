//! Reads the ids of secrets and parameters, ARNs and ECS references; those that are surely right.

use regex_lite::Regex;

use crate::Kind;
use crate::regions::is_region;

const LONGEST_SECRET: usize = 512;
/// Parameter Store's own limit.
const LONGEST_PARAMETER: usize = 1011;
const LONGEST_SELECTOR: usize = 100;

/// What an id says. `region` is the ARN's own; field, stage and version come from an ECS reference.
pub(super) struct Reference {
    pub kind: Kind,
    pub id: String,
    pub region: Option<String>,
    pub field: Option<String>,
    pub stage: Option<String>,
    pub version_id: Option<String>,
}

impl Reference {
    fn new(kind: Kind, id: &str, region: Option<String>) -> Self {
        Self { kind, id: id.to_owned(), region, field: None, stage: None, version_id: None }
    }

    /// A secret's name or ARN, an ECS reference, `ssm:` and a parameter, or its ARN.
    pub fn short(text: &str) -> Option<Self> {
        match text.strip_prefix("ssm:") {
            Some(parameter) => Self::parameter(parameter),
            None => Self::secret(text).or_else(|| Self::parameter_arn(text)),
        }
    }

    /// A secret's name or ARN, with `:field:stage:version_id` after an ARN.
    pub fn secret(text: &str) -> Option<Self> {
        if !text.starts_with("arn:") {
            // With "=" at an end it may be a pasted secret in Base64, or what is left of one.
            let is_name = is_secret_name(text) && !text.starts_with('=') && !text.ends_with('=');
            return is_name.then(|| Self::new(Kind::Secret, text, None));
        }
        let arn = Arn::parse(text, "secretsmanager")?;
        let parts: Vec<&str> = arn.resource.strip_prefix("secret:")?.split(':').collect();
        if parts.len() > 4 || !is_secret_name(parts[0]) {
            return None;
        }
        let id = &text[..text.len() - arn.resource.len() + "secret:".len() + parts[0].len()];
        let part = |at: usize| parts.get(at).filter(|part| !part.is_empty()).map(|part| (*part).to_owned());
        let bare = Self::new(Kind::Secret, id, Some(arn.region));
        let (field, stage, version_id) = (part(1), part(2), part(3));
        let sound = stage.as_deref().is_none_or(is_stage) && version_id.as_deref().is_none_or(is_version_id);
        sound.then_some(Self { field, stage, version_id, ..bare })
    }

    /// A parameter's name or ARN, with `:version` or `:label`.
    pub fn parameter(text: &str) -> Option<Self> {
        if text.starts_with("arn:") {
            return Self::parameter_arn(text);
        }
        is_selected_parameter(text).then(|| Self::new(Kind::Parameter, text, None))
    }

    fn parameter_arn(text: &str) -> Option<Self> {
        let arn = Arn::parse(text, "ssm")?;
        // The ARN of "/prod/flags" ends in parameter/prod/flags, that of "flags" in parameter/flags.
        let named = arn.resource.strip_prefix("parameter").filter(|named| named.starts_with('/'))?;
        let named = if named[1..].contains('/') { named } else { &named[1..] };
        is_selected_parameter(named).then(|| Self::new(Kind::Parameter, text, Some(arn.region)))
    }

    /// The path of a tree of parameters.
    pub fn path(text: &str) -> Option<Self> {
        let path = text.trim_end_matches('/');
        let path = if path.is_empty() { "/" } else { path };
        let is_path = text.starts_with('/') && (path == "/" || is_parameter_name(path));
        is_path.then(|| Self::new(Kind::Parameters, path, None))
    }
}

struct Arn<'a> {
    region: String,
    resource: &'a str,
}

impl<'a> Arn<'a> {
    fn parse(text: &'a str, service: &str) -> Option<Self> {
        let pattern = format!("^arn:aws(?:-[a-z]+)*:{service}:([a-z0-9-]+):[0-9]{{12}}:(.*)$");
        let parts = Regex::new(&pattern).ok()?.captures(text)?;
        let region = parts.get(1)?.as_str();
        is_region(region).then_some(Self { region: region.to_owned(), resource: parts.get(2)?.as_str() })
    }
}

pub(super) fn is_role(text: &str) -> bool {
    is_match("^arn:aws(?:-[a-z]+)*:iam::[0-9]{12}:role/(?:[!-~]+/)?[A-Za-z0-9_+=,.@-]{1,64}$", text)
}

pub(super) fn is_stage(text: &str) -> bool {
    (1..=256).contains(&text.len()) && all_in(text, "_.-")
}

pub(super) fn is_version_id(text: &str) -> bool {
    (32..=64).contains(&text.len()) && all_in(text, "_.-")
}

fn is_match(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
}

fn is_secret_name(name: &str) -> bool {
    (1..=LONGEST_SECRET).contains(&name.len()) && all_in(name, "/_+=.@!-")
}

fn is_selected_parameter(text: &str) -> bool {
    let Some((name, selector)) = text.split_once(':') else {
        return is_parameter_name(text);
    };
    is_parameter_name(name) && (1..=LONGEST_SELECTOR).contains(&selector.len()) && all_in(selector, "_.-")
}

fn is_parameter_name(name: &str) -> bool {
    (1..=LONGEST_PARAMETER).contains(&name.len())
        && all_in(name, "/_.-")
        && (name.starts_with('/') || !name.contains('/'))
        && !name.contains("//")
        && !name.ends_with('/')
}

fn all_in(text: &str, others: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}
