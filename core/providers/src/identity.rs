//! Whether an answer is about what was asked for: no other secret's value may stand below a name.

use super::Entry;

/// An ARN, `arn:partition:service:region:account:resource`.
struct Arn<'a> {
    service: &'a str,
    region: &'a str,
    resource: &'a str,
}

impl<'a> Arn<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let (Some("arn"), Some(_), Some(service), Some(region), Some(_), Some(resource)) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        Some(Self { service, region, resource })
    }
}

/// True when an id asks for the secret of this ARN and name: by name, by ARN, or by ARN without its last six characters.
pub(super) fn is_secret(id: &str, region: &str, arn: &str, name: &str) -> bool {
    let Some(parts) = Arn::parse(arn) else { return false };
    let end = parts.resource.strip_prefix("secret:").and_then(|rest| rest.strip_prefix(name));
    let is_one = parts.service == "secretsmanager" && parts.region == region;
    let is_asked = if is_arn(id) { id == arn || arn.strip_prefix(id).is_some_and(is_suffix) } else { id == name };
    is_one && is_asked && end.is_some_and(is_suffix)
}

/// True when an error of a batch, which has only an id, is about what this id asks for.
pub(super) fn is_secret_id(id: &str, other: &str) -> bool {
    id == other || (is_arn(id) && other.strip_prefix(id).is_some_and(is_suffix))
}

/// True when a version is the one that an entry asks for: by its id, by a stage, or the current one.
pub(super) fn is_version(entry: &Entry, version_id: &str, stages: &[String]) -> bool {
    if let Some(asked) = &entry.version_id {
        return asked == version_id;
    }
    let asked = entry.stage.as_deref().unwrap_or("AWSCURRENT");
    // Some emulators list no stages.
    stages.is_empty() || stages.iter().any(|stage| stage == asked)
}

/// True when the ARN of a parameter, which some emulators leave out, is that of its name and region.
pub(super) fn is_parameter(region: &str, name: &str, arn: Option<&str>) -> bool {
    // A parameter that another account shares is named by its ARN.
    let arn = match arn {
        Some(arn) if is_arn(name) && arn != name => return false,
        Some(arn) => arn,
        None if is_arn(name) => name,
        None => return true,
    };
    let Some(parts) = Arn::parse(arn) else { return false };
    let Some(path) = parts.resource.strip_prefix("parameter") else { return false };
    let is_name = is_arn(name) || path == name || path.strip_prefix('/') == Some(name);
    parts.service == "ssm" && parts.region == region && is_name
}

/// True when a selector is none, a label, or the number of this version.
pub(super) fn is_selected(selector: Option<&str>, version: i64) -> bool {
    let Some(selector) = selector.and_then(|selector| selector.strip_prefix(':')) else { return true };
    selector.parse::<i64>().map_or(true, |asked| asked == version)
}

/// True when a parameter lies below a path.
pub(super) fn is_below(path: &str, name: &str) -> bool {
    let path = path.trim_end_matches('/');
    // Below the root lie also names without a slash.
    path.is_empty() || name.strip_prefix(path).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
}

fn is_arn(id: &str) -> bool {
    id.starts_with("arn:")
}

fn is_suffix(rest: &str) -> bool {
    let suffix = rest.strip_prefix('-').unwrap_or_default();
    suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-a1B2c3";

    #[test]
    fn a_secret_is_asked_for_by_its_name_its_arn_or_the_arn_without_its_end() {
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

    #[test]
    fn a_parameter_has_the_arn_of_its_name() {
        let arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/app/flag";
        let plain = "arn:aws:ssm:eu-west-1:123456789012:parameter/flag";
        for (name, arn) in
            [("/app/flag", Some(arn)), ("flag", Some(plain)), ("/flag", Some(plain)), (arn, Some(arn)), ("x", None)]
        {
            assert!(is_parameter("eu-west-1", name, arn), "{name}");
        }
        for (name, other) in [("/app/flags", arn), ("app/flag/x", arn), (plain, arn), ("/app/flag", "x")] {
            assert!(!is_parameter("eu-west-1", name, Some(other)), "{name}");
        }
        assert!(!is_parameter("us-east-1", "/app/flag", Some(arn)));
        assert!(!is_parameter("us-east-1", arn, None));
    }

    #[test]
    fn a_selector_that_is_a_number_is_the_version() {
        for (selector, is) in [(None, true), (Some(":3"), true), (Some(":live"), true), (Some(":4"), false)] {
            assert_eq!(is_selected(selector, 3), is, "{selector:?}");
        }
    }

    #[test]
    fn what_lies_below_a_path_begins_with_it() {
        for (path, name) in [("/app", "/app/x"), ("/app/", "/app/x/y"), ("/", "/x"), ("/", "x")] {
            assert!(is_below(path, name), "{path} {name}");
        }
        for name in ["/app", "/app/", "/apple/x", "/other/x", "app/x"] {
            assert!(!is_below("/app", name), "{name}");
        }
    }
}
