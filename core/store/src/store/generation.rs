//! Reads one generation: its manifest, and its values on demand (contract 6.2.4 to 6.2.6).

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use zeroize::Zeroizing;

use super::{Halt, Pass, Store, age};
use crate::errors::{Error, MAX_BYTES};
use crate::files::{self, GENERATIONS, MANIFEST, Trouble};
use crate::manifest::Manifest;
use crate::secret::SecretBytes;

/// One generation as far as it was read. It never changes on disk, so nothing here grows stale.
#[derive(Debug)]
pub(super) struct Generation {
    pub manifest: Manifest,
    /// How often the store had been removed before this was read.
    pub removals: usize,
    pub values: RwLock<HashMap<String, Arc<SecretBytes>>>,
    pub usable: age::KnownTimes,
}

impl Generation {
    pub fn new(manifest: Manifest, removals: usize) -> Self {
        Self { manifest, removals, values: RwLock::default(), usable: age::KnownTimes::default() }
    }

    pub fn number(&self) -> u64 {
        self.manifest.generation
    }

    pub fn folder(&self) -> String {
        format!("{GENERATIONS}/{}", self.number())
    }
}

impl Store {
    pub(super) fn manifest(&self, number: u64) -> Pass<Manifest> {
        let folder = format!("{GENERATIONS}/{number}");
        let invalid = |what: &str| Error::manifest_invalid(number, what);
        self.see_generation(number)?;

        let path = format!("{folder}/{MANIFEST}");
        let mut buffer = vec![0; MAX_BYTES + 1];
        let length = files::read_file(&self.at(&path), &mut buffer).map_err(|trouble| match trouble {
            Trouble::Missing => Halt::Gone { generation: number, verdict: invalid("manifest.json is missing") },
            Trouble::NotFile | Trouble::NotFolder => invalid("manifest.json is not a regular file").into(),
            Trouble::Link => self.insecure(&format!("{path} is a symbolic link")),
            Trouble::System(errno) => self.unreadable(errno, &path),
        })?;
        self.see_still_there(&folder)?;
        if length > MAX_BYTES {
            return Err(invalid(&format!("manifest.json is longer than {MAX_BYTES} bytes")).into());
        }
        Ok(Manifest::parse(&buffer[..length], number)?)
    }

    /// Looks at the folders above everything in a generation (contract 6.2.4).
    fn see_generation(&self, number: u64) -> Pass<()> {
        let folder = format!("{GENERATIONS}/{number}");
        for path in [GENERATIONS, &folder] {
            self.see_folder(path, || Halt::Gone {
                generation: number,
                verdict: Error::manifest_invalid(number, &format!("{folder} is missing")),
            })?;
        }
        Ok(())
    }

    fn see_folder(&self, path: &str, missing: impl FnOnce() -> Halt) -> Pass<()> {
        files::see_folder(&self.at(path)).map_err(|trouble| match trouble {
            Trouble::Missing => missing(),
            Trouble::Link => self.insecure(&format!("{path} is a symbolic link")),
            Trouble::NotFolder | Trouble::NotFile => self.insecure(&format!("{path} is not a directory")),
            Trouble::System(errno) => self.unreadable(errno, path),
        })
    }

    /// Checks that the generation still exists. A writer that stops renames a generation before it
    /// overwrites files, so what was read from one that is gone may be zeros (contract 6.2.6).
    fn see_still_there(&self, folder: &str) -> Pass<()> {
        self.see_folder(folder, || Halt::Again)
    }

    /// Returns the bytes of a secret of one generation, unless they were checked too long ago.
    pub(super) fn value(&self, generation: &Generation, name: &str) -> Pass<Arc<SecretBytes>> {
        let value = self.bytes(generation, name)?;
        self.see_fresh(generation, name)?;
        Ok(value)
    }

    /// Returns the bytes of a secret of one generation (contract 6.2.4, 6.2.6).
    fn bytes(&self, generation: &Generation, name: &str) -> Pass<Arc<SecretBytes>> {
        let secret = generation.manifest.secret(name)?;
        if let Some(value) = generation.values.try_read().ok().and_then(|values| values.get(name).cloned()) {
            return Ok(value);
        }
        let number = generation.number();
        let corrupt = |what: &str| Error::secret_corrupt(name, number, what);
        let missing = || Halt::Gone { generation: number, verdict: corrupt("its file is missing") };

        // A client's next pass reports the missing root; a snapshot has expired.
        if !self.root_is_there()? {
            return Err(Halt::Again);
        }
        self.see_generation(number)?;
        let folder = generation.folder();
        let path = format!("{folder}/secrets/{name}");
        for (at, _) in path.match_indices('/').filter(|(at, _)| *at > folder.len()) {
            self.see_folder(&path[..at], missing)?;
        }

        // One byte more than expected detects a file that is too long. The buffer never grows, so
        // no copy stays behind.
        let mut buffer = Zeroizing::new(vec![0; secret.size + 1]);
        let length = files::read_file(&self.at(&path), &mut buffer).map_err(|trouble| match trouble {
            Trouble::Missing => missing(),
            Trouble::NotFile | Trouble::NotFolder => corrupt("its file is not a regular file").into(),
            Trouble::Link => self.insecure(&format!("{path} is a symbolic link")),
            Trouble::System(errno) => self.unreadable(errno, &path),
        })?;
        self.see_still_there(&folder)?;
        if length != secret.size {
            return Err(corrupt(&format!("its file does not have {} bytes", secret.size)).into());
        }
        buffer.truncate(length);
        let value = Arc::new(SecretBytes::from(buffer));
        if let Ok(mut values) = generation.values.try_write() {
            values.insert(name.to_owned(), Arc::clone(&value));
        }
        Ok(value)
    }
}
