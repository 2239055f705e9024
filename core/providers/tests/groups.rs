//! Which entries of a configuration can become due, and which move together.

#![expect(clippy::unwrap_used, reason = "the functions beside the tests belong to them")]

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use keystart_config::{Plan, Reader, Values};
use keystart_providers::SCHEMAS;

fn plan(secrets: &str) -> Plan {
    let variable = |name: &str| (name == "KEYSTART_SECRETS").then(|| OsString::from(secrets));
    Reader { schemas: SCHEMAS, values: Values::Process }.find(variable, Path::new("/nowhere")).unwrap()
}

/// Returns the names of each group.
fn groups(secrets: &str) -> Vec<String> {
    let plan = plan(secrets);
    let numbers = plan.groups();
    let members = |group: usize| {
        let names = plan.entries.iter().zip(&numbers).filter(|(_, number)| **number == group);
        names.map(|(entry, _)| entry.name.as_str()).collect::<Vec<_>>().join(" ")
    };
    (0..numbers.len()).map(members).filter(|names| !names.is_empty()).collect()
}

#[test]
fn names_of_one_secret_move_together() {
    let secrets = r#"{"user": {"secret": "db", "field": "user"}, "other": "x",
        "password": {"secret": "db", "field": "password"}, "old": {"secret": "db", "stage": "AWSPREVIOUS"},
        "all": {"secret": "db", "stage": "AWSCURRENT"}}"#;
    assert_eq!(groups(secrets), ["user password all", "other", "old"]);
}

#[test]
fn names_of_one_folder_move_together_and_take_their_sources_along() {
    let secrets = r#"{"tls/cert": "cert", "tls/key": "key", "ca": "key", "tlsx": "x", "app": "ssm:/app"}"#;
    assert_eq!(groups(secrets), ["tls/cert tls/key ca", "tlsx", "app"]);
}

#[test]
fn names_of_one_folder_share_no_source() {
    let secrets =
        r#"{"tls/cert": "cert", "tls/key": "key", "ca": "key", "pinned": {"secret": "key", "stage": "mine"}}"#;
    assert_eq!(plan(secrets).sources(), [0, 1, 1, 3]);
}

#[test]
fn a_late_entry_joins_two_groups() {
    let secrets = r#"{"a": "one", "b/x": "two", "b/y": "one", "c": "ssm:one"}"#;
    assert_eq!(groups(secrets), ["a b/x b/y", "c"]);
}

#[test]
fn what_has_one_version_or_no_ttl_never_becomes_due() {
    let secrets = r#"{"db": "db", "old": {"secret": "db", "version_id": "9d4cb84b-ad69-40c0-a0ab-cead36b967e8"},
        "kept": {"secret": "key", "ttl": "none"}, "flag": "ssm:/flag", "third": "ssm:/flag:3", "live": "ssm:/flag:v3",
        "parameter": "arn:aws:ssm:eu-west-1:123456789012:parameter/flag", "below": {"parameters": "/app"},
        "arn/third": "arn:aws:ssm:eu-west-1:123456789012:parameter/a/flag:3"}"#;
    let plan = plan(secrets);
    let due: Vec<_> = plan.entries.iter().filter(|entry| entry.can_become_due()).map(|entry| &entry.name).collect();
    assert_eq!(due, ["db", "flag", "live", "parameter", "below"]);
}

#[test]
fn a_plan_is_refreshed_with_a_ttl_and_an_entry_that_can_become_due() {
    let mut sought = [plan("db=db"), plan("flag=ssm:/flag:3")];
    assert_eq!(sought.each_ref().map(Plan::is_refreshed), [false, false]);
    for plan in &mut sought {
        plan.ttl = Some(Duration::from_mins(5));
    }
    assert_eq!(sought.each_ref().map(Plan::is_refreshed), [true, false]);
}
