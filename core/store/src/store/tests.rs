use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::Command;
use std::thread;
use std::time::Instant;

use tempfile::TempDir;

use super::patience::{FIRST_PAUSE, MAX_RESTARTS};
use super::*;
use crate::errors::Code;
use crate::manifest::Identity;
use crate::publish::{Draft, Writer};

/// A published store that a test may damage. The writer is alive, and does nothing by itself.
struct TestStore {
    _folder: TempDir,
    root: String,
    writer: Writer,
}

const ENTRY: &str = r#"{"encoding": "utf-8", "fetched_at": "2026-11-23T09:20:00.123Z", "refresh_after": null,
    "source": {"provider": "test", "id": "x"}}"#;

fn draft(secrets: &[(&str, &str)]) -> Draft {
    let mut draft = Draft::new();
    for (name, value) in secrets {
        draft.add(name, SecretBytes::from(value.as_bytes()), &json::parse(ENTRY.as_bytes()).unwrap()).unwrap();
    }
    draft
}

fn options(root: &str) -> Options<'_> {
    Options { root: Some(root.as_bytes()), timeout_ms: Some(0.0), ..Options::default() }
}

impl TestStore {
    fn nothing() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store").to_str().unwrap().to_owned();
        let writer = Writer::open(&options(&root), Identity { name: "test".into(), version: "0".into() }).unwrap();
        Self { _folder: folder, root, writer }
    }

    fn new() -> Self {
        let mut store = Self::nothing();
        store.publish(&[("db", "secret"), ("tls/key", "{\"a\": 1}"), ("tls/cert", "\u{feff}cert\r\n\0")]);
        store
    }

    fn publish(&mut self, secrets: &[(&str, &str)]) {
        draft(secrets).publish(&mut self.writer).unwrap();
    }

    fn open(&self) -> Store {
        Store::open(&options(&self.root)).unwrap()
    }

    /// Removes the first generation, as a writer does a minute after the next one.
    fn collect_first(&self) {
        fs::remove_dir_all(self.at("generations/1")).unwrap();
    }

    fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.root)
    }

    /// Replaces a file or folder below the root by what the shell makes of it.
    fn replace(&self, path: &str, command: &str) {
        let script = format!("set -e; cd \"$1\"; rm -rf {path}; {command}");
        assert!(Command::new("sh").args(["-c", &script, "sh", &self.root]).status().unwrap().success());
    }

    fn error(&self) -> Error {
        self.open().read("tls/key", Form::Bytes).unwrap_err()
    }

    fn insecure(&self, what: &str) -> Error {
        Error::layout_insecure(&self.root, what)
    }
}

fn read(store: &Store, name: &str) -> Result<String> {
    Ok(String::from_utf8_lossy(store.read(name, Form::Bytes)?.as_bytes()).into_owned())
}

#[test]
fn every_question_is_answered() {
    let store = TestStore::new();
    for reader in [store.open(), store.open().snapshot().unwrap(), store.open().snapshot().unwrap().snapshot().unwrap()]
    {
        assert_eq!(read(&reader, "db").unwrap(), "secret");
        assert_eq!(reader.read("tls/cert", Form::Text).unwrap().as_bytes(), "\u{feff}cert\r\n\0".as_bytes());
        assert_eq!(reader.read("tls/key", Form::Json).unwrap().as_bytes(), b"{\"a\": 1}");
        assert_eq!(reader.read("db", Form::Json).unwrap_err(), Error::secret_not_json("db"));
        assert_eq!(reader.names(None).unwrap(), ["db", "tls/cert", "tls/key"]);
        assert_eq!(reader.names(Some(b"tls")).unwrap(), ["tls/cert", "tls/key"]);
        assert!(reader.names(Some(b"tl")).unwrap().is_empty());
        assert_eq!(reader.names(Some(b"tls/")).unwrap_err().code(), Code::InvalidName);
        assert_eq!(reader.read("dn", Form::Bytes).unwrap_err(), Error::secret_not_found_near("dn", &["db"]));
        let info = json::parse(reader.info("db").unwrap().as_bytes()).unwrap();
        assert_eq!(info.get("path").unwrap().as_str(), Some("secrets/db"));
        assert_eq!(info.get("size").unwrap().as_whole(), Some(6));
        assert_eq!(info.get("stale"), Some(&json::Json::Bool(false)));
    }
    assert_eq!(store.open().path("db").unwrap(), store.at("current/secrets/db"));
    assert_eq!(store.open().snapshot().unwrap().path("db").unwrap(), store.at("generations/1/secrets/db"));
}

