use std::fs;
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::errors::{Code, MAX_BYTES};
use crate::failures::Failure;
use crate::json::{self, Json};
use crate::options::Options;
use crate::secret::SecretBytes;
use crate::store::{Form, Store};

mod candidates;
mod sequences;

fn folder() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store").to_str().unwrap().to_owned();
    (folder, root)
}

fn options(root: &str) -> Options<'_> {
    Options { root: Some(root.as_bytes()), timeout_ms: Some(0.0), ..Options::default() }
}

/// Opens a writer, and retries for a while if the lock is held. A process that another test starts
/// has a copy of every file between its fork and its exec, and so also of a lock that was just
/// released.
fn open(root: &str) -> Result<Writer> {
    let attempt = || Writer::open(&options(root), Identity { name: "test".into(), version: "0".into() });
    for _ in 0..100 {
        match attempt() {
            Err(error) if error.code() == Code::StoreLocked => thread::sleep(Duration::from_millis(2)),
            other => return other,
        }
    }
    attempt()
}

/// Opens a writer that keeps nothing for a while.
fn open_forgetful(root: &str) -> Writer {
    let mut writer = open(root).unwrap();
    writer.kept_for = Duration::ZERO;
    writer
}

/// Returns the numbers of the generations that are whole.
fn numbers_in(root: &str) -> Vec<u64> {
    let names = names_in(format!("{root}/generations"));
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

fn entry() -> Json {
    let text = br#"{"encoding": "utf-8", "fetched_at": "2026-11-23T09:20:00.123Z", "refresh_after": null,
        "source": {"provider": "test", "id": "x"}}"#;
    json::parse(text).unwrap()
}

fn draft(secrets: &[(&str, &str)]) -> Draft {
    let mut draft = Draft::new();
    for (name, value) in secrets {
        draft.add(name, SecretBytes::from(value.as_bytes()), &entry()).unwrap();
    }
    draft
}

/// Returns a draft of a certificate and its key, which must always come from one set.
fn pair(set: &str) -> Draft {
    draft(&[("tls/cert", set), ("tls/key", set)])
}

fn read(store: &Store, name: &str) -> Result<String> {
    let bytes = store.read(name, Form::Text)?;
    Ok(String::from_utf8(bytes.as_bytes().to_vec()).unwrap())
}

/// Returns the set that a new reader sees, whole.
fn seen(root: &str) -> Result<String> {
    let snapshot = Store::open(&options(root))?.snapshot()?;
    let (cert, key) = (read(&snapshot, "tls/cert")?, read(&snapshot, "tls/key")?);
    assert_eq!(cert, key);
    Ok(cert)
}

fn names_in(path: impl AsRef<Path>) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Makes a file as a writer does.
fn make_file(path: impl AsRef<Path>, text: &str) {
    fs::write(&path, text).unwrap();
    set_mode(path, 0o600);
}

/// Makes a folder, and those above it that are missing, as a writer does.
fn make_folders(path: impl AsRef<Path>) {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).unwrap();
}

fn set_mode(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Returns all facts about the entries of a folder except access times.
fn facts(path: impl AsRef<Path>) -> Vec<String> {
    let path = path.as_ref();
    let stat = fs::symlink_metadata(path).unwrap();
    let content = if stat.is_file() { fs::read(path).unwrap() } else { Vec::new() };
    let target = fs::read_link(path).unwrap_or_default();
    let changed = (stat.mtime(), stat.mtime_nsec(), stat.ctime(), stat.ctime_nsec());
    let own = (stat.mode(), stat.uid(), stat.nlink(), stat.ino(), changed, content, target);
    let mut found = vec![format!("{} {own:?}", path.display())];
    if stat.is_dir() {
        found.extend(names_in(path).iter().flat_map(|name| facts(path.join(name))));
    }
    found
}

/// Checks that a root is refused for this reason, and that nothing in it has changed.
fn refused(root: &str, what: &str) {
    let before = facts(root);
    assert_eq!(open(root).unwrap_err(), Error::root_unsafe_to_write(root, what));
    assert_eq!(facts(root), before, "{what}");
}

fn state(root: &str) -> serde_json::Value {
    serde_json::from_slice(&fs::read(format!("{root}/state.json")).unwrap()).unwrap()
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_published_store_lies_as_the_contract_draws_it() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    assert_eq!(state(&root)["state"], "starting");
    assert_eq!(state(&root)["generation"], 0);
    let draft = draft(&[("db", "secret\n"), ("tls/key", ""), ("tls/deep/er", "x")]);
    assert_eq!(draft.publish(&mut writer).unwrap(), 1);

    assert_eq!(names_in(&root), ["current", "generations", "lock", "state.json"]);
    assert_eq!(fs::read_link(format!("{root}/current")).unwrap(), Path::new("generations/1"));
    assert_eq!(fs::read(format!("{root}/current/secrets/db")).unwrap(), b"secret\n");
    assert_eq!(fs::read(format!("{root}/current/secrets/tls/key")).unwrap(), b"");
    for folder in ["", "/generations", "/current/", "/current/secrets", "/current/secrets/tls"] {
        assert_eq!(mode(format!("{root}{folder}")), 0o700, "{folder}");
    }
    for file in ["lock", "state.json", "current/manifest.json", "current/secrets/db", "current/secrets/tls/deep/er"] {
        assert_eq!(mode(format!("{root}/{file}")), 0o600, "{file}");
    }
    assert_eq!(state(&root)["state"], "ready");
    assert_eq!(state(&root)["generation"], 1);
    assert_eq!(writer.root(), root);
}

#[test]
fn of_the_generations_that_are_not_young_only_the_one_before_stays() {
    let (_guard, root) = folder();
    let mut writer = open_forgetful(&root);
    for number in 1..=4 {
        assert_eq!(pair("x").publish(&mut writer).unwrap(), number);
    }
    assert_eq!(numbers_in(&root), [3, 4]);
    writer.collect().unwrap();
    assert_eq!(numbers_in(&root), [3, 4]);
}

#[test]
fn generations_stay_while_they_are_young_and_not_too_many() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    for _ in 1..=40 {
        pair("x").publish(&mut writer).unwrap();
    }
    writer.collect().unwrap();
    assert_eq!(numbers_in(&root), (8..=40).collect::<Vec<u64>>(), "the current one and 32 others");
    assert_eq!(seen(&root).unwrap(), "x");
    writer.kept_for = Duration::ZERO;
    writer.collect().unwrap();
    assert_eq!(numbers_in(&root), [39, 40]);
}

