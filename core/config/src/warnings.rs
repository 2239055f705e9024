//! What a valid configuration promises and may not keep.

use std::time::Duration;

use crate::plan::{Entry, Plan, duration};

/// Lambda ends an Init on demand after 10 s. A start needs the rest to report the reason.
const LONGEST_ON_DEMAND: Duration = Duration::from_secs(9);

impl Plan {
    /// Returns what may not work in Lambda, a sentence or two each.
    pub fn warnings(&self) -> Vec<String> {
        [self.deadline_warning(), self.refresh_warning(), self.previous_warning()].into_iter().flatten().collect()
    }

    fn deadline_warning(&self) -> Option<String> {
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
