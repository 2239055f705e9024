//! Reads the mapping of secrets into entries, and checks their names against each other.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use keystart_store::{errors, name};

use crate::arn::is_role;
use crate::document::{Mapping, Node, Scalar};
use crate::freshness;
use crate::hints;
use crate::members::{self, Selection};
use crate::plan::Entry;
use crate::problem::{Position, Problems};
use crate::references::{Values, resolve};
use crate::schema::{EntrySchema, Keyword, Reference, Schemas};
use crate::shown::{Place, characters, is_certain, quote};
use crate::typed::{boolean, found, is_nothing, mapping, refuse_unknown, scalar_text, text};
use crate::variables;

/// The keys that every entry may have besides the keywords and keys of the providers.
const KEYS: [&str; 7] = ["role", "external_id", "session_name", "optional", "env", "ttl", "as_is"];
const LARGEST_MANIFEST: usize = 1_048_576; // limits.toml: manifest.bytes
/// The shortest text about a secret in a manifest, without its id and its name, which appears twice
/// (contract §4).
const SHORTEST_LINE: usize = r#""":{"path":"secrets/","size":0,"encoding":"utf-8","fetched_at":"2026-11-23T09:20:00.180Z","refresh_after":null,"source":{"field":null,"id":"","provider":"ssm","region":"eu-west-1","version_id":"1","version_stages":[]}},"#
    .len();
const TWO_VERSIONS: &str = "\"stage\" and \"version_id\" both choose a version. Keep one of them.";

/// What is needed to read entries.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub schemas: Schemas,
    /// The configuration's own region, for ids without one.
    pub region: Option<&'a str>,
    /// What `${NAME}` in ids takes.
    pub values: Values<'a>,
}

/// Reads `secrets:`.
pub(crate) fn read(node: &Node, context: Context, problems: &mut Problems) -> Vec<Entry> {
    if is_nothing(node) || matches!(node, Node::Mapping(mapping) if mapping.members.is_empty()) {
        problems.add("There are no secrets. Name at least one.", node.position());
        return Vec::new();
    }
    let Some(members) = mapping(node, "\"secrets\"", problems) else {
        return Vec::new();
    };
    let read = members.members.iter().filter_map(|(key, value)| read_entry(key, value, context, problems));
    let entries: Vec<Entry> = read.collect();
    check_together(&entries, problems);
    refuse_same_variable(&entries, problems);
    refuse_other_session(&entries, problems);
    entries
}

/// Reads the id of `name: id`. `label` begins a message. Returns no entry without a name.
pub(crate) fn short(
    name: Option<&str>,
    id: &str,
    context: Context,
    (position, id_position): (Position, Position),
    label: &str,
    problems: &mut Problems,
) -> Option<Entry> {
    let parse = |id: &str| {
        let id = resolve(id, context.values)?;
        let claimed = context.schemas.iter().find_map(|schema| schema.short(&id));
        let first = || Some((context.schemas.first()?.keywords().first()?, id.as_ref()));
        let (keyword, id) = claimed.or_else(first).ok_or_else(|| "There is no provider.".to_owned())?;
        Ok((keyword, (keyword.parse)(id)?))
    };
    let (keyword, reference) = match parse(id) {
        Ok(parsed) => parsed,
        Err::<_, String>(why) => {
            problems.add(format!("{label}{why}"), id_position);
            return None;
        }
    };
    if reference.stage.is_some() && reference.version_id.is_some() {
        problems.add(format!("{label}{TWO_VERSIONS}"), id_position);
    }
    let Reference { id, region, field, stage, version_id } = reference;
    Some(Entry {
        name: name?.to_owned(),
        keyword,
        id,
        region: region.or_else(|| context.region.map(str::to_owned)),
        field,
        expand: false,
        selection: Selection::default(),
        stage: other_stage(stage),
        version_id,
        role: None,
        external_id: None,
        session_name: None,
        optional: false,
        env: None,
        is_refreshed: true,
        is_meant: false,
        origin: problems.origin(position),
    })
}

