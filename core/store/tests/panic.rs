//! A panic in a separate process, and what the library prints of it.

use std::env;
use std::panic::set_hook;
use std::process::Command;

const CANARY: &str = "KEYSTART_TEST_CANARY";

#[test]
fn a_panic_reports_its_place_and_not_what_it_was_about() {
    if let Ok(value) = env::var(CANARY) {
        set_hook(Box::new(keystart_store::log::write_panic));
        panic!("{value}");
    }
    let canary = format!("canary-{}", std::process::id());
    let mut again = Command::new(env::current_exe().unwrap());
    again.args(["--exact", "a_panic_reports_its_place_and_not_what_it_was_about", "--nocapture"]);
    let seen = again.env(CANARY, &canary).output().unwrap();
    let said = String::from_utf8(seen.stderr).unwrap() + &String::from_utf8(seen.stdout).unwrap();
    assert!(!seen.status.success());
    assert!(said.contains("[keystart] ERROR a bug of Keystart at core/store/tests/panic.rs:"), "{said}");
    assert!(!said.contains(&canary));
}
