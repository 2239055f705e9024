//! Whether two sets of values are equal, without keeping them.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::OnceLock;

use crate::publish::Writer;
use crate::publish::refresh::{open_folder, read, split};

/// Returns a number that is equal for equal names and values, in this process only: its key is
/// random, so that the number says nothing about a value. The order counts.
pub fn fingerprint<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> u64 {
    static KEY: OnceLock<RandomState> = OnceLock::new();
    let mut hasher = KEY.get_or_init(RandomState::new).build_hasher();
    for secret in secrets {
        secret.hash(&mut hasher);
    }
    hasher.finish()
}

impl Writer {
    /// Returns the fingerprint of what is published of an entry; `None` if nothing is, or if its
    /// files are not as the writer made them.
    pub fn fingerprint(&self, entry: &str) -> Option<u64> {
        let manifest = self.manifest.as_ref()?;
        let mut secrets = Vec::new();
        for (name, secret) in &manifest.secrets {
            if self.entry_of(name) == entry {
                let folder = open_folder(&self.generations, manifest.generation, name).ok()?;
                secrets.push((name.as_str(), read(&folder, split(name).1, secret.size).ok()?));
            }
        }
        (!secrets.is_empty()).then(|| fingerprint(secrets.iter().map(|(name, value)| (*name, value.as_slice()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_secrets_and_no_others_have_equal_fingerprints() {
        let of = |secrets: &[(&'static str, &'static [u8])]| fingerprint(secrets.iter().copied());
        assert_eq!(of(&[("db/user", b"a"), ("db/password", b"b")]), of(&[("db/user", b"a"), ("db/password", b"b")]));
        for other in [
            &[("db/user", &b"a"[..]), ("db/password", b"c")][..],
            &[("db/user", b"a")],
            &[("db/user", b"a"), ("db/passwor", b"db")],
            &[],
        ] {
            assert_ne!(of(other), of(&[("db/user", b"a"), ("db/password", b"b")]));
        }
    }
}
