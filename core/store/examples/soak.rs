//! Reads a changing store with the core and judges every answer, as `tests/changing` describes. Threads share one client.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::{env, fs, thread};

use keystart_store::{Attempt, Error, Form, Next, Options, Outcome, Store};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Counts = BTreeMap<String, u64>;

const NAMES: [&str; 5] = ["json", "text", "tiny", "tls/cert", "tls/key"];

/// What every thread gets.
#[derive(Clone)]
struct Task {
    root: String,
    run: String,
    stop: String,
    allowed: Vec<String>,
    fresh: bool,
    until_stopped: bool,
    asks: bool,
}

fn main() -> Result<(), Failure> {
    let given: Value = serde_json::from_str(&env::args().nth(1).ok_or("one argument is needed")?)?;
    let text = |member: &str| given[member].as_str().map(str::to_owned).ok_or("an argument is missing");
    let asked = Task {
        root: text("root")?,
        run: text("run")?,
        stop: text("stop")?,
        allowed: serde_json::from_value(given["allowed"].clone())?,
        fresh: given["fresh"] == true,
        until_stopped: given["until_stopped"] == true,
        asks: given["asks"] == true,
    };
    let client = Arc::new(open(&asked.root)?);
    println!("reading");
    let threads: Vec<_> = (0..given["threads"].as_u64().unwrap_or(0))
        .map(|_| {
            let (asked, client) = (asked.clone(), Arc::clone(&client));
            thread::spawn(move || {
                let mut look =
                    Look { asked, floor: 0, counts: Counts::new(), errors: Counts::new(), wrong: Vec::new() };
                look.go_on(&client).map(|()| look)
            })
        })
        .collect();
    let (mut counts, mut errors, mut wrong) = (Counts::new(), Counts::new(), Vec::new());
    for thread in threads {
        let look = thread.join().map_err(|_| "a thread panicked")??;
        for (into, from) in [(&mut counts, look.counts), (&mut errors, look.errors)] {
            for (key, more) in from {
                *into.entry(key).or_default() += more;
            }
        }
        wrong.extend(look.wrong);
    }
    let some: Vec<_> = wrong.iter().take(5).collect();
    println!("{}", json!({"counts": counts, "errors": errors, "wrong": some, "wrongs": wrong.len()}));
    Ok(())
}

fn open(root: &str) -> Result<Store, Error> {
    Store::open(&Options { root: Some(root.as_bytes()), ..Options::default() })
}

/// What one thread has seen. Numbers must never fall from one answer to the next.
struct Look {
    asked: Task,
    floor: u64,
    counts: Counts,
    errors: Counts,
    wrong: Vec<String>,
}

impl Look {
    fn go_on(&mut self, client: &Store) -> Result<(), Failure> {
        while !Path::new(&self.asked.stop).exists() {
            if fs::symlink_metadata(format!("{}/current", self.asked.root)).is_err() {
                self.count("waits");
            }
            if self.asked.fresh {
                let fresh = open(&self.asked.root)?;
                self.ask_client(&fresh)?;
            } else {
                self.ask_client(client)?;
            }
            self.ask_snapshot(client)?;
            if self.asked.asks {
                self.ask_writer(client);
            }
            if self.asked.until_stopped && self.errors.contains_key("not_ready: stopped") {
                return self.see_stopped(client);
            }
        }
        Ok(())
    }

    fn ask_client(&mut self, client: &Store) -> Result<(), Failure> {
        let Some(text) = self.ask("", || client.read("text", Form::Text)) else { return Ok(()) };
        self.sees_fresh("text", text.as_bytes());
        let before = self.floor;
        let Some(found) = self.ask("", || client.read("tiny", Form::Bytes)) else { return Ok(()) };
        let Some(key) = self.ask("", || client.read("tls/key", Form::Bytes)) else { return Ok(()) };
        self.sees_fresh("tls/key", key.as_bytes());
        if !(before..=self.floor).any(|number| found.as_bytes() == tiny(number)) {
            self.note_wrong("tiny", "it is of no generation between its neighbours");
        }
        let Some(document) = self.ask("", || client.read("json", Form::Json)) else { return Ok(()) };
        let document: Value = serde_json::from_slice(document.as_bytes())?;
        self.sees_fresh("json", document["proof"].as_str().unwrap_or_default().as_bytes());
        let Some(info) = self.ask("", || client.info("text")) else { return Ok(()) };
        let info: Value = serde_json::from_str(&info)?;
        let id = info["source"]["id"].as_str().unwrap_or_default();
        let (number, size) = id.split_once(' ').ok_or("an id of another form")?;
        self.sees_number("info", number.parse()?);
        if info["size"] != size.parse::<u64>()? {
            self.note_wrong("info", "its size is of another generation");
        }
        let Some(names) = self.ask("", || client.names(Some(b"at"))) else { return Ok(()) };
        match names.as_slice() {
            [name] => self.sees_number("names", name["at/".len()..].parse()?),
            _ => self.note_wrong("names", "there is not exactly one"),
        }
        Ok(())
    }

