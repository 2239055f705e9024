//! Publishing: the one writer of a store (contract §5). It does not fetch, and does not decide what is published.
//!
//! 1. Open the root without following links; create it, refuse one that is not ours, tighten one that is too open.
//! 2. Take `lock`; empty a root that others could write to.
//! 3. Find the last number; remove `current`, say `starting`, and only then remove what older writers left.
//! 4. Write each file into `generations/.new-<n>`, `manifest.json` last.
//! 5. Rename `.new-<n>` to `<n>`.
//! 6. Make `.current-<n>` and rename it over `current`. This is the publish.
//! 7. Say `ready`.
//! 8. Collect generations older than the one before: rename first, remove then.
//!
//! A stop after any of them leaves the old set, the new set, or none; never a part of one (contract 5.10).

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, fcntl_dupfd_cloexec};

use crate::crash::CrashReport;
use crate::error::{Error, MAX_BYTES, Result};
use crate::failpoint;
use crate::json::Json;
use crate::layout::{self, CURRENT, Denied, Folder, GENERATIONS, MANIFEST, Root, STATE, Trouble};
use crate::manifest::{self, Entry, Identity, Manifest, Secret};
use crate::name;
use crate::options::Options;
use crate::secret::SecretBytes;
use crate::state::{self, Failure, Failures, Phase, State};

const LOCK: &str = "lock";
const NEW_STATE: &str = ".state.json";

/// The one writer of a store. It holds the lock until it is dropped; what it published stays.
#[derive(Debug)]
pub struct Writer {
    root: String,
    folder: Arc<Folder>,
    generations: Arc<Folder>,
    identity: Identity,
    /// The highest number that was ever used under this root.
    last: u64,
    published: Option<u64>,
    /// What state.json says.
    told: State,
    stopped: bool,
    crash: Arc<CrashReport>,
    /// Given back when no descriptor is left and readers must still learn the reason.
    reserve: Reserve,
    _lock: OwnedFd,
}

/// A descriptor that is held for a time when there is none left.
struct Reserve(Cell<Option<OwnedFd>>);

impl fmt::Debug for Reserve {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Reserve")
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.crash.end(); // from here on the store may be another writer's
    }
}

impl Writer {
    /// Takes over the store: steps 1 to 3.
    pub fn open(options: &Options<'_>, identity: Identity) -> Result<Self> {
        let root = options.root()?;
        let denied = |denied| refusal(&root, denied);

        // (1)
        let (folder, was_open) = match Folder::open_root(&root).map_err(denied)? {
            Root::Sound(folder) => (folder, false),
            Root::WasOpen(folder) => (folder, true),
            Root::Unsafe(what) => return Err(Error::root_unsafe_to_write(&root, what)),
        };
        failpoint::reached("1");

        // (2)
        if was_open {
            remove_planted_lock(&folder).map_err(denied)?;
        }
        let lock = folder.open_lock(LOCK).map_err(denied)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|errno| match errno {
            Errno::WOULDBLOCK => Error::store_locked(&root),
            other => Error::store_unwritable(&root, other, LOCK),
        })?;
        if was_open {
            empty(&folder).map_err(denied)?;
        }
        failpoint::reached("2");

