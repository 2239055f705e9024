//! What the entries of a provider may hold.

/// What the entries of one provider may hold: its keywords, its ids, and the keys that only its entries have.
pub trait EntrySchema: Sync {
    /// Returns the keywords of the long form, in the order in which messages list them.
    fn keywords(&self) -> &'static [Keyword];

    /// Returns the keyword and the id for an id of the short form `name: id`. `None` if it is not an id
    /// of this provider.
    fn short<'a>(&self, text: &'a str) -> Option<(&'static Keyword, &'a str)>;

    /// Returns which of the keys `field`, `expand`, `stage` and `version_id` its entries may have.
    fn keys(&self) -> &'static [Key] {
        &[]
    }

    /// Returns the owner of those keys for messages, as in `"field" is only for a secret of Secrets Manager.`
    fn owner(&self) -> &'static str {
        ""
    }
}

/// The providers that a configuration may name. The first one gets each id of the short form that
/// no provider claims.
pub type Schemas = &'static [&'static dyn EntrySchema];

/// A key that names what to fetch.
#[derive(Debug)]
pub struct Keyword {
    /// The key in a configuration, such as `secret`. It is also the noun in messages.
    pub name: &'static str,
    /// Whether it brings several secrets, all below the entry's name.
    pub is_folder: bool,
    /// Parses an id. The error is a sentence that repeats nothing of the id, which may be a pasted secret.
    pub parse: fn(&str) -> Result<Reference, String>,
    /// Returns a reference as an id of the short form, as far as that form can express it.
    pub write: fn(&Reference) -> String,
    /// Returns whether an id names one version, which never changes.
    pub is_pinned: fn(&str) -> bool,
}

impl PartialEq for Keyword {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Keyword {}

/// A key that only the entries of some providers have.
#[derive(Debug)]
pub struct Key {
    /// The key in a configuration.
    pub name: &'static str,
    /// Checks a value that is text. The error is a sentence that repeats nothing of it.
    pub check: fn(&str) -> Result<(), String>,
}

/// The parts of an id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reference {
    /// What the service's API takes.
    pub id: String,
    /// The region that an ARN names.
    pub region: Option<String>,
    /// The member of a JSON secret, if the id names one.
    pub field: Option<String>,
    /// The staging label, if the id names one.
    pub stage: Option<String>,
    /// The version, if the id names one.
    pub version_id: Option<String>,
}
