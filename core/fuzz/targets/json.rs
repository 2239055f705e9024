//! json.rs accepts what serde_json accepts within our limit of depth, with the same value, and writes it back.

#![no_main]

use keystart_store::json;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let ours = json::parse(bytes);
    assert_eq!(json::check(bytes).is_ok(), ours.is_ok());

    let theirs = serde_json::from_slice::<Value>(bytes).ok().filter(|_| depth(bytes) <= 64);
    assert_eq!(ours.is_ok(), theirs.is_some());
    let (Ok(ours), Some(theirs)) = (ours, theirs) else { return };

    let written = ours.to_string();
    assert_eq!(serde_json::from_str::<Value>(&written).ok(), Some(theirs));
    let again = json::parse(written.as_bytes());
    assert_eq!(again.as_ref(), Ok(&ours));
    assert_eq!(again.map(|again| again.to_string()), Ok(written));
});

/// Returns how deep arrays and objects are nested in a text that is JSON.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}
