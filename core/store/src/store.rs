//! Reads one store, as a client or a snapshot (contract §6). It never writes, and starts no threads.
//!
//! Kept values are behind locks that readers only try: a lock that another thread held during a
//! fork stays locked in the child forever. If a lock is busy, the store is read again.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::geteuid;

use crate::errors::{Error, MAX_BYTES, Result, shown_path};
use crate::files::{self, CURRENT, FRESHNESS, GENERATIONS, STATE, Trouble};
use crate::freshness::{self, Check, Freshness};
use crate::json;
use crate::manifest::Variables;
use crate::name;
use crate::options::Options;
use crate::secret::SecretBytes;
use crate::state::{Phase, State};
use crate::time;
use generation::Generation;
use patience::Patience;

/// What the bytes of a secret must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Anything.
    Bytes,
    /// UTF-8.
    Text,
    /// JSON by contract 6.4.
    Json,
}

/// A reader of one store, or a snapshot of it. It is safe to use from several threads and after a fork.
#[derive(Debug)]
pub struct Store {
    root: String,
    timeout_ms: u64,
    view: View,
    /// This reader has found a generation once, so a missing root was removed (contract 6.2.10). An
    /// atomic, because a forked child must know it too, and a lock could stay locked.
    has_read: AtomicBool,
    /// A read has reported the removal. No read waits for the store until it exists again.
    removal_is_known: AtomicBool,
    /// How often the store was found removed. What was read before does not count, because a new
    /// store counts from 1 again.
    removals: AtomicUsize,
    /// What a login reads of a snapshot.
    login: Option<Arc<attempt::Reads>>,
}

#[derive(Debug)]
enum View {
    /// A client follows `current`, and keeps the generation that it saw last.
    Current(RwLock<Option<Arc<Generation>>>),
    /// A snapshot stays with its generation, and knows how long its question may still take.
    Bound(Arc<Generation>, Patience),
}

/// Why one pass through the steps of a read ended without an answer.
enum Halt {
    /// The read ends with this error.
    Error(Error),
    /// There is no `current` (contract 6.2.3).
    Unpublished,
    /// There is no store where this reader found one before (contract 6.2.10).
    Removed,
    /// What was read does not count any more; start again at 6.2.1.
    Again,
    /// Something is missing in the generation. `verdict` is the error, unless the store has moved
    /// on (contract 6.2.7).
    Gone { generation: u64, verdict: Error },
    /// The value was checked too long ago. `verdict` is the error, unless the store has moved on
    /// (contract 11.7).
    Stale { generation: u64, verdict: Error },
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

type Pass<T> = std::result::Result<T, Halt>;

impl Store {
    /// Makes a client. It does not touch the disk yet.
    pub fn open(options: &Options<'_>) -> Result<Self> {
        let root = options.root()?;
        Ok(Self::new(root, options.timeout_ms()?, View::Current(RwLock::default())))
    }

    /// Returns a reader that is bound to the current generation. A snapshot of a snapshot is bound
    /// to the same one.
    pub fn snapshot(&self) -> Result<Self> {
        let mut patience = Patience::new(self.timeout_ms);
        let generation = self.generation(&mut patience)?;
        Ok(self.bound(generation, patience))
    }

    /// Returns a reader that is bound to the generation with this number, whether it is published or
    /// not. It does not wait: if the generation does not exist, the error is `snapshot_expired`.
    pub fn snapshot_of(&self, number: u64) -> Result<Self> {
        let gone = || Error::generation_gone(number);
        let read =
            self.root_is_there().and_then(|is_there| if is_there { self.manifest(number) } else { Err(Halt::Again) });
        let manifest = read.map_err(|halt| match halt {
            Halt::Error(error) => error,
            Halt::Gone { verdict, .. } if files::see_folder(&self.at(&format!("{GENERATIONS}/{number}"))).is_ok() => {
                verdict
            }
            Halt::Gone { .. } | Halt::Stale { .. } | Halt::Again | Halt::Unpublished | Halt::Removed => gone(),
        })?;
        let generation = Arc::new(Generation::new(manifest, 0));
        Ok(self.bound(generation, Patience::new(self.timeout_ms)))
    }

