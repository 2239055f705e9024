//! A writer for tests, in a separate process that can be killed: `writer ROOT` takes one JSON
//! command a line and answers one JSON a line.
//!
//! `{"call": "open"}`, `{"call": "publish", "secrets": {"db": "value"}}`, `{"call": "fail", "message": "why"}` and
//! `{"call": "stop"}` are answered with `{"generation": n}` after a publish and `{}` after the others, or with
//! `{"error": {"code": …, "message": …}}`. `{"call": "refresh", "secrets": {…}, "covers": ["tls"], "entries": ["tls", "db"]}`
//! is answered with `{"generation": n}`, or null if nothing is published. So are `{"call": "candidate", …}`, which takes the
//! same members, and `{"call": "accept", "candidate": n}`. `{"call": "collect"}` collects. `KEYSTART_FAILPOINT` says where
//! it is killed, and `KEYSTART_KEPT_MS` how long generations stay (core/store/src/failpoint.rs).

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};

use keystart_store::{Draft, Error, Options, RefreshResult, SecretBytes, Watch, Writer, json, manifest::Identity};
use serde_json::{Value, json};

const ENTRY: &[u8] = br#"{"encoding": "utf-8", "fetched_at": "2026-11-23T09:20:00.180Z", "refresh_after": null,
    "source": {"provider": "test", "id": "x"}}"#;

fn main() -> io::Result<()> {
    let root = std::env::args().nth(1).ok_or_else(|| io::Error::other("usage: writer ROOT"))?;
    let mut writer = None;
    for line in io::stdin().lock().lines() {
        let command: Value = serde_json::from_str(&line?)?;
        let answer = obey(&command, &root, &mut writer)
            .unwrap_or_else(|error| json!({"error": {"code": error.code().name(), "message": error.message()}}));
        writeln!(io::stdout(), "{answer}")?;
    }
    Ok(())
}

fn obey(command: &Value, root: &str, writer: &mut Option<Writer>) -> Result<Value, Error> {
    match (command["call"].as_str(), writer) {
        (Some("open"), writer) => {
            let options = Options { root: Some(root.as_bytes()), ..Options::default() };
            *writer = Some(Writer::open(&options, Identity { name: "test".into(), version: "0".into() })?);
        }
        (Some("publish"), Some(writer)) => return Ok(json!({"generation": draft(command)?.publish(writer)?})),
        (Some("refresh"), Some(writer)) => {
            watch(writer, command);
            let refreshed = writer.refresh(&draft(command)?)?;
            let RefreshResult::Published { generation, .. } = refreshed else {
                return Ok(json!({"generation": null}));
            };
            return Ok(json!({"generation": generation}));
        }
        (Some("candidate"), Some(writer)) => {
            watch(writer, command);
            return Ok(json!({"generation": writer.candidate(&draft(command)?)?}));
        }
        (Some("accept"), Some(writer)) => {
            let candidate = command["candidate"].as_u64().unwrap_or_default();
            return Ok(json!({"generation": writer.accept(candidate)?}));
        }
        (Some("collect"), Some(writer)) => writer.collect()?,
        (Some("fail"), Some(writer)) => {
            writer.fail(command["message"].as_str().unwrap_or_default(), [].into())?;
        }
        (Some("stop"), Some(writer)) => writer.stop(None)?,
        _ => return Ok(json!({"error": {"code": null, "message": "unknown command"}})),
    }
    Ok(json!({}))
}

fn watch(writer: &mut Writer, command: &Value) {
    let entries = texts(&command["entries"]).into_iter().map(|name| (name, true)).collect();
    writer.watch(Watch { entries, max_stale: None });
}

fn draft(command: &Value) -> Result<Draft, Error> {
    let mut draft = Draft::new();
    for (name, value) in command["secrets"].as_object().into_iter().flatten() {
        let value = SecretBytes::from(value.as_str().unwrap_or_default().as_bytes());
        draft.add(name, value, &json::parse(ENTRY).unwrap_or(json::Json::Null))?;
    }
    draft.schedule(command["refresh_after"].as_i64(), None);
    for entry in texts(&command["covers"]) {
        draft.cover(entry)?;
    }
    Ok(draft)
}

fn texts(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
