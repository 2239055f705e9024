use std::panic::resume_unwind;
use std::ptr::{null, null_mut};

use super::*;

const ENTRY: &[u8] = br#"{"encoding": "utf-8", "fetched_at": "2026-11-23T09:20:00.123Z", "refresh_after": null,
    "source": {"provider": "test", "id": "x"}}"#;

/// Calls a function with a place for its error, and returns the number and the message.
fn call(function: impl FnOnce(*mut *mut keystart_error) -> u32) -> (u32, String) {
    let mut err = null_mut();
    let number = function(&raw mut err);
    if number == 0 {
        assert!(err.is_null());
        return (0, String::new());
    }
    let error = unsafe { err.as_ref() }.unwrap();
    assert_eq!(error.code, number);
    let text = |data, len| String::from_utf8(unsafe { std::slice::from_raw_parts(data, len) }.to_vec()).unwrap();
    assert!(!text(error.code_name, error.code_name_len).is_empty());
    let message = text(error.message, error.message_len);
    assert_eq!(error.secret.is_null(), !(301..=308).contains(&number));
    unsafe { keystart_error_free(err) };
    (number, message)
}

fn ok(function: impl FnOnce(*mut *mut keystart_error) -> u32) {
    assert_eq!(call(function), (0, String::new()));
}

/// Takes the bytes, checks that freeing them twice is harmless, and returns a copy.
fn taken(mut bytes: keystart_bytes) -> Vec<u8> {
    assert!(!bytes.data.is_null());
    let copy = unsafe { std::slice::from_raw_parts(bytes.data, bytes.len) }.to_vec();
    unsafe { keystart_bytes_free(&raw mut bytes) };
    assert!(bytes.data.is_null() && bytes.len == 0);
    unsafe { keystart_bytes_free(&raw mut bytes) };
    copy
}

fn no_bytes() -> keystart_bytes {
    keystart_bytes { data: null_mut(), len: 0 }
}

fn open_store(root: &[u8], timeout_ms: f64) -> *mut keystart_store {
    let mut store = null_mut();
    ok(|err| unsafe {
        let (data, len) = (root.as_ptr(), root.len());
        keystart_store_open(data, len, null(), 0, &raw const timeout_ms, null(), 0, &raw mut store, err)
    });
    store
}

fn open_writer(root: &[u8]) -> *mut keystart_writer {
    let mut writer = null_mut();
    let (name, version) = (b"test", b"0");
    ok(|err| unsafe {
        let (data, len) = (root.as_ptr(), root.len());
        keystart_writer_open(data, len, null(), 0, name.as_ptr(), 4, version.as_ptr(), 1, 0, &raw mut writer, err)
    });
    writer
}

