//! manifest.rs returns the same verdict on a document, however it is written, and reads back what it writes.

#![no_main]

use keystart_store::fuzzing;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Ok(names) = fuzzing::manifest(bytes, 3) else { return };
    // The manifest was accepted, so another parser must find all this as contract 4.7 says.
    let document: Value = serde_json::from_slice(bytes).expect("a manifest is JSON");
    assert_eq!(document["format"], "keystart.manifest/1");
    assert_eq!(document["generation"].as_f64(), Some(3.0));
    let secrets = document["secrets"].as_object().expect("secrets is an object");
    assert_eq!(names, secrets.keys().cloned().collect::<Vec<_>>());
    for (name, entry) in secrets {
        assert_eq!(entry["path"], format!("secrets/{name}"));
        assert!((0.0..=1_048_576.0).contains(&entry["size"].as_f64().expect("size is a number")));
        assert!(document["unavailable"].get(name).is_none());
    }
});