    /// Returns the next snapshot, for a question of several parts whose snapshot has expired. The
    /// timeout of the first one still counts (contract 6.2.7).
    pub fn renewed(&self) -> Result<Self> {
        let View::Bound(_, patience) = &self.view else {
            return Err(Error::internal("what is renewed must be a snapshot"));
        };
        let mut patience = patience.clone();
        if !patience.restart() {
            return Err(Error::changing(&self.root));
        }
        let generation = self.ask(&mut patience, |generation| Ok(Arc::clone(generation)))?;
        Ok(self.bound(generation, patience))
    }

    fn bound(&self, generation: Arc<Generation>, patience: Patience) -> Self {
        Self::new(self.root.clone(), self.timeout_ms, View::Bound(generation, patience))
    }

    fn new(root: String, timeout_ms: u64, view: View) -> Self {
        let has_read = AtomicBool::new(matches!(view, View::Bound(..)));
        Self {
            root,
            timeout_ms,
            view,
            has_read,
            removal_is_known: AtomicBool::default(),
            removals: AtomicUsize::default(),
            login: None,
        }
    }

    /// Returns the bytes of a secret after it has checked their form.
    pub fn read(&self, name: impl AsRef<[u8]>, form: Form) -> Result<Arc<SecretBytes>> {
        let name = name::check(name.as_ref())?;
        let value = match &self.view {
            View::Current(_) => {
                self.ask(&mut Patience::new(self.timeout_ms), |generation| self.value(generation, name))?
            }
            View::Bound(generation, _) => {
                self.value(generation, name).map_err(|halt| self.snapshot_error(generation, name, halt))?
            }
        };
        let bytes = value.as_bytes();
        match form {
            Form::Text if std::str::from_utf8(bytes).is_err() => Err(Error::secret_not_text(name)),
            Form::Json if json::check(bytes).is_err() => Err(Error::secret_not_json(name)),
            _ => {
                self.note_read(name);
                Ok(value)
            }
        }
    }

    /// Returns the path of a secret's file, without a look at the file.
    pub fn path(&self, name: impl AsRef<[u8]>) -> Result<String> {
        let name = name::check(name.as_ref())?;
        let generation = self.generation(&mut Patience::new(self.timeout_ms))?;
        generation.manifest.secret(name)?;
        let through = match &self.view {
            View::Current(_) => CURRENT.to_owned(),
            View::Bound(generation, _) => generation.folder(),
        };
        self.note_read(name);
        Ok(self.at(&format!("{through}/secrets/{name}")))
    }

    fn note_read(&self, name: &str) {
        if let Some(login) = &self.login {
            login.note(name);
        }
    }

    /// Returns the names of all secrets, or of those below a prefix, sorted by bytes.
    pub fn names(&self, prefix: Option<&[u8]>) -> Result<Vec<String>> {
        let below = prefix.map(name::check).transpose()?.map_or_else(String::new, |prefix| format!("{prefix}/"));
        let generation = self.generation(&mut Patience::new(self.timeout_ms))?;
        Ok(generation.manifest.secrets.keys().filter(|name| name.starts_with(&below)).cloned().collect())
    }

    /// Returns all facts about a secret except its value, as a JSON object (contract 6.5.5).
    pub fn info(&self, name: impl AsRef<[u8]>) -> Result<String> {
        let name = name::check(name.as_ref())?;
        let generation = self.generation(&mut Patience::new(self.timeout_ms))?;
        let secret = generation.manifest.secret(name)?;
        if let Some(member) = secret.entry.wrong_time() {
            let what = format!("secrets[\"{name}\"]{member} is missing or wrong");
            return Err(Error::manifest_invalid(generation.number(), &what));
        }
        let check = self.check(generation.number(), name).unwrap_or_else(|| secret.entry.check());
        let mut entry = secret.entry.clone();
        entry.refresh_after = check.refresh_after.map(time::format);
        let members = entry.members(name, secret.size);
        Ok(format!(
            "{{{members}, \"checked_at\": \"{}\", \"failure\": {}, \"stale\": {}}}",
            time::format(check.checked_at),
            check.failure_json(true),
            check.is_stale(time::now())
        ))
    }

    /// Returns what freshness.json says of a secret; `None` if it is broken, or about another generation.
    fn check(&self, generation: u64, name: &str) -> Option<Check> {
        let mut bytes = vec![0; freshness::LARGEST + 1];
        let length = files::read_file(&self.at(FRESHNESS), &mut bytes).ok()?;
        if length > freshness::LARGEST { None } else { Freshness::find(&bytes[..length], generation, name) }
    }