    fn ask_snapshot(&mut self, client: &Store) -> Result<(), Failure> {
        let expired = "snapshot_expired";
        let Some(snapshot) = self.ask("", || client.snapshot()) else { return Ok(()) };
        self.count("snapshots");
        let Some(path) = self.ask(expired, || snapshot.path("tls/cert")) else { return Ok(()) };
        let number = path.rsplit('/').nth(3).ok_or("a path of another form")?.parse()?;
        self.sees_number("snapshot", number);
        let lone = format!("at/{number}");
        for name in ["tls/cert", "tls/key", &lone] {
            let Some(value) = self.ask(expired, || snapshot.read(name, Form::Bytes)) else { return Ok(()) };
            if self.sees(name, value.as_bytes(), name).is_some_and(|at| at != number) {
                self.note_wrong(name, "a snapshot mixes generations");
            }
            if name == "tls/key" {
                self.count("pairs");
            }
        }
        let Some(found) = self.ask(expired, || snapshot.read("tiny", Form::Bytes)) else { return Ok(()) };
        if found.as_bytes() != tiny(number) {
            self.note_wrong("tiny", "a snapshot mixes generations");
        }
        let mut names = NAMES.map(str::to_owned).to_vec();
        names.push(lone);
        names.sort();
        if snapshot.names(None)? != names {
            self.note_wrong("names", "a snapshot mixes generations");
        }
        Ok(())
    }

    /// Refreshes and logs in, with a refusal now and then.
    fn ask_writer(&mut self, client: &Store) {
        let Some(changed) = self.ask("", || client.refresh::<&str>(&[])) else { return };
        if !NAMES.iter().all(|name| changed.iter().any(|one| one == name)) {
            self.note_wrong("refresh", "it does not report all that changed");
        }
        self.count("refreshes");
        let (mut logins, mut runs) = (Vec::new(), self.counts.get("runs").copied().unwrap_or(0));
        if self.ask("snapshot_expired", || log_in(client, &mut logins, &mut runs)).is_some() {
            self.count("logins");
        }
        self.counts.insert("runs".to_owned(), runs);
        for (certificate, key) in logins {
            let numbers = [("tls/cert", certificate), ("tls/key", key)]
                .map(|(name, value)| number_of(&value, &self.asked.run, name));
            match numbers {
                [Ok(certificate), Ok(key)] if certificate == key => {}
                [Ok(_), Ok(_)] => self.note_wrong("attempt", "a login mixes generations"),
                [Err(wrong), _] | [_, Err(wrong)] => self.note_wrong("attempt", wrong),
            }
        }
    }

    /// Checks that after the store was stopped no read returns anything, not even a kept value.
    fn see_stopped(&mut self, client: &Store) -> Result<(), Failure> {
        let fresh = open(&self.asked.root)?;
        for reader in [client, &fresh] {
            let answers = [reader.read("text", Form::Bytes).err(), reader.read("tls/key", Form::Bytes).err()];
            for error in answers.into_iter().chain([reader.snapshot().err()]) {
                match error {
                    Some(error) => self.count_error(&error),
                    None => self.note_wrong("stopped", "a value was given after the store was stopped"),
                }
            }
        }
        Ok(())
    }