        // (3)
        let generations = folder.create(GENERATIONS).map_err(denied)?;
        let last = last_number(&folder, &generations).map_err(denied)?;
        folder.remove(CURRENT).map_err(denied)?;
        failpoint::reached("3, current removed");
        let (folder, generations) = (Arc::new(folder), Arc::new(generations));
        let crash = Arc::new(CrashReport::new(&folder, &generations, last));
        let reserve = Reserve(Cell::new(fcntl_dupfd_cloexec(&lock, 0).ok()));
        let mut writer = Self {
            root: root.clone(),
            folder,
            generations,
            identity,
            last,
            published: None,
            told: State::new(Phase::Starting),
            stopped: false,
            crash,
            reserve,
            _lock: lock,
        };
        if writer.say(State::new(Phase::Starting)).is_err() {
            // A writer that was killed on a full disk has left no room but that of its own files.
            let _as_far_as_it_goes = writer.empty_leftovers();
            writer.say(State::new(Phase::Starting))?;
        }
        failpoint::reached("3, starting");
        writer.remove_leftovers().map_err(denied)?;
        failpoint::reached("3");
        Ok(writer)
    }

    /// The absolute path of the root.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// What is to be done when the process crashes.
    pub fn crash_report(&self) -> Arc<CrashReport> {
        Arc::clone(&self.crash)
    }

    /// Tells readers that there will be no publish, and why. What was published stays, and then it is only told to people:
    /// the next writer removes `current` first, and readers must not take the reasons of this one for its own.
    pub fn fail(&mut self, message: &str, failures: Failures) -> Result<()> {
        if self.stopped {
            return Err(Error::writer_stopped(&self.root));
        }
        let phase = if self.published.is_some() { Phase::Ready } else { Phase::Failed };
        self.say(State { phase, message: Some(message.to_owned()), failures })
    }

    /// Overwrites and removes every secret (contract 5.11). Goes on after an error, and tells the first.
    pub fn stop(&mut self) -> Result<()> {
        self.stopped = true;
        self.published = None;
        let unlinked = self.folder.remove(CURRENT).map_err(|denied| self.refusal(denied));
        failpoint::reached("11, current removed");
        let said = self.say(State::new(Phase::Stopped));
        failpoint::reached("11, stopped");
        let wiped = self.wipe_generations().map_err(|denied| self.refusal(denied));
        // The wipe may have made the room that was missing.
        let said = said.or_else(|_| self.say(State::new(Phase::Stopped)));
        failpoint::reached("11");
        if wiped.is_ok() {
            self.crash.end();
        }
        unlinked.and(said).and(wiped)
    }

    fn wipe_generations(&self) -> std::result::Result<(), Denied> {
        let mut first = Ok(());
        // All are renamed before the first is overwritten: readers throw away what they read from one that is gone.
        for number in self.numbers()? {
            first = first.and(self.generations.rename(&number.to_string(), &old(number)));
        }
        failpoint::reached("11, renamed");
        for name in self.temporary_names()? {
            // A reader that has the manifest open must not read zeros; it holds no secret.
            if let Ok(generation) = self.generations.open(name.as_c_str()) {
                first = first.and(generation.remove(MANIFEST));
            }
            first = first.and(self.generations.wipe(name.as_c_str()));
        }
        first
    }

    /// Publishes the next generation: steps 4 to 8. An error of step 7 or 8 leaves the new set published.
    fn publish(&mut self, draft: &Draft) -> Result<u64> {
        if self.stopped {
            return Err(Error::writer_stopped(&self.root));
        }
        let number = layout::number_after(self.last).ok_or_else(|| Error::numbers_used_up(&self.root))?;
        let manifest = draft.manifest(number, &self.identity)?;

        self.last = number;
        self.crash.set_number(number);
        if let Err(denied) = self.put_in_place(draft, number, &manifest) {
            // The first error is the one to tell; what cannot be removed now, the next writer removes.
            let _leftovers = self.discard(number);
            // Also after a restart the number must not be used again.
            let _number = self.say(self.told.clone());
            return Err(self.refusal(denied));
        }
        let before = self.published.replace(number);

        // (7)
        let said = self.replace_state();
        self.told = State::new(Phase::Ready);
        failpoint::reached("7");

        // (8)
        let collected = self.collect(before, number);
        failpoint::reached("8");
        said.and(collected).map_err(|denied| self.refusal(denied).after_publish(number))?;
        Ok(number)
    }

    /// Steps 4 to 6.
    fn put_in_place(&self, draft: &Draft, number: u64, manifest: &str) -> std::result::Result<(), Denied> {
        // (4)
        let new = new(number);
        let generation = self.generations.create(new.as_str())?;
        failpoint::reached("4, folder made");
        draft.write_secrets(&generation)?;
        failpoint::reached("4, secrets written");
        generation.write_new(MANIFEST, manifest.as_bytes())?;
        // The text of step 7 is written here already, so that a full disk cannot come between 6 and 7.
        self.write_state(&State::new(Phase::Ready))?;
        failpoint::reached("4");

        // (5)
        self.generations.rename(&new, &number.to_string())?;
        failpoint::reached("5");

        // (6)
        let link = new_link(number);
        self.folder.link(&format!("{GENERATIONS}/{number}"), &link)?;
        failpoint::reached("6, link made");
        self.folder.rename(&link, CURRENT)?;
        failpoint::reached("6");
        Ok(())
    }

    /// Removes what a publish that failed has left.
    fn discard(&self, number: u64) -> std::result::Result<(), Denied> {
        self.folder.remove(new_link(number).as_str())?;
        self.folder.remove(NEW_STATE)?;
        self.generations.remove(new(number).as_str())?;
        self.collect_one(number)
    }

    /// Collects all generations but the two that readers may be in.
    fn collect(&self, before: Option<u64>, current: u64) -> std::result::Result<(), Denied> {
        for number in self.numbers()? {
            if number != current && Some(number) != before {
                self.collect_one(number)?;
            }
        }
        Ok(())
    }

    /// Takes a generation away as a whole: a reader finds it complete or not at all.
    fn collect_one(&self, number: u64) -> std::result::Result<(), Denied> {
        let old = old(number);
        self.generations.remove(old.as_str())?;
        match self.generations.rename(&number.to_string(), &old) {
            Err(Denied { trouble: Trouble::Missing, .. }) => return Ok(()),
            other => other?,
        }
        failpoint::reached("8, renamed");
        self.generations.remove(old.as_str())
    }

    /// Removes what is in the generations of older writers. The names stay: they may be all that tells the last number.
    fn empty_leftovers(&self) -> std::result::Result<(), Denied> {
        for number in self.numbers()? {
            self.generations.remove(old(number).as_str())?;
            self.generations.rename(&number.to_string(), &old(number))?;
        }
        failpoint::reached("3, renamed");
        for name in self.temporary_names()? {
            // What is no folder is empty.
            if let Ok(folder) = self.generations.open(name.as_c_str()) {
                folder.clear()?;
            }
        }
        failpoint::reached("3, emptied");
        Ok(())
    }

    fn remove_leftovers(&self) -> std::result::Result<(), Denied> {
        self.empty_leftovers()?;
        for name in self.temporary_names()? {
            self.generations.remove(name.as_c_str())?;
        }
        for name in self.folder.names()? {
            if name.as_bytes().starts_with(b".current-") {
                self.folder.remove(name.as_c_str())?;
            }
        }
        Ok(())
    }

    fn numbers(&self) -> std::result::Result<Vec<u64>, Denied> {
        let names = self.generations.names()?;
        Ok(names.iter().filter_map(|name| layout::generation_number(name.as_bytes())).collect())
    }

    fn temporary_names(&self) -> std::result::Result<Vec<CString>, Denied> {
        let mut names = self.generations.names()?;
        names.retain(|name| temporary_number(name.as_bytes()).is_some());
        Ok(names)
    }

    fn say(&mut self, state: State) -> Result<()> {
        self.write_state(&state).and_then(|()| self.replace_state()).map_err(|denied| self.refusal(denied))?;
        self.told = state;
        Ok(())
    }

    fn replace_state(&self) -> std::result::Result<(), Denied> {
        match self.folder.rename(NEW_STATE, STATE) {
            // Somebody made a folder of that name.
            Err(Denied { trouble: Trouble::System(Errno::ISDIR), .. }) => {
                self.folder.remove(STATE)?;
                self.folder.rename(NEW_STATE, STATE)
            }
            other => other,
        }
    }

    fn write_state(&self, state: &State) -> std::result::Result<(), Denied> {
        self.folder.remove(NEW_STATE)?;
        let text = state.to_json(self.last);
        match self.folder.write_new(NEW_STATE, text.as_bytes()) {
            Err(Denied { trouble: Trouble::System(Errno::MFILE | Errno::NFILE), .. }) => {
                drop(self.reserve.0.take());
                self.folder.write_new(NEW_STATE, text.as_bytes())
            }
            other => other,
        }
    }

    fn refusal(&self, denied: Denied) -> Error {
        refusal(&self.root, denied)
    }
}