    /// Returns the variables that the exec wrapper sets, by name (contract 4.9).
    pub fn variables(&self) -> Result<Variables> {
        self.generation(&mut Patience::new(self.timeout_ms))?.manifest.variables()
    }

    fn generation(&self, patience: &mut Patience) -> Result<Arc<Generation>> {
        match &self.view {
            View::Current(_) => self.ask(patience, |generation| Ok(Arc::clone(generation))),
            View::Bound(generation, _) => Ok(Arc::clone(generation)),
        }
    }

    /// Repeats the steps until it has an answer, a reason to end, or no time left.
    fn ask<T>(&self, patience: &mut Patience, answer: impl Fn(&Arc<Generation>) -> Pass<T>) -> Result<T> {
        loop {
            match self.look(patience, &answer)? {
                ControlFlow::Break(value) => return Ok(value),
                ControlFlow::Continue(wait) => self.pause_until_published(patience, wait),
            }
        }
    }

    /// Waits until there is a `current`, and at most this long (contract 6.2.3). A look at `current` alone costs a
    /// tenth of one at the whole store, and the writer may have to share the CPU with it.
    fn pause_until_published(&self, patience: &Patience, longest: Duration) {
        let (start, current) = (Instant::now(), self.at(CURRENT));
        loop {
            let left = longest.saturating_sub(start.elapsed());
            if left.is_zero() {
                return;
            }
            thread::sleep(patience.pause_for_current().min(left));
            if rustix::fs::lstat(&current).is_ok() {
                return;
            }
        }
    }

    /// Goes through the steps without waiting. Returns an answer, or how long to wait before the next look.
    fn look<T>(
        &self,
        patience: &mut Patience,
        answer: &impl Fn(&Arc<Generation>) -> Pass<T>,
    ) -> Result<ControlFlow<T, Duration>> {
        loop {
            match self.published().and_then(|generation| answer(&generation)) {
                Ok(value) => return Ok(ControlFlow::Break(value)),
                Err(Halt::Error(error)) => return Err(error),
                Err(Halt::Unpublished) => return self.wait(patience).map(ControlFlow::Continue),
                Err(Halt::Removed) => return self.wait_for_removed(patience).map(ControlFlow::Continue),
                Err(Halt::Gone { generation, verdict } | Halt::Stale { generation, verdict })
                    if self.target() == Ok(Some(generation)) =>
                {
                    let files_are_gone = rustix::fs::lstat(self.at(STATE)).err() == Some(Errno::NOENT);
                    return Err(if files_are_gone { Error::removed(&self.root) } else { verdict });
                }
                Err(Halt::Again | Halt::Gone { .. } | Halt::Stale { .. }) => {
                    if !patience.restart() {
                        return Err(Error::changing(&self.root));
                    }
                }
            }
        }
    }

    /// Returns the generation that `current` points to (contract 6.2.1, 6.2.2, 6.2.4, 6.2.5).
    fn published(&self) -> Pass<Arc<Generation>> {
        let removals = self.removals.load(Ordering::Relaxed);
        let target = self.target();
        if target != Err(Errno::NOENT) {
            self.removal_is_known.store(false, Ordering::Relaxed);
        }
        if let Some(known) = self.known() {
            if target == Ok(Some(known.number())) && known.removals == removals {
                return Ok(known);
            }
        }
        if !self.root_is_there()? {
            let never_seen = || Error::not_attached(&self.root).into();
            return Err(if self.has_read() { Halt::Removed } else { never_seen() });
        }
        let number = match target {
            Ok(Some(number)) => number,
            Err(Errno::NOENT) => return Err(Halt::Unpublished),
            // EINVAL: it is not a link.
            Ok(None) | Err(Errno::INVAL) => return Err(self.insecure("current does not point to a generation")),
            Err(errno) => return Err(self.unreadable(errno, CURRENT)),
        };
        self.has_read.store(true, Ordering::Relaxed);
        let manifest = self.manifest(number)?;
        let generation = Arc::new(Generation::new(manifest, removals));
        self.keep(&generation);
        Ok(generation)
    }

