//! One request of a fetch. It is sent until it has an answer or a final refusal, or until the deadline.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::aws::Aws;
use crate::aws::errors::with_other_region;
use crate::first_requests::TRANSMISSION;
use crate::limits::Pages;
use crate::pace::Pace;
use crate::provider::{Answer, Gap, Match, Provider, SecretValue};
use crate::refusal::{Refusal, Retry};
use crate::retries::Retries;
use crate::{Entry, Outcome, shape};
use keystart_process::lock;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What one request asks a provider for.
pub(crate) struct Request {
    provider: &'static dyn Provider,
    entries: Vec<Entry>,
    pause: Option<Duration>,
}

/// The outcomes of a request, and the further requests for what it did not bring.
#[derive(Default)]
pub(crate) struct RequestResult {
    pub outcomes: Vec<(String, Outcome)>,
    pub further: Vec<Request>,
    /// What was skipped of the answer, for the log.
    pub warnings: Vec<String>,
}

impl Request {
    pub fn new(provider: &'static dyn Provider, entries: Vec<Entry>) -> Self {
        Self { provider, entries, pause: None }
    }

    /// Sends it, and returns its answer under the names of its entries.
    pub async fn run(self, dispatcher: &Dispatcher) -> RequestResult {
        if let Some(pause) = self.pause {
            sleep(pause).await;
        }
        let mut result = RequestResult::default();
        match self.answer(dispatcher).await {
            Err(refusal) => {
                for same in self.by_id() {
                    self.close_gap(Gap::Request(&refusal), &same, dispatcher, &mut result);
                }
            }
            Ok(mut answer) => {
                for same in self.by_id() {
                    if let Some(found) = answer.found.remove(same[0].id.as_str()) {
                        let outcomes = self.outcomes(&same, found, &mut result.warnings);
                        result.outcomes.extend(outcomes);
                    } else {
                        let refusal = answer.refusals.get(same[0].id.as_str());
                        self.close_gap(refusal.map_or(Gap::Missing, Gap::Entry), &same, dispatcher, &mut result);
                    }
                }
            }
        }
        result
    }

    /// Asks for every page.
    async fn answer(&self, dispatcher: &Dispatcher) -> Result<WholeAnswer, Refusal> {
        let (mut whole, mut pages, mut token) = (WholeAnswer::default(), Pages::default(), None::<String>);
        loop {
            let mut page = dispatcher.send(self, token.as_deref()).await?;
            token = page.next.take();
            whole.add(page).map_err(|id| self.provider.contradiction(&self.entries, &id))?;
            let Some(token) = &token else {
                return Ok(whole);
            };
            pages.turn(token).map_err(|excess| excess.refusal(&self.provider.action(&self.entries)))?;
        }
    }

    /// Groups the entries that ask for the same.
    fn by_id(&self) -> Vec<Vec<&Entry>> {
        let mut groups: Vec<Vec<&Entry>> = Vec::new();
        for entry in &self.entries {
            match groups.iter_mut().find(|group| group[0].id == entry.id) {
                Some(group) => group.push(entry),
                None => groups.push(vec![entry]),
            }
        }
        groups
    }

    /// Returns the outcome of each entry that asks for an id, from the values of that id.
    fn outcomes(
        &self,
        entries: &[&Entry],
        found: Vec<NamedValue>,
        warnings: &mut Vec<String>,
    ) -> Vec<(String, Outcome)> {
        let copy = |found: &[NamedValue]| found.iter().map(|(name, value)| (name.clone(), value.copy())).collect();
        let mut copies: Vec<Vec<NamedValue>> = entries[1..].iter().map(|_| copy(&found)).collect();
        copies.push(found);
        let shaped = |(entry, found): (&&Entry, _)| (entry.name.clone(), self.outcome(entry, found, warnings));
        entries.iter().zip(copies).map(shaped).collect()
    }

    fn outcome(&self, entry: &Entry, found: Vec<NamedValue>, warnings: &mut Vec<String>) -> Outcome {
        let mut folder = Vec::new();
        for (name, value) in found {
            match name {
                None => return shape::secret(entry, value, warnings),
                Some(name) => folder.push((name, value)),
            }
        }
        shape::folder(entry, self.provider.noun(), folder, warnings)
    }

    /// Closes a gap: asks for its entries alone, or notes why they have no value.
    fn close_gap(&self, gap: Gap<'_>, entries: &[&Entry], dispatcher: &Dispatcher, result: &mut RequestResult) {
        let refusal = match gap {
            Gap::Request(refusal) | Gap::Entry(refusal) => Some(refusal),
            Gap::Missing => None,
        };
        if self.provider.asks_alone(&self.entries, gap) {
            let alone = Self::new(self.provider, entries.iter().map(|entry| (*entry).clone()).collect());
            result.further.push(dispatcher.request_alone(self, alone, refusal));
            return;
        }
        let failure = |entry: &Entry| {
            let refusal = refusal.cloned().unwrap_or_else(|| self.provider.missing(entry));
            with_other_region(entry, refusal).to_failure()
        };
        result.outcomes.extend(entries.iter().map(|entry| (entry.name.clone(), Err(failure(entry)))));
    }

