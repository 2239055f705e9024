//! manifest.json: what one generation holds (contract §4). It reads and writes text, not files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::errors::{self, Error, MAX_BYTES, Result};
use crate::failures::{Failure, Failures};
use crate::freshness::Check;
use crate::json::{self, Json, quote};
use crate::name;
use crate::time;

const FORMAT: &str = "keystart.manifest/1";
/// The longest name of a variable (contract 4.9).
const MAX_VARIABLE: usize = 255; // limits.toml: variable.bytes

/// The writer's name and version, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// For example `keystart-extension`.
    pub name: String,
    /// For example `0.1.0`.
    pub version: String,
}

/// What the manifest says about one secret except its size. Times are not checked here (contract 6.5.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    encoding: &'static str,
    pub fetched_at: String,
    pub refresh_after: Option<String>,
    source: Json,
}

impl Entry {
    /// Reads the members of one secret; the error is the name of the first member that is wrong.
    pub fn from_json(value: &Json) -> std::result::Result<Self, &'static str> {
        let encoding = match value.get("encoding").and_then(Json::as_str) {
            Some("utf-8") => "utf-8",
            Some("binary") => "binary",
            _ => return Err(".encoding"),
        };
        let fetched_at = value.get("fetched_at").and_then(Json::as_str).ok_or(".fetched_at")?.to_owned();
        let refresh_after = match value.get("refresh_after") {
            Some(Json::Null) => None,
            other => Some(other.and_then(Json::as_str).ok_or(".refresh_after")?.to_owned()),
        };
        let source = value.get("source").filter(|source| source.as_object().is_some()).ok_or(".source")?;
        let is_text = |member| source.get(member).is_some_and(|value| value.as_str().is_some());
        if !is_text("provider") {
            return Err(".source.provider");
        }
        if !is_text("id") {
            return Err(".source.id");
        }
        Ok(Self { encoding, fetched_at, refresh_after, source: source.clone() })
    }

    /// Returns the first member that is not a time by contract 4.3, if one exists.
    pub fn wrong_time(&self) -> Option<&'static str> {
        if time::parse(&self.fetched_at).is_none() {
            return Some(".fetched_at");
        }
        self.refresh_after.as_ref().filter(|at| time::parse(at).is_none()).map(|_| ".refresh_after")
    }

    /// Returns whether both are the same version of the same secret. Times and labels may differ.
    pub fn is_same(&self, other: &Self) -> bool {
        let same = |member| self.source.get(member) == other.source.get(member);
        self.encoding == other.encoding && ["provider", "id", "region", "version_id", "field"].into_iter().all(same)
    }

    /// Returns whether it names its version.
    pub fn has_version(&self) -> bool {
        self.source.get("version_id").is_some_and(|version| version.as_str().is_some())
    }

    /// Returns what the manifest alone says of the last check: that of the fetch.
    pub fn check(&self) -> Check {
        let checked_at = time::parse(&self.fetched_at).unwrap_or_default();
        let refresh_after = self.refresh_after.as_deref().and_then(time::parse);
        Check { checked_at, refresh_after, usable_until: None, failure: None }
    }

    /// Returns the members as they appear in the manifest, without the braces.
    pub fn members(&self, name: &str, size: usize) -> String {
        let path = quote(&format!("secrets/{name}"));
        let refresh_after = self.refresh_after.as_deref().map_or_else(|| "null".to_owned(), quote);
        format!(
            r#""path": {path}, "size": {size}, "encoding": "{}", "fetched_at": {}, "refresh_after": {refresh_after}, "source": {}"#,
            self.encoding,
            quote(&self.fetched_at),
            self.source,
        )
    }
}

/// One secret of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Secret {
    pub size: usize,
    pub entry: Entry,
}

/// Where the exec wrapper puts a secret (contract 4.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The name of the secret.
    pub secret: String,
    /// Whether it replaces a variable that exists already.
    pub overwrite: bool,
}

/// By the names of the variables.
pub type Variables = BTreeMap<String, Variable>;

/// Returns whether this is the name of a variable by contract 4.9.
pub fn is_variable(name: &str) -> bool {
    let (first, rest) = name.as_bytes().split_first().map_or((0, &[][..]), |(first, rest)| (*first, rest));
    let goes_on = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    first.is_ascii_alphabetic() && (1..MAX_VARIABLE).contains(&rest.len()) && rest.iter().all(goes_on)
}

