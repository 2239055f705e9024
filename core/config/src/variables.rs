//! Says which variables `env:` may name. The list, with its reasons, is variables.json; docs/configuration.md shows it.

use std::sync::LazyLock;

use keystart_store::json::{self, Json};
use keystart_store::manifest;

const FILE: &str = include_str!("../variables.json");
static GROUPS: LazyLock<Option<Vec<Group>>> = LazyLock::new(|| read(FILE));

/// Variables that are refused for one reason.
struct Group {
    because: String,
    cure: String,
    /// Names in capitals, and beginnings of names, which end in `*`.
    names: Vec<String>,
}

/// Returns the sentence that says why `env:` may not name this variable, and what to do; none if it may.
pub(crate) fn refusal(variable: &str) -> Option<String> {
    if !manifest::is_variable(variable) {
        // It is not shown: a secret may have been pasted in its place.
        return Some(
            "\"env\" must be the name of a variable as Lambda takes it: a letter, then letters, digits and \"_\", \
             2 to 255 in all."
                .to_owned(),
        );
    }
    let Some(groups) = GROUPS.as_ref() else {
        return Some("\"env\" cannot be checked: the list of variables is damaged. Please report it.".to_owned());
    };
    // Some programs take their variables in either case (proxies, npm, ASP.NET), and no other variable is called so.
    let upper = variable.to_ascii_uppercase();
    let is = |name: &String| name.strip_suffix('*').map_or(upper == *name, |begin| upper.starts_with(begin));
    let group = groups.iter().find(|group| group.names.iter().any(is))?;
    Some(format!("\"env\" cannot be {variable}, {}. {}", group.because, group.cure))
}

fn read(file: &str) -> Option<Vec<Group>> {
    let Ok(Json::Array(groups)) = json::parse(file.as_bytes()) else {
        return None;
    };
    groups.iter().map(Group::read).collect()
}

impl Group {
    fn read(group: &Json) -> Option<Self> {
        let text = |member| group.get(member).and_then(Json::as_str).map(str::to_owned);
        let Some(Json::Array(names)) = group.get("names") else {
            return None;
        };
        let names = names.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<_>>()?;
        Some(Self { because: text("because")?, cure: text("cure")?, names })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_whole() {
        let groups = read(FILE).expect("it is a list of groups");
        let names: Vec<&String> = groups.iter().flat_map(|group| &group.names).collect();
        assert_eq!(names.len(), FILE.lines().filter(|line| line.starts_with("      \"")).map(quoted).sum::<usize>());
        for name in names {
            let name = name.trim_end_matches('*');
            assert!(name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'));
            assert!(refusal(name).is_some(), "{name}");
        }
    }

    fn quoted(line: &str) -> usize {
        line.matches('"').count() / 2
    }

    #[test]
    fn a_list_that_is_damaged_refuses_all() {
        assert!(read("[{}]").is_none());
        assert!(read("").is_none());
    }
}
