//! Names of secrets: which are legal and which are near to each other. It knows nothing of files.

use crate::error::{Error, Result};

const MAX_BYTES: usize = 255;
const MAX_SEGMENTS: usize = 8;
const MAX_SUGGESTIONS: usize = 3;

/// What a name is, in a message.
pub const RULE: &str = "A name is 1 to 8 segments separated by \"/\", at most 255 bytes in all; a segment starts with a letter, \
    a digit or \"_\" and goes on with letters, digits, \"_\", \".\" or \"-\".";

/// True for a name by contract 2.1.
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

/// Gives the name as text, or `invalid_name`.
pub fn check(name: &[u8]) -> Result<&str> {
    std::str::from_utf8(name).ok().filter(|name| is_valid(name.as_bytes())).ok_or_else(|| Error::invalid_name(name))
}

/// Lists the folders that a name lies in, the longest first: `a/b/c` lies in `a/b` and `a`.
pub fn folders(name: &str) -> impl Iterator<Item = &str> {
    name.rmatch_indices('/').map(|(at, _)| &name[..at])
}

/// Finds at most three of the candidates that the asked name may have been meant to be (contract 6.5.6).
pub(crate) fn nearest<'a>(asked: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let limit = (asked.len() / 3).max(2);
    let mut near: Vec<(usize, &str)> = candidates
        .map(|candidate| (distance(asked.as_bytes(), candidate.as_bytes()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    near.sort_unstable();
    near.into_iter().take(MAX_SUGGESTIONS).map(|(_, name)| name).collect()
}

/// The Levenshtein distance with unit costs, one row of the table at a time.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            prop_assert_eq!(distance(a.as_bytes(), b.as_bytes()), defined(a.as_bytes(), b.as_bytes()));
        }

        #[test]
        fn none_of_the_names_that_are_left_out_is_nearer(
            asked in "[ab]{1,9}", others in proptest::collection::btree_set("[ab]{1,9}", 0..9),
        ) {
            let near = nearest(&asked, others.iter().map(String::as_str));
            let rank = |name: &str| (distance(asked.as_bytes(), name.as_bytes()), name.to_owned());
            prop_assert!(near.is_sorted_by_key(|name| rank(name)));
            let limit = (asked.len() / 3).max(2);
            let left_out = others.iter().filter(|name| !near.contains(&name.as_str()) && rank(name).0 <= limit);
            for name in left_out {
                prop_assert!(near.len() == MAX_SUGGESTIONS && rank(name) > rank(near[2]));
            }
        }

        #[test]
        fn the_distance_is_a_metric(a in "[abc]{0,9}", b in "[abc]{0,9}", c in "[abc]{0,9}") {
            let between = |x: &str, y: &str| distance(x.as_bytes(), y.as_bytes());
            prop_assert_eq!(between(&a, &b), between(&b, &a));
            prop_assert_eq!(between(&a, &b) == 0, a == b);
            prop_assert!(between(&a, &c) <= between(&a, &b) + between(&b, &c));
        }
    }
}