#[test]
fn numbers_continue_after_every_trace_of_an_older_one() {
    let traces: [fn(&str); 6] = [
        |root| make_file(format!("{root}/state.json"), r#"{"format": "keystart.state/1", "generation": 41}"#),
        |root| symlink("generations/41", format!("{root}/current")).unwrap(),
        |root| symlink("generations/41", format!("{root}/.current-41")).unwrap(),
        |root| make_folders(format!("{root}/generations/41/secrets")),
        |root| make_folders(format!("{root}/generations/.new-41/secrets/x")),
        |root| make_folders(format!("{root}/generations/.old-41")),
    ];
    for trace in traces {
        let (_guard, root) = folder();
        drop(open(&root).unwrap());
        fs::remove_file(format!("{root}/state.json")).unwrap();
        trace(&root);
        let mut writer = open(&root).unwrap();
        assert_eq!(state(&root)["generation"], 41);
        assert_eq!(pair("x").publish(&mut writer).unwrap(), 42);
        assert_eq!(names_in(format!("{root}/generations")), ["42"]);
        assert_eq!(names_in(&root), ["current", "generations", "lock", "state.json"]);
    }
}

#[test]
fn a_number_that_would_be_too_great_is_refused() {
    let (_guard, root) = folder();
    drop(open(&root).unwrap());
    make_folders(format!("{root}/generations/9007199254740991"));
    let error = pair("x").publish(&mut open(&root).unwrap()).unwrap_err();
    assert_eq!(error, Error::numbers_used_up(&root));
}

#[test]
fn a_second_writer_is_refused_until_the_first_is_gone() {
    let (_guard, root) = folder();
    let mut first = open(&root).unwrap();
    pair("first").publish(&mut first).unwrap();
    assert_eq!(open(&root).unwrap_err(), Error::store_locked(&root));
    assert_eq!(seen(&root).unwrap(), "first");
    drop(first);
    open(&root).unwrap();
}

#[test]
fn a_root_that_is_not_ours_is_refused() {
    let (guard, root) = folder();
    let target = guard.path().join("elsewhere");
    fs::create_dir(&target).unwrap();
    symlink(&target, &root).unwrap();
    assert_eq!(open(&root).unwrap_err(), Error::root_unsafe_to_write(&root, "the root is a symbolic link"));
    fs::remove_file(&root).unwrap();
    fs::write(&root, "").unwrap();
    assert_eq!(open(&root).unwrap_err(), Error::root_unsafe_to_write(&root, "the root is not a directory"));
    assert!(names_in(&target).is_empty());
}

#[test]
fn a_root_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can give a folder to another user");
        return;
    }
    let (_guard, root) = folder();
    fs::create_dir(&root).unwrap();
    std::os::unix::fs::chown(&root, Some(12345), None).unwrap();
    assert_eq!(open(&root).unwrap_err(), Error::root_of_another_user(&root));
}

#[test]
fn a_root_in_a_folder_that_does_not_exist_is_reported() {
    let (_guard, root) = folder();
    let error = open(&format!("{root}/deeper")).unwrap_err();
    assert_eq!(error, Error::refused_write(&format!("{root}/deeper"), Errno::NOENT, "."));
}

#[test]
fn a_store_that_others_could_write_is_tightened_and_taken_over_when_nothing_was_planted() {
    let (_guard, root) = folder();
    pair("old").publish(&mut open(&root).unwrap()).unwrap();
    set_mode(&root, 0o777);
    let mut writer = open(&root).unwrap();
    assert_eq!(mode(&root), 0o700);
    assert_eq!(names_in(&root), ["generations", "lock", "state.json"]);
    assert_eq!(pair("x").publish(&mut writer).unwrap(), 2);
    assert_eq!(seen(&root).unwrap(), "x");
}

#[test]
fn a_folder_that_is_not_a_store_is_refused_and_left_as_it_is() {
    for open_to in [0o700, 0o755, 0o775, 0o777, 0o1777] {
        let (_guard, root) = folder();
        make_folders(&root);
        set_mode(&root, open_to);
        if open_to & 0o022 != 0 {
            refused(&root, "the root is empty, and group or others may write to it");
        }
        fs::write(format!("{root}/\u{202e}a name that is not repeated"), "").unwrap();
        refused(&root, "the root holds 1 entry that Keystart did not make");
        fs::create_dir_all(format!("{root}/.git/objects/00")).unwrap();
        fs::write(format!("{root}/README.md"), "mine").unwrap();
        refused(&root, "the root holds 3 entries that Keystart did not make, such as \".git\"");
        // Names of a store make no store of it.
        make_file(format!("{root}/lock"), "");
        make_folders(format!("{root}/generations/1/secrets"));
        refused(&root, "the root holds 3 entries that Keystart did not make, such as \".git\"");
        for number in 0..2000 {
            fs::write(format!("{root}/{number}"), "").unwrap();
        }
        let error = open(&root).unwrap_err();
        assert!(error.message().contains("holds more than 1000 entries that"), "{error}");
    }
}

#[test]
fn an_empty_folder_of_ours_becomes_a_store() {
    for open_to in [0o700, 0o755, 0o500, 0o2750] {
        let (_guard, root) = folder();
        make_folders(&root);
        set_mode(&root, open_to);
        pair("x").publish(&mut open(&root).unwrap()).unwrap();
        assert_eq!(mode(&root), 0o700);
        assert_eq!(seen(&root).unwrap(), "x");
    }
}

type Act = fn(&str);

