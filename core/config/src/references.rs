//! `${NAME}` in ids takes a variable of the function. References of other tools are refused by their names.

use std::borrow::Cow;
use std::env;

use keystart_store::manifest;

use crate::shown::characters;

/// Where `${NAME}` takes its value from.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// From the variables of this process, which are the function's, or those of a person's shell.
    Process,
    /// From these pairs, because this process is not the function.
    Set(&'a [(String, String)]),
}

/// Variables of AWS that hold no credential.
const OF_AWS: [&str; 4] =
    ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION"];
/// What stands inside `${…}` in the files of other tools.
const FOREIGN: [(&str, &[&str]); 3] = [
    ("CloudFormation", &["AWS::"]),
    (
        "The Serverless Framework",
        &["env:", "opt:", "self:", "sls:", "ssm:", "cf:", "s3:", "file(", "param:", "aws:", "git:"],
    ),
    ("Terraform", &["var.", "local.", "data.", "module.", "each.", "path.", "terraform.", "aws_"]),
];
const WRITE: &str = "Write ${NAME} for a variable of the function, or the id itself.";

/// Returns an id with the values of its variables. The error repeats only names.
///
/// A value is a part of a name. It can hold no ":" and no "*", so it neither makes an ARN nor matches
/// more than one secret, and no variable chooses the account of an ARN.
pub(crate) fn resolve<'a>(id: &'a str, values: Values) -> Result<Cow<'a, str>, String> {
    refuse_foreign(id)?;
    if !id.contains("${") {
        return Ok(Cow::Borrowed(id));
    }
    refuse_in_arn(id)?;
    let mut parts = id.split("${");
    let mut resolved = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap_or_default();
        resolved += &value(name, values)?;
        resolved += rest;
    }
    let has_beginning = |text: &str| text.starts_with("arn:") || text.starts_with("ssm:");
    if has_beginning(&resolved) && !has_beginning(id) {
        return Err("A variable cannot choose the service or make an ARN, so it cannot choose the account either. \
                    Write the beginning itself."
            .to_owned());
    }
    Ok(Cow::Owned(resolved))
}

fn refuse_foreign(id: &str) -> Result<(), String> {
    if id.contains("{{resolve:") {
        return Err(
            "CloudFormation replaces {{resolve:…}} in its templates only. Write the name or the ARN itself, and \
                    one member of a secret as \"field\"."
                .to_owned(),
        );
    }
    if id.contains("{{") {
        return Err(format!("Nothing replaces {{{{…}}}} here. {WRITE}"));
    }
    if id.contains("://") {
        return Err("This is a reference of another tool. Write the name or the ARN itself, and a parameter as \
                    ssm:/prod/flags."
            .to_owned());
    }
    for (at, _) in id.match_indices('$') {
        let Some(inside) = id[at + 1..].strip_prefix('{') else {
            return Err(format!("Nothing replaces \"$\" without braces here. {WRITE}"));
        };
        for (tool, beginnings) in FOREIGN {
            if let Some(begin) = beginnings.iter().find(|begin| inside.starts_with(**begin)) {
                return Err(format!("{tool} replaces ${{{begin}…}} in its own files only. {WRITE}"));
            }
        }
        let name = inside.split_once('}').map(|(name, _)| name);
        if name.is_some_and(|name| name.len() == 1 && name.as_bytes()[0].is_ascii_alphanumeric()) {
            return Err("Lambda has no variable whose name is one character. Give it a longer name.".to_owned());
        }
        if !name.is_some_and(manifest::is_variable) {
            return Err("Write only the name of a variable of the function into ${…}, as in ${STAGE}: no \
                        default and no second \"{\"."
                .to_owned());
        }
    }
    Ok(())
}

/// Refuses variables in an ARN before its name, except for the region.
fn refuse_in_arn(id: &str) -> Result<(), String> {
    const ACCOUNT: usize = 4;
    const REGION: usize = 3;
    let id = id.strip_prefix("ssm:").unwrap_or(id);
    let parts: Vec<&str> = id.splitn(ACCOUNT + 2, ':').collect();
    if parts[0] != "arn" {
        return Ok(());
    }
    let is_fixed = |at: usize| parts.get(at).is_none_or(|part| !part.contains("${"));
    if is_fixed(ACCOUNT) && (0..REGION).all(is_fixed) {
        return Ok(());
    }
    Err("In an ARN a variable may be the region or a part of the name, and cannot choose the account. Write the \
         account itself, or the name without its ARN."
        .to_owned())
}

