//! A refresh that cannot end at its deadline. Unlike the first fetch, it must not end the process.

mod blocker;

use std::time::{Duration, Instant};

use keystart_lambda::events::{Event, Events};
use keystart_lambda::fetch_task::FetchTask;
use keystart_lambda::runtime;

const PATIENCE: Duration = Duration::from_secs(20);

/// The only test of this process: the core begins no refresh after it.
#[test]
fn a_refresh_that_holds_up_its_thread_fails_and_the_core_continues() {
    let (events, first) = (Events::new(), FetchTask::of(blocker::prefetch()));
    let refresh = first.part(7, &[0], None, Duration::from_millis(100));
    refresh.start_apart(&events).unwrap();

    // Clients ask all the time, so there always is another event.
    let began = Instant::now();
    while refresh.result().is_err() && began.elapsed() < PATIENCE {
        events.push(Event::Asked(1));
        refresh.next_event(&events).unwrap();
    }

    let failures = &refresh.result().unwrap().failures;
    let seen: Vec<_> = failures.iter().map(|(name, why)| (name.as_str(), why.code.as_str(), why.optional)).collect();
    assert_eq!(seen, [("held", "DeadlineExceeded", true)], "nothing about it makes an optional entry required");
    let handle = runtime::handle().unwrap();
    assert_eq!(handle.block_on(handle.spawn(async { "next" })).unwrap(), "next");

    // The thread is left behind, and another one would be too.
    let again = first.part(8, &[1], None, Duration::from_millis(100));
    let refusal = again.start_apart(&events).unwrap_err();
    assert!(refusal.message().contains("an answer without an end holds up an earlier refresh"), "{refusal:?}");
    assert_eq!(again.result().unwrap().failures[0].0, "gone");
}
