//! A third provider, a folder of files, in this one file. It is configured, fetched, published and
//! read like the others.

#![expect(clippy::unwrap_used, reason = "the functions beside the tests belong to them")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use keystart_config::{Entry, EntrySchema, Key, Keyword, Plan, Reader, Reference, Values};
use keystart_providers::{
    Answer, Aws, Encoding, Match, Prefetch, PrefetchResult, Provider, Refusal, Reply, Retry, SecretValue, Source,
};
use keystart_store::json::{self, Json};
use keystart_store::manifest::Identity;
use keystart_store::{Draft, Failure, Form, Options, Store, Writer};
use tempfile::TempDir;

const NAME: &str = "folder";
static PROVIDERS: &[&dyn Provider] = &[&Files];
static KEYWORDS: [Keyword; 2] = [
    Keyword { name: "file", is_folder: false, parse, write, is_pinned: |_| false },
    Keyword { name: "files", is_folder: true, parse, write, is_pinned: |_| false },
];
static KEYS: [Key; 2] = [Key { name: "field", check: |_| Ok(()) }, Key { name: "expand", check: |_| Ok(()) }];

/// Files, by path.
struct Files;

impl EntrySchema for Files {
    fn keywords(&self) -> &'static [Keyword] {
        &KEYWORDS
    }

    fn short<'a>(&self, text: &'a str) -> Option<(&'static Keyword, &'a str)> {
        text.strip_prefix("file:").map(|path| (&KEYWORDS[0], path))
    }

    fn keys(&self) -> &'static [Key] {
        &KEYS
    }

    fn owner(&self) -> &'static str {
        "a file"
    }
}

fn parse(text: &str) -> Result<Reference, String> {
    if !text.starts_with('/') {
        return Err("The path of a file begins with \"/\".".to_owned());
    }
    Ok(Reference { id: text.to_owned(), ..Reference::default() })
}

fn write(reference: &Reference) -> String {
    format!("file:{}", reference.id)
}

impl Provider for Files {
    fn name(&self) -> &'static str {
        NAME
    }

    fn action(&self, entries: &[Entry]) -> String {
        format!("reading {}", entries[0].id)
    }

    fn send<'a>(&'a self, entries: &'a [Entry], page: Option<&'a str>, _: &'a Aws) -> Reply<'a> {
        Box::pin(async move { read(&entries[0], page) })
    }

    fn missing(&self, entry: &Entry) -> Refusal {
        Refusal::new("FileNotFound", format!("There is no file {}. Correct the path.", entry.id))
    }
}

/// Reads a file, or a page of a folder: the first file after the one that `page` names.
fn read(entry: &Entry, page: Option<&str>) -> Result<Answer, Refusal> {
    static IS_BUSY: AtomicBool = AtomicBool::new(true);
    if entry.id.ends_with("/busy") && IS_BUSY.swap(false, Relaxed) {
        return Err(Refusal::new("Busy", "The file is busy.").with_retry(Retry::Failed));
    }
    let found = |name: Option<String>, path: &Path| {
        let source = Source { provider: NAME, id: path.to_str()?.to_owned(), ..Source::default() };
        let value = SecretValue::new(fs::read(path).ok()?.into(), Encoding::Text, source);
        Some(Match { id: entry.id.clone(), name, value })
    };
    if !entry.keyword.is_folder {
        return Ok(Answer { found: found(None, Path::new(&entry.id)).into_iter().collect(), ..Answer::default() });
    }
    let mut paths: Vec<PathBuf> =
        fs::read_dir(&entry.id).into_iter().flatten().flatten().map(|file| file.path()).collect();
    paths.sort();
    let names: Vec<&str> = paths.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    let Some(at) = names.iter().position(|name| page.is_none_or(|page| *name > page)) else {
        return Ok(Answer::default());
    };
    let next = (at + 1 < names.len()).then(|| names[at].to_owned());
    Ok(Answer { found: found(Some(names[at].to_owned()), &paths[at]).into_iter().collect(), next, ..Answer::default() })
}

