//! Which variables `env:` may name. contract/variables.toml has the list and the reasons.

use keystart_store::manifest;

#[rustfmt::skip]
mod groups;

use groups::GROUPS;

/// Variables that are refused for the same reason.
struct Group {
    because: &'static str,
    cure: &'static str,
    /// Names in capitals, and beginnings of names that end in `*`.
    names: &'static [&'static str],
}

/// Returns why `env:` may not give a variable to each of several secrets; `None` if it may. Its end is `*`.
pub(crate) fn refusal_of_several(env: &str) -> Option<String> {
    let begin = env.strip_suffix('*').unwrap_or(env);
    if !begin.ends_with('_') || !manifest::is_variable(begin) {
        // Without such a beginning, whoever writes the secret could choose any variable.
        return Some(
            "\"env\" of several secrets must be the prefix of their variables and \"_*\", as in DB_*.".to_owned(),
        );
    }
    refusal(&format!("{begin}X")).map(|why| why.replacen(&format!("{begin}X"), env, 1))
}

/// Returns the variable of one of several secrets: `DB_HOST_NAME` for `DB_*` and `host-name`.
pub(crate) fn of_several(env: &str, name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    env.strip_suffix('*').unwrap_or(env).chars().chain(name.chars().map(plain)).collect()
}

/// Returns why `env:` may not name this variable and what to do, as a sentence; `None` if it may.
pub(crate) fn refusal(variable: &str) -> Option<String> {
    if !manifest::is_variable(variable) {
        // The message does not repeat it, because it may be a pasted secret.
        return Some(
            "\"env\" must be the name of a variable as Lambda takes it: a letter, then letters, digits and \"_\", \
             2 to 255 in all."
                .to_owned(),
        );
    }
    // Some programs (proxies, npm, ASP.NET) read their variables in either case, and no other
    // variable has such a name.
    let upper = variable.to_ascii_uppercase();
    let is = |name: &&str| name.strip_suffix('*').map_or(upper == *name, |begin| upper.starts_with(begin));
    let group = GROUPS.iter().find(|group| group.names.iter().any(is))?;
    Some(format!("\"env\" cannot be {variable}, {}. {}", group.because, group.cure))
}