#[test]
fn bytes_that_are_not_text_are_reported() {
    let mut store = TestStore::nothing();
    let mut draft = Draft::new();
    draft.add("x", SecretBytes::from(vec![0xff]), &json::parse(ENTRY.as_bytes()).unwrap()).unwrap();
    draft.publish(&mut store.writer).unwrap();
    assert_eq!(store.open().read("x", Form::Text).unwrap_err(), Error::secret_not_text("x"));
}

#[test]
fn a_name_is_checked_before_the_store() {
    let store = Store::open(&options("/nonexistent/store")).unwrap();
    for answer in
        [store.read("../x", Form::Bytes).map(drop), store.path("../x").map(drop), store.info("../x").map(drop)]
    {
        assert_eq!(answer.unwrap_err(), Error::invalid_name(b"../x"));
    }
    assert_eq!(store.names(Some(b"")).unwrap_err(), Error::invalid_name(b""));
    assert_eq!(store.names(None).unwrap_err(), Error::not_attached("/nonexistent/store"));
}

#[test]
fn an_unsafe_root_is_reported_in_the_order_of_the_contract() {
    let store = TestStore::new();
    fs::set_permissions(&store.root, fs::Permissions::from_mode(0o720)).unwrap();
    assert_eq!(store.error(), store.insecure("the root is writable by group or others"));
    if rustix::process::geteuid().is_root() {
        chown(&store.root, Some(12345), None).unwrap();
        let foreign = |what: &str| Error::layout_insecure_of_other_user(&store.root, what);
        assert_eq!(store.error(), foreign("the root belongs to another user"));
    } else {
        println!("skipped in part: only root can give a folder to another user");
    }
    let link = format!("{}-link", store.root);
    symlink(&store.root, &link).unwrap();
    let error = |root: &str| Store::open(&options(root)).unwrap().names(None).unwrap_err();
    assert_eq!(error(&link), Error::layout_insecure(&link, "the root is a symbolic link"));
    fs::remove_file(&link).unwrap();
    fs::write(&link, "").unwrap();
    assert_eq!(error(&link), Error::layout_insecure(&link, "the root is not a directory"));
    fs::remove_file(&link).unwrap();
}

#[test]
fn current_must_point_to_a_generation() {
    for command in [
        "ln -s generations/01 current",
        "ln -s generations/0 current",
        "ln -s generations/1/ current",
        "ln -s ./generations/1 current",
        "ln -s generations/9007199254740992 current",
        "ln -s 1 current",
        "mkdir current",
        "echo generations/1 > current",
    ] {
        let store = TestStore::new();
        store.replace("current", command);
        assert_eq!(store.error(), store.insecure("current does not point to a generation"), "{command}");
    }
}

#[test]
fn links_and_other_kinds_on_the_way_are_reported() {
    let damaged = |what: &str| Error::secret_corrupt("tls/key", 1, what);
    let invalid = |what: &str| Error::manifest_invalid(1, what);
    let store = TestStore::new;
    for path in ["generations", "generations/1", "generations/1/secrets", "generations/1/secrets/tls"] {
        let store = store();
        store.replace(path, &format!("ln -s /tmp {path}"));
        assert_eq!(store.error(), store.insecure(&format!("{path} is a symbolic link")));
        store.replace(path, &format!("mkfifo {path}"));
        assert_eq!(store.error(), store.insecure(&format!("{path} is not a directory")));
    }
    for (path, missing, kind) in [
        (
            "generations/1/manifest.json",
            invalid("manifest.json is missing"),
            invalid("manifest.json is not a regular file"),
        ),
        ("generations/1/secrets/tls/key", damaged("its file is missing"), damaged("its file is not a regular file")),
    ] {
        let store = store();
        store.replace(path, &format!("ln -s /dev/null {path}"));
        assert_eq!(store.error(), store.insecure(&format!("{path} is a symbolic link")));
        for command in ["mkfifo", "mkdir"] {
            store.replace(path, &format!("{command} {path}"));
            assert_eq!(store.error(), kind, "{command}");
        }
        store.replace(path, "");
        assert_eq!(store.error(), missing);
    }
    for path in ["generations", "generations/1"] {
        let store = store();
        store.replace(path, "");
        assert_eq!(store.error(), invalid("generations/1 is missing"));
    }
    for path in ["generations/1/secrets", "generations/1/secrets/tls"] {
        let store = store();
        store.replace(path, "");
        assert_eq!(store.error(), damaged("its file is missing"));
    }
}

