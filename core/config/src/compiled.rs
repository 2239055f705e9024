//! Writes a plan as a configuration: as keystart.json, or as the value of `KEYSTART_SECRETS`.

use crate::pairs;
use crate::plan::{Entry, Plan, REFRESH_DEADLINE, SnapStart, VARIABLE, duration, span};
use crate::problem::Origin;
use crate::reader::Reader;
use crate::schema::Reference;
use crate::value::Value;

/// What `KEYSTART_SECRETS` cannot express, as a sentence.
#[derive(Debug, PartialEq, Eq)]
pub struct InlineError(pub String);

impl Reader<'_> {
    /// Writes a plan as `KEYSTART_SECRETS` for a function in this region.
    pub fn inline(&self, plan: &Plan, region: &str) -> Result<String, InlineError> {
        plan.inline(region, *self)
    }
}

impl Plan {
    /// Returns a keystart.json with the same plan, in ASCII. A plan from Square's file keeps Square's form.
    pub fn compiled(&self) -> String {
        let document = match &self.links_home {
            None => self.settings(),
            Some(home) => self.square(home),
        };
        document.pretty() + "\n"
    }

    /// Returns the text of `KEYSTART_SECRETS` that means the same to a function in `region`.
    fn inline(&self, region: &str, reader: Reader) -> Result<String, InlineError> {
        let pairs: Vec<String> =
            self.entries.iter().map(|entry| format!("{}={}", entry.name, entry.reference())).collect();
        let members = self.entries.iter().map(|entry| (entry.name.clone(), entry.shortest())).collect();
        let wanted = self.meaning(region);
        let mut lost = Vec::new();
        // Parses the text again, so that nothing is lost unnoticed.
        for text in [pairs.join(","), Value::Object(members).compact()] {
            let Ok(read) = pairs::read(&text, reader) else {
                continue;
            };
            let read = read.meaning(region);
            if read == wanted {
                return Ok(text);
            }
            lost = read.differences(&wanted);
        }
        let what = match self.links_home {
            Some(_) => "Square's file".to_owned(),
            None => lost.iter().map(|key| format!("{key}:")).collect::<Vec<_>>().join(" and "),
        };
        let rule = "holds only what is under \"secrets\", so not";
        Err(InlineError(format!("{VARIABLE} {rule} {what}.")))
    }

    /// Returns all of the plan that a start in this region depends on.
    fn meaning(&self, region: &str) -> Self {
        let mut plan = self.clone();
        let own = plan.region.take().unwrap_or_else(|| region.to_owned());
        for entry in &mut plan.entries {
            entry.region.get_or_insert_with(|| own.clone());
            entry.origin = Origin::whole("");
        }
        plan.region = Some(own);
        plan.source_file = String::new();
        plan
    }

    /// Returns the keys in which two plans differ, except `secrets`, in the order of the alphabet.
    fn differences(&self, other: &Self) -> Vec<&'static str> {
        let both = self.members().into_iter().zip(other.members());
        let mut keys: Vec<_> = both.filter(|(own, others)| own != others).map(|((key, _), _)| key).collect();
        keys.sort_unstable();
        keys
    }

    /// Returns the keys of the whole file with their values; none where the default is meant.
    fn members(&self) -> [(&'static str, Option<Value>); 9] {
        let refresh_deadline =
            (self.refresh_deadline != REFRESH_DEADLINE).then(|| Value::Text(duration(self.refresh_deadline)));
        let snapstart = (self.snapstart != SnapStart::default()).then(|| Value::text(self.snapstart.word()));
        [
            ("start", Some(Value::text(self.start.word()))),
            ("deadline", Some(Value::Text(duration(self.deadline)))),
            ("region", self.region.as_deref().map(Value::text)),
            ("batch", self.batch.then_some(Value::Flag(true))),
            ("env_overwrite", self.env_overwrite.then_some(Value::Flag(true))),
            ("ttl", self.ttl.map(|ttl| Value::Text(span(ttl)))),
            ("max_stale", self.max_stale.map(|max_stale| Value::Text(span(max_stale)))),
            ("refresh_deadline", refresh_deadline),
            ("snapstart", snapstart),
        ]
    }

    fn settings(&self) -> Value {
        let secrets = self.entries.iter().map(|entry| (entry.name.clone(), entry.long())).collect();
        let version = ("version", Some(Value::Number("1".to_owned())));
        let members = [version].into_iter().chain(self.members()).chain([("secrets", Some(Value::Object(secrets)))]);
        Value::Object(members.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    }

    fn square(&self, home: &str) -> Value {
        // Each link has an entry with its name.
        let secrets = self.links.iter().zip(&self.entries).map(|(link, entry)| {
            Value::object([("secretname", Value::Text(entry.reference())), ("filename", Value::text(&link.path))])
        });
        let manager = Value::object([("secrets", Value::List(secrets.collect()))]);
        Value::object([("SecretManagers", Value::List(vec![manager])), ("SecretsHome", Value::text(home))])
    }
}

impl Entry {
    /// Returns the long form, without the region: the plan sets it, or an ARN in the id.
    fn long(&self) -> Value {
        let text = |text: &Option<String>| text.as_deref().map(Value::text);
        let flag = |flag: bool| flag.then_some(Value::Flag(true));
        let [only, except, rename] = self.selection.long();
        let members = [
            (self.keyword.name, Some(Value::text(&self.id))),
            ("field", text(&self.field)),
            ("expand", flag(self.expand)),
            only,
            except,
            rename,
            ("stage", text(&self.stage)),
            ("version_id", text(&self.version_id)),
            ("role", text(&self.role)),
            ("external_id", text(&self.external_id)),
            ("session_name", text(&self.session_name)),
            ("optional", flag(self.optional)),
            ("env", text(&self.env)),
            ("ttl", (!self.is_refreshed).then(|| Value::text("none"))),
            ("as_is", flag(self.is_meant)),
        ];
        Value::Object(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    }

    fn shortest(&self) -> Value {
        match self.long() {
            Value::Object(members) if members.len() == 1 && !self.is_folder() => Value::Text(self.reference()),
            long => long,
        }
    }

    /// Returns the short form of the id, with the parts that an id may have.
    fn reference(&self) -> String {
        let Self { id, region, field, stage, version_id, .. } = self.clone();
        (self.keyword.write)(&Reference { id, region, field, stage, version_id })
    }
}