fn value(name: &str, values: Values) -> Result<String, String> {
    let upper = name.to_ascii_uppercase();
    // AWS's SDK takes the second form too.
    if upper.starts_with("AWS_") && !OF_AWS.contains(&name) || upper == "SECRET_ACCESS_KEY" {
        return Err(format!("{name} may hold a credential, and ids are shown. Name another variable."));
    }
    let value = match values {
        Values::Process => env::var_os(name)
            .ok_or_else(|| format!("The variable {name} is not set. {}", set_it()))?
            .to_string_lossy()
            .into_owned(),
        Values::Set(pairs) => {
            pairs.iter().rfind(|(known, _)| known == name).map(|(_, value)| value.clone()).ok_or_else(|| {
                format!("{name} is a variable of the function. Say what it holds: --set {name}=VALUE.")
            })?
        }
    };
    if is_part_of_a_name(&value) {
        return Ok(value);
    }
    let what = if value.is_empty() { "nothing".to_owned() } else { characters(&value) };
    Err(format!(
        "The variable {name} holds {what}, and must hold letters, digits and \"_+=.@!-\" here, with \"/\" between two of \
         them."
    ))
}

/// Returns what to do where a variable is missing: in Lambda, or on a person's machine.
fn set_it() -> &'static str {
    if env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        "Set it for the function."
    } else {
        "Set it in this shell to what the function has."
    }
}

fn is_part_of_a_name(value: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=.@!-".contains(&byte);
    value
        .split('/')
        .all(|segment| !segment.is_empty() && segment.bytes().all(is_known) && segment.bytes().any(|byte| byte != b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(value: &str, id: &str) -> Result<String, String> {
        let set = [("STAGE".to_owned(), value.to_owned()), ("AWS_REGION".to_owned(), "eu-west-1".to_owned())];
        resolve(id, Values::Set(&set)).map(Cow::into_owned)
    }

    #[test]
    fn a_variable_is_a_part_of_a_name() {
        let arn = "arn:aws:secretsmanager:${AWS_REGION}:123456789012:secret:${STAGE}/db";
        let resolved = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a/b/db";
        assert_eq!(with("prod", "${STAGE}/db-${STAGE}"), Ok("prod/db-prod".to_owned()));
        assert_eq!(with("a/b", arn), Ok(resolved.to_owned()));
        assert_eq!(with("prod", "prod/db"), Ok("prod/db".to_owned()));
    }

    #[test]
    fn no_value_changes_more_than_a_name() {
        for value in ["", "*", "a*", "?", "a:b", "/", "/a", "a/", "a//b", "..", "a/../b", "a b", "${STAGE}", "é", "a\n"]
        {
            let error = with(value, "x-${STAGE}").unwrap_err();
            assert!(error.starts_with("The variable STAGE holds "), "{value:?}: {error}");
            assert!(value.len() < 3 || !error.contains(value), "{error}");
        }
    }

    #[test]
    fn no_variable_chooses_an_account_or_a_service() {
        for id in [
            "arn:aws:secretsmanager:eu-west-1:${STAGE}:secret:db",
            "arn:aws:secretsmanager:eu-west-1:12345678901${STAGE}:secret:db",
            "arn:${STAGE}:secretsmanager:eu-west-1:123456789012:secret:db",
            "arn:aws:${STAGE}:eu-west-1:123456789012:secret:db",
            "ssm:arn:aws:ssm:eu-west-1:${STAGE}:parameter/db",
        ] {
            assert!(with("2", id).unwrap_err().contains("cannot choose the account"), "{id}");
        }
        for (value, id) in [
            ("arn", "${STAGE}:aws:secretsmanager:eu-west-1:123456789012:secret:db"),
            ("n", "ar${STAGE}:aws:secretsmanager:eu-west-1:${STAGE}:secret:db"),
            ("ssm", "${STAGE}:/prod/flags"),
        ] {
            assert!(with(value, id).unwrap_err().contains("cannot choose the service"), "{id}");
        }
    }

    #[test]
    fn no_credential_is_taken() {
        for name in
            ["AWS_SECRET_ACCESS_KEY", "SECRET_ACCESS_KEY", "Aws_Session_Token", "AWS_CONTAINER_AUTHORIZATION_TOKEN"]
        {
            let id = format!("${{{name}}}");
            assert!(resolve(&id, Values::Process).unwrap_err().contains("may hold a credential"), "{name}");
        }
    }
}
