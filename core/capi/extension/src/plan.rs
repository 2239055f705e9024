//! Reads and writes configurations for Python, and decides which text from outside may be shown.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use keystart_config::region::is_region;
use keystart_config::{Entry, Link, Plan, Problem, Reader, Values, shown};
use keystart_core::{
    Out, answer, free_handle, guard, handle, keystart_bytes, keystart_error, new_handle, required, text, text_or_none,
};
use keystart_providers::{Permission, Place, SCHEMAS, has_stages, permissions, requests_of_refresh};
use keystart_store::errors::{Error, Result};
use keystart_store::json::quote;
use keystart_store::name;

use crate::{at, milliseconds};

/// How many variables a message names.
const MOST_VARIABLES: usize = 10;
const READER: Reader<'static> = Reader { schemas: SCHEMAS, values: Values::Process };

/// A checked configuration.
pub struct keystart_plan(pub(crate) Arc<Plan>);

impl keystart_plan {
    pub(crate) fn entry(&self, index: u64) -> Result<&Entry> {
        at(&self.0.entries, index)
    }
}

/// The counts of a plan.
#[repr(C)]
pub struct keystart_plan_counts {
    /// The number of things to fetch.
    pub entries: u64,
    /// The number of entries that the exec wrapper puts into a variable.
    pub variables: u64,
    /// The number of links.
    pub links: u64,
}

/// A link that a function written for Square's extension reads. Its pointers are valid as long as
/// the plan.
#[repr(C)]
pub struct keystart_link {
    /// The folder of all links, an absolute path.
    pub home: *const u8,
    /// Its length.
    pub home_len: usize,
    /// The path of the link below that folder.
    pub path: *const u8,
    /// Its length.
    pub path_len: usize,
    /// The name of the secret that it leads to.
    pub name: *const u8,
    /// Its length.
    pub name_len: usize,
}

/// What a plan says about refreshes.
#[repr(C)]
pub struct keystart_freshness {
    /// The time after which everything is fetched again, in milliseconds; 0 for never.
    pub ttl_ms: u64,
    /// The age at which readers refuse a value, in milliseconds; 0 for never.
    pub max_stale_ms: u64,
    /// The time for one refresh, in milliseconds.
    pub refresh_deadline_ms: u64,
    /// 1 if a ttl is set and some entry can become due, else 0.
    pub is_refreshed: u32,
}

/// An entry of a plan. Its pointer is valid as long as the plan.
#[repr(C)]
pub struct keystart_entry {
    /// The name.
    pub name: *const u8,
    /// Its length.
    pub name_len: usize,
    /// 1 if a refresh can find a new value, else 0: one version is configured, or `ttl: none`.
    pub can_become_due: u32,
    /// 1 if it brings several secrets, all below its name, else 0.
    pub is_folder: u32,
    /// 1 if it has the stages AWSPENDING and AWSPREVIOUS beside the version that it asks for, else 0.
    pub has_stages: u32,
}

/// Reads a configuration. With the `source` 0 it reads that of a process with this environment,
/// whose task root is `path`; with 1 the file at `path`; with 2 that of a process without variables,
/// whose task root is `path`; with 3 `path` is the value of `KEYSTART_SECRETS`. `${NAME}` in ids takes
/// the variables of this process, or, if `set` is not NULL, its lines NAME=VALUE alone. If something is wrong, the
/// plan is NULL, and `problems` is a JSON list of {"file": ..., "line": ..., "column": ..., "message": ...}, in
/// which a line and a column may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_plan_read(
    source: u32,
    path: *const u8,
    path_len: usize,
    set: *const u8,
    set_len: usize,
    plan: *mut *mut keystart_plan,
    problems: *mut keystart_bytes,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (plan, problems) = (Out::new(plan)?, Out::new(problems)?);
            let bytes = required(path, path_len, "path")?;
            let path = Path::new(OsStr::from_bytes(bytes));
            let set: Option<Vec<_>> = text_or_none(set, set_len, "set")?.map(pairs);
            let values = set.as_deref().map_or(Values::Process, Values::Set);
            let reader = Reader { values, ..READER };
            let read = match source {
                0 => reader.find(|variable| std::env::var_os(variable), path),
                1 => reader.file(path, std::env::var_os("KEYSTART_DIR").as_deref()),
                2 => reader.find(|_| None, path),
                3 => reader.variable(&String::from_utf8_lossy(bytes)),
                _ => return Err(Error::internal("there is no such source of a configuration")),
            };
            let wrong = match read {
                Ok(read) => {
                    plan.put(new_handle(keystart_plan(Arc::new(read))));
                    String::new()
                }
                Err(found) => {
                    plan.put(std::ptr::null_mut());
                    Problem::to_json(&found)
                }
            };
            problems.put(keystart_bytes::text(&wrong));
            Ok(())
        })
    }
}