    /// Returns the answer, or `None` for an error. It counts the error, and reports one that is not allowed.
    fn ask<T>(&mut self, allowed: &str, question: impl FnOnce() -> Result<T, Error>) -> Option<T> {
        let state = format!("{}/state.json", self.asked.root);
        let stopped =
            self.asked.until_stopped && fs::read_to_string(state).is_ok_and(|text| text.contains("\"stopped\""));
        self.count("reads");
        match question() {
            Ok(answer) => {
                if stopped && allowed.is_empty() {
                    self.note_wrong("stopped", "a value was given after the store was stopped");
                }
                Some(answer)
            }
            Err(error) => {
                let code = code_of(&error);
                if code != allowed && !self.asked.allowed.contains(&code) {
                    self.note_wrong(&code, &error.to_string());
                }
                self.count_error(&error);
                None
            }
        }
    }

    fn sees(&mut self, what: &str, value: &[u8], name: &str) -> Option<u64> {
        match number_of(value, &self.asked.run, name) {
            Ok(number) => {
                self.sees_number(what, number);
                Some(number)
            }
            Err(wrong) => {
                self.note_wrong(what, wrong);
                None
            }
        }
    }

    /// Judges a value that may be too old.
    fn sees_fresh(&mut self, name: &str, value: &[u8]) {
        let number = self.sees(name, value, name);
        if self.asked.asks && number.is_some_and(|number| number % 8 == 7) {
            self.note_wrong(name, "it is too old");
        }
    }

    fn sees_number(&mut self, what: &str, number: u64) {
        if number < self.floor {
            self.note_wrong(what, &format!("{number} after {}", self.floor));
        } else if number > self.floor {
            self.floor = number;
            self.count("generations");
        }
    }

    fn note_wrong(&mut self, what: &str, how: &str) {
        self.wrong.push(format!("{what}: {how}"));
    }

    fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    fn count_error(&mut self, error: &Error) {
        *self.errors.entry(code_of(error)).or_default() += 1;
    }
}

/// Logs in with the certificate and key of a snapshot, and keeps the values of each login. Every third one is refused.
fn log_in(client: &Store, logins: &mut Vec<(Vec<u8>, Vec<u8>)>, runs: &mut u64) -> Result<(), Error> {
    let mut attempt = Attempt::new("tls", None, client)?;
    loop {
        let login = match attempt.next(client)? {
            Next::Login(login) => login,
            Next::Wait(wait) => {
                attempt.wait(wait);
                continue;
            }
            Next::End => return Ok(()),
        };
        let read = |name| login.snapshot.read(name, Form::Bytes).map(|value| value.as_bytes().to_vec());
        let outcome = match (read("tls/cert"), read("tls/key")) {
            (Ok(certificate), Ok(key)) => {
                logins.push((certificate, key));
                *runs += 1;
                if *runs % 3 == 0 { Outcome::Rejected } else { Outcome::Accepted }
            }
            (Err(error), _) | (_, Err(error)) if error.code().name() == "snapshot_expired" => Outcome::Expired,
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        attempt.report(client, outcome)?;
    }
}

/// Returns the code, and which kind of `not_ready` it is.
fn code_of(error: &Error) -> String {
    let code = error.code().name();
    let text = error.message();
    let word = ["stopped", "removed", "changes faster"].into_iter().find(|word| text.contains(word));
    word.filter(|_| code == "not_ready").map_or_else(|| code.to_owned(), |word| format!("{code}: {word}"))
}

fn tiny(number: u64) -> Vec<u8> {
    let byte = u8::try_from(33 + number % 90).unwrap_or_default();
    (0..=number % 16).map(|_| byte).collect()
}

/// Returns the generation that a value belongs to, as tests/changing/proof.py describes.
fn number_of(value: &[u8], run: &str, name: &str) -> Result<u64, &'static str> {
    let text = std::str::from_utf8(value).map_err(|_| "it is no text")?;
    let (head, rest) = text.split_once('\n').ok_or("its first line is damaged")?;
    let [of, mix, number, named, length] = head.split(' ').collect::<Vec<_>>()[..] else {
        return Err("its first line is damaged");
    };
    if of != run {
        return Err("it is of another writer");
    }
    if named != name {
        return Err("it is the value of another name");
    }
    let length: usize = length.parse().map_err(|_| "its first line is damaged")?;
    if value.len() != length.max(head.len() + 1) {
        return Err("it has another length");
    }
    let unit = format!("{mix}:{number}:");
    if !rest.bytes().eq(unit.bytes().cycle().take(rest.len())) {
        return Err("its bytes do not belong to its first line");
    }
    number.parse().map_err(|_| "its first line is damaged")
}
