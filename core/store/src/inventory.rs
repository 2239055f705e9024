//! What lies in a root, and whether a writer left all of it there (contract 5.14 to 5.17).
//!
//! A root is a store only if it holds nothing else, so that no writer removes what is not
//! Keystart's. In doubt an entry is foreign.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};

use rustix::fs::FileType;

use crate::errors::MAX_BYTES;
use crate::files::{self, CONTROL, CURRENT, FRESHNESS, GENERATIONS, MANIFEST, SECRETS, STATE, Trouble};
use crate::folder::{Cause, Facts, Folder, FolderError, FolderResult};
use crate::freshness;
use crate::manifest::Manifest;
use crate::state;
use crate::text::quoted;

pub(crate) const LOCK: &str = "lock";
pub(crate) const NEW_STATE: &str = ".state.json";
pub(crate) const NEW_FRESHNESS: &str = ".freshness.json";
/// The writer stops counting foreign entries here.
const MAX_COUNTED: usize = 1000;
const MAX_SHOWN_NAME: usize = 24;
const SECOND_NAME: &str = "has another name too (a hard link)";

/// The stages of a generation's folder, from the first step to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// `.new-<n>`
    New,
    /// `<n>`
    Whole,
    /// `.old-<n>`
    Old,
}

impl Stage {
    /// Returns the name of the folder.
    pub fn name(self, number: u64) -> String {
        match self {
            Self::New => format!(".new-{number}"),
            Self::Whole => number.to_string(),
            Self::Old => format!(".old-{number}"),
        }
    }

    /// Parses the name of a folder.
    pub fn parse(name: &[u8]) -> Option<(Self, u64)> {
        let (stage, digits) = match (name.strip_prefix(b".new-"), name.strip_prefix(b".old-")) {
            (Some(digits), _) => (Self::New, digits),
            (_, Some(digits)) => (Self::Old, digits),
            _ => (Self::Whole, name),
        };
        Some((stage, files::generation_number(digits)?))
    }
}

/// Returns the name of the link that is renamed over `current`.
pub(crate) fn new_link(number: u64) -> String {
    format!(".current-{number}")
}

/// Returns the target of a link to a generation.
pub(crate) fn target(number: u64) -> String {
    format!("{GENERATIONS}/{number}")
}

/// What writers left in a root.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    /// The number that `current` points to.
    pub current: Option<u64>,
    /// The numbers of `.current-<n>`.
    pub new_links: Vec<u64>,
    /// The number in state.json.
    pub state: u64,
    /// Those of freshness.json and its temporary name that exist.
    pub freshness: Vec<&'static str>,
    pub generations: Vec<(Stage, u64)>,
    /// `control.sock`, and `.control-<pid>`.
    pub sockets: Vec<CString>,
}

impl Inventory {
    /// Lists a root, and returns an error if anything in it is not part of a store. It changes nothing.
    pub fn take(root: &Folder, devices: Devices) -> FolderResult<Self> {
        let mut found = Self::default();
        let own = |name: &[u8]| RootEntry::parse(name).is_some();
        for name in names(root, own)? {
            let Some(entry) = RootEntry::parse(name.as_bytes()) else { continue };
            // A living writer has renamed it meanwhile, so it is not foreign.
            let Some(facts) = root.facts(name.as_c_str())? else { continue };
            let name = name.as_c_str();
            match entry {
                RootEntry::Lock => devices.check_lock(root, name, &facts)?,
                RootEntry::State => {
                    devices.check_file(root, name, &facts)?;
                    found.state = state_generation(root)?;
                }
                RootEntry::NewState => {
                    devices.check_file(root, name, &facts)?;
                    check_start(root, NEW_STATE, state::START, true)?;
                }
                RootEntry::Freshness(own) => {
                    devices.check_file(root, name, &facts)?;
                    check_start(root, own, freshness::START, own == NEW_FRESHNESS)?;
                    found.freshness.push(own);
                }
                RootEntry::Socket => {
                    devices.check(root, name, &facts, FileType::Socket)?;
                    found.sockets.push(name.to_owned());
                }
                RootEntry::Current => found.current = Some(devices.read_link(root, name, &facts)?),
                RootEntry::NewLink(number) => {
                    if devices.read_link(root, name, &facts)? != number {
                        return Err(root.foreign(name, "does not point to the generation of its name"));
                    }
                    found.new_links.push(number);
                }
                RootEntry::Generations => {
                    devices.check_folder(root, name, &facts)?;
                    found.generations = list_generations(&root.open(name)?, devices)?;
                }
            }
        }
        Ok(found)
    }