/// A folder of files that a configuration names.
struct Stage(TempDir);

impl Stage {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn plan(&self, secrets: &str) -> Plan {
        let file = self.file("keystart.yaml", &format!("version: 1\nsecrets:\n{secrets}"));
        Reader { schemas: &[&Files], values: Values::Process }.file(Path::new(&file), None).unwrap()
    }

    /// Publishes the result of a fetch, and opens a reader.
    fn store(&self, fetched: PrefetchResult) -> (Store, Vec<(String, Failure)>) {
        let root = self.path("store");
        let options = Options { root: Some(root.as_bytes()), timeout_ms: Some(0.0), ..Options::default() };
        let mut writer = Writer::open(&options, Identity { name: "test".into(), version: "0".into() }).unwrap();
        let mut draft = Draft::new();
        for secret in fetched.secrets {
            let facts = secret.entry();
            draft.add(&secret.name, secret.value, &facts).unwrap();
        }
        draft.publish(&mut writer).unwrap();
        (Store::open(&options).unwrap(), fetched.failures)
    }
}

fn fetch(plan: Plan) -> PrefetchResult {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Prefetch::with_providers(plan.into(), None, PROVIDERS).run())
}

#[test]
fn a_third_provider_is_fetched_like_the_others() {
    let stage = Stage::new();
    let (one, json, busy) =
        (stage.file("plain", "1"), stage.file("json", r#"{"user": "me", "port": 1}"#), stage.file("busy", "2"));
    stage.file("certificates/ca", "3");
    stage.file("certificates/key", "4");
    let (folder, gone) = (stage.path("certificates"), stage.path("gone"));
    let plan = stage.plan(&format!(
        "  plain: file:{one}\n  again: file:{one}\n  user: {{file: {json}, field: user}}\n  \
           db: {{file: {json}, expand: true}}\n  tls: {{files: {folder}}}\n  late: file:{busy}\n  \
           gone: {{file: {gone}, optional: true}}\n"
    ));
    let fetched = fetch(plan);
    assert_eq!(fetched.retries.len(), 1);
    assert!(fetched.retries[0].starts_with("late: Busy; asking again in "), "{}", fetched.retries[0]);
    let (store, failures) = stage.store(fetched);
    let expected = [
        ("again", "1"),
        ("db/port", "1"),
        ("db/user", "me"),
        ("late", "2"),
        ("plain", "1"),
        ("tls/ca", "3"),
        ("tls/key", "4"),
        ("user", "me"),
    ];
    assert_eq!(store.names(None).unwrap(), expected.map(|(name, _)| name));
    for (name, value) in expected {
        assert_eq!(store.read(name.as_bytes(), Form::Text).unwrap().as_bytes(), value.as_bytes(), "{name}");
    }
    let facts = json::parse(store.info(b"plain").unwrap().as_bytes()).unwrap();
    assert_eq!(facts.get("source").and_then(|source| source.get("provider")).and_then(Json::as_str), Some(NAME));
    let [(name, failure)] = &failures[..] else { panic!("{failures:?}") };
    assert_eq!((name.as_str(), failure.code.as_str()), ("gone", "FileNotFound"));
    assert_eq!(failure.message, format!("There is no file {gone}. Correct the path."));
}

#[test]
fn what_its_entries_may_say_is_checked() {
    let stage = Stage::new();
    let file = stage.file("keystart.yaml", "version: 1\nsecrets:\n  db: {file: here}\n  tls: {vault_path: db}\n");
    let problems = Reader { schemas: &[&Files], values: Values::Process }.file(Path::new(&file), None).unwrap_err();
    let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "\"db\": The path of a file begins with \"/\".",
            "\"tls\": Exactly one of \"file\" and \"files\" must be given; none is given.",
            "\"tls\" has an unknown key of 10 characters. Its keys are file, files, field, expand, only, except, \
             rename, role, external_id, session_name, optional, env, ttl, as_is.",
        ]
    );
}
