//! Names of secrets: which are legal and which are near each other. It does not touch files.

use crate::errors::{Error, Result};

const MAX_BYTES: usize = 255; // limits.toml: name.bytes
const MAX_SEGMENTS: usize = 8; // limits.toml: name.segments
const MAX_SUGGESTIONS: usize = 3; // limits.toml: name.offered

/// Returns whether this is a name by contract 2.1.
pub fn is_valid(name: &[u8]) -> bool {
    name.len() <= MAX_BYTES
        && name.split(|byte| *byte == b'/').count() <= MAX_SEGMENTS
        && name.split(|byte| *byte == b'/').all(is_segment)
}

fn is_segment(segment: &[u8]) -> bool {
    let starts = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let goes_on = |byte: u8| starts(byte) || byte == b'.' || byte == b'-';
    match segment {
        [first, rest @ ..] => starts(*first) && rest.iter().all(|byte| goes_on(*byte)),
        [] => false,
    }
}

/// Returns the name as text, or `invalid_name`.
pub fn check(name: &[u8]) -> Result<&str> {
    std::str::from_utf8(name).ok().filter(|name| is_valid(name.as_bytes())).ok_or_else(|| Error::invalid_name(name))
}

/// Lists the folders that a name lies in, the longest first: `a/b/c` lies in `a/b` and `a`.
pub fn folders(name: &str) -> impl Iterator<Item = &str> {
    name.rmatch_indices('/').map(|(at, _)| &name[..at])
}

/// Returns whether a name is this secret, or lies in this folder.
pub(crate) fn is_at_or_below(name: &str, folder: &str) -> bool {
    name.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Finds at most three candidates that the caller may have meant (contract 6.5.6).
pub(crate) fn nearest<'a>(asked: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let limit = (asked.len() / 3).max(2);
    let mut near: Vec<(usize, &str)> = candidates
        .filter_map(|candidate| Some((distance(asked.as_bytes(), candidate.as_bytes(), limit)?, candidate)))
        .collect();
    near.sort_unstable();
    near.into_iter().take(MAX_SUGGESTIONS).map(|(_, name)| name).collect()
}