#[test]
fn a_socket_is_not_a_regular_file() {
    let store = TestStore::new();
    let path = store.at("generations/1/secrets/tls/key");
    fs::remove_file(&path).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert_eq!(store.error(), Error::secret_corrupt("tls/key", 1, "its file is not a regular file"));
}

#[test]
fn a_file_of_another_length_is_damaged() {
    for text in ["", "1234567", "123456789"] {
        let store = TestStore::new();
        fs::write(store.at("current/secrets/tls/key"), text).unwrap();
        assert_eq!(store.error(), Error::secret_corrupt("tls/key", 1, "its file does not have 8 bytes"), "{text}");
    }
}

#[test]
fn a_manifest_may_have_one_mebibyte_and_no_byte_more() {
    let store = TestStore::new();
    let path = store.at("current/manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}{}", " ".repeat(MAX_BYTES - text.len()))).unwrap();
    assert_eq!(read(&store.open(), "db").unwrap(), "secret");
    fs::write(&path, format!("{text}{}", " ".repeat(MAX_BYTES + 1 - text.len()))).unwrap();
    assert_eq!(store.error(), Error::manifest_invalid(1, "manifest.json is longer than 1048576 bytes"));
}

#[test]
fn times_are_checked_by_info_alone() {
    let store = TestStore::new();
    let path = store.at("current/manifest.json");
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("T09:20", "T24:20")).unwrap();
    assert_eq!(read(&store.open(), "db").unwrap(), "secret");
    let what = "secrets[\"db\"].fetched_at is missing or wrong";
    assert_eq!(store.open().info("db").unwrap_err(), Error::manifest_invalid(1, what));
}

#[test]
fn without_current_the_state_decides() {
    let mut store = TestStore::nothing();
    let not_ready = |message| Error::waited(&store.root, 0, message);
    assert_eq!(store.error(), not_ready(None));
    let state = |word: &str, message: &str| {
        let text = format!(
            r#"{{"format": "keystart.state/1", "state": "{word}", "message": {message}, "failures": {{"db": {{"code": "c", "message": "m"}}}}}}"#
        );
        fs::write(store.at("state.json"), text).unwrap();
    };
    state("starting", "\"busy\"");
    assert_eq!(store.error(), not_ready(Some("busy")));
    state("stopped", "\"busy\"");
    assert_eq!(store.error(), Error::stopped(&store.root));
    state("failed", "null");
    assert_eq!(
        store.error().message(),
        "The extension could not publish the secrets: no reason was given\n  - \"db\": c: m"
    );
    for command in
        ["", "echo garbage > state.json", "ln -s /etc/passwd state.json", "mkfifo state.json", "mkdir state.json"]
    {
        store.replace("state.json", command);
        assert_eq!(store.error(), not_ready(None), "{command}");
    }
    store.replace("state.json", "");
    store.publish(&[("tls/key", "x")]);
    assert_eq!(read(&store.open(), "tls/key").unwrap(), "x");
}

#[test]
fn a_read_waits_for_the_publish() {
    let mut store = TestStore::nothing();
    let reader = Store::open(&Options { timeout_ms: Some(30_000.0), ..options(&store.root) }).unwrap();
    thread::scope(|scope| {
        let snapshot = scope.spawn(|| reader.snapshot().and_then(|snapshot| read(&snapshot, "db")));
        let value = scope.spawn(|| read(&reader, "db"));
        store.publish(&[("db", "secret")]);
        assert_eq!(value.join().unwrap().unwrap(), "secret");
        assert_eq!(snapshot.join().unwrap().unwrap(), "secret");
    });
}

#[test]
fn a_read_that_waited_in_vain_reports_its_timeout() {
    let store = TestStore::nothing();
    let reader = Store::open(&Options { timeout_ms: Some(30.0), ..options(&store.root) }).unwrap();
    assert_eq!(read(&reader, "db").unwrap_err(), Error::waited(&store.root, 30, None));
}

#[test]
fn a_client_follows_the_store_and_a_snapshot_stays() {
    let mut store = TestStore::new();
    let client = store.open();
    let snapshot = client.snapshot().unwrap();
    assert_eq!(read(&snapshot, "db").unwrap(), "secret");
    store.publish(&[("db", "second"), ("tls/key", "second")]);
    assert_eq!(read(&client, "db").unwrap(), "second");
    assert_eq!(snapshot.read("tls/key", Form::Bytes).unwrap().as_bytes(), b"{\"a\": 1}");
    store.publish(&[("db", "third")]);
    store.collect_first();
    assert_eq!(read(&client, "tls/key").unwrap_err().code(), Code::SecretNotFound);
    assert_eq!(read(&snapshot, "db").unwrap(), "secret");
    assert_eq!(read(&snapshot, "tls/cert").unwrap_err(), Error::snapshot_expired("tls/cert", 1));
    assert_eq!(snapshot.names(None).unwrap().len(), 3);
    assert_eq!(read(&snapshot.snapshot().unwrap(), "db").unwrap(), "secret");
}

