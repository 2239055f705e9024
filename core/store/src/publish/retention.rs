//! How long generations stay on the disk (contract 5, step 8).

use std::time::{Duration, Instant, SystemTime};

use crate::errors::Result;
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
    Former(Moment),
    /// It was made, or asked for again, then.
    Candidate(Moment),
}

/// A moment by two clocks. A freeze may stop the monotonic one, and the other may be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(Instant, SystemTime);

impl Moment {
    pub fn now() -> Self {
        Self(Instant::now(), SystemTime::now())
    }

    /// Returns how long ago it was, by the clock that went further.
    fn elapsed(self) -> Duration {
        self.0.elapsed().max(self.1.elapsed().unwrap_or_default())
    }
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
        for number in self.past() {
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
    fn past(&self) -> Vec<u64> {
        self.left().filter(|(_, left)| left.is_zero()).map(|(number, _)| number).collect()
    }

    /// Returns how long it takes until `collect` has something to remove; `None` if it never has.
    pub fn next_collection(&self) -> Option<Duration> {
        self.left().map(|(_, left)| left).min()
    }

    /// Returns how long each generation still stays that does not stay without end, the newest first.
    fn left(&self) -> impl Iterator<Item = (u64, Duration)> {
        let mut former = 0;
        self.written.iter().rev().filter_map(move |(number, written)| {
            let left = |since: Moment| self.kept_for.saturating_sub(since.elapsed());
            let left = match written.usage {
                Usage::Unfinished => Duration::ZERO,
                Usage::Current => return None,
                Usage::Former(since) => {
                    former += 1;
                    match former {
                        1 => return None, // the one before always stays
                        2..=MOST_FORMER => left(since),
                        _ => Duration::ZERO,
                    }
                }
                Usage::Candidate(asked) => left(asked),
            };
            Some((*number, left))
        })
    }

    pub(super) fn set_usage(&mut self, number: u64, usage: Usage) {
        self.written.entry(number).and_modify(|written| written.usage = usage);
    }
}