/// What only somebody else can have left in a store, with the reason in the message.
const FOREIGN: &[(Act, &str)] = &[
    (|root| make_file(format!("{root}/lock"), "mine"), "lock is not empty"),
    (|root| set_mode(format!("{root}/lock"), 0o644), "lock has the mode 0644, which no writer sets"),
    (|root| replace_with_link(root, "lock"), "lock is a symbolic link"),
    (|root| replace_with_folder(root, "lock"), "lock is not a regular file"),
    (|root| replace_with_fifo(root, "lock"), "lock is not a regular file"),
    (
        |root| fs::remove_file(format!("{root}/lock")).unwrap(),
        "the root holds 3 entries that Keystart did not make, such as \"current\"",
    ),
    (|root| hard_link(root, "lock"), "lock has another name too (a hard link)"),
    (|root| make_file(format!("{root}/state.json"), "{}"), "state.json is none that a writer writes"),
    (|root| make_file(format!("{root}/state.json"), ""), "state.json is none that a writer writes"),
    (|root| set_mode(format!("{root}/state.json"), 0o640), "state.json has the mode 0640, which no writer sets"),
    (|root| replace_with_link(root, "state.json"), "state.json is a symbolic link"),
    (|root| replace_with_folder(root, "state.json"), "state.json is not a regular file"),
    (|root| replace_with_fifo(root, "state.json"), "state.json is not a regular file"),
    (|root| hard_link(root, "state.json"), "state.json has another name too (a hard link)"),
    (|root| make_file(format!("{root}/.state.json"), "{\"form"), ""),
    (|root| make_file(format!("{root}/.state.json"), "form"), ".state.json is none that a writer writes"),
    (|root| replace_with_fifo(root, ".state.json"), ".state.json is not a regular file"),
    (|root| make_file(format!("{root}/freshness.json"), "{}"), "freshness.json is none that a writer writes"),
    (
        |root| make_file(format!("{root}/freshness.json"), &crate::freshness::START[..9]),
        "freshness.json is none that a writer writes",
    ),
    (|root| make_file(format!("{root}/freshness.json"), &format!("{}7, ", crate::freshness::START)), ""),
    (|root| make_file(format!("{root}/.freshness.json"), &crate::freshness::START[..9]), ""),
    (|root| make_file(format!("{root}/.freshness.json"), "{}"), ".freshness.json is none that a writer writes"),
    (|root| replace_with_folder(root, "freshness.json"), "freshness.json is not a regular file"),
    (|root| replace_with_link(root, ".freshness.json"), ".freshness.json is a symbolic link"),
    (|root| make_file(format!("{root}/control.sock"), ""), "control.sock is not a socket"),
    (|root| make_file(format!("{root}/.control-7"), ""), ".control-7 is not a socket"),
    (
        |root| {
            drop(std::os::unix::net::UnixListener::bind(format!("{root}/control.sock")).unwrap());
            set_mode(format!("{root}/control.sock"), 0o600);
        },
        "",
    ),
    (|root| replace_with_link(root, "current"), "current does not point to a generation"),
    (|root| replace_with_folder(root, "current"), "current is not a symbolic link"),
    (|root| symlink("generations/9", format!("{root}/.current-9")).unwrap(), ""),
    (
        |root| symlink("generations/8", format!("{root}/.current-9")).unwrap(),
        ".current-9 does not point to the generation of its name",
    ),
    (|root| make_file(format!("{root}/.current-9"), ""), ".current-9 is not a symbolic link"),
    (
        |root| make_file(format!("{root}/.current-x"), ""),
        "the root holds 1 entry that Keystart did not make, such as \".current-x\"",
    ),
    (|root| replace_with_link(root, "generations"), "generations is a symbolic link"),
    (|root| set_mode(format!("{root}/generations"), 0o755), "generations has the mode 0755, which no writer sets"),
    (|root| set_mode(format!("{root}/generations"), 0o500), ""),
    (
        |root| make_folders(format!("{root}/generations/notes")),
        "generations holds 1 entry that Keystart did not make, such as \"notes\"",
    ),
    (
        |root| make_folders(format!("{root}/generations/007")),
        "generations holds 1 entry that Keystart did not make, such as \"007\"",
    ),
    (|root| make_folders(format!("{root}/generations/7")), ""),
    (|root| make_file(format!("{root}/generations/7"), ""), "generations/7 is not a directory"),
    (|root| symlink("1", format!("{root}/generations/.old-7")).unwrap(), "generations/.old-7 is a symbolic link"),
    (
        |root| make_file(format!("{root}/generations/1/notes"), ""),
        "generations/1 holds 1 entry that Keystart did not make, such as \"notes\"",
    ),
    (|root| make_file(format!("{root}/generations/1/manifest.json"), "{"), ""),
    (
        |root| hard_link(root, "generations/1/manifest.json"),
        "generations/1/manifest.json has another name too (a hard link)",
    ),
    (|root| replace_with_link(root, "generations/1/secrets"), "generations/1/secrets is a symbolic link"),
    (
        |root| make_file(format!("{root}/generations/1/secrets/notes"), ""),
        "generations/1/secrets holds 1 entry that Keystart did not make, such as \"notes\"",
    ),
    (
        |root| make_file(format!("{root}/generations/1/secrets/tls/.notes"), ""),
        "generations/1/secrets/tls holds 1 entry that Keystart did not make, such as \".notes\"",
    ),
    (
        |root| set_mode(format!("{root}/generations/1/secrets/tls/key"), 0o644),
        "generations/1/secrets/tls/key has the mode 0644, which no writer sets",
    ),
    (
        |root| hard_link(root, "generations/1/secrets/tls/key"),
        "generations/1/secrets/tls/key has another name too (a hard link)",
    ),
    (
        |root| replace_with_fifo(root, "generations/1/secrets/tls/key"),
        "generations/1/secrets/tls/key is not a regular file",
    ),
    (
        |root| replace_with_folder(root, "generations/1/secrets/tls/key"),
        "generations/1/secrets/tls/key is not a regular file",
    ),
    (|root| make_folders(format!("{root}/generations/.new-7/secrets/a/b/c/d/e/f/g")), ""),
    (
        |root| make_folders(format!("{root}/generations/.new-7/secrets/a/b/c/d/e/f/g/h")),
        "generations/.new-7/secrets/a/b/c/d/e/f/g/h is a folder deeper than a secret's name goes",
    ),
];

fn replace_with_link(root: &str, path: &str) {
    let target = format!("{root}.target");
    fs::create_dir_all(&target).unwrap();
    remove(root, path);
    symlink(target, format!("{root}/{path}")).unwrap();
}

fn replace_with_folder(root: &str, path: &str) {
    remove(root, path);
    make_folders(format!("{root}/{path}"));
}

fn replace_with_fifo(root: &str, path: &str) {
    remove(root, path);
    assert!(
        std::process::Command::new("mkfifo")
            .args(["-m", "600"])
            .arg(format!("{root}/{path}"))
            .status()
            .unwrap()
            .success()
    );
}

fn hard_link(root: &str, path: &str) {
    fs::hard_link(format!("{root}/{path}"), format!("{root}.linked")).unwrap();
}

fn remove(root: &str, path: &str) {
    let path = format!("{root}/{path}");
    if fs::symlink_metadata(&path).is_ok_and(|stat| stat.is_dir()) {
        fs::remove_dir_all(path).unwrap();
    } else {
        let _missing = fs::remove_file(path);
    }
}

#[test]
fn a_store_with_something_foreign_in_it_is_refused_and_left_as_it_is() {
    for open_to in [0o700, 0o777] {
        for (act, what) in FOREIGN {
            let (_guard, root) = folder();
            pair("old").publish(&mut open(&root).unwrap()).unwrap();
            act(&root);
            set_mode(&root, open_to);
            if what.is_empty() {
                pair("new").publish(&mut open(&root).unwrap()).unwrap();
                assert_eq!(seen(&root).unwrap(), "new");
            } else {
                refused(&root, what);
            }
        }
    }
}

#[test]
fn a_store_with_something_of_another_user_in_it_is_refused_and_left_as_it_is() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can give a file to another user");
        return;
    }
    let parts = [
        "lock",
        "state.json",
        "current",
        "generations",
        "generations/1",
        "generations/1/manifest.json",
        "generations/1/secrets",
        "generations/1/secrets/tls",
        "generations/1/secrets/tls/key",
    ];
    for part in parts {
        let (_guard, root) = folder();
        pair("old").publish(&mut open(&root).unwrap()).unwrap();
        std::os::unix::fs::lchown(format!("{root}/{part}"), Some(12345), None).unwrap();
        refused(&root, &format!("{part} belongs to another user"));
    }
}

