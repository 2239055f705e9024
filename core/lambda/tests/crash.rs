//! A process that crashes, as its parent and the readers of its store see it.

#![expect(clippy::unwrap_used, reason = "the functions beside the tests belong to them")]

use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::{env, fs, thread};

use keystart_lambda::extension::Extension;
use keystart_lambda::runtime;

const CHILD: &str = "KEYSTART_TEST_CHILD";

fn deeper(level: u64) -> u64 {
    if level == u64::MAX {
        return level;
    }
    black_box(deeper(black_box(level + 1))) + 1
}

fn begin() -> Extension {
    assert_ne!(keystart_process::prepare(), 0);
    let extension = Extension::begin("crash");
    assert!(extension.writer().is_some());
    extension
}

/// Runs the test again in a separate process. Returns how it ended, and its state.json.
fn crashed(test: &str) -> (Output, String) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let mut again = Command::new(env::current_exe().unwrap());
    again.args(["--exact", test, "--nocapture"]).env(CHILD, "1").env("KEYSTART_DIR", &root);
    let ended = again.env_remove("KEYSTART_CONFIG").env_remove("KEYSTART_SECRETS").output().unwrap();
    (ended, fs::read_to_string(root.join("state.json")).unwrap())
}

fn assert_reported(ended: &Output, state: &str, signal: i32, name: &str) {
    assert_eq!(ended.status.signal(), Some(signal));
    let message = format!("The extension crashed ({name}); its secrets are removed. Please report it.");
    assert!(state.contains("\"state\": \"failed\", \"generation\": 0"), "{state}");
    assert!(state.contains(&format!("\"message\": \"{message}\"")), "{state}");
    let log = String::from_utf8_lossy(&ended.stderr);
    assert!(log.contains(&format!("[keystart] ERROR {message}")), "{log}");
}

#[test]
fn a_thread_of_the_core_that_uses_up_its_stack_is_reported_to_readers() {
    if env::var_os(CHILD).is_some() {
        let _extension = begin();
        drop(runtime::handle().unwrap().spawn(async { deeper(0) }));
        thread::park();
        unreachable!("the stack has no end");
    }
    let (ended, state) = crashed("a_thread_of_the_core_that_uses_up_its_stack_is_reported_to_readers");
    assert_reported(&ended, &state, libc::SIGSEGV, "SIGSEGV");
}

#[test]
fn a_process_that_aborts_is_reported_to_readers() {
    if env::var_os(CHILD).is_some() {
        let _extension = begin();
        std::process::abort();
    }
    let (ended, state) = crashed("a_process_that_aborts_is_reported_to_readers");
    assert_reported(&ended, &state, libc::SIGABRT, "SIGABRT");
}

#[test]
fn a_writer_that_has_ended_is_not_reported() {
    if env::var_os(CHILD).is_some() {
        drop(begin()); // and with it the lock: from now on the store may belong to another writer
        std::process::abort();
    }
    let (ended, state) = crashed("a_writer_that_has_ended_is_not_reported");
    assert_eq!(ended.status.signal(), Some(libc::SIGABRT));
    assert!(state.contains("\"state\": \"starting\""), "{state}");
}
