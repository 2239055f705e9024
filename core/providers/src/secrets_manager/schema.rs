//! What a configuration may say about a secret of Secrets Manager: its name, its ARN, or the
//! reference that ECS uses.

use keystart_config::arn::{self, Arn};
use keystart_config::shown::IN_BASE64;
use keystart_config::{EntrySchema, Key, Keyword, Reference};

use super::SecretsManager;
use crate::aws::ids::{foreign, is_label};

const LONGEST: usize = 512;

static KEYWORDS: [Keyword; 1] = [Keyword { name: "secret", is_folder: false, parse, write, is_pinned: |_| false }];
static KEYS: [Key; 4] = [
    Key { name: "field", check: |_| Ok(()) },
    Key { name: "expand", check: |_| Ok(()) },
    Key { name: "stage", check: check_stage },
    Key { name: "version_id", check: check_version_id },
];

impl EntrySchema for SecretsManager {
    fn keywords(&self) -> &'static [Keyword] {
        &KEYWORDS
    }

    fn short<'a>(&self, text: &'a str) -> Option<(&'static Keyword, &'a str)> {
        (arn::service(text) == Some("secretsmanager")).then_some((&KEYWORDS[0], text))
    }

    fn keys(&self) -> &'static [Key] {
        &KEYS
    }

    fn owner(&self) -> &'static str {
        "a secret of Secrets Manager"
    }
}

fn parse(text: &str) -> Result<Reference, String> {
    if !text.starts_with("arn:") {
        if let Some((begin, _)) = text.split_once(':') {
            return Err(match begin {
                "secretsmanager" | "secret" | "sm" => "The name of a secret stands alone. Remove what ends in \":\".",
                "parameter" | "parameters" | "parameterstore" | "ssm-secure" => {
                    "A parameter is written as ssm:/prod/flags, or with \"parameter\"."
                }
                _ => "Only a full ARN can be followed by \":\". For one member of a secret use \"field\".",
            }
            .to_owned());
        }
        check_name(text)?;
        if text.starts_with('=') || text.ends_with('=') {
            return Err(format!("The name of the secret begins or ends with \"=\". {IN_BASE64}"));
        }
        return Ok(Reference { id: text.to_owned(), ..Reference::default() });
    }
    let arn = Arn::parse(text).filter(|arn| arn.service == "secretsmanager");
    let Some((arn, reference)) = arn.and_then(|arn| Some((arn, arn.resource.strip_prefix("secret:")?))) else {
        let looks = "The ARN of a secret looks like \
            arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-a1B2c3.";
        let flaw = SecretsManager.short(text).and_then(|_| arn::flaw(text));
        return Err(flaw.unwrap_or_else(|| looks.to_owned()));
    };
    let parts: Vec<&str> = reference.split(':').collect();
    if parts.len() > 4 {
        return Err("After the secret's name a reference has at most three parts, :field:stage:version_id.".to_owned());
    }
    check_name(parts[0])?;
    let part = |at: usize| parts.get(at).filter(|part| !part.is_empty()).map(|part| (*part).to_owned());
    let (field, stage, version_id) = (part(1), part(2), part(3));
    stage.as_deref().map_or(Ok(()), check_stage)?;
    version_id.as_deref().map_or(Ok(()), check_version_id)?;
    let id = text[..text.len() - reference.len() + parts[0].len()].to_owned();
    Ok(Reference { id, region: Some(arn.region.to_owned()), field, stage, version_id })
}

/// Returns the reference that ECS uses.
fn write(reference: &Reference) -> String {
    let parts = [&reference.field, &reference.stage, &reference.version_id];
    let mut text = reference.id.clone();
    if parts.iter().any(|part| part.is_some()) {
        text.extend(parts.map(|part| format!(":{}", part.as_deref().unwrap_or_default())));
    }
    text
}

fn check_name(name: &str) -> Result<(), String> {
    // "!" is undocumented and in use: secrets that a service manages are named rds!db-…, events!connection/….
    let is_known = |c: char| c.is_ascii_alphanumeric() || "/_+=.@!-".contains(c);
    if name.is_empty() {
        Err("The name of the secret is missing.".to_owned())
    } else if name.chars().count() > LONGEST {
        Err(format!("The name of a secret has at most {LONGEST} characters."))
    } else if let Some(which) = foreign(name, is_known) {
        Err(format!("The name of a secret in Secrets Manager has letters, digits and \"/_+=.@!-\". {which}"))
    } else {
        Ok(())
    }
}

// AWS accepts any characters in both. Labels and versions use only these, which exclude a pasted secret.

fn check_stage(text: &str) -> Result<(), String> {
    let rule = "A stage has 1 to 256 letters, digits, \"_\", \".\" and \"-\".";
    if is_label(text, 1..=256) { Ok(()) } else { Err(rule.to_owned()) }
}

fn check_version_id(text: &str) -> Result<(), String> {
    let rule =
        "A \"version_id\" has 32 to 64 letters, digits, \"_\", \".\" and \"-\". For a staging label use \"stage\".";
    if is_label(text, 32..=64) { Ok(()) } else { Err(rule.to_owned()) }
}
