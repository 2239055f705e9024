//! Checks that an answer is about the requested parameter: no other parameter's value may be
//! published under its name.

use keystart_config::arn::Arn;

use crate::aws::arn::is_arn;

/// Returns whether the ARN of a parameter, which some emulators leave out, has its name and region.
pub(super) fn is_parameter(region: &str, name: &str, arn: Option<&str>) -> bool {
    // The id of a parameter from another account is its ARN.
    let arn = match arn {
        Some(arn) if is_arn(name) && arn != name => return false,
        Some(arn) => arn,
        None if is_arn(name) => name,
        None => return true,
    };
    let Some(parts) = Arn::from_service(arn) else { return false };
    let Some(path) = parts.resource.strip_prefix("parameter") else { return false };
    let is_name = is_arn(name) || path == name || path.strip_prefix('/') == Some(name);
    parts.service == "ssm" && parts.region == region && is_name
}

/// Returns whether a selector is missing, a label, or the number of this version.
pub(super) fn is_selected(selector: Option<&str>, version: i64) -> bool {
    let Some(selector) = selector.and_then(|selector| selector.strip_prefix(':')) else { return true };
    selector.parse::<i64>().map_or(true, |asked| asked == version)
}

/// Returns whether a parameter lies below a path.
pub(super) fn is_below(path: &str, name: &str) -> bool {
    let path = path.trim_end_matches('/');
    // Names without a slash lie below the root too.
    path.is_empty() || name.strip_prefix(path).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

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