    fn quota(&self) -> &'static str {
        self.provider.quota(&self.entries)
    }
}

/// A value, with its name if it belongs to a folder.
type NamedValue = (Option<String>, SecretValue);

/// All pages of an answer, by id.
#[derive(Default)]
struct WholeAnswer {
    found: BTreeMap<String, Vec<NamedValue>>,
    refusals: BTreeMap<String, Refusal>,
    /// The index in `found` of a value, by its id and its secret.
    places: BTreeMap<(String, String), usize>,
}

impl WholeAnswer {
    /// Adds a page. The error is an id for which the service returned two values.
    fn add(&mut self, page: Answer) -> Result<(), String> {
        for Match { id, name, value } in page.found {
            let place = (id.clone(), value.source.id.clone());
            let found = self.found.entry(id).or_default();
            // A page may repeat the end of the previous one.
            match self.places.get(&place) {
                None => {
                    self.places.insert(place, found.len());
                    found.push((name, value));
                }
                Some(at) if found[*at].1.is_same(&value) => {}
                Some(_) => return Err(place.0),
            }
        }
        self.refusals.extend(page.refusals);
        Ok(())
    }
}

/// The quota, region and role that requests share.
type PaceKey = (&'static str, Option<String>, Option<String>);

/// Sends the requests of one fetch.
pub(crate) struct Dispatcher {
    aws: Aws,
    until: Instant,
    retries: Arc<Retries>,
    paces: Mutex<BTreeMap<PaceKey, Arc<Pace>>>,
}

impl Dispatcher {
    pub fn new(aws: Aws, until: Instant, retries: Arc<Retries>) -> Self {
        Self { aws, until, retries, paces: Mutex::default() }
    }

    /// Sends a request until it has an answer or a final refusal, or until the deadline.
    async fn send(&self, request: &Request, token: Option<&str>) -> Result<Answer, Refusal> {
        let pace = self.pace(request);
        let entries: Vec<&Entry> = request.entries.iter().collect();
        let mut pause = FIRST_PAUSE;
        loop {
            let ticket = pace.enter().await;
            let answer = request.provider.send(&request.entries, token, &self.aws).await;
            let _of_a_further_request = TRANSMISSION.try_with(|transmission| transmission.count());
            match &answer {
                Err(refusal) if refusal.retry == Retry::Throttled => {
                    let pause = pace.refuse(&ticket);
                    self.note(&entries, Some(refusal), &format!("asking again in {} ms", pause.as_millis()));
                    continue;
                }
                Err(refusal) if refusal.retry == Retry::Failed => pace.leave(&ticket, false),
                _ => pace.leave(&ticket, true),
            }
            let refusal = match answer {
                Err(refusal) if refusal.is_retryable() && Instant::now() + pause < self.until => refusal,
                other => return other,
            };
            self.note(&entries, Some(&refusal), &format!("asking again in {} ms", pause.as_millis()));
            sleep(pause).await;
            // Decorrelated jitter keeps environments that start together from retrying together.
            let spread = (pause * 3).saturating_sub(FIRST_PAUSE);
            pause = (FIRST_PAUSE + spread.mul_f64(fastrand::f64())).min(LONGEST_PAUSE);
        }
    }

    fn pace(&self, request: &Request) -> Arc<Pace> {
        let first = &request.entries[0];
        let key = (request.quota(), first.region.clone(), first.role.clone());
        Arc::clone(lock(&self.paces).entry(key).or_insert_with(|| Arc::new(Pace::new(self.until))))
    }

    /// Prepares the request for what a larger one did not bring. It waits first if the refusal may be retried.
    fn request_alone(&self, larger: &Request, alone: Request, refusal: Option<&Refusal>) -> Request {
        let pause = refusal
            .is_some_and(Refusal::is_retryable)
            .then(|| FIRST_PAUSE + FIRST_PAUSE.mul_f64(2.0 * fastrand::f64()));
        // The same call for fewer entries is not worth a log line.
        if alone.quota() != larger.quota() {
            let then = pause.map_or_else(String::new, |pause| format!(" in {} ms", pause.as_millis()));
            self.note(&alone.entries.iter().collect::<Vec<_>>(), refusal, &format!("asking for it alone{then}"));
        }
        Request { pause, ..alone }
    }

    /// Notes why entries are retried.
    fn note(&self, entries: &[&Entry], refusal: Option<&Refusal>, then: &str) {
        for entry in entries {
            self.retries.note(entry, refusal, then);
        }
    }
}