#[test]
fn a_tree_of_thousands_of_folders_is_refused_for_what_it_is() {
    let (_guard, root) = folder();
    drop(open(&root).unwrap());
    let top = rustix::fs::open(&root, rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    let deeper = |above: &OwnedFd, name: &str| {
        rustix::fs::mkdirat(above, name, rustix::fs::Mode::from_raw_mode(0o700)).unwrap();
        rustix::fs::openat(above, name, rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap()
    };
    let mut above =
        rustix::fs::openat(&top, "generations", rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    for name in [".new-7", "secrets"].into_iter().chain(std::iter::repeat_n("a", 3000)) {
        above = deeper(&above, name);
    }
    let what = "generations/.new-7/secrets/a/a/a/a/a/a/a/a is a folder deeper than a secret's name goes";
    assert_eq!(open(&root).unwrap_err(), Error::root_unsafe_to_write(&root, what));
}

#[test]
fn a_root_that_others_could_only_read_is_tightened_and_keeps_its_numbers() {
    let (_guard, root) = folder();
    pair("x").publish(&mut open(&root).unwrap()).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    let mut writer = open(&root).unwrap();
    assert_eq!(mode(&root), 0o700);
    assert_eq!(pair("x").publish(&mut writer).unwrap(), 2);
}

#[test]
fn what_appears_in_a_store_while_its_writer_has_it_stays() {
    let (_guard, root) = folder();
    let mut writer = open_forgetful(&root);
    pair("old").publish(&mut writer).unwrap();
    fs::write(format!("{root}/notes"), "").unwrap();
    for folder in ["notes", "007", "9"] {
        make_folders(format!("{root}/generations/{folder}"));
    }
    make_file(format!("{root}/generations/1/notes"), "mine");
    make_file(format!("{root}/generations/1/secrets/tls/notes"), "mine");
    // The folder of a generation cannot be removed while it holds something else. Its secrets are removed.
    pair("newer").publish(&mut writer).unwrap();
    let error = pair("newest").publish(&mut writer).unwrap_err();
    let what = "generations/.old-1/secrets/tls holds an entry that Keystart did not make";
    assert_eq!(error, Error::store_holds_foreign(&root, what).after_publish(3));
    assert_eq!(seen(&root).unwrap(), "newest");
    let error = writer.stop(None).unwrap_err();
    assert_eq!(error, Error::store_holds_foreign(&root, what));
    assert_eq!(state(&root)["state"], "stopped");
    assert_eq!(names_in(&root), ["generations", "lock", "notes", "state.json"]);
    assert_eq!(names_in(format!("{root}/generations")), [".old-1", "007", "9", "notes"]);
    assert_eq!(names_in(format!("{root}/generations/.old-1/secrets/tls")), ["notes"]);
    assert_eq!(fs::read(format!("{root}/generations/.old-1/notes")).unwrap(), b"mine");
}

#[test]
fn a_crash_removes_the_secrets_and_nothing_that_is_foreign() {
    let (guard, root) = folder();
    let mut writer = open(&root).unwrap();
    draft(&[("a", "canary"), ("b/c", "canary"), ("d", "canary")]).publish(&mut writer).unwrap();
    let target = guard.path().join("target");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("kept"), "kept").unwrap();
    fs::hard_link(format!("{root}/generations/1/secrets/d"), guard.path().join("linked")).unwrap();
    make_folders(format!("{root}/generations/notes/inner"));
    make_file(format!("{root}/generations/1/secrets/b/.notes"), "mine");
    symlink(&target, format!("{root}/generations/1/secrets/link")).unwrap();
    symlink(&target, format!("{root}/generations/2")).unwrap();
    replace_with_folder(&root, "state.json");
    let foreign = facts(&target);

    writer.crash_report().write("SIGTEST");
    assert_eq!(facts(&target), foreign);
    assert_eq!(fs::read(guard.path().join("linked")).unwrap(), b"canary");
    assert_eq!(names_in(&root), ["generations", "lock", "state.json"]);
    assert_eq!(names_in(format!("{root}/generations")), [".old-1", "2", "notes"]);
    assert_eq!(names_in(format!("{root}/generations/.old-1")), ["secrets"]);
    assert_eq!(names_in(format!("{root}/generations/.old-1/secrets")), ["b", "link"]);
    assert_eq!(names_in(format!("{root}/generations/.old-1/secrets/b")), [".notes"]);
    assert_eq!(names_in(format!("{root}/generations/notes")), ["inner"]);
}

#[test]
fn the_writers_own_files_are_removed_whatever_was_done_to_them() {
    let (guard, root) = folder();
    let mut writer = open(&root).unwrap();
    draft(&[("a", "canary"), ("b", "canary"), ("c", "canary"), ("d", "canary")]).publish(&mut writer).unwrap();
    let secrets = format!("{root}/generations/1/secrets");
    set_mode(format!("{secrets}/a"), 0o644);
    set_mode(&secrets, 0o755);
    fs::hard_link(format!("{secrets}/b"), guard.path().join("linked")).unwrap();
    let target = guard.path().join("target");
    fs::write(&target, "kept").unwrap();
    fs::remove_file(format!("{secrets}/c")).unwrap();
    symlink(&target, format!("{secrets}/c")).unwrap();
    fs::remove_file(format!("{secrets}/d")).unwrap();
    replace_with_fifo(&secrets, "d");
    assert!(writer.stop(None).is_err());
    assert_eq!(fs::read(&target).unwrap(), b"kept");
    assert_eq!(
        fs::read(guard.path().join("linked")).unwrap(),
        b"canary",
        "it is not overwritten by way of another name"
    );
    assert_eq!(names_in(format!("{root}/generations/.old-1/secrets")), ["c", "d"]);
}

#[test]
fn stopping_overwrites_and_removes_every_secret() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    pair("before").publish(&mut writer).unwrap();
    pair("canary").publish(&mut writer).unwrap();
    let mut witness = fs::File::open(format!("{root}/current/secrets/tls/key")).unwrap();
    let warm = Store::open(&options(&root)).unwrap();
    let snapshot = warm.snapshot().unwrap();
    assert_eq!(read(&snapshot, "tls/key").unwrap(), "canary");

    writer.stop(None).unwrap();
    let mut overwritten = Vec::new();
    witness.read_to_end(&mut overwritten).unwrap();
    assert_eq!(overwritten, [0; 6]);
    assert_eq!(names_in(&root), ["generations", "lock", "state.json"]);
    assert!(names_in(format!("{root}/generations")).is_empty());
    assert_eq!(state(&root)["state"], "stopped");
    assert_eq!(read(&warm, "tls/key").unwrap_err(), Error::stopped(&root));
    assert_eq!(read(&snapshot, "tls/key").unwrap(), "canary");
    assert_eq!(read(&snapshot, "tls/cert").unwrap_err(), Error::snapshot_expired("tls/cert", 2));

    assert_eq!(pair("x").publish(&mut writer).unwrap_err(), Error::writer_stopped(&root));
    assert_eq!(writer.fail("x", Failures::new()).unwrap_err(), Error::writer_stopped(&root));
    writer.stop(None).unwrap();
    drop(writer);
    assert_eq!(pair("x").publish(&mut open(&root).unwrap()).unwrap(), 3);
}

#[test]
fn stopping_with_a_reason_reports_it_to_readers() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    pair("canary").publish(&mut writer).unwrap();
    let warm = Store::open(&options(&root)).unwrap();
    writer.stop(Some("Lambda refused it.")).unwrap();
    assert!(names_in(format!("{root}/generations")).is_empty());
    assert_eq!(read(&warm, "tls/key").unwrap_err(), Error::prefetch_failed("Lambda refused it.", ""));
}