#[test]
fn a_snapshot_distinguishes_a_missing_file_from_a_missing_generation() {
    let store = TestStore::new();
    let snapshot = store.open().snapshot().unwrap();
    store.replace("generations/1/secrets/tls", "");
    assert_eq!(read(&snapshot, "tls/key").unwrap_err(), Error::secret_corrupt("tls/key", 1, "its file is missing"));
    fs::remove_dir_all(&store.root).unwrap();
    assert_eq!(read(&snapshot, "tls/key").unwrap_err(), Error::snapshot_expired("tls/key", 1));
}

#[test]
fn a_snapshot_is_renewed_until_the_timeout_of_the_first_is_over() {
    let mut store = TestStore::new();
    let mut snapshot = store.open().snapshot().unwrap();
    store.publish(&[("db", "second")]);
    store.publish(&[("db", "third")]);
    store.collect_first();
    assert_eq!(read(&snapshot, "db").unwrap_err().code(), Code::SnapshotExpired);
    for _ in 0..MAX_RESTARTS {
        snapshot = snapshot.renewed().unwrap();
        assert_eq!(read(&snapshot, "db").unwrap(), "third");
    }
    assert_eq!(snapshot.renewed().unwrap_err(), Error::changing(&store.root));

    let waiting = Store::open(&Options { timeout_ms: Some(30.0), ..options(&store.root) }).unwrap();
    let began = Instant::now();
    let mut snapshot = waiting.snapshot().unwrap();
    let ended = loop {
        match snapshot.renewed() {
            Ok(next) => snapshot = next,
            Err(error) => break error,
        }
    };
    assert_eq!(ended, Error::changing(&store.root));
    assert!(began.elapsed() >= Duration::from_millis(30));
}

#[test]
fn a_snapshot_is_renewed_in_the_words_of_a_read() {
    let mut store = TestStore::new();
    let snapshot = store.open().snapshot().unwrap();
    store.writer.stop(None).unwrap();
    assert_eq!(snapshot.renewed().unwrap_err(), Error::stopped(&store.root));
    assert_eq!(store.open().renewed().unwrap_err().code(), Code::Internal);
}

#[test]
fn a_warm_read_needs_only_current() {
    let store = TestStore::new();
    let client = store.open();
    assert_eq!(read(&client, "db").unwrap(), "secret");
    store.replace("generations", "");
    assert_eq!(read(&client, "db").unwrap(), "secret");
    let missing = Error::manifest_invalid(1, "generations/1 is missing");
    assert_eq!(read(&client, "tls/key").unwrap_err(), missing);
}

#[test]
fn a_failure_is_not_kept() {
    let mut store = TestStore::nothing();
    let client = store.open();
    assert_eq!(read(&client, "db").unwrap_err().code(), Code::NotReady);
    store.publish(&[("db", "secret")]);
    fs::write(store.at("current/secrets/db"), "").unwrap();
    assert_eq!(read(&client, "db").unwrap_err().code(), Code::SecretCorrupt);
    fs::write(store.at("current/secrets/db"), "secret").unwrap();
    assert_eq!(read(&client, "db").unwrap(), "secret");
}

#[test]
fn locks_that_another_thread_held_at_a_fork_do_not_stop_a_read() {
    let store = TestStore::new();
    let client = store.open();
    assert_eq!(read(&client, "db").unwrap(), "secret");
    let View::Current(known) = &client.view else { panic!("a client follows current") };
    let values = Arc::clone(known.read().unwrap().as_ref().unwrap());
    let _values = values.values.write().unwrap();
    assert_eq!(read(&client, "db").unwrap(), "secret");
    let _known = known.write().unwrap();
    assert_eq!(read(&client, "db").unwrap(), "secret");
}

#[test]
fn a_read_that_must_not_wait_starts_again_a_hundred_times() {
    let mut patience = Patience::new(0);
    assert_eq!((0..200).filter(|_| patience.restart()).count(), 100);
    assert_eq!(Patience::new(0).wait(), None);
}

#[test]
fn debug_shows_no_value() {
    let mut store = TestStore::nothing();
    let canary = format!("canary-{}", std::process::id());
    store.publish(&[("db", &canary)]);
    let client = store.open();
    assert_eq!(read(&client, "db").unwrap(), canary);
    let shown = format!("{client:?} {:?}", client.snapshot());
    assert!(shown.contains("redacted") && !shown.contains(&canary), "{shown}");
}

