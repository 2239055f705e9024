//! What the entries of a provider may say.

/// What the entries of one provider may say: its keywords, its ids, and the keys that only its entries have.
pub trait EntrySchema: Sync {
    /// Returns the keywords of the long form, in the order in which messages list them.
    fn keywords(&self) -> &'static [Keyword];

    /// Returns the keyword that an id of the short form `name: id` means, with the id for it. `None` if it is no id of
    /// this provider.
    fn short<'a>(&self, text: &'a str) -> Option<(&'static Keyword, &'a str)>;

    /// Returns those of the keys `field`, `expand`, `stage` and `version_id` that its entries may have.
    fn keys(&self) -> &'static [Key] {
        &[]
    }

    /// Names what has those keys, as in `"field" is only for a secret of Secrets Manager.`
    fn owner(&self) -> &'static str {
        ""
    }
}

/// The providers that a configuration may name. The first one gets each id of the short form that none of them claims.
pub type Schemas = &'static [&'static dyn EntrySchema];

/// A key that names what to fetch.
#[derive(Debug)]
pub struct Keyword {
    /// As it stands in a configuration, such as `secret`. It is also the noun for messages.
    pub name: &'static str,
    /// Whether it brings several secrets, all below the entry's name.
    pub is_folder: bool,
    /// Reads an id. An error is a sentence that repeats nothing of the id, which may be a pasted secret.
    pub parse: fn(&str) -> Result<Reference, String>,
    /// Writes a reference as an id of the short form, as far as that can say it.
    pub write: fn(&Reference) -> String,
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
    /// As it stands in a configuration.
    pub name: &'static str,
    /// Checks its value, if that is text. An error is a sentence that repeats nothing of it.
    pub check: fn(&str) -> Result<(), String>,
}

/// What an id says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reference {
    /// What the service's API takes.
    pub id: String,
    /// The region that an ARN names.
    pub region: Option<String>,
    /// The member of a JSON secret, where the id names one.
    pub field: Option<String>,
    /// The staging label, where the id names one.
    pub stage: Option<String>,
    /// The version, where the id names one.
    pub version_id: Option<String>,
}
