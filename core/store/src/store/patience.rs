//! How long one read may take: its pauses, and how often it starts again (contract 6.2.3 and 6.2.7).

use std::time::{Duration, Instant};

pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(1);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(20); // limits.toml: waiting.longest_pause_ms
/// How long a read waits at most before it reads the state again.
const LONGEST_WAIT: Duration = Duration::from_millis(100); // limits.toml: waiting.longest_wait_ms
/// How long one read waits for a store that was removed (contract 6.2.10).
const REMOVAL_WAIT_MS: u64 = 1_000; // limits.toml: waiting.removed_ms
/// How long a read waits for the invocation that ends the state `deferred` (contract 6.2.3).
const DEFERRED_WAIT_MS: u64 = 500; // limits.toml: waiting.deferred_ms
/// How often a read with the timeout 0 may start again (contract 6.2.7).
pub(super) const MAX_RESTARTS: u32 = 100; // limits.toml: waiting.restarts

/// How long one read may still take.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    start: Instant,
    timeout: Duration,
    pub pause: Duration,
    restarts: u32,
    /// When this read first found that the store was removed.
    removed: Option<Instant>,
}

impl Patience {
    pub fn new(timeout_ms: u64) -> Self {
        let timeout = Duration::from_millis(timeout_ms);
        Self { start: Instant::now(), timeout, pause: FIRST_PAUSE, restarts: 0, removed: None }
    }

    pub fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.start.elapsed())
    }

    /// Returns how long to wait before the next look at the whole store; `None` when there is no time left.
    pub fn wait(&mut self) -> Option<Duration> {
        let left = self.left();
        self.next(left, LONGEST_WAIT)
    }

    /// Returns the same while the store is removed.
    pub fn wait_for_removed(&mut self) -> Option<Duration> {
        let since = *self.removed.get_or_insert_with(Instant::now);
        let left = Duration::from_millis(REMOVAL_WAIT_MS).saturating_sub(since.elapsed()).min(self.left());
        self.next(left, LONGEST_WAIT)
    }

    /// Returns the same while the first invocation may be on its way.
    pub fn wait_for_invocation(&mut self) -> Option<Duration> {
        let left = Duration::from_millis(DEFERRED_WAIT_MS).saturating_sub(self.start.elapsed()).min(self.left());
        self.next(left, LONGEST_WAIT)
    }

    /// Returns the pause before the next look at `current` alone, during a wait.
    pub fn pause_for_current(&self) -> Duration {
        (self.start.elapsed() / 8).clamp(FIRST_PAUSE, LONGEST_PAUSE)
    }

    /// Returns the next pause before the caller asks again; `None` when there is no time left.
    pub fn pause_within(&mut self, left: Duration) -> Option<Duration> {
        self.next(left, LONGEST_PAUSE)
    }

    fn next(&mut self, left: Duration, longest: Duration) -> Option<Duration> {
        let pause = self.pause.min(left);
        self.pause = (self.pause * 2).min(longest);
        (!pause.is_zero()).then_some(pause)
    }

    /// Returns whether the read may start again at once.
    pub fn restart(&mut self) -> bool {
        self.restarts += 1;
        if self.timeout.is_zero() { self.restarts <= MAX_RESTARTS } else { !self.left().is_zero() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(ago: u64) -> Patience {
        Patience {
            start: Instant::now().checked_sub(Duration::from_millis(ago)).unwrap(),
            ..Patience::new(999_999_999)
        }
    }

    #[test]
    fn a_read_looks_at_the_whole_store_after_1_ms_doubling_to_100() {
        let mut patience = begun(0);
        let waits: Vec<_> = (0..9).map(|_| patience.wait().unwrap().as_millis()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 100, 100]);
        let mut patience = begun(0);
        let pauses: Vec<_> = (0..7).map(|_| patience.pause_within(patience.left()).unwrap().as_millis()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 20, 20]);
    }

    #[test]
    fn it_looks_for_current_after_each_eighth_of_its_time() {
        assert_eq!(begun(0).pause_for_current(), FIRST_PAUSE);
        assert_eq!(begun(3_600_000).pause_for_current(), LONGEST_PAUSE);
        let pause = begun(80).pause_for_current();
        assert!(pause >= Duration::from_millis(10) && pause <= LONGEST_PAUSE, "{pause:?}");
    }
}
