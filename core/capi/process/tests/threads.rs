//! Threads that come and go. It is a process by itself, because it prepares it.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "the functions beside the tests belong to them")]

use std::fs;
use std::sync::mpsc::channel;
use std::thread::yield_now;

use keystart_process::{prepare, start_thread};

const THREADS: usize = 200;

fn count_threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// Returns the address space of this process, in KiB.
fn address_space() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Runs a thread until it is gone, after its stack for crashes was set up.
fn run_one(before: usize) {
    let (done, end) = channel();
    start_thread("test", move || done.send(()).unwrap()).unwrap();
    end.recv().unwrap();
    while count_threads() > before {
        yield_now();
    }
}

#[test]
fn a_thread_that_ends_takes_its_stack_for_crashes_along() {
    prepare();
    let threads = count_threads();
    run_one(threads); // the system keeps the stack of a thread for the next one
    let before = address_space();
    for _ in 0..THREADS {
        run_one(threads);
    }
    let grown = address_space().saturating_sub(before);
    assert!(grown < THREADS * 64 / 4, "{THREADS} threads left {grown} KiB, and each has a stack of 64 KiB");
}