#[test]
fn stopping_a_store_that_somebody_removed_is_not_an_error() {
    for remove in [
        |root: &str| fs::remove_dir_all(root).unwrap(),
        |root: &str| {
            fs::remove_file(format!("{root}/current")).unwrap();
            fs::remove_file(format!("{root}/state.json")).unwrap();
            fs::remove_dir_all(format!("{root}/generations")).unwrap();
        },
    ] {
        let (_guard, root) = folder();
        let mut writer = open(&root).unwrap();
        pair("canary").publish(&mut writer).unwrap();
        remove(&root);
        writer.stop(None).unwrap();
    }
}

#[test]
fn a_writer_that_gives_up_reports_why_to_readers() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    let failure = Failure::new("AccessDenied", "allow it");
    let failures = Failures::from([("db".to_owned(), failure)]);
    writer.fail("1 of 2 failed", failures.clone()).unwrap();
    assert_eq!(seen(&root).unwrap_err(), Error::failed_start(Some("1 of 2 failed"), &failures));
}

#[test]
fn a_writer_that_gives_up_after_a_publish_reports_why_to_people_and_not_to_readers() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    pair("old").publish(&mut writer).unwrap();
    writer.fail("the next ones could not be had", Failures::new()).unwrap();
    assert_eq!(state(&root)["state"], "ready");
    assert_eq!(state(&root)["message"], "the next ones could not be had");
    assert_eq!(seen(&root).unwrap(), "old");
}

#[test]
fn a_new_set_is_published_also_when_the_steps_after_it_fail() {
    let (_guard, root) = folder();
    let mut writer = open_forgetful(&root);
    pair("oldest").publish(&mut writer).unwrap();
    pair("old").publish(&mut writer).unwrap();
    replace_with_folder(&root, "state.json");
    let error = pair("new").publish(&mut writer).unwrap_err();
    assert_eq!(error, Error::store_holds_foreign(&root, "state.json is not a regular file").after_publish(3));
    fs::remove_dir(format!("{root}/state.json")).unwrap();
    assert!(error.message().starts_with("Generation 3 is published, but not all that follows"), "{error}");
    assert_eq!(seen(&root).unwrap(), "new");
    assert_eq!(names_in(format!("{root}/generations")), ["2", "3"], "step 8 was done all the same");
    writer.fail("generation 3 is published, but", Failures::new()).unwrap();
    assert_eq!(state(&root)["state"], "ready");
    assert_eq!(pair("newer").publish(&mut writer).unwrap(), 4);
    assert_eq!(names_in(&root), ["current", "generations", "lock", "state.json"]);
}

#[test]
fn sets_that_cannot_lie_in_one_store_are_refused_with_every_pair() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    let mut draft = draft(&[("db", ""), ("db/a/b", ""), ("db/a", ""), ("x", ""), ("x", ""), ("y", ""), ("db-a", "")]);
    draft.mark_unavailable("y", Failure::new("NotFound", "no")).unwrap();
    draft
        .mark_unavailable("db/a/b/c", Failure::new("NotFound", "an entry that is not there is in nobody's way"))
        .unwrap();
    let error = draft.publish(&mut writer).unwrap_err();
    assert_eq!(error.code(), Code::NameConflict);
    assert_eq!(
        error.message(),
        "These secrets cannot be in one store:\n  - \"x\" is there twice\n  - \"y\" is there twice\n  - \"db\" is the \
         folder of \"db/a\"\n  - \"db/a\" is the folder of \"db/a/b\"\n  - \"db\" is the folder of \"db/a/b\"\nGive one \
         of each pair another name."
    );
    assert!(names_in(format!("{root}/generations")).is_empty());
    assert_eq!(pair("x").publish(&mut writer).unwrap(), 1);
}

#[test]
fn a_value_of_one_mebibyte_is_stored_and_one_byte_more_refused() {
    let (_guard, root) = folder();
    let mut draft = Draft::new();
    draft.add("big", SecretBytes::from(vec![7; MAX_BYTES]), &entry()).unwrap();
    let error = draft.add("bigger", SecretBytes::from(vec![7; MAX_BYTES + 1]), &entry()).unwrap_err();
    assert_eq!(error, Error::value_too_large("bigger", MAX_BYTES + 1));
    draft.publish(&mut open(&root).unwrap()).unwrap();
    let store = Store::open(&options(&root)).unwrap();
    assert_eq!(store.read("big", Form::Bytes).unwrap().as_bytes(), vec![7; MAX_BYTES]);
}

#[test]
fn a_manifest_that_readers_would_refuse_is_not_published() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    let mut draft = pair("x");
    for number in 0..64 {
        draft.mark_unavailable(format!("optional-{number}"), Failure::new("Code", "m".repeat(16_384))).unwrap();
    }
    let error = draft.publish(&mut writer).unwrap_err();
    assert_eq!(error.code(), Code::ManifestTooLarge);
    assert!(error.message().starts_with("The manifest of 2 secrets would have 1052"), "{error}");
    assert!(names_in(format!("{root}/generations")).is_empty());
}

#[test]
fn a_draft_refuses_names_and_entries_that_readers_would_refuse() {
    let mut draft = Draft::new();
    assert_eq!(draft.add("../x", SecretBytes::from(vec![]), &entry()).unwrap_err().code(), Code::InvalidName);
    assert_eq!(draft.mark_unavailable(".x", Failure::new("", "")).unwrap_err().code(), Code::InvalidName);
    for (from, to) in [
        ("utf-8", "latin-1"),
        ("T09:20", "T25:20"),
        ("null", "\"soon\""),
        ("null", "1"),
        ("\"refresh_after\":null,", ""),
        ("provider", "vendor"),
        ("\"id\":\"x\"", "\"id\":1"),
    ] {
        let bad = entry().to_string().replace(from, to);
        assert_ne!(bad, entry().to_string(), "{from}");
        let bad = json::parse(bad.as_bytes()).unwrap();
        assert_eq!(draft.add("x", SecretBytes::from(vec![]), &bad).unwrap_err().code(), Code::Internal, "{bad}");
    }
}

#[test]
fn a_publish_that_fails_leaves_nothing_and_uses_its_number_up() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    pair("old").publish(&mut writer).unwrap();
    // An entry that is in the way of step 6.
    replace_with_folder(&root, "current");
    let error = pair("new").publish(&mut writer).unwrap_err();
    assert_eq!(error, Error::store_holds_foreign(&root, "current is not a symbolic link"));
    assert_eq!(names_in(format!("{root}/generations")), ["1"]);
    assert_eq!(names_in(&root), ["current", "generations", "lock", "state.json"]);
    assert_eq!(state(&root)["generation"], 2);
    drop(writer);
    refused(&root, "current is not a symbolic link");
    fs::remove_dir(format!("{root}/current")).unwrap();
    assert_eq!(pair("new").publish(&mut open(&root).unwrap()).unwrap(), 3);
    assert_eq!(seen(&root).unwrap(), "new");
}

