//! How long generations stay on the disk (contract 5, step 8).

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::folder::FolderResult;
use crate::publish::Writer;

/// How long a generation stays after it ceased to be current, and a candidate after the last request for it.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(60); // limits.toml: retention.seconds
/// How many generations stay because they were current not long ago.
const MOST_FORMER: usize = 32; // limits.toml: retention.former

/// Why a generation is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    /// It is being written, or could not be.
    Unfinished,
    /// It is published.
    Current,
    /// Another one was published in its place then.
    Former(Instant),
    /// It was made, or asked for again, then.
    Candidate(Instant),
}

impl Writer {
    /// Removes the generations that nobody needs any more. Call it with each event: no other thing
    /// removes a candidate in time.
    pub fn collect(&mut self) -> Result<()> {
        self.collect_past().map_err(|denied| self.refusal(&denied))
    }

    /// Removes them, continues after an error, and returns the first.
    pub(super) fn collect_past(&mut self) -> FolderResult<()> {
        let mut first = Ok(());
        for number in self.past(Instant::now()) {
            first = first.and(self.collect_one(number));
        }
        first
    }

    /// Removes what a publish that found the disk full has written, and the former generations except
    /// the one before. Returns whether there were any, and all that is gone.
    pub(super) fn make_room(&mut self, number: u64) -> bool {
        let is_former = |usage: Usage| matches!(usage, Usage::Former(_));
        let former = self.written.iter().rev().filter(|(_, written)| is_former(written.usage)).skip(1);
        let former: Vec<u64> = former.map(|(number, _)| *number).collect();
        !former.is_empty()
            && self.discard(number).is_ok()
            && former.into_iter().all(|number| self.collect_one(number).is_ok())
    }

    /// Returns the generations that nobody needs any more.
    fn past(&self, now: Instant) -> Vec<u64> {
        let is_young = |since: Instant| now.saturating_duration_since(since) < self.kept_for;
        let mut former = 0;
        let mut is_past = |usage: Usage| match usage {
            Usage::Unfinished => true,
            Usage::Current => false,
            Usage::Former(since) => {
                former += 1;
                // The one before always stays.
                former > 1 && (former > MOST_FORMER || !is_young(since))
            }
            Usage::Candidate(asked) => !is_young(asked),
        };
        self.written.iter().rev().filter(|(_, written)| is_past(written.usage)).map(|(number, _)| *number).collect()
    }

    pub(super) fn set_usage(&mut self, number: u64, usage: Usage) {
        self.written.entry(number).and_modify(|written| written.usage = usage);
    }
}
