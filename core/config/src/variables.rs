//! Says which variables `env:` may name. The list, with its reasons, is contract/variables.toml.

use keystart_store::manifest;

#[rustfmt::skip]
mod groups;

use groups::GROUPS;

/// Variables that are refused for one reason.
struct Group {
    because: &'static str,
    cure: &'static str,
    /// Names in capitals, and beginnings of names, which end in `*`.
    names: &'static [&'static str],
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
    // Some programs take their variables in either case (proxies, npm, ASP.NET), and no other variable is called so.
    let upper = variable.to_ascii_uppercase();
    let is = |name: &&str| name.strip_suffix('*').map_or(upper == *name, |begin| upper.starts_with(begin));
    let group = GROUPS.iter().find(|group| group.names.iter().any(is))?;
    Some(format!("\"env\" cannot be {variable}, {}. {}", group.because, group.cure))
}