#[test]
fn a_publish_that_cannot_write_its_state_leaves_no_secret() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    fs::create_dir(format!("{root}/.state.json")).unwrap();
    let error = pair("new").publish(&mut writer).unwrap_err();
    assert_eq!(error, Error::store_holds_foreign(&root, ".state.json is not a regular file"));
    assert_eq!(names_in(format!("{root}/generations")), [""; 0]);
    fs::remove_dir(format!("{root}/.state.json")).unwrap();
    assert_eq!(pair("new").publish(&mut writer).unwrap(), 2);
}

/// Ends the readers of a test, even if its writer panics.
struct FolderResult<'a>(&'a AtomicBool);

impl Drop for FolderResult<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn readers_beside_a_busy_writer_always_see_one_whole_set() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    pair("0").publish(&mut writer).unwrap();
    let done = AtomicBool::new(false);
    let waiting = Options { timeout_ms: Some(9000.0), ..options(&root) };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let store = Store::open(&waiting).unwrap();
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let set: u32 = read(&store, "tls/key").unwrap().parse().unwrap();
                    assert!(set >= last);
                    last = set;
                    let snapshot = store.snapshot().unwrap();
                    match (read(&snapshot, "tls/cert"), read(&snapshot, "tls/key")) {
                        (Ok(cert), Ok(key)) => assert_eq!(cert, key),
                        (cert, key) => {
                            let error = cert.err().or(key.err()).unwrap();
                            assert_eq!(error.code(), Code::SnapshotExpired, "{error}");
                        }
                    }
                }
            });
        }
        let _done = FolderResult(&done);
        for set in 1..=300 {
            pair(&set.to_string()).publish(&mut writer).unwrap();
        }
    });
}

fn covering(entry: &str, secrets: &[(&str, &str)]) -> Draft {
    let mut covering = draft(secrets);
    covering.cover(entry).unwrap();
    covering
}

fn refreshed(writer: &mut Writer, draft: &Draft) -> Result<RefreshResult> {
    let entries = ["tls", "tls/ca", "db"].map(|name| (name.to_owned(), true)).into();
    writer.watch(Watch { entries, max_stale: None });
    writer.refresh(draft)
}

fn inode(root: &str, path: &str) -> u64 {
    fs::metadata(format!("{root}/generations/{path}")).unwrap().ino()
}

const FIRST: &[(&str, &str)] = &[("tls/cert", "old"), ("tls/key", "old"), ("tls/ca", "ca"), ("db", "db")];

#[test]
fn a_refresh_links_what_did_not_change() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    draft(FIRST).publish(&mut writer).unwrap();
    let mut new = covering("tls", &[]);
    let later = entry().to_string().replace("09:20", "09:25");
    for (name, value) in [("tls/cert", "new"), ("tls/key", "old"), ("tls/more", "new")] {
        new.add(name, SecretBytes::from(value.as_bytes()), &json::parse(later.as_bytes()).unwrap()).unwrap();
    }
    let changed = ["tls/cert", "tls/more"].map(str::to_owned).to_vec();
    assert_eq!(refreshed(&mut writer, &new).unwrap(), RefreshResult::Published { generation: 2, changed });
    for kept in ["tls/key", "tls/ca", "db"] {
        assert_eq!(inode(&root, &format!("1/secrets/{kept}")), inode(&root, &format!("2/secrets/{kept}")), "{kept}");
    }
    assert_ne!(inode(&root, "1/secrets/tls/cert"), inode(&root, "2/secrets/tls/cert"));
    let store = Store::open(&options(&root)).unwrap();
    for (name, value) in [("tls/cert", "new"), ("tls/key", "old"), ("tls/ca", "ca"), ("tls/more", "new"), ("db", "db")]
    {
        assert_eq!(read(&store, name).unwrap(), value);
    }

    // Only what changed has another entry in the manifest.
    let manifest = |number: u64| -> serde_json::Value {
        let text = fs::read(format!("{root}/generations/{number}/manifest.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&text).unwrap()["secrets"].take()
    };
    let (old, now) = (manifest(1), manifest(2));
    for name in ["tls/cert", "tls/key", "tls/ca", "db"] {
        assert_eq!(old[name] == now[name], name != "tls/cert", "{name}");
    }

    // Members that vanished go; what another entry brings stays.
    let changed = ["tls/cert", "tls/more"].map(str::to_owned).to_vec();
    let result = refreshed(&mut writer, &covering("tls", &[("tls/key", "old")])).unwrap();
    assert_eq!(result, RefreshResult::Published { generation: 3, changed });
    assert_eq!(Store::open(&options(&root)).unwrap().names(None).unwrap(), ["db", "tls/ca", "tls/key"]);
}

#[test]
fn a_refresh_without_a_change_publishes_nothing() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    draft(FIRST).publish(&mut writer).unwrap();
    let generations = format!("{root}/generations");
    let before = facts(&generations);
    for same in [covering("db", &[("db", "db")]), covering("tls/ca", &[("tls/ca", "ca")]), Draft::new()] {
        assert_eq!(refreshed(&mut writer, &same).unwrap(), RefreshResult::Unchanged);
        assert_eq!(freshness(&root)["generation"], 1);
    }
    assert_eq!(facts(&generations), before);
}

fn freshness(root: &str) -> serde_json::Value {
    assert_eq!(mode(format!("{root}/freshness.json")), 0o600);
    serde_json::from_slice(&fs::read(format!("{root}/freshness.json")).unwrap()).unwrap()
}

fn at(time: &str) -> i64 {
    crate::time::parse(&format!("2026-11-23T{time}.000Z")).unwrap()
}

/// Makes a draft whose entries were fetched at a time, with the next times.
fn fetched(time: &str, secrets: &[&str], refresh_after: &str, retry_after: &str) -> Draft {
    let entry = entry().to_string().replace("09:20:00.123", &format!("{time}.000"));
    let entry = json::parse(entry.as_bytes()).unwrap();
    let mut draft = Draft::new();
    for name in secrets {
        draft.add(name, SecretBytes::from(b"value".as_slice()), &entry).unwrap();
        draft.cover(name).unwrap();
    }
    draft.schedule(Some(at(refresh_after)), Some(at(retry_after)));
    draft
}