    /// Returns the highest number that was ever used (contract 5.3).
    pub fn last_number(&self) -> u64 {
        let used = self.generations.iter().map(|(_, number)| *number);
        used.chain(self.current).chain(self.new_links.iter().copied()).fold(self.state, u64::max)
    }
}

enum RootEntry {
    Lock,
    State,
    NewState,
    Current,
    NewLink(u64),
    Generations,
    Freshness(&'static str),
    Socket,
}

impl RootEntry {
    fn parse(name: &[u8]) -> Option<Self> {
        let is = |known: &str| name == known.as_bytes();
        Some(match name {
            _ if is(LOCK) => Self::Lock,
            _ if is(STATE) => Self::State,
            _ if is(NEW_STATE) => Self::NewState,
            _ if is(CURRENT) => Self::Current,
            _ if is(GENERATIONS) => Self::Generations,
            _ if is(FRESHNESS) => Self::Freshness(FRESHNESS),
            _ if is(NEW_FRESHNESS) => Self::Freshness(NEW_FRESHNESS),
            _ if is(CONTROL) => Self::Socket,
            _ => {
                if let Some(digits) = name.strip_prefix(b".current-") {
                    return files::generation_number(digits).map(Self::NewLink);
                }
                // A process id has the digits of a generation's number.
                files::generation_number(name.strip_prefix(b".control-")?).map(|_pid| Self::Socket)?
            }
        })
    }
}

/// Lists a folder, sorted by the names' bytes, and returns an error if a name is not one of the writer's.
fn names(folder: &Folder, is_own: impl Fn(&[u8]) -> bool) -> FolderResult<Vec<CString>> {
    let (mut own, mut foreign) = (Vec::new(), 0);
    let mut shown: Option<CString> = None;
    folder.each_name(|name| {
        if is_own(name.as_bytes()) {
            own.push(name);
        } else {
            foreign += 1;
            if is_plain(name.as_bytes()) && shown.as_ref().is_none_or(|other| name < *other) {
                shown = Some(name);
            }
        }
        foreign <= MAX_COUNTED
    })?;
    if foreign > 0 {
        let count = match foreign {
            1 => "1 entry".to_owned(),
            _ if foreign > MAX_COUNTED => format!("more than {MAX_COUNTED} entries"),
            _ => format!("{foreign} entries"),
        };
        let shown = shown.map_or_else(String::new, |name| format!(", such as {}", quoted(name.as_bytes())));
        return Err(folder.holds_foreign(format!("holds {count} that Keystart did not make{shown}")));
    }
    own.sort_unstable();
    Ok(own)
}

/// Refuses a folder that holds anything.
pub(crate) fn check_is_empty(folder: &Folder) -> FolderResult<()> {
    names(folder, |_| false).map(|_none| ())
}

/// Returns whether the name is short and made of ordinary characters, so that a message may repeat it.
fn is_plain(name: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    name.len() <= MAX_SHOWN_NAME && name.iter().all(plain)
}

fn state_generation(root: &Folder) -> FolderResult<u64> {
    let mut bytes = vec![0; MAX_BYTES + 1];
    let length = match root.read(STATE, &mut bytes) {
        Err(FolderError { cause: Cause::Trouble(Trouble::Missing), .. }) => return Ok(0),
        other => other?,
    };
    let generation = (length <= MAX_BYTES).then(|| state::generation(&bytes[..length])).flatten();
    generation.ok_or_else(|| root.foreign(STATE, "is none that a writer writes"))
}

/// Checks that a file begins as a writer begins it. A kill or a full disk may have cut a new one anywhere.
fn check_start(root: &Folder, name: &str, start: &str, may_be_cut: bool) -> FolderResult<()> {
    let mut bytes = vec![0; start.len()];
    let length = match root.read(name, &mut bytes) {
        Err(FolderError { cause: Cause::Trouble(Trouble::Missing), .. }) => return Ok(()),
        other => other?,
    };
    if start.as_bytes().starts_with(&bytes[..length]) && (may_be_cut || length == start.len()) {
        Ok(())
    } else {
        Err(root.foreign(name, "is none that a writer writes"))
    }
}

fn list_generations(folder: &Folder, devices: Devices) -> FolderResult<Vec<(Stage, u64)>> {
    let mut found = Vec::new();
    let mut links = Links::default();
    for name in names(folder, |name| Stage::parse(name).is_some())? {
        let Some((stage, number)) = Stage::parse(name.as_bytes()) else { continue };
        let Some(facts) = folder.facts(name.as_c_str())? else { continue };
        devices.check_folder(folder, name.as_c_str(), &facts)?;
        match folder
            .open(name.as_c_str())
            .and_then(|generation| check_generation(&generation, number, devices, &mut links))
        {
            // A living writer has removed it meanwhile.
            Err(FolderError { cause: Cause::Trouble(Trouble::Missing), .. }) => {}
            other => other?,
        }
        found.push((stage, number));
    }
    links.check()?;
    Ok(found)
}

/// The secrets' files with several names. A refresh links what did not change, so all names of a
/// file must be the same path in generations of this store.
#[derive(Default)]
struct Links(BTreeMap<u64, Link>);

struct Link {
    path: String,
    /// How many names the file has, and how many of them were found.
    names: u64,
    found: u64,
    denied: FolderError,
}

impl Links {
    fn add(&mut self, folder: &Folder, name: &CStr, path: &str, facts: &Facts) -> FolderResult<()> {
        if facts.kind != FileType::RegularFile || facts.links == 1 {
            return Ok(());
        }
        let denied = folder.foreign(name, SECOND_NAME);
        let first = || Link { path: path.to_owned(), names: facts.links, found: 0, denied: denied.clone() };
        let link = self.0.entry(facts.inode).or_insert_with(first);
        if link.path != path {
            return Err(denied);
        }
        link.found += 1;
        Ok(())
    }

