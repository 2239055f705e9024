//! Checks that an answer is about the requested secret: no other secret's value may be published
//! under its name.

use crate::Entry;
use keystart_config::arn::Arn;

use crate::aws::arn::is_arn;

/// Returns whether an id asks for the secret of this ARN and name: by name, by ARN, or by ARN
/// without its last six characters.
pub(super) fn is_secret(id: &str, region: &str, arn: &str, name: &str) -> bool {
    let Some(parts) = Arn::from_service(arn) else { return false };
    let end = parts.resource.strip_prefix("secret:").and_then(|rest| rest.strip_prefix(name));
    let is_one = parts.service == "secretsmanager" && parts.region == region;
    let is_asked = if is_arn(id) { id == arn || arn.strip_prefix(id).is_some_and(is_suffix) } else { id == name };
    is_one && is_asked && end.is_some_and(is_suffix)
}

/// Returns whether an error in a batch, which has only an id, is about this id.
pub(super) fn is_secret_id(id: &str, other: &str) -> bool {
    id == other || (is_arn(id) && other.strip_prefix(id).is_some_and(is_suffix))
}

/// Returns whether a version is the one that an entry asks for: by its id, by a stage, or the current one.
pub(super) fn is_version(entry: &Entry, version_id: Option<&str>, stages: &[String]) -> bool {
    if let Some(asked) = &entry.version_id {
        return version_id == Some(asked);
    }
    let asked = entry.stage.as_deref().unwrap_or("AWSCURRENT");
    // Some emulators list no stages.
    stages.is_empty() || stages.iter().any(|stage| stage == asked)
}

pub(super) fn is_suffix(rest: &str) -> bool {
    let suffix = rest.strip_prefix('-').unwrap_or_default();
    suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-a1B2c3";

    #[test]
    fn a_secret_is_requested_by_its_name_its_arn_or_the_arn_without_its_end() {
        for id in ["prod/db", ARN, &ARN[..ARN.len() - 7]] {
            assert!(is_secret(id, "eu-west-1", ARN, "prod/db"), "{id}");
        }
    }

    #[test]
    fn what_differs_in_any_part_is_another_secret() {
        for (id, arn, name) in [
            ("prod/db", ARN, "prod/other"),
            ("prod/db", &ARN.replace("prod/db", "prod/other") as &str, "prod/db"),
            ("prod/db", &ARN.replace("eu-west-1", "us-east-1"), "prod/db"),
            ("prod/db", &ARN.replace("secretsmanager", "ssm"), "prod/db"),
            ("prod/db", "", "prod/db"),
            ("prod/db", "prod/db", "prod/db"),
            (ARN, &ARN.replace("123456789012", "999999999999"), "prod/db"),
            (ARN, &ARN.replace("a1B2c3", "a1B2c4"), "prod/db"),
            (ARN, ARN, "prod/other"),
            (&ARN[..ARN.len() - 7], &ARN.replace("-a1B2c3", "-of-others-a1B2c3"), "prod/db-of-others"),
        ] {
            assert!(!is_secret(id, "eu-west-1", arn, name), "{id} {arn} {name}");
        }
    }
}