/// Returns a plan. The `form` is 0 for JSON, as `keystart check --json` prints it, 1 for text for
/// people, 2 for keystart.json, 3 for what messages call its file or variable, 4 for the path of that
/// file, and 5 for the variables of the exec wrapper, at most ten, with commas.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_plan_write(
    plan: *const keystart_plan,
    form: u32,
    out: *mut keystart_bytes,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let keystart_plan(plan) = handle(plan, "plan")?;
            let text = match form {
                0 => plan.to_json(),
                1 => plan.to_text(),
                2 => plan.compiled(),
                3 => plan.source(),
                4 => plan.source_file.clone(),
                5 => variables(plan),
                _ => return Err(Error::internal("there is no such form of a plan")),
            };
            Ok(keystart_bytes::text(&text))
        })
    }
}

fn variables(plan: &Plan) -> String {
    let mut named: Vec<&str> = plan.entries.iter().filter_map(|entry| entry.env.as_deref()).collect();
    if named.len() > MOST_VARIABLES {
        named.truncate(MOST_VARIABLES);
        named.push("…");
    }
    named.join(", ")
}

/// Counts what a plan has. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_plan_count(
    plan: *const keystart_plan,
    out: *mut keystart_plan_counts,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let keystart_plan(plan) = handle(plan, "plan")?;
            let variables = plan.entries.iter().filter(|entry| entry.env.is_some()).count();
            let [entries, variables, links] =
                [plan.entries.len(), variables, plan.links.len()].map(|count| count as u64);
            Ok(keystart_plan_counts { entries, variables, links })
        })
    }
}

/// Returns the link with that index, from 0. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_plan_link(
    plan: *const keystart_plan,
    index: u64,
    out: *mut keystart_link,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let keystart_plan(plan) = handle(plan, "plan")?;
            let (home, Link { name, path }) = (plan.links_home.as_deref().unwrap_or_default(), at(&plan.links, index)?);
            Ok(keystart_link {
                home: home.as_ptr(),
                home_len: home.len(),
                path: path.as_ptr(),
                path_len: path.len(),
                name: name.as_ptr(),
                name_len: name.len(),
            })
        })
    }
}

/// Returns what a plan says about refreshes. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_plan_freshness(
    plan: *const keystart_plan,
    out: *mut keystart_freshness,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let keystart_plan(plan) = handle(plan, "plan")?;
            Ok(keystart_freshness {
                ttl_ms: plan.ttl.map_or(0, milliseconds),
                max_stale_ms: plan.max_stale.map_or(0, milliseconds),
                refresh_deadline_ms: milliseconds(plan.refresh_deadline),
                is_refreshed: plan.is_refreshed().into(),
            })
        })
    }
}

/// Returns the entry with that index, from 0. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_plan_entry(
    plan: *const keystart_plan,
    index: u64,
    out: *mut keystart_entry,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let entry = handle(plan, "plan")?.entry(index)?;
            Ok(keystart_entry {
                name: entry.name.as_ptr(),
                name_len: entry.name.len(),
                can_become_due: entry.can_become_due().into(),
                is_folder: entry.is_folder().into(),
                has_stages: has_stages(entry).into(),
            })
        })
    }
}

/// Returns the requests of one refresh of everything, as a JSON object by the provider's name, with `service` (what
/// people call it), `count`, and `price` (of one, in millionths of a dollar). Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_plan_requests(
    plan: *const keystart_plan,
    out: *mut keystart_bytes,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let keystart_plan(plan) = handle(plan, "plan")?;
            let members = requests_of_refresh(plan);
            let members = members.iter().map(|(provider, count)| {
                let (name, service) = (quote(provider.name()), quote(provider.service()));
                format!("{name}: {{\"service\": {service}, \"count\": {count}, \"price\": {}}}", provider.price())
            });
            Ok(keystart_bytes::copy(format!("{{{}}}", members.collect::<Vec<_>>().join(", ")).as_bytes()))
        })
    }
}

