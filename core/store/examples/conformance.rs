//! The runner of the conformance suite for the core: one JSON request a line in, one JSON answer a line out.
//!
//! `tests/conformance` describes the protocol.

use std::io::{self, BufRead, Write};
use std::thread;
use std::time::Duration;

use keystart_store::{Attempt, Error, Form, Next, Options, Outcome, Store, json};
use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let mut lines = io::stdin().lock().lines();
    while let Some(line) = lines.next() {
        let request = parse(&line?)?;
        let id = &request["id"];
        let outcome = match reader(&request) {
            Err(error) => Err(error),
            Ok(store) => {
                let mut pause = request["pause"].clone();
                while let Some(after) = pause.as_str() {
                    if after == "asked" {
                        // Only the answer after the last pause counts.
                        let _ = ask(&store, &request);
                    }
                    write(&json!({"id": id, "paused": true}).to_string())?;
                    pause = match lines.next().transpose()? {
                        Some(line) => parse(&line)?["pause"].clone(),
                        None => Value::Null,
                    };
                }
                ask(&store, &request)
            }
        };
        // Written by hand, because the JSON of a secret keeps its digits.
        write(&match outcome {
            Ok(Some(value)) => format!("{{\"id\": {id}, \"value\": {value}}}"),
            Ok(None) => format!("{{\"id\": {id}, \"crash\": \"unknown call\"}}"),
            Err(error) => json!({"id": id, "error": describe(&error)}).to_string(),
        })?;
    }
    Ok(())
}