    fn check(self) -> FolderResult<()> {
        self.0.into_values().find(|link| link.found != link.names).map_or(Ok(()), |link| Err(link.denied))
    }
}

/// Checks that a generation holds only what a writer puts there: with a manifest, the secrets that it lists.
fn check_generation(generation: &Folder, number: u64, devices: Devices, links: &mut Links) -> FolderResult<()> {
    let mut has_secrets = false;
    let mut listed = None;
    for name in names(generation, |name| [MANIFEST, SECRETS].map(str::as_bytes).contains(&name))? {
        let name = name.as_c_str();
        let Some(facts) = generation.facts(name)? else { continue };
        if name.to_bytes() == SECRETS.as_bytes() {
            devices.check_folder(generation, name, &facts)?;
            has_secrets = true;
        } else {
            devices.check_file(generation, name, &facts)?;
            listed = listed_names(generation, number)?;
        }
    }
    if !has_secrets {
        return Ok(());
    }
    let own = OwnPaths::left_behind(listed, devices);
    check_secrets(&generation.open(SECRETS)?, "", &own, links)
}

/// Returns the names in a manifest; `None` for a cut one, which only a generation under another name may have.
fn listed_names(generation: &Folder, number: u64) -> FolderResult<Option<Vec<String>>> {
    let mut bytes = vec![0; MAX_BYTES + 1];
    let length = generation.read(MANIFEST, &mut bytes)?;
    if length > MAX_BYTES {
        return Err(generation.foreign(MANIFEST, "is none that a writer writes"));
    }
    let manifest = Manifest::parse(&bytes[..length], number).ok();
    Ok(manifest.map(|manifest| manifest.secrets.into_keys().collect()))
}

fn check_secrets(folder: &Folder, path: &str, own: &OwnPaths, links: &mut Links) -> FolderResult<()> {
    for name in names(folder, |name| own.may_have(&joined(path, name)))? {
        let (path, name) = (joined(path, name.as_bytes()), name.as_c_str());
        let Some(facts) = folder.facts(name)? else { continue };
        own.check(folder, name, &path, &facts)?;
        links.add(folder, name, &path, &facts)?;
        if facts.kind == FileType::Directory {
            // The length of a name bounds how deep this goes.
            check_secrets(&folder.open(name)?, &path, own, links)?;
        }
    }
    Ok(())
}

/// Returns a path below `secrets`. Bytes that are not text make no valid name either.
fn joined(path: &str, name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    if path.is_empty() { name.into_owned() } else { format!("{path}/{name}") }
}

mod ownership;
mod removal;

pub(crate) use ownership::{Devices, OwnPaths};
pub(crate) use removal::{clear_generation, remove_generation};