/// Returns a stage unless it is the one that an entry without a stage asks for, too.
fn other_stage(stage: Option<String>) -> Option<String> {
    stage.filter(|stage| stage != "AWSCURRENT")
}

/// Checks valid entries together: their names against each other, and their number.
pub(crate) fn check_together(entries: &[Entry], problems: &mut Problems) {
    refuse_nested(entries, problems);
    let mut size = 0;
    for (number, entry) in entries.iter().enumerate() {
        // An optional entry that is not available takes less space, and its line may be missing.
        size += if entry.optional { 0 } else { SHORTEST_LINE + 2 * entry.name.len() + entry.id.len() };
        if size > LARGEST_MANIFEST {
            problems.add(
                format!(
                    "With this secret, number {} of {}, the manifest would be longer than the {LARGEST_MANIFEST} bytes \
                     that can be published. Configure fewer secrets.",
                    number + 1,
                    entries.len()
                ),
                entry.position(),
            );
            break;
        }
    }
}

/// Reports a text that is not a name. It does not repeat the text.
pub(crate) fn refuse_name(text: &str, label: &str, position: Position, problems: &mut Problems) {
    let what = if text.is_empty() { "nothing".to_owned() } else { format!("a text of {}", characters(text)) };
    problems.add(format!("{label}The name of a secret must be valid, found {what}. {}", errors::NAME_RULE), position);
}

/// Reports equal names, and names inside each other (contract 2.4), as far as they are known before the fetch: those
/// of members are if the configuration asks for them. Other names may lie below a folder.
fn refuse_nested(entries: &[Entry], problems: &mut Problems) {
    let claims: Vec<Claim> = entries.iter().flat_map(Claim::of).collect();
    let mut files: HashMap<&str, usize> = HashMap::new();
    for (index, claim) in claims.iter().enumerate().filter(|(_, claim)| claim.is_file) {
        files.entry(&claim.name).or_insert(index);
    }
    for (index, claim) in claims.iter().enumerate() {
        let is_of_another = |other: &&usize| claims[**other].entry.name != claim.entry.name;
        let same =
            files.get(claim.name.as_str()).filter(|other| **other < index || !claim.is_file).filter(is_of_another);
        if let Some(other) = same {
            let owner = claims[*other].owner().unwrap_or_else(|| "a secret itself".to_owned());
            claim.refuse(&format!("is that of {owner}"), claims[*other].entry.position(), problems);
            continue;
        }
        for outer in name::folders(&claim.name).collect::<Vec<_>>().into_iter().rev() {
            if let Some(other) = files.get(outer).filter(is_of_another) {
                let owner = claims[*other].owner().unwrap_or_else(|| "which is a secret itself".to_owned());
                let why = format!("lies inside {}, {owner}", quote(outer));
                claim.refuse(&why, claims[*other].entry.position(), problems);
            }
        }
    }
}

/// A name that an entry publishes, or the folder of what it publishes.
struct Claim<'a> {
    name: String,
    entry: &'a Entry,
    is_file: bool,
}

impl<'a> Claim<'a> {
    fn of(entry: &'a Entry) -> Vec<Self> {
        let own = Self { name: entry.name.clone(), entry, is_file: !entry.is_folder() };
        let members = entry.selection.published().filter(|_| entry.is_folder());
        let members = members.map(|member| Self { name: format!("{}/{member}", entry.name), entry, is_file: true });
        [own].into_iter().chain(members).collect()
    }

    fn owner(&self) -> Option<String> {
        let is_member = self.name != self.entry.name;
        is_member.then(|| format!("a member of {}", quote(&self.entry.name)))
    }

    fn refuse(&self, why: &str, place: Position, problems: &mut Problems) {
        let of = self.owner().map_or_else(String::new, |owner| format!(" of {owner}"));
        let what = format!("The name {}{of} {why} ({place}). Rename one of them.", quote(&self.name));
        problems.add(what, self.entry.position());
    }
}

