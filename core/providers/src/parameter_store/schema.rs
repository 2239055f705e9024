//! What a configuration may say about parameters: a name or an ARN with a version or a label, or a path.

use keystart_config::arn::{self, Arn};
use keystart_config::region::is_region;
use keystart_config::{EntrySchema, Keyword, Reference};

use super::ParameterStore;
use crate::aws::ids::{foreign, is_label};

/// The limit of Parameter Store.
const LONGEST: usize = 1011;
/// Where AWS publishes parameters.
const PUBLIC: &str = "/aws/service";
const SHORT: &str = "ssm:";

static KEYWORDS: [Keyword; 2] = [
    Keyword { name: "parameter", is_folder: false, parse, write, is_pinned },
    Keyword { name: "parameters", is_folder: true, parse: parse_path, write, is_pinned: |_| false },
];

impl EntrySchema for ParameterStore {
    fn keywords(&self) -> &'static [Keyword] {
        &KEYWORDS
    }

    fn short<'a>(&self, text: &'a str) -> Option<(&'static Keyword, &'a str)> {
        let id = text.strip_prefix(SHORT).or_else(|| (arn::service(text) == Some("ssm")).then_some(text))?;
        Some((&KEYWORDS[0], id))
    }
}

fn parse(text: &str) -> Result<Reference, String> {
    let (mut region, mut named) = (None, text);
    if let Some((of_arn, name)) = public_arn(text) {
        parse(name)?;
        return Ok(Reference { id: text.to_owned(), region: Some(of_arn.to_owned()), ..Reference::default() });
    }
    if text.starts_with("arn:") {
        let arn = Arn::parse(text).filter(|arn| arn.service == "ssm");
        let path = arn.and_then(|arn| arn.resource.strip_prefix("parameter").filter(|path| path.starts_with('/')));
        let (Some(arn), Some(path)) = (arn, path) else {
            let looks = "The ARN of a parameter looks like \
                arn:aws:ssm:eu-west-1:123456789012:parameter/prod/flags.";
            let flaw = ParameterStore.short(text).and_then(|_| arn::flaw(text));
            return Err(flaw.unwrap_or_else(|| looks.to_owned()));
        };
        region = Some(arn.region.to_owned());
        // The ARN of "/prod/flags" ends in parameter/prod/flags, that of "flags" in parameter/flags.
        named = if path[1..].contains('/') { path } else { &path[1..] };
    } else if text.starts_with(SHORT) {
        return Err("\"ssm:\" belongs to the short form. Remove it.".to_owned());
    }
    let (name, selector) = named.split_once(':').map_or((named, None), |(name, selector)| (name, Some(selector)));
    if selector.is_some_and(|selector| !is_label(selector, 1..=100)) {
        return Err("After \":\" a parameter has one version number or one label.".to_owned());
    }
    check_name(name)?;
    Ok(Reference { id: text.to_owned(), region, ..Reference::default() })
}

/// Returns whether a parameter is one of those that AWS publishes for everybody.
pub(super) fn is_public(name: &str) -> bool {
    name.strip_prefix(PUBLIC).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns what a request asks for: the id, or the name in the ARN of a public parameter.
pub(super) fn name_in_request(id: &str) -> &str {
    public_arn(id).map_or(id, |(_, name)| name)
}

/// Returns the region and the name in the ARN of a public parameter, which names no account.
fn public_arn(text: &str) -> Option<(&str, &str)> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, "ssm", region, "", resource] = parts[..] else { return None };
    let name = resource.strip_prefix("parameter").filter(|name| is_public(name))?;
    (partition.starts_with("aws") && is_region(region)).then_some((region, name))
}

fn write(reference: &Reference) -> String {
    let id = &reference.id;
    if id.starts_with("arn:") { id.clone() } else { format!("{SHORT}{id}") }
}

/// Returns whether a version follows the name. A label can move to another version.
fn is_pinned(id: &str) -> bool {
    let name = if id.starts_with("arn:") { id.rsplit('/').next().unwrap_or_default() } else { id };
    name.split_once(':').is_some_and(|(_, selector)| selector.bytes().all(|byte| byte.is_ascii_digit()))
}

fn parse_path(text: &str) -> Result<Reference, String> {
    if !text.starts_with('/') {
        return Err("A path of parameters begins with \"/\"; an ARN is not possible here.".to_owned());
    }
    let path = text.trim_end_matches('/');
    if !path.is_empty() {
        check_name(path)?;
    }
    let id = if path.is_empty() { "/" } else { path };
    Ok(Reference { id: id.to_owned(), ..Reference::default() })
}

fn check_name(name: &str) -> Result<(), String> {
    let is_known = |c: char| c.is_ascii_alphanumeric() || "/_.-".contains(c);
    let wrong = if name.is_empty() {
        "The name of the parameter is missing.".to_owned()
    } else if name.chars().count() > LONGEST {
        format!("The name of a parameter has at most {LONGEST} characters.")
    } else if let Some(which) = foreign(name, is_known) {
        format!("The name of a parameter has letters, digits and \"/_.-\". {which}")
    } else if name.contains('/') && !name.starts_with('/') {
        "The name of a parameter that holds \"/\" begins with \"/\".".to_owned()
    } else if name.contains("//") {
        "The name of a parameter does not hold \"//\".".to_owned()
    } else if name.ends_with('/') {
        "The name of a parameter does not end in \"/\". For all below a path use \"parameters\".".to_owned()
    } else {
        return Ok(());
    };
    Err(wrong)
}
