//! name.rs accepts what the grammar of contract 2.1 generates, and finds the nearest of the names on further lines.

#![no_main]

use std::path::{Component, Path};
use std::sync::LazyLock;

use keystart_store::{fuzzing, name};
use libfuzzer_sys::fuzz_target;
use regex_lite::Regex;

static NAME: LazyLock<Regex> = LazyLock::new(|| {
    let segment = "[A-Za-z0-9_][A-Za-z0-9_.-]*";
    Regex::new(&format!(r"\A{segment}(?:/{segment}){{0,7}}\z")).expect("the pattern is one")
});

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let asked = lines.next().unwrap_or_default();
    let right = asked.len() <= 255 && std::str::from_utf8(asked).is_ok_and(|text| NAME.is_match(text));
    assert_eq!(name::is_valid(asked), right);
    let Ok(asked) = name::check(asked) else {
        assert!(!right);
        return;
    };
    assert!(Path::new(asked).components().all(|part| matches!(part, Component::Normal(_))));

    let others: Vec<&str> = lines.filter_map(|line| name::check(line).ok()).take(16).collect();
    let most = (asked.len() / 3).max(2);
    let mut expected: Vec<_> = others.iter().map(|other| (strsim::levenshtein(asked, other), *other)).collect();
    expected.retain(|(distance, _)| *distance <= most);
    expected.sort_unstable();
    let expected: Vec<_> = expected.into_iter().take(3).map(|(_, other)| other).collect();
    assert_eq!(fuzzing::nearest(asked, &others), expected);
});