/// Refuses a second way to assume a role: each role is assumed once.
fn refuse_other_session(entries: &[Entry], problems: &mut Problems) {
    for (first, again) in repeated(entries.iter().map(|entry| entry.role.as_deref())) {
        let (first, entry) = (&entries[first], &entries[again]);
        if (&first.external_id, &first.session_name) != (&entry.external_id, &entry.session_name) {
            problems.add(
                format!(
                    "{}: Its role is that of {} ({}), with another \"external_id\" or \"session_name\". Write the same at both.",
                    quote(&entry.name),
                    quote(&first.name),
                    first.position()
                ),
                entry.position(),
            );
        }
    }
}

fn refuse_same_variable(entries: &[Entry], problems: &mut Problems) {
    for (first, again) in repeated(entries.iter().map(|entry| entry.env.as_deref())) {
        let (first, entry) = (&entries[first], &entries[again]);
        problems.add(
            format!(
                "The variable {} of {} is already that of {} ({}). Name another.",
                entry.env.as_deref().unwrap_or_default(),
                quote(&entry.name),
                quote(&first.name),
                first.position()
            ),
            entry.position(),
        );
    }
}

/// Returns the index of each repeated text, with the index of its first occurrence.
pub(crate) fn repeated<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> Vec<(usize, usize)> {
    let mut seen = HashMap::new();
    let places = texts.enumerate().filter_map(|(at, text)| Some((*seen.entry(text?).or_insert(at), at)));
    places.filter(|(first, at)| first != at).collect()
}

fn read_entry(key: &Scalar, node: &Node, context: Context, problems: &mut Problems) -> Option<Entry> {
    let name = read_name(key, problems);
    let label = if is_certain(&key.text, Place::Name, &[]) {
        quote(&key.text)
    } else {
        format!("The secret at {}", key.position)
    };
    match node {
        Node::Mapping(mapping) => LongForm { label, key, mapping, context, problems }.read(name),
        Node::Sequence(_) => {
            let what = found(node, &[]);
            problems.add(format!("{label}: An id or a mapping must follow, found {what}."), node.position());
            None
        }
        Node::Scalar(_) => {
            let id = text(node, &format!("{label}: The id"), problems)?;
            short(name, id, context, (key.position, node.position()), &format!("{label}: "), problems)
        }
    }
}

fn read_name<'a>(key: &'a Scalar, problems: &mut Problems) -> Option<&'a str> {
    let name = scalar_text(key, "The name of a secret", problems)?;
    if name::is_valid(name.as_bytes()) {
        return Some(name);
    }
    refuse_name(name, "", key.position, problems);
    None
}

/// Reads the long form of one secret. `label` is its quoted name, or its position.
struct LongForm<'a, 'b> {
    label: String,
    key: &'a Scalar,
    mapping: &'a Mapping,
    context: Context<'a>,
    problems: &'b mut Problems,
}

