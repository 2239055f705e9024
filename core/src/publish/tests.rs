use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::error::Code;
use crate::json;
use crate::store::{Form, Store};

fn folder() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store").to_str().unwrap().to_owned();
    (folder, root)
}

fn options(root: &str) -> Options<'_> {
    Options { root: Some(root.as_bytes()), timeout_ms: Some(0.0), ..Options::default() }
}

/// Opens a writer. A process that another test starts meanwhile has a copy of every file between its fork and its exec, that
/// of a lock that was just released too, so one that is held is tried again for a while.
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

/// A certificate and its key, which must always be of one set.
fn pair(set: &str) -> Draft {
    draft(&[("tls/cert", set), ("tls/key", set)])
}

fn read(store: &Store, name: &str) -> Result<String> {
    let bytes = store.read(name, Form::Text)?;
    Ok(String::from_utf8(bytes.as_bytes().to_vec()).unwrap())
}

/// The set that a new reader sees, whole.
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

/// Puts a file system in place; false where that is not allowed.
fn mounted(path: &str) -> bool {
    let mount = std::process::Command::new("mount").args(["-t", "tmpfs", "tmpfs", path]).output();
    mount.is_ok_and(|output| output.status.success())
}

fn unmount(path: &str) {
    assert!(std::process::Command::new("umount").arg(path).status().unwrap().success());
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
fn only_the_generation_before_is_kept() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    for number in 1..=4 {
        assert_eq!(pair("x").publish(&mut writer).unwrap(), number);
    }
    assert_eq!(names_in(format!("{root}/generations")), ["3", "4"]);
}

#[test]
fn numbers_go_on_after_every_trace_of_an_older_one() {
    let traces: [fn(&str); 5] = [
        |root| fs::write(format!("{root}/state.json"), r#"{"generation": 41}"#).unwrap(),
        |root| symlink("generations/41", format!("{root}/current")).unwrap(),
        |root| fs::create_dir_all(format!("{root}/generations/41/secrets")).unwrap(),
        |root| fs::create_dir_all(format!("{root}/generations/.new-41/x")).unwrap(),
        |root| fs::create_dir_all(format!("{root}/generations/.old-41")).unwrap(),
    ];
    for trace in traces {
        let (_guard, root) = folder();
        drop(open(&root).unwrap());
        fs::write(format!("{root}/state.json"), "garbage").unwrap();
        trace(&root);
        let mut writer = open(&root).unwrap();
        assert_eq!(state(&root)["generation"], 41);
        assert_eq!(pair("x").publish(&mut writer).unwrap(), 42);
        assert_eq!(names_in(format!("{root}/generations")), ["42"]);
    }
}

#[test]
fn a_number_that_would_be_too_great_is_refused() {
    let (_guard, root) = folder();
    drop(open(&root).unwrap());
    fs::create_dir(format!("{root}/generations/9007199254740991")).unwrap();
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
    assert_eq!(open(&root).unwrap_err(), Error::root_unsafe_to_write(&root, "the root belongs to another user"));
}

#[test]
fn a_root_in_a_folder_that_is_not_there_is_told() {
    let (_guard, root) = folder();
    let error = open(&format!("{root}/deeper")).unwrap_err();
    assert_eq!(error, Error::store_unwritable(&format!("{root}/deeper"), Errno::NOENT, "."));
}

#[test]
fn a_root_that_others_could_write_is_tightened_and_emptied_and_nothing_planted_is_followed() {
    let (guard, root) = folder();
    let target = guard.path().join("elsewhere");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("kept"), "x").unwrap();
    fs::create_dir_all(format!("{root}/deep/er")).unwrap();
    for name in ["lock", "current", "generations", "state.json", "deep/er/link"] {
        symlink(&target, format!("{root}/{name}")).unwrap();
    }
    fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).unwrap();
    let mut writer = open(&root).unwrap();
    assert_eq!(mode(&root), 0o700);
    assert_eq!(names_in(&root), ["generations", "lock", "state.json"]);
    assert!(fs::symlink_metadata(format!("{root}/lock")).unwrap().is_file());
    pair("x").publish(&mut writer).unwrap();
    assert_eq!(seen(&root).unwrap(), "x");
    assert_eq!(names_in(&target), ["kept"]);
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
fn links_in_a_root_of_ours_are_refused_or_replaced_but_never_followed() {
    for name in ["lock", "generations"] {
        let (guard, root) = folder();
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();
        symlink(guard.path().join("missing"), format!("{root}/{name}")).unwrap();
        let expected = Error::root_unsafe_to_write(&root, &format!("{name} is a symbolic link"));
        assert_eq!(open(&root).unwrap_err(), expected);
        assert!(!guard.path().join("missing").exists());
    }
    let (guard, root) = folder();
    drop(open(&root).unwrap());
    let target = guard.path().join("target");
    fs::write(&target, "kept").unwrap();
    fs::remove_file(format!("{root}/state.json")).unwrap();
    symlink(&target, format!("{root}/state.json")).unwrap();
    symlink(&target, format!("{root}/.state.json")).unwrap();
    symlink(&target, format!("{root}/current")).unwrap();
    let mut writer = open(&root).unwrap();
    pair("x").publish(&mut writer).unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"kept");
    assert_eq!(state(&root)["state"], "ready");
}

#[test]
fn things_of_another_kind_are_replaced_where_the_writer_needs_the_name() {
    let (_guard, root) = folder();
    drop(open(&root).unwrap());
    fs::remove_file(format!("{root}/state.json")).unwrap();
    for folder in ["state.json", ".state.json", "current"] {
        fs::create_dir_all(format!("{root}/{folder}/inner")).unwrap();
    }
    pair("x").publish(&mut open(&root).unwrap()).unwrap();
    assert_eq!(seen(&root).unwrap(), "x");
}

