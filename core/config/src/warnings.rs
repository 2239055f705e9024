//! What a valid configuration promises and may not keep.

use std::env;
use std::path::{Component, Path};
use std::time::Duration;

use crate::plan::{Entry, Plan, duration};
use crate::region::is_region;
use crate::shown::characters;

/// Lambda ends an Init on demand after 10 s. A start needs the rest to report the reason.
const LONGEST_ON_DEMAND: Duration = Duration::from_secs(9);

impl Plan {
    /// Returns what may not work in Lambda, a sentence or two each.
    pub fn warnings(&self) -> Vec<String> {
        let warnings = [
            self.deadline_warning(),
            self.refresh_warning(),
            self.previous_warning(),
            self.links_warning(),
            self.region_warning(),
            self.timeout_warning(),
        ];
        warnings.into_iter().flatten().collect()
    }

    /// Returns what is wrong with a deadline that Lambda does not wait for.
    pub fn deadline_warning(&self) -> Option<String> {
        (self.deadline > LONGEST_ON_DEMAND).then(|| {
            format!(
                "Lambda ends an Init after 10 s, unless the function has provisioned concurrency. With a deadline of {} \
                 the log may not say why. Write 9s or less.",
                duration(self.deadline)
            )
        })
    }

    fn refresh_warning(&self) -> Option<String> {
        self.ttl?;
        let due = self.entries.iter().filter(|entry| entry.can_become_due());
        let variables: Vec<&str> = due.filter_map(|entry| entry.env.as_deref()).collect();
        (!variables.is_empty()).then(|| {
            let variables = variables.join(", ");
            format!(
                "A refresh does not change variables that were set at the start: {variables}. Read the secret with a \
                 reader where it must be new."
            )
        })
    }

    fn links_warning(&self) -> Option<String> {
        let home = self.links_home.as_ref()?;
        (!is_writable(home)).then(|| {
            "SecretsHome is not below /tmp, the only folder that a function may write to. Name one there.".to_owned()
        })
    }

    /// Looks at the variable, which a template may set wrong for a container, and a shell for a person.
    fn region_warning(&self) -> Option<String> {
        let region = env::var("AWS_REGION").ok().filter(|region| !region.is_empty() && !is_region(region))?;
        let is_needed = self.region.is_none() && self.entries.iter().any(|entry| entry.region.is_none());
        is_needed.then(|| {
            let length = characters(&region);
            format!("AWS_REGION must be a region such as eu-west-1, found a text of {length}. Correct it.")
        })
    }

    /// Returns that readers wait for less long than a fetch may take.
    pub fn timeout_warning(&self) -> Option<String> {
        let timeout: u64 = env::var("KEYSTART_TIMEOUT_MS").ok()?.parse().ok()?;
        (Duration::from_millis(timeout) < self.deadline).then(|| {
            format!(
                "Readers wait for {timeout} ms (KEYSTART_TIMEOUT_MS), and the deadline is {}. Write a longer timeout, or a \
                 shorter deadline.",
                duration(self.deadline)
            )
        })
    }

    fn previous_warning(&self) -> Option<String> {
        let has_none = |entry: &&Entry| entry.stage.as_deref() == Some("AWSPREVIOUS") && !entry.optional;
        let names: Vec<&str> = self.entries.iter().filter(has_none).map(|entry| entry.name.as_str()).collect();
        (!names.is_empty()).then(|| {
            let names = names.join(", ");
            format!(
                "A secret that was never rotated has no AWSPREVIOUS, and the start fails: {names}. Add optional: true."
            )
        })
    }
}

/// Returns whether a function may write below a path.
fn is_writable(path: impl AsRef<Path>) -> bool {
    let path = path.as_ref();
    path.starts_with("/tmp") && !path.components().any(|part| part == Component::ParentDir)
}