/// A valid manifest. `env` is unchecked text: readers skip it, and only the exec wrapper reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub generation: u64,
    pub secrets: BTreeMap<String, Secret>,
    pub unavailable: Failures,
    pub env: Option<Json>,
    /// Seconds (contract 4.10).
    pub max_stale: Option<u64>,
}

impl Manifest {
    /// Reads and checks the manifest of a generation, in the order of contract 4.7.
    pub fn parse(bytes: &[u8], generation: u64) -> Result<Self> {
        let invalid = |what: &str| Error::manifest_invalid(generation, what);
        let wrong = |member: &str| Error::manifest_invalid(generation, &format!("{member} is missing or wrong"));

        let document = json::parse(bytes).map_err(|_| invalid("manifest.json is not JSON"))?;
        if document.as_object().is_none() {
            return Err(invalid("manifest.json is not an object"));
        }
        let text = |member: &str| document.get(member).and_then(Json::as_str);
        let format = text("format").ok_or_else(|| wrong("format"))?;
        if format != FORMAT {
            let writer = document.get("writer").and_then(|writer| writer.get("version")).and_then(Json::as_str);
            return Err(Error::format_unsupported(generation, format, writer));
        }
        if document.get("generation").and_then(Json::as_whole) != Some(generation) {
            return Err(wrong("generation"));
        }
        text("published_at").ok_or_else(|| wrong("published_at"))?;
        let object = |member: &str| document.get(member).and_then(Json::as_object).ok_or_else(|| wrong(member));
        let writer = object("writer")?;
        for member in ["name", "version"] {
            writer.get(member).and_then(Json::as_str).ok_or_else(|| wrong(&format!("writer.{member}")))?;
        }

        let mut secrets = BTreeMap::new();
        for (name, value) in object("secrets")? {
            if !name::is_valid(name.as_bytes()) {
                return Err(invalid("a name under secrets is not valid"));
            }
            let secret = Secret::from_json(name, value).map_err(|m| wrong(&format!("secrets[\"{name}\"]{m}")))?;
            secrets.insert(name.clone(), secret);
        }
        let mut unavailable = BTreeMap::new();
        for (name, value) in object("unavailable")? {
            if !name::is_valid(name.as_bytes()) {
                return Err(invalid("a name under unavailable is not valid"));
            }
            let member = |m: &'static str| wrong(&format!("unavailable[\"{name}\"]{m}"));
            value.as_object().ok_or_else(|| member(""))?;
            value.get("code").and_then(Json::as_str).ok_or_else(|| member(".code"))?;
            let failure = Failure::from_json(value, true).ok_or_else(|| member(".message"))?;
            if secrets.contains_key(name) {
                return Err(invalid(&format!("\"{name}\" is under secrets and under unavailable")));
            }
            unavailable.insert(name.clone(), failure);
        }
        Ok(Self {
            generation,
            secrets,
            unavailable,
            env: document.get("env").cloned(),
            max_stale: document.get("max_stale").and_then(Json::as_whole),
        })
    }

    /// Checks and returns the variables that the exec wrapper sets (contract 4.9).
    pub fn variables(&self) -> Result<Variables> {
        let invalid = |what: &str| Error::manifest_invalid(self.generation, what);
        let Some(env) = &self.env else {
            return Ok(Variables::new());
        };
        let mut variables = Variables::new();
        for (name, value) in env.as_object().ok_or_else(|| invalid("env is missing or wrong"))? {
            if !is_variable(name) {
                return Err(invalid("a name under env is not valid"));
            }
            let wrong = |member: &str| invalid(&format!("env[\"{name}\"]{member} is missing or wrong"));
            let secret = value.get("secret").and_then(Json::as_str).filter(|secret| name::is_valid(secret.as_bytes()));
            let secret = secret.ok_or_else(|| wrong(".secret"))?.to_owned();
            let Some(Json::Bool(overwrite)) = value.get("overwrite") else {
                return Err(wrong(".overwrite"));
            };
            variables.insert(name.clone(), Variable { secret, overwrite: *overwrite });
        }
        Ok(variables)
    }

    /// Finds a secret, or returns the reason why it is missing (contract 6.5.6).
    pub fn secret(&self, name: &str) -> Result<&Secret> {
        if let Some(secret) = self.secrets.get(name) {
            return Ok(secret);
        }
        for entry in std::iter::once(name).chain(name::folders(name)) {
            if let Some(failure) = self.unavailable.get(entry) {
                return Err(Error::secret_unavailable(name, entry, &failure.code, &failure.message));
            }
        }
        let below = |key: &&str| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
        let members: Vec<&str> = self.secrets.keys().map(String::as_str).filter(below).collect();
        if !members.is_empty() {
            return Err(Error::secret_is_folder_of(name, &members));
        }
        let nearest = name::nearest(name, self.secrets.keys().map(String::as_str));
        Err(Error::secret_not_found_near(name, &nearest))
    }