/// Returns two numbers for each entry. A refresh publishes all entries of one number in `groups`, or
/// none of them. Entries of one number in `sources` come from one id with region, role and version.
/// Both have room for `count` numbers, as many as the plan has entries. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_plan_groups(
    plan: *const keystart_plan,
    groups: *mut u64,
    sources: *mut u64,
    count: usize,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let keystart_plan(plan) = handle(plan, "plan")?;
            for (out, numbers) in [(groups, plan.groups()), (sources, plan.sources())] {
                if out.is_null() || count != numbers.len() {
                    return Err(Error::internal("there is no room for the groups of a plan"));
                }
                for (index, number) in numbers.into_iter().enumerate() {
                    // SAFETY: not NULL, and the caller passes a place for that many numbers.
                    out.add(index).write(number as u64);
                }
            }
            Ok(())
        })
    }
}

/// Returns a plan as KEYSTART_SECRETS for a function in a region. If that cannot hold it, `fits` is
/// 0, and the text is a sentence that says why.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_plan_inline(
    plan: *const keystart_plan,
    region: *const u8,
    region_len: usize,
    fits: *mut u32,
    out: *mut keystart_bytes,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (fits, out) = (Out::new(fits)?, Out::new(out)?);
            let keystart_plan(plan) = handle(plan, "plan")?;
            let inline = READER.inline(plan, text(region, region_len, "region")?);
            fits.put(u32::from(inline.is_ok()));
            let text = inline.unwrap_or_else(|why| why.0);
            out.put(keystart_bytes::text(&text));
            Ok(())
        })
    }
}

/// Frees a plan. Ignores NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_plan_free(plan: *mut keystart_plan) {
    unsafe { free_handle(plan) };
}

/// Returns the path of a configuration if it is certainly no secret, else its description.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_path_show(
    path: *const u8,
    path_len: usize,
    out: *mut keystart_bytes,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let path = shown::path(&String::from_utf8_lossy(required(path, path_len, "path")?));
            Ok(keystart_bytes::text(&path))
        })
    }
}

/// Returns a message of an error. It replaces `KEYSTART_DIR` by a description if the variable may
/// hold a pasted secret.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_message_show(
    message: *const u8,
    message_len: usize,
    out: *mut keystart_bytes,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let shown = shown::without_root(text(message, message_len, "message")?);
            Ok(keystart_bytes::text(&shown))
        })
    }
}

/// Returns whether a text is the name of a secret (`kind` 2), a region (3), or the name of an AWS
/// profile that may be shown (4).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_text_check(
    text: *const u8,
    text_len: usize,
    kind: u32,
    is: *mut u32,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(is, err, || {
            let text = String::from_utf8_lossy(required(text, text_len, "text")?);
            Ok(u32::from(match kind {
                2 => name::is_valid(text.as_bytes()),
                3 => is_region(&text),
                4 => shown::is_profile(&text),
                _ => return Err(Error::internal("there is no such kind of a text")),
            }))
        })
    }
}

/// Returns what a policy must allow for the entries of a plan that are fetched with `role` (NULL:
/// the role of the function), as a JSON list of objects with `sid`, `action` and `resources`.
/// `account` and `region` say where a secret lies if its entry does not; NULL if that is unknown.
/// `problem` is a sentence that says what is missing, or empty. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_policy_read(
    plan: *const keystart_plan,
    role: *const u8,
    role_len: usize,
    account: *const u8,
    account_len: usize,
    region: *const u8,
    region_len: usize,
    problem: *mut keystart_bytes,
    out: *mut keystart_bytes,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (problem, out) = (Out::new(problem)?, Out::new(out)?);
            let keystart_plan(plan) = handle(plan, "plan")?;
            let role = text_or_none(role, role_len, "role")?;
            let account = text_or_none(account, account_len, "account")?.map(str::to_owned);
            let region = text_or_none(region, region_len, "region")?.map(str::to_owned);
            let (found, missing) = match permissions(plan, role, Place { account, region }) {
                Ok(found) => (found, String::new()),
                Err(missing) => (Vec::new(), missing),
            };
            problem.put(keystart_bytes::text(&missing));
            out.put(keystart_bytes::copy(json_of(&found).as_bytes()));
            Ok(())
        })
    }
}

/// Splits lines NAME=VALUE.
fn pairs(lines: &str) -> Vec<(String, String)> {
    let pairs = lines.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn json_of(permissions: &[Permission]) -> String {
    let statements = permissions.iter().map(|Permission { sid, action, resources }| {
        let resources = resources.iter().map(|resource| quote(resource)).collect::<Vec<_>>().join(", ");
        format!("{{\"sid\": {}, \"action\": {}, \"resources\": [{resources}]}}", quote(sid), quote(action))
    });
    format!("[{}]", statements.collect::<Vec<_>>().join(", "))
}
