//! How long one read may take: its pauses, and how often it starts again (contract 6.2.3 and 6.2.7).

use std::time::{Duration, Instant};

pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20); // limits.toml: waiting.longest_pause_ms
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

    /// Returns the next pause; `None` when there is no time left.
    pub fn pause(&mut self) -> Option<Duration> {
        let left = self.left();
        self.pause_within(left)
    }

    /// Returns the next pause while the store is removed; `None` when there is no time left.
    pub fn pause_for_removed(&mut self) -> Option<Duration> {
        let since = *self.removed.get_or_insert_with(Instant::now);
        let left = Duration::from_millis(REMOVAL_WAIT_MS).saturating_sub(since.elapsed()).min(self.left());
        self.pause_within(left)
    }

    /// Returns how long to wait for the first invocation; `None` when it is not on its way.
    pub fn pause_for_invocation(&mut self) -> Option<Duration> {
        let left = Duration::from_millis(DEFERRED_WAIT_MS).saturating_sub(self.start.elapsed()).min(self.left());
        self.pause_within(left)
    }

    pub fn pause_within(&mut self, left: Duration) -> Option<Duration> {
        let pause = self.pause.min(left);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        (!pause.is_zero()).then_some(pause)
    }

    /// Returns whether the read may start again at once.
    pub fn restart(&mut self) -> bool {
        self.restarts += 1;
        if self.timeout.is_zero() { self.restarts <= MAX_RESTARTS } else { !self.left().is_zero() }
    }
}