/// Returns the Levenshtein distance with unit costs, if it is at most `limit`.
///
/// Computes one row of the table at a time, and only the cells at most `limit` away from the
/// diagonal: a path through any other cell is too long.
fn distance(a: &[u8], b: &[u8], limit: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > limit {
        return None;
    }
    let too_far = limit + 1;
    let mut row: Vec<usize> = (0..=b.len()).map(|column| column.min(too_far)).collect();
    for (i, left) in a.iter().enumerate() {
        let band = i.saturating_sub(limit)..b.len().min(i + too_far);
        let mut diagonal = row[band.start];
        row[band.start] = if band.start == 0 { i + 1 } else { too_far };
        let mut least = row[band.start];
        for j in band {
            #[cfg(test)]
            tests::STEPS.set(tests::STEPS.get() + 1);
            let replaced = diagonal + usize::from(*left != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
            least = least.min(row[j + 1]);
        }
        if least > limit {
            return None;
        }
    }
    Some(row[b.len()]).filter(|distance| *distance <= limit)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    thread_local! {
        /// The number of table cells that were computed.
        pub(super) static STEPS: Cell<usize> = const { Cell::new(0) };
    }

    /// Computes the distance from the whole table: slow and plain.
    fn plain_distance(a: &[u8], b: &[u8]) -> usize {
        let mut row: Vec<usize> = (0..=b.len()).collect();
        for (i, left) in a.iter().enumerate() {
            let above = row.clone();
            row[0] = i + 1;
            for (j, right) in b.iter().enumerate() {
                row[j + 1] = (above[j] + usize::from(left != right)).min(row[j] + 1).min(above[j + 1] + 1);
            }
        }
        row[b.len()]
    }

    #[test]
    fn long_names_cost_no_more_than_a_band_each() {
        let asked = "ab/".repeat(80);
        let names: Vec<String> = (0..1000).map(|n| format!("{}{n}", "ab_".repeat(79))).collect();
        STEPS.set(0);
        nearest(&asked, names.iter().map(String::as_str));
        assert!(STEPS.get() <= names.len() * asked.len() * (2 * (asked.len() / 3) + 1), "{}", STEPS.get());
        STEPS.set(0);
        nearest(&asked, ["ab".repeat(40), "ab".repeat(79)].iter().map(String::as_str));
        assert_eq!(STEPS.get(), 0, "lengths alone say that these are too far");
        nearest("abcdef", ["x".repeat(6)].iter().map(String::as_str));
        assert!(STEPS.get() < 6 * 5, "{}", STEPS.get());
    }

    #[test]
    fn legal_names_are_accepted() {
        for name in ["db", "tls/key", "_", "a.b-c_D9", "0", "__proto__", "constructor", "1/2/3/4/5/6/7/8", "a..b"] {
            assert!(is_valid(name.as_bytes()), "{name}");
        }
        assert!(is_valid("a".repeat(255).as_bytes()));
    }

    #[test]
    fn illegal_names_are_refused() {
        let bad = [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            "..",
            "a/..",
            ".a",
            "-a",
            "a/.b",
            "a/-b",
            "a b",
            "a\n",
            "a\0",
            "é",
            "1/2/3/4/5/6/7/8/9",
        ];
        for name in bad {
            assert!(!is_valid(name.as_bytes()), "{name:?}");
        }
        assert!(!is_valid("a".repeat(256).as_bytes()));
        assert!(check(b"\xff").is_err());
    }

    #[test]
    fn nearest_names_come_by_distance_then_bytes() {
        let candidates = ["dc", "dB", "db1", "db2", "abcdef"];
        assert_eq!(nearest("db", candidates.into_iter()), ["dB", "db1", "db2"]);
        assert!(nearest("db", ["abcdef"].into_iter()).is_empty());
    }

    #[test]
    fn a_distance_of_a_third_of_the_name_is_still_near() {
        assert_eq!(nearest("abcdefghi", ["abcdef"].into_iter()), ["abcdef"]);
        assert!(nearest("abcdefgh", ["abcde"].into_iter()).is_empty());
    }

    #[test]
    fn folders_come_longest_first() {
        assert_eq!(folders("a/b/c").collect::<Vec<_>>(), ["a/b", "a"]);
        assert_eq!(folders("a").count(), 0);
    }

    proptest! {
        #[test]
        fn every_name_of_the_grammar_is_legal(
            name in "[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}){0,7}"
        ) {
            prop_assert!(is_valid(name.as_bytes()));
        }

        #[test]
        fn a_legal_name_cannot_leave_its_folder(name in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(name) = check(&name) {
                let normal = |part| matches!(part, std::path::Component::Normal(_));
                prop_assert!(std::path::Path::new(name).components().all(normal));
                prop_assert_eq!(std::path::Path::new(name).components().count(), name.split('/').count());
            }
        }

        #[test]
        fn the_distance_is_that_of_the_definition(a in "[abc]{0,6}", b in "[abc]{0,6}") {
            fn defined(a: &[u8], b: &[u8]) -> usize {
                match (a, b) {
                    (_, []) => a.len(),
                    ([], _) => b.len(),
                    ([x, left @ ..], [y, right @ ..]) if x == y => defined(left, right),
                    ([_, left @ ..], [_, right @ ..]) => {
                        1 + defined(left, b).min(defined(a, right)).min(defined(left, right))
                    }
                }
            }
            let (a, b) = (a.as_bytes(), b.as_bytes());
            prop_assert_eq!(plain_distance(a, b), defined(a, b));
            for limit in 0..7 {
                prop_assert_eq!(distance(a, b, limit), Some(defined(a, b)).filter(|found| *found <= limit));
            }
        }

        #[test]
        fn a_limit_only_leaves_out_what_is_farther(a in "[abc]{0,60}", b in "[abc]{0,60}", limit in 0..30_usize) {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            prop_assert_eq!(distance(a, b, limit), Some(plain_distance(a, b)).filter(|found| *found <= limit));
        }

        #[test]
        fn none_of_the_names_that_are_left_out_is_nearer(
            asked in "[ab]{1,9}", others in proptest::collection::btree_set("[ab]{1,9}", 0..9),
        ) {
            let near = nearest(&asked, others.iter().map(String::as_str));
            let rank = |name: &str| (plain_distance(asked.as_bytes(), name.as_bytes()), name.to_owned());
            prop_assert!(near.is_sorted_by_key(|name| rank(name)));
            let limit = (asked.len() / 3).max(2);
            let left_out = others.iter().filter(|name| !near.contains(&name.as_str()) && rank(name).0 <= limit);
            for name in left_out {
                prop_assert!(near.len() == MAX_SUGGESTIONS && rank(name) > rank(near[2]));
            }
        }

        #[test]
        fn the_distance_is_a_metric(a in "[abc]{0,9}", b in "[abc]{0,9}", c in "[abc]{0,9}") {
            let between = |x: &str, y: &str| distance(x.as_bytes(), y.as_bytes(), 9).unwrap();
            prop_assert_eq!(between(&a, &b), between(&b, &a));
            prop_assert_eq!(between(&a, &b) == 0, a == b);
            prop_assert!(between(&a, &c) <= between(&a, &b) + between(&b, &c));
        }
    }
}