#[test]
fn freshness_json_says_when_each_secret_was_checked_and_why_not() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    let entries = [("db", true), ("key", true), ("pinned", false)].map(|(name, due)| (name.to_owned(), due)).into();
    writer.watch(Watch { entries, max_stale: Some(Duration::from_mins(15)) });
    fetched("10:00:00", &["db", "key", "pinned"], "10:05:00", "10:00:05").publish(&mut writer).unwrap();
    let time = |time: &str| serde_json::json!(format!("2026-11-23T{time}.000Z"));
    let check = |checked: &str, next: &str, until: &str| serde_json::json!({"checked_at": time(checked), "refresh_after": time(next), "usable_until": time(until), "failure": null});
    let pinned = serde_json::json!(
        {"checked_at": time("10:00:00"), "refresh_after": null, "usable_until": null, "failure": null});
    let first = check("10:00:00", "10:05:00", "10:15:00");
    let expected = serde_json::json!({"db": first, "key": first, "pinned": pinned});
    assert_eq!(freshness(&root)["secrets"], expected);
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(format!("{root}/current/manifest.json")).unwrap()).unwrap();
    assert_eq!((&manifest["max_stale"], &manifest["secrets"]["db"]["refresh_after"]), (&900.into(), &().into()));

    let mut second = fetched("10:05:00", &["key"], "10:10:00", "10:05:05");
    second.mark_unavailable("db", Failure::new("AccessDeniedException", "No.")).unwrap();
    assert_eq!(writer.refresh(&second).unwrap(), RefreshResult::Unchanged);
    let mut written = freshness(&root);
    let failed = written["secrets"]["db"]["failure"].take();
    assert_eq!((&failed["code"], &failed["message"]), (&"AccessDeniedException".into(), &"No.".into()));
    assert!(crate::time::parse(failed["at"].as_str().unwrap()).is_some());
    let expected = serde_json::json!({"db": check("10:00:00", "10:05:05", "10:15:00"),
        "key": check("10:05:00", "10:10:00", "10:20:00"), "pinned": pinned});
    assert_eq!(written["secrets"], expected);
    assert_eq!(written["generation"], 1);

    // A failure stays until its source answers again, and readers show it.
    assert_eq!(
        writer.refresh(&fetched("10:05:01", &["key"], "10:10:00", "10:05:05")).unwrap(),
        RefreshResult::Unchanged
    );
    let info = |name| -> serde_json::Value {
        serde_json::from_str(&Store::open(&options(&root)).unwrap().info(name).unwrap()).unwrap()
    };
    assert_eq!((&info("db")["failure"], &info("db")["stale"]), (&failed, &true.into()));
    assert_eq!((&info("key")["checked_at"], &info("key")["fetched_at"]), (&time("10:05:01"), &time("10:00:00")));
    writer.refresh(&fetched("10:05:06", &["db"], "10:10:00", "10:05:05")).unwrap();
    assert_eq!(freshness(&root)["secrets"]["db"], check("10:05:06", "10:10:00", "10:20:06"));
}

#[test]
fn freshness_json_belongs_to_its_writer_and_its_generation() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    let exists = || fs::exists(format!("{root}/freshness.json")).unwrap();
    draft(FIRST).publish(&mut writer).unwrap();
    assert!(!exists(), "nothing is refreshed by itself");
    fetched("10:00:00", &["db"], "10:05:00", "10:00:05").publish(&mut writer).unwrap();
    let store = Store::open(&options(&root)).unwrap();
    let (first, next) = (store.snapshot_of(1).unwrap(), store.snapshot_of(2).unwrap());
    assert!(first.info("db").unwrap().contains(r#""checked_at": "2026-11-23T09:20:00.123Z""#));
    assert!(next.info("db").unwrap().contains(r#""checked_at": "2026-11-23T10:00:00.000Z""#));
    drop(writer);
    let mut writer = open(&root).unwrap();
    assert!(!exists(), "the next writer removes it");
    fetched("10:00:00", &["db"], "10:05:00", "10:00:05").publish(&mut writer).unwrap();
    assert!(exists());
    writer.stop(None).unwrap();
    assert!(!exists(), "the end removes it");
    drop(writer);
    let mut writer = open(&root).unwrap();
    fetched("10:00:00", &["db"], "10:05:00", "10:00:05").publish(&mut writer).unwrap();
    writer.crash_report().write("SIGTEST");
    assert!(!exists(), "a crash removes it");
}

#[test]
fn a_file_is_copied_where_the_system_makes_no_links() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    draft(FIRST).publish(&mut writer).unwrap();
    let from = writer.generations.open("1").unwrap().open("secrets").unwrap();
    let to = writer.generations.create(".new-2").unwrap();
    refresh::copy(&from, &to, "db", 2).unwrap();
    assert_eq!(fs::read(format!("{root}/generations/.new-2/db")).unwrap(), b"db");
    assert_eq!(mode(format!("{root}/generations/.new-2/db")), 0o600);
    let denied = refresh::copy(&from, &writer.generations.create(".new-3").unwrap(), "db", 3).unwrap_err();
    assert_eq!(denied, from.foreign("db", "was replaced"));
}

#[test]
fn a_new_version_with_the_same_value_is_a_change_whose_file_is_linked() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    draft(FIRST).publish(&mut writer).unwrap();
    let text = br#"{"encoding": "utf-8", "fetched_at": "2026-11-23T09:20:00.123Z", "refresh_after": null,
        "source": {"provider": "test", "id": "x", "version_id": "2"}}"#;
    let mut again = Draft::new();
    again.add("db", SecretBytes::from(&b"db"[..]), &json::parse(text).unwrap()).unwrap();
    again.cover("db").unwrap();
    let changed = vec!["db".to_owned()];
    assert_eq!(refreshed(&mut writer, &again).unwrap(), RefreshResult::Published { generation: 2, changed });
    assert_eq!(inode(&root, "1/secrets/db"), inode(&root, "2/secrets/db"));
}

#[test]
fn an_optional_entry_that_can_be_fetched_now_appears() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    let mut first = draft(&[("db", "db")]);
    first.mark_unavailable("tls/ca", Failure { optional: true, ..Failure::new("x", "y") }).unwrap();
    first.publish(&mut writer).unwrap();
    let changed = vec!["tls/ca".to_owned()];
    let result = refreshed(&mut writer, &covering("tls/ca", &[("tls/ca", "ca")])).unwrap();
    assert_eq!(result, RefreshResult::Published { generation: 2, changed });
    assert_eq!(read(&Store::open(&options(&root)).unwrap(), "tls/ca").unwrap(), "ca");
}

#[test]
fn files_that_are_no_longer_the_writers_are_reported_and_not_linked() {
    let acts: [Act; 4] = [
        |root| fs::remove_file(format!("{root}/generations/1/secrets/tls/key")).unwrap(),
        |root| make_file(format!("{root}/generations/1/secrets/tls/key"), "longer"),
        |root| replace_with_link(root, "generations/1/secrets/tls/key"),
        |root| replace_with_link(root, "generations/1/secrets/tls"),
    ];
    for act in acts {
        let (_guard, root) = folder();
        let mut writer = open(&root).unwrap();
        draft(&[("tls/cert", "old"), ("tls/key", "old"), ("db", "old")]).publish(&mut writer).unwrap();
        act(&root);
        let mut new = covering("db", &[("db", "new")]);
        assert_eq!(refreshed(&mut writer, &new).unwrap(), RefreshResult::Lost(vec!["tls".to_owned()]));
        assert_eq!(names_in(format!("{root}/generations")), ["1"]);
        // The values are still in the draft.
        for name in ["tls/cert", "tls/key"] {
            new.add(name, SecretBytes::from(&b"new"[..]), &entry()).unwrap();
        }
        new.cover("tls").unwrap();
        assert!(matches!(refreshed(&mut writer, &new).unwrap(), RefreshResult::Published { generation: 2, .. }));
        assert_eq!(seen(&root).unwrap(), "new");
        assert_eq!(read(&Store::open(&options(&root)).unwrap(), "db").unwrap(), "new");
    }
}