    /// Returns the document, one secret a line, or refuses one that readers would refuse.
    pub fn to_json(&self, writer: &Identity) -> Result<String> {
        let mut text = format!(
            "{{\n  \"format\": \"{FORMAT}\",\n  \"generation\": {},\n  \"published_at\": \"{}\",\n  \"writer\": {{\"name\": \
             {}, \"version\": {}}},\n  \"secrets\": {{",
            self.generation,
            time::format(time::now()),
            quote(&writer.name),
            quote(&writer.version),
        );
        for (i, (name, secret)) in self.secrets.iter().enumerate() {
            let members = secret.entry.members(name, secret.size);
            let _infallible = write!(text, "{}\n    {}: {{{members}}}", comma(i), quote(name));
        }
        text.push_str("\n  },\n  \"unavailable\": {");
        for (i, (name, failure)) in self.unavailable.iter().enumerate() {
            let _infallible = write!(text, "{}\n    {}: {}", comma(i), quote(name), failure.to_json());
        }
        text.push_str("\n  }");
        if let Some(env) = &self.env {
            let _infallible = write!(text, ",\n  \"env\": {env}");
        }
        if let Some(max_stale) = self.max_stale {
            let _infallible = write!(text, ",\n  \"max_stale\": {max_stale}");
        }
        text.push_str("\n}\n");
        if text.len() > MAX_BYTES {
            return Err(Error::manifest_too_large(self.secrets.len(), text.len()));
        }
        Ok(text)
    }
}

fn comma(index: usize) -> &'static str {
    if index == 0 { "" } else { "," }
}

impl Secret {
    fn from_json(name: &str, value: &Json) -> std::result::Result<Self, &'static str> {
        value.as_object().ok_or("")?;
        if value.get("path").and_then(Json::as_str) != Some(&format!("secrets/{name}")) {
            return Err(".path");
        }
        let size = value.get("size").and_then(Json::as_whole).and_then(|size| usize::try_from(size).ok());
        let size = size.filter(|size| *size <= MAX_BYTES).ok_or(".size")?;
        Ok(Self { size, entry: Entry::from_json(value)? })
    }
}