#[test]
fn what_was_published_through_the_abi_is_read_through_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store").to_str().unwrap().as_bytes().to_vec();
    let (db, empty, value) = (b"db", b"tls/key", b"{}\n");
    let writer = open_writer(&root);
    let mut draft = null_mut();
    ok(|err| unsafe { keystart_draft_new(&raw mut draft, err) });
    let add = |name: &[u8], value: &[u8]| {
        ok(|err| unsafe {
            let (entry, len) = (ENTRY.as_ptr(), ENTRY.len());
            keystart_draft_add(draft, name.as_ptr(), name.len(), value.as_ptr(), value.len(), entry, len, err)
        });
    };
    add(db, value);
    add(empty, b"");
    ok(|err| unsafe { keystart_draft_mark(draft, b"x".as_ptr(), 1, b"Code".as_ptr(), 4, b"why".as_ptr(), 3, err) });
    let mut generation = 0;
    ok(|err| unsafe { keystart_draft_publish(draft, writer, &raw mut generation, err) });
    assert_eq!(generation, 1);

    let client = open_store(&root, 0.0);
    let mut snapshot = null_mut();
    ok(|err| unsafe { keystart_store_snapshot(client, &raw mut snapshot, err) });
    unsafe { keystart_store_free(client) };
    let (first, mut renewed) = (snapshot, null_mut());
    ok(|err| unsafe { keystart_snapshot_renew(first, &raw mut renewed, err) });
    unsafe { keystart_store_free(first) };
    let snapshot = renewed;
    let mut out = no_bytes();
    for form in 0..=2 {
        ok(|err| unsafe { keystart_secret_read(snapshot, db.as_ptr(), 2, form, &raw mut out, err) });
        assert_eq!(taken(std::mem::replace(&mut out, no_bytes())), value);
    }
    ok(|err| unsafe { keystart_secret_read(snapshot, empty.as_ptr(), 7, 1, &raw mut out, err) });
    assert_eq!(taken(std::mem::replace(&mut out, no_bytes())), b"");
    ok(|err| unsafe { keystart_secret_path(snapshot, db.as_ptr(), 2, &raw mut out, err) });
    assert!(taken(std::mem::replace(&mut out, no_bytes())).ends_with(b"/store/generations/1/secrets/db"));
    ok(|err| unsafe { keystart_secret_info(snapshot, db.as_ptr(), 2, &raw mut out, err) });
    assert!(taken(std::mem::replace(&mut out, no_bytes())).starts_with(b"{\"path\": \"secrets/db\""));
    ok(|err| unsafe { keystart_names_list(snapshot, null(), 0, &raw mut out, err) });
    assert_eq!(taken(std::mem::replace(&mut out, no_bytes())), b"db\ntls/key");
    ok(|err| unsafe { keystart_names_list(snapshot, b"none".as_ptr(), 4, &raw mut out, err) });
    assert_eq!(taken(std::mem::replace(&mut out, no_bytes())), b"");
    ok(|err| unsafe { keystart_writer_root(writer, &raw mut out, err) });
    assert_eq!(taken(std::mem::replace(&mut out, no_bytes())), root);

    let (number, message) =
        call(|err| unsafe { keystart_secret_read(snapshot, b"dc".as_ptr(), 2, 0, &raw mut out, err) });
    assert_eq!(number, 301);
    assert!(message.starts_with("There is no secret \"dc\""), "{message}");
    assert!(out.data.is_null(), "an output is written only on success");
    assert_eq!(call(|err| unsafe { keystart_secret_read(snapshot, db.as_ptr(), 2, 3, &raw mut out, err) }).0, 901);

    ok(|err| unsafe { keystart_writer_stop(writer, null(), 0, err) });
    assert_eq!(call(|err| unsafe { keystart_draft_publish(draft, writer, &raw mut generation, err) }).0, 502);
    unsafe {
        keystart_store_free(snapshot);
        keystart_draft_free(draft);
        keystart_writer_free(writer);
    }
}

#[test]
fn a_writer_that_fails_is_heard_by_readers() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store").to_str().unwrap().as_bytes().to_vec();
    let writer = open_writer(&root);
    ok(|err| unsafe { keystart_writer_fail(writer, b"no".as_ptr(), 2, err) });
    let store = open_store(&root, 0.0);
    let mut out = no_bytes();
    let (number, message) = call(|err| unsafe { keystart_names_list(store, null(), 0, &raw mut out, err) });
    assert_eq!(number, 203);
    assert_eq!(message, "The extension could not publish the secrets: no");
    unsafe {
        keystart_store_free(store);
        keystart_writer_free(writer);
    }
}