#[test]
fn links_inside_a_store_are_taken_over_and_no_others() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    draft(FIRST).publish(&mut writer).unwrap();
    refreshed(&mut writer, &covering("db", &[("db", "new")])).unwrap();
    drop(writer);
    let key = format!("{root}/generations/2/secrets/tls/key");
    hard_link(&root, "generations/2/secrets/tls/key");
    refused(&root, "generations/1/secrets/tls/key has another name too (a hard link)");
    fs::remove_file(format!("{root}.linked")).unwrap();
    // Another secret's name, although inside the store.
    fs::remove_file(&key).unwrap();
    fs::hard_link(format!("{root}/generations/1/secrets/tls/ca"), &key).unwrap();
    let before = facts(&root);
    assert_eq!(open(&root).unwrap_err().code(), Code::LayoutInsecure);
    assert_eq!(facts(&root), before);
    fs::remove_file(&key).unwrap();
    fs::hard_link(format!("{root}/generations/1/secrets/tls/key"), &key).unwrap();
    pair("next").publish(&mut open(&root).unwrap()).unwrap();
    assert_eq!(seen(&root).unwrap(), "next");
}

#[test]
fn a_linked_file_is_overwritten_at_the_end_unless_a_name_outside_leads_to_it() {
    for (ends_by_crash, is_linked_outside) in [(false, false), (false, true), (true, false), (true, true)] {
        let (_guard, root) = folder();
        let mut writer = open(&root).unwrap();
        draft(FIRST).publish(&mut writer).unwrap();
        refreshed(&mut writer, &covering("db", &[("db", "new")])).unwrap();
        let mut key = fs::File::open(format!("{root}/current/secrets/tls/key")).unwrap();
        if is_linked_outside {
            hard_link(&root, "generations/2/secrets/tls/key");
        }
        if ends_by_crash {
            writer.crash_report().write("SIGSEGV");
        } else {
            writer.stop(None).unwrap();
        }
        let mut left = Vec::new();
        key.read_to_end(&mut left).unwrap();
        assert_eq!(left, if is_linked_outside { b"old" } else { b"\0\0\0" });
        assert_eq!(key.metadata().unwrap().nlink(), u64::from(is_linked_outside));
        assert!(names_in(format!("{root}/generations")).is_empty());
    }
}

#[test]
fn a_collected_generation_leaves_the_linked_files_as_they_are() {
    let (_guard, root) = folder();
    let mut writer = open_forgetful(&root);
    draft(FIRST).publish(&mut writer).unwrap();
    for value in ["second", "third", "fourth"] {
        refreshed(&mut writer, &covering("db", &[("db", value)])).unwrap();
    }
    assert_eq!(names_in(format!("{root}/generations")), ["3", "4"]);
    assert_eq!(read(&Store::open(&options(&root)).unwrap(), "tls/key").unwrap(), "old");
    assert_eq!(fs::metadata(format!("{root}/current/secrets/tls/key")).unwrap().nlink(), 2);
}

#[test]
fn a_snapshot_is_made_by_the_number_of_its_generation() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    draft(FIRST).publish(&mut writer).unwrap();
    refreshed(&mut writer, &covering("db", &[("db", "new")])).unwrap();
    let store = Store::open(&options(&root)).unwrap();
    for (number, value) in [(1, "db"), (2, "new")] {
        let snapshot = store.snapshot_of(number).unwrap();
        assert_eq!(read(&snapshot, "db").unwrap(), value);
        assert_eq!(snapshot.path("db").unwrap(), format!("{root}/generations/{number}/secrets/db"));
    }
    let missing = store.snapshot_of(3).unwrap_err();
    assert_eq!((missing.code(), missing.secret()), (Code::SnapshotExpired, None));
    set_mode(&root, 0o777);
    assert_eq!(store.snapshot_of(2).unwrap_err().code(), Code::LayoutInsecure);
    fs::remove_dir_all(&root).unwrap();
    assert_eq!(store.snapshot_of(2).unwrap_err().code(), Code::SnapshotExpired);
}

#[test]
fn a_writer_that_keeps_what_is_published_replaces_it_at_its_first_publish() {
    let (_folder, root) = folder();
    pair("old").publish(&mut open(&root).unwrap()).unwrap();
    let keep = || Writer::open_keeping(&options(&root), Identity { name: "test".into(), version: "0".into() });
    let store = Store::open(&options(&root)).unwrap();

    let mut writer = keep().unwrap();
    assert_eq!(read(&store, "tls/cert").unwrap(), "old");
    writer.fail("no", Failures::new()).unwrap();
    assert_eq!(read(&store, "tls/cert").unwrap(), "old");
    fs::create_dir(format!("{root}/generations/.new-2")).unwrap();
    pair("lost").publish(&mut writer).unwrap_err();
    assert_eq!(read(&store, "tls/cert").unwrap(), "old");
    drop(writer);
    fs::remove_dir(format!("{root}/generations/.new-2")).unwrap();
    assert!(fs::read_to_string(format!("{root}/state.json")).unwrap().contains("\"ready\", \"generation\": 2"));

    let mut writer = keep().unwrap();
    assert_eq!(pair("new").publish(&mut writer).unwrap(), 3);
    assert_eq!(read(&store, "tls/key").unwrap(), "new");
    let left: Vec<_> =
        fs::read_dir(format!("{root}/generations")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["3"]);
    writer.stop(None).unwrap();
    drop(writer);
    // Where nothing is published, readers wait.
    let _writer = keep().unwrap();
    assert!(fs::read_to_string(format!("{root}/state.json")).unwrap().contains("\"starting\""));
}

#[test]
fn a_variable_is_assigned_once_and_its_name_and_its_secret_are_checked() {
    let (_folder, root) = folder();
    let mut draft = draft(&[("db", "x")]);
    draft.assign("DB", "db", true).unwrap();
    for (variable, secret, code) in
        [("DB", "db", Code::Internal), ("D-B", "db", Code::Internal), ("KEY", "../x", Code::InvalidName)]
    {
        assert_eq!(draft.assign(variable, secret, true).unwrap_err().code(), code, "{variable}");
    }
    draft.publish(&mut open(&root).unwrap()).unwrap();
    let manifest = fs::read_to_string(format!("{root}/current/manifest.json")).unwrap();
    assert!(manifest.ends_with("\"env\": {\"DB\":{\"overwrite\":true,\"secret\":\"db\"}}\n}\n"), "{manifest}");
}
