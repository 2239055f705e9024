//! What a fetch retries and why: for the log, and for entries without a value at the deadline.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::Mutex;

use crate::Entry;
use crate::refusal::Refusal;
use keystart_process::lock;
use keystart_store::Failure;

/// The retries of one fetch so far.
#[derive(Default)]
pub(crate) struct Retries {
    lines: Mutex<Vec<String>>,
    /// The last refusal of each entry that is retried, by name.
    refusals: Mutex<BTreeMap<String, Failure>>,
    /// How often each entry was retried, by name.
    counts: Mutex<BTreeMap<String, u64>>,
}

impl Retries {
    /// Notes why an entry is retried.
    pub fn note(&self, entry: &Entry, refusal: Option<&Refusal>, then: &str) {
        let code = refusal.map_or("not answered", |refusal| &refusal.code);
        lock(&self.lines).push(format!("{}: {code}; {then}", entry.name));
        *lock(&self.counts).entry(entry.name.clone()).or_default() += 1;
        if let Some(refusal) = refusal {
            lock(&self.refusals).insert(entry.name.clone(), refusal.to_failure());
        }
    }

    /// Returns how often an entry was retried, and its last refusal.
    pub fn of(&self, name: &str) -> (u64, Option<Failure>) {
        let count = lock(&self.counts).get(name).copied().unwrap_or_default();
        (count, lock(&self.refusals).get(name).cloned())
    }

    /// Takes a log line for each retry.
    pub fn take_lines(&self) -> Vec<String> {
        take(&mut *lock(&self.lines))
    }

    /// Takes the last refusals, by the name of their entry.
    pub fn take_refusals(&self) -> BTreeMap<String, Failure> {
        take(&mut *lock(&self.refusals))
    }
}
