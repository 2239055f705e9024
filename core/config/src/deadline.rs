//! Reads a deadline, which several keys are.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::document::Node;
use crate::plan;
use crate::problem::Problems;
use crate::typed::{SHORT, duration};

/// An Init may take 10 s on demand, and 15 min with provisioned concurrency.
const DEADLINES: RangeInclusive<u64> = 100..=15 * 60_000;

/// Reads a deadline; `key` is its key.
pub(crate) fn deadline(node: &Node, key: &str, problems: &mut Problems) -> Option<Duration> {
    let milliseconds = duration(node, &format!("\"{key}\""), &SHORT, problems)?;
    let deadline = Duration::from_millis(milliseconds);
    if !DEADLINES.contains(&milliseconds) {
        let what = format!("\"{key}\" must be from 100ms to 15m, found {}.", plan::duration(deadline));
        problems.add(what, node.position());
    }
    Some(deadline)
}
