//! A provider whose answer may never return from the thread that asks for it.

#![expect(clippy::unwrap_used, reason = "the functions beside the tests belong to them")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use keystart_config::{Entry, EntrySchema, Key, Keyword, Plan, Reader, Reference, Values};
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

/// Prepares a fetch whose first entry blocks, and whose second does not exist.
pub fn prefetch() -> Arc<Prefetch> {
    Prefetch::with_providers(plan().into(), None, PROVIDERS)
}