/// Returns every reason why the names cannot be in one store (contract 2.4).
pub(crate) fn conflicts(secrets: &[&str], unavailable: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for name in secrets.iter().chain(unavailable) {
        if !seen.insert(*name) {
            found.push(errors::name_twice(name));
        }
    }
    let stored: BTreeSet<&str> = secrets.iter().copied().collect();
    for name in &stored {
        for folder in name::folders(name).filter(|folder| stored.contains(folder)) {
            found.push(errors::name_is_folder(folder, name));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::errors::Code;

    const GOOD: &str = r#"{"format":"keystart.manifest/1","generation":3,"published_at":"x","writer":{"name":"w","version":"1"},"secrets":{"db":{"path":"secrets/db","size":41,"encoding":"utf-8","fetched_at":"x","refresh_after":null,"source":{"provider":"p","id":"i"}}},"unavailable":{"flags":{"code":"c","message":"m"}}}"#;

    /// Returns the `{what}` of the error for this document.
    fn flaw(document: &str) -> String {
        let error = Manifest::parse(document.as_bytes(), 3).unwrap_err();
        assert_eq!(error.code(), Code::ManifestInvalid);
        let text = error.message().strip_prefix("The manifest of generation 3 is not valid: ").unwrap();
        text.split(". Start").next().unwrap().to_owned()
    }

    #[test]
    fn a_valid_manifest_is_read() {
        let manifest = Manifest::parse(GOOD.as_bytes(), 3).unwrap();
        assert_eq!(manifest.secrets["db"].size, 41);
        assert_eq!(manifest.unavailable["flags"].code, "c");
        for (from, to) in [(":3,", ":3.0,"), (":41,", ":41e0,"), ("\"generation\"", "\"more\":[],\"generation\"")] {
            assert!(Manifest::parse(GOOD.replace(from, to).as_bytes(), 3).is_ok(), "{to}");
        }
    }

    #[test]
    fn the_first_wrong_member_is_reported() {
        for (from, to, what) in [
            ("}}}", "}}", "manifest.json is not JSON"),
            ("\"format\"", "\"form\"", "format is missing or wrong"),
            ("\"keystart.manifest/1\"", "1", "format is missing or wrong"),
            (":3,", ":4,", "generation is missing or wrong"),
            (":3,", ":\"3\",", "generation is missing or wrong"),
            ("\"published_at\":\"x\"", "\"published_at\":null", "published_at is missing or wrong"),
            ("{\"name\":\"w\",\"version\":\"1\"}", "[]", "writer is missing or wrong"),
            ("\"name\":\"w\"", "\"name\":1", "writer.name is missing or wrong"),
            ("\"version\":\"1\"", "\"version\":1", "writer.version is missing or wrong"),
            ("\"secrets\":{", "\"secret\":{", "secrets is missing or wrong"),
            ("\"db\":{", "\".db\":{", "a name under secrets is not valid"),
            ("secrets/db", "secrets/../db", "secrets[\"db\"].path is missing or wrong"),
            (":41,", ":1048577,", "secrets[\"db\"].size is missing or wrong"),
            (":41,", ":true,", "secrets[\"db\"].size is missing or wrong"),
            ("utf-8", "UTF-8", "secrets[\"db\"].encoding is missing or wrong"),
            ("\"fetched_at\":\"x\"", "\"fetched_at\":1", "secrets[\"db\"].fetched_at is missing or wrong"),
            ("\"refresh_after\":null,", "", "secrets[\"db\"].refresh_after is missing or wrong"),
            ("{\"provider\":\"p\",\"id\":\"i\"}", "[]", "secrets[\"db\"].source is missing or wrong"),
            ("\"provider\":\"p\"", "\"provider\":1", "secrets[\"db\"].source.provider is missing or wrong"),
            ("\"id\":\"i\"", "\"id\":1", "secrets[\"db\"].source.id is missing or wrong"),
            ("\"unavailable\"", "\"unavail\"", "unavailable is missing or wrong"),
            ("\"flags\":{", "\"fl ags\":{", "a name under unavailable is not valid"),
            ("{\"code\":\"c\",\"message\":\"m\"}", "null", "unavailable[\"flags\"] is missing or wrong"),
            ("\"code\":\"c\"", "\"code\":1", "unavailable[\"flags\"].code is missing or wrong"),
            ("\"message\":\"m\"", "\"message\":1", "unavailable[\"flags\"].message is missing or wrong"),
            ("\"flags\":{", "\"db\":{", "\"db\" is under secrets and under unavailable"),
        ] {
            let bad = GOOD.replacen(from, to, 1);
            assert_ne!(bad, GOOD, "{from}");
            assert_eq!(flaw(&bad), what);
        }
        assert_eq!(flaw("[]"), "manifest.json is not an object");
        assert_eq!(flaw(&GOOD.replace("\"db\":{", "\"db\":3,\"x\":{")), "secrets[\"db\"] is missing or wrong");
        let both = GOOD.replace("utf-8", "x").replace("\"version\":\"1\"", "\"version\":1");
        assert_eq!(flaw(&both), "writer.version is missing or wrong");
    }

    #[test]
    fn the_first_wrong_member_of_env_is_reported_to_whoever_asks_for_it() {
        let with = |env: &str| Manifest::parse(format!("{},\"env\":{env}}}", &GOOD[..GOOD.len() - 1]).as_bytes(), 3);
        let good =
            with(r#"{"B_1":{"secret":"tls/key","overwrite":true,"more":1},"aB":{"secret":"x","overwrite":false}}"#);
        let expected = [("B_1", "tls/key", true), ("aB", "x", false)]
            .map(|(name, secret, overwrite)| (name.to_owned(), Variable { secret: secret.to_owned(), overwrite }));
        assert_eq!(good.unwrap().variables().unwrap(), expected.into());
        assert_eq!(Manifest::parse(GOOD.as_bytes(), 3).unwrap().variables().unwrap(), Variables::new());
        for (env, what) in [
            ("null", "env is missing or wrong"),
            ("[]", "env is missing or wrong"),
            (r#"{"A=":{}}"#, "a name under env is not valid"),
            (r#"{"A":{}}"#, "a name under env is not valid"),
            (r#"{"AB":[]}"#, "env[\"AB\"].secret is missing or wrong"),
            (r#"{"AB":{"secret":"../x","overwrite":true}}"#, "env[\"AB\"].secret is missing or wrong"),
            (r#"{"AB":{"secret":"x","overwrite":"true"}}"#, "env[\"AB\"].overwrite is missing or wrong"),
        ] {
            let error = with(env).expect("readers pass over it").variables().unwrap_err();
            assert_eq!(error, Error::manifest_invalid(3, what));
        }
    }

    #[test]
    fn a_variable_has_a_name_that_lambda_takes() {
        for name in ["DB", "d1", "Stripe_API_KEY", &"A".repeat(255)] {
            assert!(is_variable(name), "{name}");
        }
        for name in ["", "A", "_A", "1A", "A-B", "A B", "A=", "A\0", "É1", "AÉ", "A.B", &"A".repeat(256)] {
            assert!(!is_variable(name), "{name:?}");
        }
    }

    #[test]
    fn another_format_is_reported_before_anything_else() {
        let error = Manifest::parse(br#"{"format":"keystart.manifest/2\n"}"#, 3).unwrap_err();
        assert_eq!(error, Error::format_unsupported(3, "keystart.manifest/2\n", None));
        let text = br#"{"format":"2","writer":{"version":"0.2.0"}}"#;
        assert_eq!(Manifest::parse(text, 3).unwrap_err(), Error::format_unsupported(3, "2", Some("0.2.0")));
    }

    #[test]
    fn an_unavailable_folder_explains_what_lies_below_it() {
        let text = GOOD.replace("\"flags\"", "\"a/b\":{\"code\":\"inner\",\"message\":\"\"},\"a\"");
        let manifest = Manifest::parse(text.as_bytes(), 3).unwrap();
        for (name, entry) in [("a/b/c", "a/b"), ("a/b", "a/b"), ("a/c", "a"), ("a", "a")] {
            let failure = &manifest.unavailable[entry];
            let expected = Error::secret_unavailable(name, entry, &failure.code, &failure.message);
            assert_eq!(manifest.secret(name).unwrap_err(), expected);
        }
        assert_eq!(manifest.secret("ab").unwrap_err(), Error::secret_not_found_near("ab", &["db"]));
    }

    #[test]
    fn stale_is_a_time_that_has_come() {
        let entry = |at: &str| {
            let text = GOOD.replace("\"refresh_after\":null", &format!("\"refresh_after\":\"{at}\""));
            Manifest::parse(text.as_bytes(), 3).unwrap().secrets["db"].entry.clone()
        };
        let now = time::now();
        assert!(entry(&time::format(now)).check().is_stale(now));
        assert!(!entry(&time::format(now + 1)).check().is_stale(now));
    }

    proptest! {
        #[test]
        fn the_verdict_does_not_depend_on_the_spelling(at in 0..GOOD.len(), length in 0_usize..12, piece in "[\\[\\]{}:,\"\\\\0-9a-z.-]{0,6}") {
            let end = (at + length).min(GOOD.len());
            let text = format!("{}{piece}{}", &GOOD[..at], &GOOD[end..]);
            let verdict = Manifest::parse(text.as_bytes(), 3);
            if let Ok(document) = json::parse(text.as_bytes()) {
                prop_assert_eq!(&Manifest::parse(document.to_string().as_bytes(), 3), &verdict);
            }
            if let Err(error) = verdict {
                prop_assert!(matches!(error.code(), Code::ManifestInvalid | Code::ManifestUnsupported));
            }
        }

        #[test]
        fn what_was_written_is_read_back(source in "[a-z\"\\\\\n]{0,9}", sizes in proptest::collection::vec(0..=MAX_BYTES, 0..5)) {
            let entry = Entry {
                encoding: "binary",
                fetched_at: time::format(0),
                refresh_after: Some(time::format(1)),
                source: Json::Object(["provider", "id"].map(|key| (key.to_owned(), Json::Text(source.clone()))).into()),
            };
            let secret = |(i, size): (usize, &usize)| (format!("s{i}"), Secret { size: *size, entry: entry.clone() });
            let manifest = Manifest {
                generation: 7,
                secrets: sizes.iter().enumerate().map(secret).collect(),
                unavailable: Failures::from([("x".to_owned(), Failure { optional: true, ..Failure::new(&source, &source) })]),
                env: (!source.is_empty()).then(|| Json::Text(source.clone())),
                max_stale: sizes.first().map(|size| *size as u64),
            };
            let text = manifest.to_json(&Identity { name: source.clone(), version: source }).unwrap();
            prop_assert_eq!(Manifest::parse(text.as_bytes(), 7), Ok(manifest));
        }
    }
}