impl LongForm<'_, '_> {
    fn read(mut self, name: Option<&str>) -> Option<Entry> {
        let keywords = self.context.schemas.iter().flat_map(|schema| schema.keywords()).map(|keyword| keyword.name);
        let own = self.context.schemas.iter().flat_map(|schema| schema.keys()).map(|key| key.name);
        let known: Vec<&str> = keywords.chain(own).chain(members::KEYS).chain(KEYS).collect();
        let mut keywords = self.context.schemas.iter().flat_map(|schema| schema.keywords());
        let is_folder = keywords.any(|keyword| keyword.is_folder && self.mapping.get(keyword.name).is_some());
        let of_folder = |key: &str| hints::hint(hints::OF_A_FOLDER, key).filter(|_| is_folder);
        let hint = |key: &str| of_folder(key).or_else(|| hints::hint(hints::OF_A_SECRET, key));
        refuse_unknown(self.mapping, &self.label, &known, &[], hint, self.problems);
        let is_refreshed = freshness::is_refreshed(self.mapping, &self.label, self.problems);
        let role = self.role();
        let external_id = self.of_role("external_id", 2..=1224, "_+=,.@:/-", role.is_some());
        let session_name = self.of_role("session_name", 2..=64, "_+=,.@-", role.is_some());
        let optional = self.flag("optional");
        let env = self.env();
        let is_meant = self.flag("as_is");
        let expand = self.flag("expand");
        let selection = Selection::read(self.mapping, name, &self.label, self.problems);
        let (field, stage, version_id) = (self.checked("field"), self.checked("stage"), self.checked("version_id"));
        let (schema, keyword, reference) = self.reference()?;
        self.refuse_keys_of_others(schema);
        let field = self.one_of("field", field, reference.field);
        let stage = self.one_of("stage", stage, reference.stage);
        let version_id = self.one_of("version_id", version_id, reference.version_id);
        if expand && field.is_some() {
            self.add("\"field\" takes one member and \"expand\" takes each. Keep one of them.", &["expand"]);
        }
        if stage.is_some() && version_id.is_some() {
            self.add(TWO_VERSIONS, &["version_id", "stage"]);
        }
        let entry = Entry {
            name: name?.to_owned(),
            keyword,
            id: reference.id,
            region: reference.region.or_else(|| self.context.region.map(str::to_owned)),
            field,
            expand,
            selection,
            stage: other_stage(stage),
            version_id,
            role,
            external_id,
            session_name,
            optional,
            env,
            is_refreshed,
            is_meant,
            origin: self.problems.origin(self.key.position),
        };
        self.check_variables(&entry);
        if !entry.is_folder() && entry.selection != Selection::default() {
            let why = "\"only\", \"except\" and \"rename\" choose members. Add \"expand: true\", or remove them.";
            self.add(why, &members::KEYS);
        }
        if entry.is_folder() && !name::is_valid(format!("{}/x", entry.name).as_bytes()) {
            self.add("This name leaves no room for the names below it. Shorten it.", &[]);
        }
        Some(entry)
    }

    fn reference(&mut self) -> Option<(&'static dyn EntrySchema, &'static Keyword, Reference)> {
        let all =
            || self.context.schemas.iter().flat_map(|schema| schema.keywords().iter().map(|word| (*schema, word)));
        let present: Vec<_> = all().filter(|(_, keyword)| self.mapping.get(keyword.name).is_some()).collect();
        let [(schema, keyword)] = present[..] else {
            let names: Vec<String> = all().map(|(_, keyword)| format!("\"{}\"", keyword.name)).collect();
            let present: Vec<&str> = present.iter().map(|(_, keyword)| keyword.name).collect();
            let what = match present[..] {
                [] => "none is given".to_owned(),
                _ => format!("{} are given", present.join(" and ")),
            };
            self.add(&format!("Exactly one of {} must be given; {what}.", listed(&names)), &[]);
            return None;
        };
        let id = self.text(keyword.name)?;
        let id = match resolve(&id, self.context.values) {
            Ok(id) => id,
            Err(why) => {
                self.add(&why, &[keyword.name]);
                return None;
            }
        };
        let is_other = |other: &&&'static dyn EntrySchema| !other.keywords().contains(keyword);
        let other = self.context.schemas.iter().filter(is_other).find_map(|other| other.short(&id));
        let read = match other {
            Some((other, _)) if !keyword.is_folder => {
                let (name, own) = (other.name, keyword.name);
                Err(format!("This is a {name}. Write \"{name}:\" instead of \"{own}:\"."))
            }
            _ => (keyword.parse)(&id),
        };
        match read {
            Ok(reference) => Some((schema, keyword, reference)),
            Err(why) => {
                self.add(&why, &[keyword.name]);
                None
            }
        }
    }

    /// Returns the text of a part that either the key or the reference may set, and not both.
    fn one_of(&mut self, part: &str, explicit: Option<String>, referred: Option<String>) -> Option<String> {
        if explicit.is_some() && referred.is_some() {
            self.add(&format!("The reference already names the {part}. Remove \"{part}\"."), &[part]);
        }
        explicit.or(referred)
    }