#[test]
fn a_pointer_that_must_not_be_null_is_reported() {
    let store = open_store(b"/nonexistent", 0.0);
    let mut draft = null_mut();
    ok(|err| unsafe { keystart_draft_new(&raw mut draft, err) });
    let folder = tempfile::tempdir().unwrap();
    let writer = open_writer(folder.path().join("store").to_str().unwrap().as_bytes());
    let (mut out, mut handle, mut other, mut number) = (no_bytes(), null_mut(), null_mut(), 0);
    let x = b"x".as_ptr();
    let answers = unsafe {
        [
            call(|err| keystart_version_read(null_mut(), err)),
            call(|err| keystart_store_open(null(), 0, null(), 0, null(), null(), 0, null_mut(), err)),
            call(|err| keystart_store_snapshot(null(), &raw mut handle, err)),
            call(|err| keystart_store_snapshot(store, null_mut(), err)),
            call(|err| keystart_snapshot_renew(null(), &raw mut handle, err)),
            call(|err| keystart_snapshot_renew(store, null_mut(), err)),
            call(|err| keystart_secret_read(null(), x, 1, 0, &raw mut out, err)),
            call(|err| keystart_secret_read(store, x, 1, 0, null_mut(), err)),
            call(|err| keystart_secret_path(null(), x, 1, &raw mut out, err)),
            call(|err| keystart_secret_info(store, x, 1, null_mut(), err)),
            call(|err| keystart_names_list(null(), null(), 0, &raw mut out, err)),
            call(|err| keystart_names_list(store, null(), 0, null_mut(), err)),
            call(|err| keystart_store_refresh(null(), null(), 0, &raw mut out, err)),
            call(|err| keystart_store_refresh(store, null(), 0, null_mut(), err)),
            call(|err| keystart_store_report_restore(null(), err)),
            call(|err| keystart_writer_open(null(), 0, null(), 0, x, 1, x, 1, 0, null_mut(), err)),
            call(|err| keystart_writer_open(null(), 0, null(), 0, null(), 0, x, 1, 0, &raw mut other, err)),
            call(|err| keystart_writer_root(null(), &raw mut out, err)),
            call(|err| keystart_writer_fail(null(), x, 1, err)),
            call(|err| keystart_writer_fail(writer, null(), 0, err)),
            call(|err| keystart_writer_stop(null(), null(), 0, err)),
            call(|err| keystart_draft_new(null_mut(), err)),
            call(|err| keystart_draft_add(null(), x, 1, x, 1, x, 1, err)),
            call(|err| keystart_draft_add(draft, x, 1, null(), 0, x, 1, err)),
            call(|err| keystart_draft_add(draft, x, 1, x, 1, null(), 0, err)),
            call(|err| keystart_draft_mark(null(), x, 1, x, 1, x, 1, err)),
            call(|err| keystart_draft_mark(draft, x, 1, null(), 1, x, 1, err)),
            call(|err| keystart_draft_publish(null(), writer, &raw mut number, err)),
            call(|err| keystart_draft_publish(draft, null(), &raw mut number, err)),
            call(|err| keystart_draft_publish(draft, writer, null_mut(), err)),
        ]
    };
    for (number, message) in answers {
        assert_eq!(number, 901);
        assert!(message.contains(" is NULL. Please report it."), "{message}");
    }
    unsafe {
        keystart_store_free(store);
        keystart_draft_free(draft);
        keystart_writer_free(writer);
        keystart_store_free(null_mut());
        keystart_draft_free(null_mut());
        keystart_writer_free(null_mut());
        keystart_error_free(null_mut());
        keystart_bytes_free(null_mut());
    }
}

#[test]
fn null_as_a_name_is_a_caller_that_passed_no_string() {
    let (number, message) = call(|err| unsafe { keystart_name_check(null(), 0, err) });
    assert_eq!((number, message.as_str()), (101, "The name of a secret must be a string."));
    let store = open_store(b"/nonexistent", 0.0);
    let mut out = no_bytes();
    let (number, message) = call(|err| unsafe { keystart_secret_read(store, null(), 0, 0, &raw mut out, err) });
    assert_eq!((number, message.as_str()), (101, "The name of a secret must be a string."));
    unsafe { keystart_store_free(store) };
}

