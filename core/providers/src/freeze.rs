//! Finds out that the environment was frozen while a fetch was in flight.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// How often a fetch in flight looks at the clocks.
pub(crate) const TICK: Duration = Duration::from_millis(250);
/// A pause between two looks that is so much longer than a tick was a freeze.
const LEAST: Duration = Duration::from_secs(1);

/// The time of the last look, on both clocks: a freeze may stop the monotonic one.
pub(crate) struct Clocks {
    monotonic: Instant,
    wall: SystemTime,
}

impl Clocks {
    pub fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// Returns for how long the monotonic clock ran in a freeze since the last look; `None` if there was no freeze.
    pub fn look(&mut self) -> Option<Duration> {
        let before = std::mem::replace(self, Self::now());
        frozen(self.monotonic - before.monotonic, self.wall.duration_since(before.wall).unwrap_or_default())
    }
}

fn frozen(monotonic: Duration, wall: Duration) -> Option<Duration> {
    let longest = monotonic.max(wall).saturating_sub(TICK);
    (longest > LEAST).then(|| monotonic.saturating_sub(TICK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_pause_on_either_clock_is_a_freeze() {
        let ms = Duration::from_millis;
        for (monotonic, wall, expected) in [
            (250, 250, None),
            (1_200, 1_200, None),
            (0, 0, None),
            (3_600_250, 3_600_250, Some(3_600_000)),
            (250, 3_600_250, Some(0)),
            (3_250, 0, Some(3_000)),
        ] {
            assert_eq!(frozen(ms(monotonic), ms(wall)), expected.map(ms), "{monotonic} {wall}");
        }
    }
}