fn write(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Parses a line. Lone surrogates, which no Rust text can hold, become U+FFFD, as the contract
/// (8.3) prints them.
fn parse(line: &str) -> io::Result<Value> {
    let mut text = line.to_owned();
    let mut from = 0;
    loop {
        match serde_json::from_str(&text) {
            Ok(request) => return Ok(request),
            Err(error) => match next_surrogate(&text, from) {
                Some(at) => {
                    text.replace_range(at..at + 6, "\\ufffd");
                    from = at + 6;
                }
                None => return Err(error.into()),
            },
        }
    }
}

/// Finds the next escape that is only half of a pair.
fn next_surrogate(text: &str, from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(found) = text[at..].find('\\') {
        at += found;
        let unit = |at: usize| {
            let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
            u16::from_str_radix(digits, 16).ok()
        };
        match (unit(at), unit(at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => at += 12,
            (Some(0xd800..=0xdfff), _) => return Some(at),
            _ => at += 2,
        }
    }
    None
}

fn reader(request: &Value) -> Result<Store, Error> {
    let store = open(request)?;
    if request["via"] == "snapshot" { store.snapshot() } else { Ok(store) }
}

/// Returns the answer as JSON; `None` for an unknown call.
fn ask(store: &Store, request: &Value) -> Result<Option<String>, Error> {
    let name = || request["name"].as_str().ok_or_else(Error::name_not_text);
    let read = |form| store.read(name()?, form);
    Ok(Some(match request["call"].as_str() {
        Some("text") => json!(text(read(Form::Text)?.as_bytes())).to_string(),
        Some("bytes") => json!({"base64": base64(read(Form::Bytes)?.as_bytes())}).to_string(),
        Some("json") => match json::parse(read(Form::Json)?.as_bytes()) {
            Ok(value) => value.to_string(),
            Err(_) => return Ok(None),
        },
        Some("path") => json!(store.path(name()?)?).to_string(),
        Some("info") => store.info(name()?)?,
        Some("names") => {
            let prefix = match &request["prefix"] {
                Value::Null => None,
                prefix => Some(prefix.as_str().ok_or_else(Error::name_not_text)?.as_bytes()),
            };
            json!(store.names(prefix)?).to_string()
        }
        Some("refresh") => {
            let asked = request["names"].as_array().map_or(&[][..], Vec::as_slice);
            let text = |name: &Value| name.as_str().map(str::to_owned).ok_or_else(Error::name_not_text);
            json!(store.refresh(&asked.iter().map(text).collect::<Result<Vec<_>, _>>()?)?).to_string()
        }
        Some("secret") => {
            let secret = read(Form::Bytes)?;
            let bytes = secret.as_bytes();
            json!({"name": name()?, "text": text(bytes), "bytes_base64": base64(bytes)}).to_string()
        }
        Some("attempt") => return attempt(store, request).map(|value| Some(value.to_string())),
        _ => return Ok(None),
    }))
}

/// Runs an attempt whose login does what the request says.
fn attempt(store: &Store, request: &Value) -> Result<Value, Error> {
    let name = request["name"].as_str().ok_or_else(Error::name_not_text)?;
    let budget = request.get("budget_ms").map(|budget| budget.as_f64().unwrap_or(f64::NAN));
    let mut attempt = Attempt::new(name, budget, store)?;
    let mut reads = Vec::new();
    let mut errors: Vec<Refusal> = Vec::new();
    let mut runs = 0;
    loop {
        let login = match attempt.next(store)? {
            Next::Login(login) => login,
            Next::Wait(wait) => {
                attempt.wait(wait);
                continue;
            }
            Next::End => break,
        };
        let function = &request["fn"];
        let names = function["reads"]
            .as_array()
            .map_or_else(|| vec![name], |names| names.iter().filter_map(Value::as_str).collect());
        runs += 1;
        let run = runs;
        match read_all(&login.snapshot, &names) {
            Ok(read) => reads.push(read),
            Err(error) if error.code().name() == "snapshot_expired" => {
                attempt.report(store, Outcome::Expired)?;
                errors.push(Refusal { run, is_expired: true, is_candidate: login.is_candidate, error: Some(error) });
                continue;
            }
            Err(error) => return Err(error),
        }
        thread::sleep(Duration::from_millis(function["takes_ms"].as_u64().unwrap_or(0)));
        let ends = function["logins"].as_array().map_or(&[][..], Vec::as_slice);
        let outcome = match ends.get(run - 1).or(ends.last()).and_then(Value::as_str).unwrap_or("accepted") {
            "accepted" => Outcome::Accepted,
            "rejected" => Outcome::Rejected,
            "locked" => Outcome::Locked,
            "expired" => Outcome::Expired,
            _ => return Ok(json!({"logins": reads, "raised": run})),
        };
        let is_reported = attempt.report(store, outcome)?;
        if outcome == Outcome::Accepted {
            while let Next::Wait(wait) = attempt.next(store)? {
                attempt.wait(wait);
            }
            return Ok(json!({"logins": reads, "returned": run}));
        }
        if !is_reported {
            return Ok(json!({"logins": reads, "raised": run}));
        }
        let is_expired = outcome == Outcome::Expired;
        errors.push(Refusal { run, is_expired, is_candidate: login.is_candidate, error: None });
    }
    let rejected = || errors.iter().filter(|refusal| !refusal.is_expired);
    let of_published = rejected().find(|refusal| !refusal.is_candidate);
    match of_published.or(rejected().next_back()).or(errors.last()) {
        Some(Refusal { error: Some(error), .. }) => Err(error.clone()),
        raised => Ok(json!({"logins": reads, "raised": raised.map(|refusal| refusal.run)})),
    }
}

/// A login that did not succeed.
struct Refusal {
    run: usize,
    is_expired: bool,
    is_candidate: bool,
    /// The error of the store, if that ended the login.
    error: Option<Error>,
}

/// Returns what a login reads, joined.
fn read_all(snapshot: &Store, names: &[&str]) -> Result<String, Error> {
    let mut read = String::new();
    for name in names {
        read += text(snapshot.read(name, Form::Text)?.as_bytes()).unwrap_or_default();
    }
    Ok(read)
}

fn open(request: &Value) -> Result<Store, Error> {
    let variable = |name: &str| request["env"][name].as_str().map(str::as_bytes);
    let root = match &request["root"] {
        Value::Null => None,
        // A lone surrogate is not text, and neither is another type. A NUL stands for both.
        Value::String(root) if !root.contains('\u{fffd}') => Some(root.as_bytes()),
        _ => Some(b"\0".as_slice()),
    };
    let timeout_ms = match &request["timeout_ms"] {
        Value::Null => None,
        timeout => Some(timeout.as_f64().unwrap_or(f64::NAN)),
    };
    let (env_dir, env_timeout) = (variable("KEYSTART_DIR"), variable("KEYSTART_TIMEOUT_MS"));
    Store::open(&Options { root, env_dir, timeout_ms, env_timeout })
}

fn describe(error: &Error) -> Value {
    let code = error.code().name();
    // Classes are named like codes, in capitals (contract 8.1).
    let class: String = code.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
    json!({"code": code, "message": error.message(), "secret": error.secret(), "class": class})
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().chain(&[0; 2]).take(3).fold(0_usize, |group, byte| group << 8 | usize::from(*byte));
        for place in 0..4 {
            let digit = if place > chunk.len() { b'=' } else { DIGITS[group >> (18 - 6 * place) & 63] };
            out.push(char::from(digit));
        }
    }
    out
}