fn new(number: u64) -> String {
    format!(".new-{number}")
}

fn old(number: u64) -> String {
    format!(".old-{number}")
}

fn new_link(number: u64) -> String {
    format!(".current-{number}")
}

fn temporary_number(name: &[u8]) -> Option<u64> {
    let digits = name.strip_prefix(b".new-").or_else(|| name.strip_prefix(b".old-"))?;
    layout::generation_number(digits)
}

fn refusal(root: &str, Denied { path, trouble }: Denied) -> Error {
    match trouble {
        Trouble::Link => Error::root_unsafe_to_write(root, &format!("{path} is a symbolic link")),
        Trouble::NotFolder => Error::root_unsafe_to_write(root, &format!("{path} is not a directory")),
        Trouble::NotFile => Error::root_unsafe_to_write(root, &format!("{path} is not a regular file")),
        Trouble::Missing => Error::store_unwritable(root, Errno::NOENT, &path),
        Trouble::System(errno) => Error::store_unwritable(root, errno, &path),
    }
}

/// A lock that no writer of ours can have made is removed; another one may be held, so it is tried.
fn remove_planted_lock(folder: &Folder) -> std::result::Result<(), Denied> {
    if folder.is_own_file(LOCK)? { Ok(()) } else { folder.remove(LOCK) }
}

/// Removes everything in the root but the lock that is held.
fn empty(folder: &Folder) -> std::result::Result<(), Denied> {
    for name in folder.names()? {
        if name.as_bytes() != LOCK.as_bytes() {
            folder.remove(name.as_c_str())?;
        }
    }
    Ok(())
}