    /// Returns the number that `current` points to; `None` for another target.
    fn target(&self) -> std::result::Result<Option<u64>, Errno> {
        let target = rustix::fs::readlink(self.at(CURRENT), Vec::new())?;
        Ok(files::target_number(target.as_bytes()))
    }

    fn known(&self) -> Option<Arc<Generation>> {
        let View::Current(known) = &self.view else { return None };
        known.try_read().ok()?.clone()
    }

    fn keep(&self, generation: &Arc<Generation>) {
        let View::Current(known) = &self.view else { return };
        if let Ok(mut known) = known.try_write() {
            *known = Some(Arc::clone(generation));
        }
    }

    /// Checks the root (contract 6.2.2); false if it does not exist.
    fn root_is_there(&self) -> Pass<bool> {
        match rustix::fs::lstat(&self.root) {
            Ok(stat) => files::root_flaw(&stat).map_or(Ok(true), |what| Err(self.insecure(what))),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.unreadable(errno, ".")),
        }
    }

    /// Returns the error of a snapshot whose read ended without an answer (contract 6.3.2).
    fn snapshot_error(&self, generation: &Generation, name: &str, halt: Halt) -> Error {
        let folder_is_gone = || files::see_folder(&self.at(&generation.folder())) == Err(Trouble::Missing);
        match halt {
            Halt::Error(error) => error,
            Halt::Gone { verdict, .. } if !folder_is_gone() => verdict,
            Halt::Stale { generation, verdict } if self.target() == Ok(Some(generation)) => verdict,
            Halt::Stale { .. } | Halt::Gone { .. } | Halt::Again | Halt::Unpublished | Halt::Removed => {
                Error::snapshot_expired(name, generation.number())
            }
        }
    }

    /// Returns how long to wait for a `current`, unless state.json or the timeout ends the read (contract 6.2.3).
    fn wait(&self, patience: &mut Patience) -> Result<Duration> {
        let mut buffer = vec![0; MAX_BYTES + 1];
        let read = files::read_file(&self.at(STATE), &mut buffer);
        if read == Err(Trouble::Missing) && self.has_read() {
            return self.wait_for_removed(patience);
        }
        self.removal_is_known.store(false, Ordering::Relaxed);
        // A state that cannot be read counts as broken (contract 3.5), so its error is not reported.
        let text = buffer.get(..read.unwrap_or(0)).filter(|text| text.len() <= MAX_BYTES);
        let message = match text.and_then(State::parse) {
            Some(State { phase: Phase::Failed, message, failures }) => {
                return Err(Error::failed_start(message.as_deref(), &failures));
            }
            Some(State { phase: Phase::Stopped, .. }) => return Err(Error::stopped(&self.root)),
            Some(State { phase: Phase::Deferred, .. }) => {
                return patience.wait_for_invocation().ok_or_else(|| Error::deferred(&self.root));
            }
            state => state.and_then(|state| state.message),
        };
        patience.wait().ok_or_else(|| Error::waited(&self.root, self.timeout_ms, message.as_deref()))
    }

    /// Returns how long to wait for a writer that may be about to start after the store was removed
    /// (contract 6.2.10).
    fn wait_for_removed(&self, patience: &mut Patience) -> Result<Duration> {
        self.removals.fetch_add(1, Ordering::Relaxed);
        if !self.removal_is_known.load(Ordering::Relaxed) {
            if let Some(wait) = patience.wait_for_removed() {
                return Ok(wait);
            }
        }
        self.removal_is_known.store(true, Ordering::Relaxed);
        Err(Error::removed(&self.root))
    }

    fn has_read(&self) -> bool {
        self.has_read.load(Ordering::Relaxed)
    }

    fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.root)
    }

    /// Makes `layout_insecure`. The advice depends on the owner: this user can remove only its own
    /// store (contract 8.4).
    fn insecure(&self, what: &str) -> Halt {
        let is_ours = rustix::fs::lstat(&self.root).is_ok_and(|stat| stat.st_uid == geteuid().as_raw());
        let error = if is_ours { Error::layout_insecure } else { Error::layout_insecure_of_other_user };
        error(&self.root, what).into()
    }

    fn unreadable(&self, errno: Errno, path: &str) -> Halt {
        Error::store_unreadable(&self.root, errno, shown_path(path)).into()
    }
}

mod age;
pub mod attempt;
mod control;
mod generation;
mod patience;
mod refresh;
#[cfg(test)]
mod tests;
