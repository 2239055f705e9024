//! Modes must not depend on the umask (contract 5.4). A separate process, because all threads share one umask.

use std::fs;
use std::os::unix::fs::MetadataExt;

use keystart_store::{Draft, Options, SecretBytes, Writer, json, manifest::Identity};

#[test]
fn the_umask_does_not_decide_the_modes() {
    for umask in [0o077, 0o000, 0o027] {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("store");
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
        publish(root.to_str().expect("the path is text"));
        rustix::process::umask(before);
        for (path, mode) in [
            ("", 0o700),
            ("lock", 0o600),
            ("state.json", 0o600),
            ("generations", 0o700),
            ("generations/1", 0o700),
            ("generations/1/manifest.json", 0o600),
            ("generations/1/secrets", 0o700),
            ("generations/1/secrets/tls", 0o700),
            ("generations/1/secrets/tls/key", 0o600),
        ] {
            let found = fs::symlink_metadata(root.join(path)).expect(path).mode() & 0o7777;
            assert_eq!(found, mode, "{path} under umask {umask:o}");
        }
    }
}

fn publish(root: &str) {
    let options = Options { root: Some(root.as_bytes()), ..Options::default() };
    let identity = Identity { name: "test".into(), version: "0".into() };
    let mut writer = Writer::open(&options, identity).expect("a writer");
    let entry = br#"{"encoding": "utf-8", "fetched_at": "2026-11-23T09:20:00.123Z", "refresh_after": null,
        "source": {"provider": "test", "id": "x"}}"#;
    let entry = json::parse(entry).expect("the entry is JSON");
    let mut draft = Draft::new();
    draft.add("tls/key", SecretBytes::from(vec![]), &entry).expect("a legal secret");
    draft.publish(&mut writer).expect("a publish");
}