#[test]
fn what_the_writer_did_not_make_stays() {
    let (_guard, root) = folder();
    drop(open(&root).unwrap());
    fs::write(format!("{root}/notes"), "").unwrap();
    fs::create_dir(format!("{root}/generations/notes")).unwrap();
    fs::create_dir(format!("{root}/generations/007")).unwrap();
    open(&root).unwrap().stop().unwrap();
    assert_eq!(names_in(&root), ["generations", "lock", "notes", "state.json"]);
    assert_eq!(names_in(format!("{root}/generations")), ["007", "notes"]);
}

#[test]
fn stopping_overwrites_and_removes_every_secret() {
    let (guard, root) = folder();
    let mut writer = open(&root).unwrap();
    pair("before").publish(&mut writer).unwrap();
    pair("canary").publish(&mut writer).unwrap();
    let witness = guard.path().join("witness");
    fs::hard_link(format!("{root}/current/secrets/tls/key"), &witness).unwrap();
    let warm = Store::open(&options(&root)).unwrap();
    let snapshot = warm.snapshot().unwrap();
    assert_eq!(read(&snapshot, "tls/key").unwrap(), "canary");

    writer.stop().unwrap();
    assert_eq!(fs::read(&witness).unwrap(), [0; 6]);
    assert_eq!(names_in(&root), ["generations", "lock", "state.json"]);
    assert!(names_in(format!("{root}/generations")).is_empty());
    assert_eq!(state(&root)["state"], "stopped");
    assert_eq!(read(&warm, "tls/key").unwrap_err(), Error::stopped(&root));
    assert_eq!(read(&snapshot, "tls/key").unwrap(), "canary");
    assert_eq!(read(&snapshot, "tls/cert").unwrap_err(), Error::snapshot_expired("tls/cert", 2));

    assert_eq!(pair("x").publish(&mut writer).unwrap_err(), Error::writer_stopped(&root));
    assert_eq!(writer.fail("x", Failures::new()).unwrap_err(), Error::writer_stopped(&root));
    writer.stop().unwrap();
    drop(writer);
    assert_eq!(pair("x").publish(&mut open(&root).unwrap()).unwrap(), 3);
}

#[test]
fn stopping_does_not_wait_for_a_fifo_nor_follow_a_link() {
    let (guard, root) = folder();
    let mut writer = open(&root).unwrap();
    pair("x").publish(&mut writer).unwrap();
    let target = guard.path().join("target");
    fs::write(&target, "kept").unwrap();
    symlink(&target, format!("{root}/generations/1/secrets/link")).unwrap();
    let fifo = format!("{root}/generations/1/secrets/fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
    writer.stop().unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"kept");
    assert!(names_in(format!("{root}/generations")).is_empty());
}

#[test]
fn a_writer_that_gives_up_tells_readers_why() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    let failure = Failure { code: "AccessDenied".into(), message: "allow it".into() };
    let failures = Failures::from([("db".to_owned(), failure)]);
    writer.fail("1 of 2 failed", failures.clone()).unwrap();
    assert_eq!(seen(&root).unwrap_err(), Error::prefetch_failed(Some("1 of 2 failed"), &failures));
}

#[test]
fn a_writer_that_gives_up_after_a_publish_tells_people_but_not_readers() {
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
    let mut writer = open(&root).unwrap();
    pair("oldest").publish(&mut writer).unwrap();
    pair("old").publish(&mut writer).unwrap();
    // Nothing can be renamed to it, and it cannot be removed: a file system of its own.
    fs::remove_file(format!("{root}/state.json")).unwrap();
    fs::create_dir(format!("{root}/state.json")).unwrap();
    if !mounted(&format!("{root}/state.json")) {
        println!("skipped: this machine does not let the test mount a small file system");
        return;
    }
    let error = pair("new").publish(&mut writer).unwrap_err();
    unmount(&format!("{root}/state.json"));
    assert_eq!(error, Error::store_unwritable(&root, Errno::BUSY, "state.json").after_publish(3));
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
    draft.mark_unavailable("y", "NotFound", "no").unwrap();
    draft.mark_unavailable("db/a/b/c", "NotFound", "an entry that is not there is in nobody's way").unwrap();
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
        draft.mark_unavailable(format!("optional-{number}"), "Code", &"m".repeat(16_384)).unwrap();
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
    assert_eq!(draft.mark_unavailable(".x", "", "").unwrap_err().code(), Code::InvalidName);
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
    // A folder that is in the way of step 6; a link cannot replace it.
    fs::remove_file(format!("{root}/current")).unwrap();
    fs::create_dir_all(format!("{root}/current/inner")).unwrap();
    let error = pair("new").publish(&mut writer).unwrap_err();
    assert_eq!(error, Error::store_unwritable(&root, Errno::ISDIR, "current"));
    assert_eq!(names_in(format!("{root}/generations")), ["1"]);
    assert_eq!(names_in(&root), ["current", "generations", "lock", "state.json"]);
    assert_eq!(state(&root)["generation"], 2);
    drop(writer);
    assert_eq!(pair("new").publish(&mut open(&root).unwrap()).unwrap(), 3);
    assert_eq!(seen(&root).unwrap(), "new");
}

/// Ends the readers of a test, also when its writer panics.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
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
        let _done = Done(&done);
        for set in 1..=300 {
            pair(&set.to_string()).publish(&mut writer).unwrap();
        }
    });
}
