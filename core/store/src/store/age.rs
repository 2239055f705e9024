//! Refuses values that were checked too long ago (contract 11.7).

use std::collections::HashMap;
use std::sync::RwLock;

use super::refresh::fetch;
use super::{Generation, Halt, Pass, Patience, Store};
use crate::errors::Error;
use crate::time;

/// How long a read waits for the writer, in milliseconds.
const REQUEST_MS: u64 = 2_000; // limits.toml: stale.request_ms
/// How far a clock may be set back before a time counts as one of the future, in milliseconds.
const MARGIN_MS: i64 = 60_000; // limits.toml: stale.margin_ms

/// The time until which each value can be used, in milliseconds since 1970, as far as it is known. `None` is forever.
pub(super) type KnownTimes = RwLock<HashMap<String, Option<i64>>>;

impl Store {
    /// Checks that a value may still be returned. If it may not, asks the writer once.
    pub(super) fn see_fresh(&self, generation: &Generation, name: &str) -> Pass<()> {
        let Some(max_stale) = generation.manifest.max_stale else { return Ok(()) };
        let max_stale = i64::try_from(max_stale).unwrap_or(i64::MAX).saturating_mul(1000);
        if self.is_usable(generation, name, max_stale)? {
            return Ok(());
        }
        if self.target() == Ok(Some(generation.number())) {
            // Whatever is answered, freshness.json decides.
            if let Ok(path) = self.listener() {
                let _answer = fetch(path, &[name], &mut Patience::new(self.timeout_ms.min(REQUEST_MS)));
            }
            if self.is_usable(generation, name, max_stale)? {
                return Ok(());
            }
        }
        Err(Halt::Stale { generation: generation.number(), verdict: self.stale(generation, name)? })
    }

    /// Returns whether a value may be returned now. It reads freshness.json only if what it knows has passed.
    fn is_usable(&self, generation: &Generation, name: &str, max_stale: i64) -> Pass<bool> {
        let now = time::now();
        let latest = now.saturating_add(max_stale).saturating_add(MARGIN_MS);
        let is_ahead = |until: Option<i64>| until.is_none_or(|until| now < until && until <= latest);

        let known = generation.usable.try_read().ok().and_then(|known| known.get(name).copied());
        let known = match known {
            Some(known) => known,
            None => Some(fetched_at(generation, name)?.saturating_add(max_stale)),
        };
        if is_ahead(known) {
            return Ok(true);
        }
        let Some(check) = self.check(generation.number(), name) else { return Ok(false) };
        if let Ok(mut known) = generation.usable.try_write() {
            known.insert(name.to_owned(), check.usable_until);
        }
        Ok(is_ahead(check.usable_until))
    }

    fn stale(&self, generation: &Generation, name: &str) -> Pass<Error> {
        let check = self.check(generation.number(), name);
        let checked_at = check.as_ref().map_or_else(|| fetched_at(generation, name), |check| Ok(check.checked_at))?;
        let checked_at = time::format(checked_at);
        Ok(match check.and_then(|check| check.failure) {
            Some((failure, _)) => Error::secret_stale_because(name, &checked_at, &failure.code, &failure.message),
            None => Error::secret_stale(name, &checked_at),
        })
    }
}

fn fetched_at(generation: &Generation, name: &str) -> Pass<i64> {
    let secret = generation.manifest.secret(name)?;
    time::parse(&secret.entry.fetched_at).ok_or_else(|| {
        let what = format!("secrets[\"{name}\"].fetched_at is missing or wrong");
        Error::manifest_invalid(generation.number(), &what).into()
    })
}
