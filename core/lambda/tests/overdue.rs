//! A fetch that cannot end at its deadline, because it does not return from the core's one thread.

#![expect(clippy::unwrap_used, reason = "the functions beside the tests belong to them")]

use std::fs;
use std::path::Path;
use std::thread;

use keystart_config::{Entry, EntrySchema, Key, Keyword, Plan, Reader, Reference, Values};
use keystart_lambda::events::{Event, Events, Waited};
use keystart_lambda::fetch_task::FetchTask;
use keystart_lambda::runtime;
use keystart_providers::{Answer, Aws, Prefetch, Provider, Refusal, Reply};

static PROVIDERS: &[&dyn Provider] = &[&Blocker];
static KEYWORDS: [Keyword; 1] = [Keyword { name: "block", is_folder: false, parse, write, is_pinned: |_| false }];
static KEYS: [Key; 0] = [];

/// A provider without any secret. Its answer to `forever` never returns from the thread.
struct Blocker;

impl EntrySchema for Blocker {
    fn keywords(&self) -> &'static [Keyword] {
        &KEYWORDS
    }

    fn short<'a>(&self, text: &'a str) -> Option<(&'static Keyword, &'a str)> {
        Some((&KEYWORDS[0], text))
    }

    fn keys(&self) -> &'static [Key] {
        &KEYS
    }

    fn owner(&self) -> &'static str {
        "a blocker"
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the type of a keyword's function")]
fn parse(text: &str) -> Result<Reference, String> {
    Ok(Reference { id: text.to_owned(), ..Reference::default() })
}

fn write(reference: &Reference) -> String {
    reference.id.clone()
}

impl Provider for Blocker {
    fn name(&self) -> &'static str {
        "blocker"
    }

    fn action(&self, entries: &[Entry]) -> String {
        format!("blocking for {}", entries[0].id)
    }

    fn send<'a>(&'a self, entries: &'a [Entry], _: Option<&'a str>, _: &'a Aws) -> Reply<'a> {
        Box::pin(async move {
            if entries[0].id != "forever" {
                return Ok(Answer::default());
            }
            // The thread has nothing else to do, so it handles the other answers first.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            loop {
                thread::park();
            }
        })
    }

    fn missing(&self, _: &Entry) -> Refusal {
        Refusal::new("NotFound", "There is no such secret.")
    }
}

fn plan() -> Plan {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keystart.yaml");
    let entries = "  held: {block: forever, optional: true}\n  gone: {block: never, optional: true}\n";
    fs::write(&file, format!("version: 1\ndeadline: 100ms\nsecrets:\n{entries}")).unwrap();
    Reader { schemas: &[&Blocker], values: Values::Process }.file(Path::new(&file), None).unwrap()
}

/// The only test of this process: the core starts no work after it.
#[test]
fn a_fetch_that_holds_up_the_thread_is_given_up_and_its_entry_counts_as_required() {
    let (events, fetch) = (Events::new(), FetchTask::of(Prefetch::with_providers(plan().into(), None, PROVIDERS)));
    fetch.start(&events).unwrap();

    // Nothing on the thread can end the fetch any more, so the waiting side has ended it.
    assert_eq!(fetch.next_event(&events).unwrap(), Waited::Done(Event::Fetched));

    let failures = &fetch.result().unwrap().failures;
    let seen: Vec<_> = failures.iter().map(|(name, why)| (name.as_str(), why.code.as_str(), why.optional)).collect();
    assert_eq!(seen, [("held", "DeadlineExceeded", false), ("gone", "NotFound", true)]);
    let refusal = runtime::handle().unwrap_err();
    assert!(refusal.message().contains("an answer without an end holds up the thread of the core"), "{refusal:?}");
    assert_eq!(runtime::alone(async { "reported" }).unwrap(), "reported");
}
