//! Reads how fresh secrets stay: `ttl`, `max_stale` and `refresh_deadline`, and `ttl: none` at an entry.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::deadline::deadline;
use crate::document::Mapping;
use crate::plan::{Plan, span};
use crate::problem::Problems;
use crate::typed::{LONG, duration, found, is_none};

pub(crate) const KEYS: [&str; 3] = ["ttl", "max_stale", "refresh_deadline"];
const SECOND: u64 = 1000;
const HOUR: u64 = 3600 * SECOND;
const TTLS: RangeInclusive<u64> = 10 * SECOND..=24 * HOUR;
/// The ttl that `max_stale` sets is a tenth of it, and at least the shortest one.
const PART: u64 = 10;
const MAX_STALES: RangeInclusive<u64> = 20 * SECOND..=24 * HOUR * PART;

/// Reads the keys at the top of a configuration into a plan.
pub(crate) fn read(root: &Mapping, plan: &mut Plan, problems: &mut Problems) {
    let reported = problems.count();
    plan.ttl = time(root, "ttl", &TTLS, problems);
    plan.max_stale = time(root, "max_stale", &MAX_STALES, problems);
    if let Some(limit) = root.get("refresh_deadline").and_then(|node| deadline(node, "refresh_deadline", problems)) {
        plan.refresh_deadline = limit;
    }
    if problems.count() == reported {
        combine(root, plan, problems);
    }
}

/// Reads `none` or a time.
fn time(root: &Mapping, key: &str, range: &RangeInclusive<u64>, problems: &mut Problems) -> Option<Duration> {
    let node = root.get(key).filter(|node| !is_none(node))?;
    let milliseconds = duration(node, &format!("\"{key}\""), &LONG, problems)?;
    let time = Duration::from_millis(milliseconds);
    if !range.contains(&milliseconds) {
        let [least, most] = [*range.start(), *range.end()].map(|limit| span(Duration::from_millis(limit)));
        let what = format!("\"{key}\" must be none, or from {least} to {most}, found {}.", span(time));
        problems.add(what, node.position());
    }
    Some(time)
}

/// Checks `max_stale` against `ttl`, and sets `ttl` if only `max_stale` is configured.
fn combine(root: &Mapping, plan: &mut Plan, problems: &mut Problems) {
    let (Some(node), Some(max_stale)) = (root.get("max_stale"), plan.max_stale) else {
        return;
    };
    match (plan.ttl, root.get("ttl")) {
        (Some(ttl), _) if max_stale < 2 * ttl => {
            let (ttl, found) = (span(ttl), span(max_stale));
            let what = format!("\"max_stale\" must be at least twice the ttl of {ttl}, found {found}.");
            problems.add(format!("{what} Raise it, or lower \"ttl\"."), node.position());
        }
        (Some(_), _) => {}
        (None, Some(ttl)) => {
            let why = "Without a refresh every value would be older than \"max_stale\" allows. Set a time, or remove";
            problems.add(format!("\"ttl\" cannot be none next to \"max_stale\". {why} one of them."), ttl.position());
        }
        (None, None) => {
            let tenth = Duration::from_secs(max_stale.as_secs() / PART);
            plan.ttl = Some(tenth.max(Duration::from_millis(*TTLS.start())));
        }
    }
}

/// Reads the `ttl` of an entry, which can only be `none`. Returns whether the entry is refreshed.
pub(crate) fn is_refreshed(entry: &Mapping, label: &str, problems: &mut Problems) -> bool {
    let Some(node) = entry.get("ttl") else {
        return true;
    };
    if !is_none(node) {
        let what = format!("{label}: \"ttl\" can only be none here, found {}.", found(node, &["none"]));
        problems.add(format!("{what} All secrets share the \"ttl\" at the top."), node.position());
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Node;
    use crate::yaml;

    fn plan(text: &str) -> Plan {
        let Ok(Node::Mapping(root)) = yaml::parse(text, "keystart.yaml") else { panic!("{text}") };
        let (mut plan, mut problems) = (Plan::of_secrets(Vec::new(), ""), Problems::new("keystart.yaml"));
        read(&root, &mut plan, &mut problems);
        assert_eq!(problems.count(), 0, "{text}");
        plan
    }

    fn times(text: &str) -> [Option<u64>; 2] {
        let plan = plan(text);
        [plan.ttl, plan.max_stale].map(|time| time.map(|time| time.as_secs()))
    }

    #[test]
    fn a_ttl_may_be_from_10_seconds_to_24_hours() {
        for (text, seconds) in
            [("10s", 10), ("5m", 300), ("300s", 300), ("1h", 3600), ("24h", 86_400), ("1440m", 86_400)]
        {
            assert_eq!(times(&format!("ttl: {text}")), [Some(seconds), None], "{text}");
        }
        for text in ["version: 1", "ttl: none", "{ttl: none, max_stale: none}"] {
            assert_eq!(times(text), [None, None], "{text}");
        }
    }

    #[test]
    fn max_stale_alone_sets_a_ttl_of_a_tenth_and_at_least_10_seconds() {
        for (text, ttl, seconds) in [("20s", 10, 20), ("105s", 10, 105), ("15m", 90, 900), ("240h", 86_400, 864_000)] {
            assert_eq!(times(&format!("max_stale: {text}")), [Some(ttl), Some(seconds)], "{text}");
        }
        assert_eq!(times("{ttl: 5m, max_stale: 10m}"), [Some(300), Some(600)]);
    }

    #[test]
    fn a_refresh_ends_after_2_seconds_if_nothing_else_is_configured() {
        assert_eq!(plan("ttl: 5m").refresh_deadline, Duration::from_secs(2));
        assert_eq!(plan("refresh_deadline: 500ms").refresh_deadline, Duration::from_millis(500));
    }
}