/// Asks for the names, and returns whether the read paused.
fn names_and_pauses(store: &Store) -> (Result<Vec<String>>, bool) {
    let mut patience = Patience::new(store.timeout_ms);
    let names = store.ask(&mut patience, |generation| Ok(generation.manifest.secrets.keys().cloned().collect()));
    (names, patience.pause != FIRST_PAUSE)
}

fn patient(root: &str) -> Store {
    Store::open(&Options { timeout_ms: Some(999_999_999.0), ..options(root) }).unwrap()
}

#[test]
fn a_removed_store_is_waited_for_once_and_then_reported_at_once() {
    for removed in [".", "current state.json"] {
        let mut store = TestStore::new();
        let client = patient(&store.root);
        assert_eq!(read(&client, "db").unwrap(), "secret");
        let kept = format!("{}-kept", store.root);
        let remove = |store: &TestStore| {
            if removed == "." {
                fs::rename(&store.root, &kept).unwrap();
            } else {
                store.replace(removed, "");
            }
        };
        remove(&store);
        assert_eq!(names_and_pauses(&client), (Err(Error::removed(&store.root)), true), "{removed}");
        for _ in 0..3 {
            assert_eq!(names_and_pauses(&client), (Err(Error::removed(&store.root)), false), "{removed}");
            assert_eq!(read(&client, "db").unwrap_err(), Error::removed(&store.root));
        }
        if removed == "." {
            fs::rename(&kept, &store.root).unwrap();
        }
        store.publish(&[("db", "again")]);
        assert_eq!(read(&client, "db").unwrap(), "again");
        remove(&store);
        assert_eq!(names_and_pauses(&client), (Err(Error::removed(&store.root)), true), "it came back: {removed}");
    }
}

#[test]
fn a_writer_that_starts_after_a_removal_is_waited_for() {
    let store = TestStore::new();
    let client = patient(&store.root);
    let snapshot = client.snapshot().unwrap();
    fs::remove_dir_all(&store.root).unwrap();
    assert_eq!(read(&client, "db").unwrap_err(), Error::removed(&store.root));
    assert_eq!(snapshot.renewed().unwrap_err(), Error::removed(&store.root));
    assert_eq!(read(&snapshot, "db").unwrap_err(), Error::snapshot_expired("db", 1));

    let identity = Identity { name: "test".into(), version: "0".into() };
    let mut writer = Writer::open(&options(&store.root), identity).unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| (names_and_pauses(&client), read(&client, "db")));
        // A read waits for a writer that has written `starting`, however long that takes.
        thread::sleep(Duration::from_millis(50));
        draft(&[("db", "new")]).publish(&mut writer).unwrap();
        let ((names, _), value) = reader.join().unwrap();
        assert_eq!((names.unwrap(), value.unwrap()), (vec!["db".to_owned()], "new".to_owned()));
    });
}

#[test]
fn a_store_that_was_never_seen_was_not_removed() {
    let store = TestStore::nothing();
    let client = store.open();
    assert_eq!(read(&client, "db").unwrap_err(), Error::waited(&store.root, 0, None));
    store.replace("state.json", "");
    assert_eq!(read(&client, "db").unwrap_err(), Error::waited(&store.root, 0, None));
    fs::remove_dir_all(&store.root).unwrap();
    assert_eq!(read(&client, "db").unwrap_err(), Error::not_attached(&store.root));
}

#[test]
fn a_reader_that_waits_sees_at_once_that_the_writer_failed() {
    let store = TestStore::nothing();
    let client = patient(&store.root);
    thread::scope(|scope| {
        let reader = scope.spawn(|| read(&client, "db"));
        thread::sleep(Duration::from_millis(50));
        let failed = r#"{"format": "keystart.state/1", "state": "failed", "message": "it crashed", "failures": {}}"#;
        fs::write(store.at(".state.json"), failed).unwrap();
        fs::rename(store.at(".state.json"), store.at("state.json")).unwrap();
        assert_eq!(
            reader.join().unwrap().unwrap_err(),
            Error::failed_start(Some("it crashed"), &crate::failures::Failures::new())
        );
    });
}

#[test]
fn a_snapshot_cannot_be_refreshed() {
    let store = TestStore::new();
    let snapshot = store.open().snapshot().unwrap();
    assert_eq!(snapshot.refresh::<&str>(&[]).unwrap_err().code(), Code::Internal);
}
