//! Finds the value that `field` names: a member of a JSON object, or what a JSON Pointer (RFC 6901) leads to.

use keystart_store::json;
use keystart_store::name;
use keystart_store::text::quoted;

type Members<'a> = [(String, &'a str)];

/// Returns the JSON of a member, or, for a field that begins with "/", what it leads to as a pointer.
/// A member whose whole name is the field comes first.
pub(crate) fn find<'a>(members: &Members<'a>, field: &str) -> Option<&'a str> {
    if let Some(value) = get(members, field) {
        return Some(value);
    }
    let mut tokens = field.strip_prefix('/')?.split('/').map(|token| token.replace("~1", "/").replace("~0", "~"));
    let mut value = get(members, &tokens.next()?)?;
    for token in tokens {
        value = match json::members(value.as_bytes()).ok()? {
            Some(inner) => get(&inner, &token)?,
            None => item(value, &token)?,
        };
    }
    Some(value)
}

/// Returns the message for a field that leads nowhere. A field that only differs in its form from one that
/// does is corrected.
pub(crate) fn not_found(id: &str, field: &str, members: &Members) -> String {
    let pointer = format!("/{}", field.replace('.', "/"));
    let names = || members.iter().map(|(name, _)| name.as_str()).filter(|name| name::is_valid(name.as_bytes()));
    let cure = if field.contains('.') && !field.starts_with('/') && find(members, &pointer).is_some() {
        format!("`field` takes members at the top, or a path: write {}.", quoted(pointer.as_bytes()))
    } else if let Some(other) = names().find(|name| name.eq_ignore_ascii_case(field)) {
        format!("Did you mean {}?", quoted(other.as_bytes()))
    } else {
        "Correct `field` or the secret.".to_owned()
    };
    format!("{id} has no member {}. {cure}", shown(field, "`field`"))
}

/// Returns what a message may say of a name in the configuration: only a valid name is certainly no
/// secret that was pasted there.
pub(crate) fn shown(name: &str, key: &str) -> String {
    if name::is_valid(name.strip_prefix('/').unwrap_or(name).as_bytes()) {
        quoted(name.as_bytes())
    } else {
        format!("with the {} characters of {key}", name.chars().count())
    }
}

fn get<'a>(members: &Members<'a>, name: &str) -> Option<&'a str> {
    members.iter().find(|(member, _)| member == name).map(|(_, value)| *value)
}

fn item<'a>(list: &'a str, token: &str) -> Option<&'a str> {
    let is_number = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = is_number && (token == "0" || !token.starts_with('0'));
    let at: usize = Some(token).filter(|_| is_plain)?.parse().ok()?;
    json::items(list).ok()??.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(secret: &'a str, field: &str) -> Option<&'a str> {
        find(&json::members(secret.as_bytes()).unwrap().unwrap(), field)
    }

    #[test]
    fn a_pointer_leads_through_objects_and_lists() {
        let secret = r#"{"a": {"b": ["x", {"c/d": 1.50}], "": 2}, "m~n": 3, "e.f": 4, "/a": 5, "s": "t"}"#;
        for (field, value) in [
            ("/a/b/0", "\"x\""),
            ("/a/b/1/c~1d", "1.50"),
            ("/a/", "2"),
            ("/m~0n", "3"),
            ("e.f", "4"),
            ("/e.f", "4"),
            ("/a", "5"),
            ("/a/b", r#"["x", {"c/d": 1.50}]"#),
        ] {
            assert_eq!(found(secret, field), Some(value), "{field}");
        }
        for field in ["", "/", "a/b", "/a/b/2", "/a/b/00", "/a/b/-", "/a/b/x", "/s/0", "/a/b/0/c", "/nothing", "a.b"] {
            assert_eq!(found(secret, field), None, "{field}");
        }
    }

    #[test]
    fn what_was_meant_is_said() {
        let secret = r#"{"hubspot": {"token": "t"}, "Password": "p"}"#;
        let members = json::members(secret.as_bytes()).unwrap().unwrap();
        let message = |field| not_found("prod/apps", field, &members);
        let path = r#"prod/apps has no member "hubspot.token". `field` takes members at the top, or a path: write "/hubspot/token"."#;
        assert_eq!(message("hubspot.token"), path);
        assert_eq!(message("password"), r#"prod/apps has no member "password". Did you mean "Password"?"#);
        assert_eq!(
            message("/hubspot/key"),
            r#"prod/apps has no member "/hubspot/key". Correct `field` or the secret."#
        );
    }
}
