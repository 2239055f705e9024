//! A fetch that cannot end at its deadline, because it does not return from the core's one thread.

mod blocker;

use keystart_lambda::events::{Event, Events, WaitResult};
use keystart_lambda::fetch_task::FetchTask;
use keystart_lambda::runtime;

/// The only test of this process: the core starts no work after it.
#[test]
fn a_fetch_that_holds_up_the_thread_is_given_up_and_its_entry_counts_as_required() {
    let (events, fetch) = (Events::new(), FetchTask::of(blocker::prefetch()));
    fetch.start(&events).unwrap();

    // Nothing on the thread can end the fetch any more, so the waiting side has ended it.
    assert_eq!(fetch.next_event(&events).unwrap(), WaitResult::Done(Event::Fetched(0)));

    let failures = &fetch.result().unwrap().failures;
    let seen: Vec<_> = failures.iter().map(|(name, why)| (name.as_str(), why.code.as_str(), why.optional)).collect();
    assert_eq!(seen, [("held", "DeadlineExceeded", false), ("gone", "NotFound", true)]);
    let refusal = runtime::handle().unwrap_err();
    assert!(refusal.message().contains("an answer without an end holds up the thread of the core"), "{refusal:?}");
    assert_eq!(runtime::alone(async { "reported" }).unwrap(), "reported");
}