#[test]
fn names_and_options_are_checked() {
    ok(|err| unsafe { keystart_name_check(b"db".as_ptr(), 2, err) });
    assert_eq!(call(|err| unsafe { keystart_name_check(b"\xff".as_ptr(), 1, err) }).0, 101);
    assert_eq!(call(|err| unsafe { keystart_name_check(b"".as_ptr(), 0, err) }).0, 101);
    assert_eq!(call(|err| unsafe { keystart_name_check(b"x".as_ptr(), usize::MAX, err) }).0, 901);
    let mut store = null_mut();
    let open = |root: &[u8], timeout: f64, store| {
        call(|err| unsafe {
            let (data, len) = (root.as_ptr(), root.len());
            keystart_store_open(data, len, null(), 0, &raw const timeout, null(), 0, store, err)
        })
    };
    assert_eq!(open(b"", 0.0, &raw mut store).0, 102);
    assert_eq!(open(b"\0", 0.0, &raw mut store).0, 102);
    assert_eq!(open(b"/x", f64::NAN, &raw mut store).0, 102);
    assert!(store.is_null());
}

#[test]
fn the_number_alone_may_be_wanted() {
    assert_eq!(unsafe { keystart_name_check(b".".as_ptr(), 1, null_mut()) }, 101);
    assert_eq!(unsafe { keystart_version_read(null_mut(), null_mut()) }, 901);
}

#[test]
fn the_version_is_that_of_the_package() {
    let mut out = no_bytes();
    ok(|err| unsafe { keystart_version_read(&raw mut out, err) });
    assert_eq!(taken(out), ::keystart_store::VERSION.as_bytes());
}

#[test]
fn a_panic_becomes_an_error_and_reports_only_what_we_wrote() {
    let literal = call(|err| unsafe { guard(err, || resume_unwind(Box::new("an index was wrong"))) });
    let formatted = call(|err| unsafe { guard(err, || resume_unwind(Box::new(String::from("a value")))) });
    let text = |what| format!("Keystart failed in a way it should not: {what}. Please report it.");
    assert_eq!(literal, (901, text("an index was wrong")));
    assert_eq!(formatted, (901, text("it panicked")));
}

#[test]
fn an_attempt_takes_its_steps_and_refuses_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store").to_str().unwrap().as_bytes().to_vec();
    let store = open_store(&root, 0.0);
    let budget = f64::NAN;
    let mut attempt = null_mut();
    let open = |name: *const u8, budget: *const f64, out: *mut *mut keystart_attempt| {
        call(|err| unsafe { keystart_attempt_open(store, name, 2, budget, out, err) }).0
    };
    assert_eq!(open(null(), null(), &raw mut attempt), 101);
    assert_eq!(open(b"db".as_ptr(), &raw const budget, &raw mut attempt), 102);
    assert_eq!(open(b"db".as_ptr(), null(), null_mut()), 901);
    assert_eq!(open(b"db".as_ptr(), null(), &raw mut attempt), 0);

    let mut step = std::mem::MaybeUninit::uninit();
    let mut is_counted = 7;
    let next = call(|err| unsafe { keystart_attempt_next(attempt, store, step.as_mut_ptr(), err) });
    assert_eq!(next.0, 201);
    assert_eq!(call(|err| unsafe { keystart_attempt_next(null(), store, step.as_mut_ptr(), err) }).0, 901);
    let report = |outcome: u32, is_counted: *mut u32| {
        call(|err| unsafe { keystart_attempt_report(attempt, store, outcome, is_counted, err) })
    };
    assert!(report(4, &raw mut is_counted).1.contains("outcome is not 0, 1, 2 or 3"));
    assert!(report(0, &raw mut is_counted).1.contains("no login is to be reported"));
    assert_eq!(report(0, null_mut()).0, 901);
    assert_eq!(is_counted, 7);
    unsafe {
        keystart_attempt_free(attempt);
        keystart_attempt_free(null_mut());
        keystart_store_free(store);
    }
}
