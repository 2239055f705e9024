//! What is published is what is read, for any names and bytes.

use std::collections::BTreeMap;

use keystart_store::{Code, Draft, Form, Options, SecretBytes, Store, Writer, json, manifest::Identity};
use proptest::prelude::*;

const ENTRY: &[u8] = br#"{"encoding": "binary", "fetched_at": "2026-11-23T09:20:00.123Z", "refresh_after": null,
    "source": {"provider": "test", "id": "x", "big": 123456789012345678901234567890}}"#;

fn sets() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    let name = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,9}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,9}){0,3}";
    proptest::collection::btree_map(name, proptest::collection::vec(any::<u8>(), 0..300), 0..12)
}

fn nests(set: &BTreeMap<String, Vec<u8>>) -> bool {
    set.keys().any(|name| set.keys().any(|other| other.starts_with(&format!("{name}/"))))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_was_published_is_read(set in sets()) {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("store").to_str().expect("the path is text").to_owned();
        let options = Options { root: Some(root.as_bytes()), timeout_ms: Some(0.0), ..Options::default() };
        let mut writer = Writer::open(&options, Identity { name: "test".into(), version: "0".into() }).expect("a writer");
        let mut draft = Draft::new();
        let entry = json::parse(ENTRY).expect("the entry is JSON");
        for (name, value) in &set {
            draft.add(name, SecretBytes::from(value.as_slice()), &entry).expect("a legal secret");
        }
        if nests(&set) {
            prop_assert_eq!(draft.publish(&mut writer).expect_err("it nests").code(), Code::NameConflict);
            return Ok(());
        }
        prop_assert_eq!(draft.publish(&mut writer), Ok(1));

        let store = Store::open(&options).expect("a reader");
        prop_assert_eq!(store.names(None), Ok(set.keys().cloned().collect::<Vec<_>>()));
        for (name, value) in &set {
            let read = store.read(name, Form::Bytes).expect("the secret is there");
            prop_assert_eq!(read.as_bytes(), value.as_slice());
            prop_assert_eq!(store.read(name, Form::Text).is_ok(), std::str::from_utf8(value).is_ok());
            prop_assert_eq!(&std::fs::read(store.path(name).expect("a path")).expect("the file"), value);
            let info = store.info(name).expect("facts");
            prop_assert!(info.contains(&format!("\"size\": {}", value.len())), "{}", info);
            prop_assert!(info.contains("123456789012345678901234567890"), "{}", info);
        }
    }
}
