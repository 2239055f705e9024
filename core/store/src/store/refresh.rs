//! Asks the writer to fetch now, and says what changed (contract 7.3).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::control::{self, Answer, Exchange, Progress, Silence};
use super::{Generation, Halt, Pass, Patience, Store, View};
use crate::errors::{Error, Result};
use crate::files::{CONTROL, LONGEST_PATH};
use crate::name;

/// How long a report of a restore waits for the writer, in milliseconds.
const RESTORE_MS: u64 = 5_000; // limits.toml: restore.wait_ms

type ControlResult<T> = std::result::Result<T, Silence>;

impl Store {
    /// Asks the extension to fetch these secrets and folders now, or all if no name is given. Waits
    /// at most the timeout. Returns the names of those that differ from what this reader read last.
    pub fn refresh<N: AsRef<[u8]>>(&self, names: &[N]) -> Result<Vec<String>> {
        let names = names.iter().map(|name| name::check(name.as_ref())).collect::<Result<Vec<_>>>()?;
        if matches!(self.view, View::Bound(..)) {
            return Err(Error::internal("what is refreshed must be a client"));
        }
        let mut patience = Patience::new(self.timeout_ms);
        let before = self.known().or_else(|| self.at_a_glance());
        let answer = match self.listener() {
            Ok(path) => fetch(path, &names, &mut patience),
            Err(Halt::Error(error)) => return Err(error),
            Err(_) => Err(Silence::Nobody),
        };
        match answer {
            Ok(Answer::Done(failures)) if failures.is_empty() => {
                Ok(changes(before.as_deref(), &*self.generation(&mut patience)?, &names))
            }
            Ok(Answer::Done(failures)) => Err(Error::failed_refresh(&failures)),
            Ok(Answer::Refused(failure)) => Err(Error::refresh_refused(&failure.code, &failure.message)),
            Err(Silence::Nobody) => Err(Error::refresh_unavailable(&self.root)),
            Err(Silence::System(errno)) => Err(Error::store_unreadable(&self.root, errno, CONTROL)),
            Err(Silence::TimedOut) => {
                // The writer may have published before the answer was lost, as in a freeze.
                let after = self.generation(&mut patience).ok();
                let changed = after.map_or_else(Vec::new, |after| changes(before.as_deref(), &after, &names));
                if changed.is_empty() { Err(Error::refresh_timed_out(self.timeout_ms)) } else { Ok(changed) }
            }
        }
    }

    /// Reports to the extension that Lambda has restored this environment from a snapshot, and waits
    /// until it has fetched, at most 5 s (contract 11.10). Whatever it answers, reads report.
    pub fn report_restore(&self) {
        if let Ok(path) = self.listener() {
            let _answer = ask(Exchange::report_restore(path), &mut Patience::new(RESTORE_MS));
        }
    }

    /// Returns the path to connect to, after the checks of contract 9.9.
    pub(super) fn listener(&self) -> Pass<String> {
        let path = self.at(CONTROL);
        if !self.root_is_there()? || path.len() > LONGEST_PATH {
            return Err(Halt::Unpublished);
        }
        match rustix::fs::lstat(&path) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Socket => Ok(path),
            Ok(_) | Err(Errno::NOENT) => Err(Halt::Unpublished),
            Err(errno) => Err(self.unreadable(errno, CONTROL)),
        }
    }

    /// Returns the generation that is published now, if it can be read at once. This reader forgets
    /// it, and whatever it knows about removals stays.
    fn at_a_glance(&self) -> Option<Arc<Generation>> {
        Self::new(self.root.clone(), 0, View::Current(std::sync::RwLock::default()))
            .generation(&mut Patience::new(0))
            .ok()
    }
}

/// Asks the writer to fetch these, or all, and waits for its answer.
pub(super) fn fetch(path: String, names: &[&str], patience: &mut Patience) -> ControlResult<Answer> {
    ask(Exchange::refresh(path, names), patience)
}

fn ask(mut exchange: Exchange, patience: &mut Patience) -> ControlResult<Answer> {
    loop {
        match exchange.advance()? {
            Progress::Line(line) => return control::answer(&line).ok_or(Silence::Nobody),
            Progress::Blocked(flag) => match exchange.socket() {
                Some(socket) if control::wait(socket, flag, patience.left())? => {}
                _ => return Err(Silence::TimedOut),
            },
            Progress::Full => thread::sleep(patience.pause_within(patience.left()).ok_or(Silence::TimedOut)?),
        }
    }
}

/// Returns the names whose entries differ, among the requested ones.
fn changes(before: Option<&Generation>, after: &Generation, asked: &[&str]) -> Vec<String> {
    let before = before.map(|generation| &generation.manifest.secrets);
    let after = &after.manifest.secrets;
    let was_asked = |name: &str| asked.is_empty() || asked.iter().any(|folder| name::is_at_or_below(name, folder));
    let names: BTreeSet<&String> = before.into_iter().flat_map(|secrets| secrets.keys()).chain(after.keys()).collect();
    let differs = |name: &&String| before.and_then(|secrets| secrets.get(*name)) != after.get(*name);
    names.into_iter().filter(|name| was_asked(name)).filter(differs).cloned().collect()
}