/// The highest number that was ever used (contract 5.3). A broken state.json tells none.
fn last_number(folder: &Folder, generations: &Folder) -> std::result::Result<u64, Denied> {
    let mut buffer = vec![0; MAX_BYTES + 1];
    let length = folder.read(STATE, &mut buffer).unwrap_or(0);
    let told = if length > MAX_BYTES { 0 } else { state::generation(&buffer[..length]) };
    let target = folder.read_link(CURRENT)?.and_then(|target| layout::target_number(target.as_bytes()));
    let names = generations.names()?;
    let used = names.iter().map(CString::as_bytes);
    let used = used.filter_map(|name| layout::generation_number(name).or_else(|| temporary_number(name)));
    Ok(used.chain(target).fold(told, u64::max))
}

/// What is going to be published: the values, and the optional entries that could not be fetched.
#[derive(Debug, Default)]
pub struct Draft {
    secrets: Vec<Added>,
    unavailable: Vec<(String, Failure)>,
    env: BTreeMap<String, Json>,
}

#[derive(Debug)]
struct Added {
    name: String,
    value: SecretBytes,
    entry: Entry,
}

impl Draft {
    /// Makes an empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a secret. `entry` holds `encoding`, `fetched_at`, `refresh_after` and `source`, as in the manifest.
    pub fn add(&mut self, name: impl AsRef<[u8]>, value: SecretBytes, entry: &Json) -> Result<()> {
        let name = name::check(name.as_ref())?;
        let size = value.as_bytes().len();
        if size > MAX_BYTES {
            return Err(Error::value_too_large(name, size));
        }
        let entry = Entry::from_json(entry).map_err(|member| Error::invalid_entry(name, member))?;
        if let Some(member) = entry.wrong_time() {
            return Err(Error::invalid_entry(name, member));
        }
        self.secrets.push(Added { name: name.to_owned(), value, entry });
        Ok(())
    }

    /// Lists an optional entry that could not be fetched.
    pub fn mark_unavailable(&mut self, name: impl AsRef<[u8]>, code: &str, message: &str) -> Result<()> {
        let name = name::check(name.as_ref())?;
        let failure = Failure { code: code.to_owned(), message: message.to_owned() };
        self.unavailable.push((name.to_owned(), failure));
        Ok(())
    }

    /// Says that the exec wrapper is to put a secret into a variable (contract 4.9).
    pub fn assign(&mut self, variable: &str, secret: impl AsRef<[u8]>, overwrite: bool) -> Result<()> {
        let secret = name::check(secret.as_ref())?;
        if !manifest::is_variable(variable) || self.env.contains_key(variable) {
            return Err(Error::internal("a variable is assigned twice, or its name is not valid"));
        }
        let members = [("secret", Json::Text(secret.to_owned())), ("overwrite", Json::Bool(overwrite))];
        let members = members.map(|(member, value)| (member.to_owned(), value));
        self.env.insert(variable.to_owned(), Json::Object(members.into()));
        Ok(())
    }

    /// Publishes the draft and gives the number of its generation. What is wrong with it is told before anything is written.
    pub fn publish(&self, writer: &mut Writer) -> Result<u64> {
        writer.publish(self)
    }

    fn manifest(&self, generation: u64, writer: &Identity) -> Result<String> {
        let names: Vec<&str> = self.secrets.iter().map(|added| added.name.as_str()).collect();
        let missing: Vec<&str> = self.unavailable.iter().map(|(name, _)| name.as_str()).collect();
        let conflicts = manifest::conflicts(&names, &missing);
        if !conflicts.is_empty() {
            return Err(Error::name_conflict(&conflicts));
        }
        let secret = |added: &Added| {
            (added.name.clone(), Secret { size: added.value.as_bytes().len(), entry: added.entry.clone() })
        };
        let secrets: BTreeMap<String, Secret> = self.secrets.iter().map(secret).collect();
        let unavailable = self.unavailable.iter().cloned().collect();
        let env = (!self.env.is_empty()).then(|| Json::Object(self.env.clone()));
        Manifest { generation, secrets, unavailable, env }.to_json(writer)
    }

    fn write_secrets(&self, generation: &Folder) -> std::result::Result<(), Denied> {
        let secrets = generation.create("secrets")?;
        for Added { name, value, .. } in &self.secrets {
            let (folders, file) =
                name.rsplit_once('/').map_or((None, name.as_str()), |(above, file)| (Some(above), file));
            let mut inner = None;
            for part in folders.into_iter().flat_map(|folders| folders.split('/')) {
                inner = Some(inner.as_ref().unwrap_or(&secrets).create(part)?);
            }
            inner.as_ref().unwrap_or(&secrets).write_new(file, value.as_bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