    fn refuse_keys_of_others(&mut self, own: &'static dyn EntrySchema) {
        for schema in self.context.schemas {
            for key in schema.keys() {
                let is_own = own.keys().iter().any(|known| known.name == key.name);
                if !is_own && self.mapping.get(key.name).is_some() {
                    let (name, owner) = (key.name, schema.owner());
                    self.add(&format!("\"{name}\" is only for {owner}. Remove it."), &[name]);
                }
            }
        }
    }

    fn role(&mut self) -> Option<String> {
        let role = self.text("role");
        if role.as_ref().is_some_and(|role| !is_role(role)) {
            let why = "\"role\" must be the ARN of a role, such as arn:aws:iam::123456789012:role/reader.";
            self.add(why, &["role"]);
        }
        role
    }

    /// Reads a text that goes to STS with the role. It may have letters, digits and `others`.
    fn of_role(
        &mut self,
        key: &'static str,
        lengths: RangeInclusive<usize>,
        others: &str,
        has_role: bool,
    ) -> Option<String> {
        let value = self.text(key)?;
        let is_known = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
        if !has_role {
            self.add(&format!("\"{key}\" belongs to a \"role\". Add one, or remove it."), &[key]);
        } else if !lengths.contains(&value.len()) || !value.chars().all(is_known) {
            let (least, most) = (lengths.start(), lengths.end());
            self.add(&format!("\"{key}\" has {least} to {most} letters, digits and \"{others}\"."), &[key]);
        }
        Some(value)
    }

    fn env(&mut self) -> Option<String> {
        let env = self.text("env")?;
        let refusal = if env.ends_with('*') { variables::refusal_of_several(&env) } else { variables::refusal(&env) };
        match refusal {
            None => Some(env),
            Some(why) => {
                self.add(&why, &["env"]);
                None
            }
        }
    }

    /// Refuses one variable for several secrets, several for one, and those that members can never have.
    fn check_variables(&mut self, entry: &Entry) {
        let Some(env) = &entry.env else { return };
        let has_several = env.ends_with('*');
        if has_several != entry.is_folder() {
            let why = if has_several {
                "\"env\" with \"*\" is for several secrets, and this is one. Write the whole name of the variable."
            } else {
                "\"env\" takes one value, and this brings several. Write the prefix of their variables, as in DB_*."
            };
            self.add(why, &["env"]);
            return;
        }
        let mut taken = HashMap::new();
        for name in entry.selection.published().filter(|_| has_several) {
            let problem = match entry.variable(&format!("{}/{name}", entry.name)) {
                Some(Err(why)) => why,
                Some(Ok(variable)) => match taken.insert(variable.clone(), name) {
                    Some(other) => {
                        let (other, name) = (quote(other), quote(name));
                        format!(
                            "{other} and {name} would both be {variable}. Give one of them another name with \"rename\"."
                        )
                    }
                    None => continue,
                },
                None => continue,
            };
            self.add(&problem, &["env"]);
        }
    }

    fn checked(&mut self, name: &'static str) -> Option<String> {
        let value = self.text(name)?;
        let key = self.context.schemas.iter().flat_map(|schema| schema.keys()).find(|key| key.name == name);
        if let Some(Err(why)) = key.map(|key| (key.check)(&value)) {
            self.add(&why, &[name]);
        }
        Some(value)
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let value = self.mapping.get(key)?;
        text(value, &format!("{}: \"{key}\"", self.label), self.problems).map(str::to_owned)
    }

    fn flag(&mut self, key: &str) -> bool {
        let value = self.mapping.get(key);
        value.is_some_and(|value| boolean(value, &format!("{}: \"{key}\"", self.label), self.problems))
    }

    /// Reports a problem at the first of these keys that exists, else at the secret's name.
    fn add(&mut self, sentence: &str, keys: &[&str]) {
        let place =
            keys.iter().find_map(|key| self.mapping.member(key)).map_or(self.key.position, |(key, _)| key.position);
        self.problems.add(format!("{}: {sentence}", self.label), place);
    }
}

/// Writes `a, b and c`.
fn listed(names: &[String]) -> String {
    match names {
        [begin @ .., last] if !begin.is_empty() => format!("{} and {last}", begin.join(", ")),
        _ => names.concat(),
    }
}
