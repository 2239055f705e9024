//! How many requests a refresh sends, for the bill.

use keystart_config::{Entry, Plan};

use crate::{PROVIDERS, Provider};

/// Returns the number of requests of one refresh of everything, by the provider. Each secret
/// counts as one request, even in a batch. A path of parameters counts as one, because the number of
/// its pages is not known.
pub fn requests_of_refresh(plan: &Plan) -> Vec<(&'static dyn Provider, usize)> {
    let single = Plan { batch: false, ..plan.clone() };
    let count = |provider: &&'static dyn Provider| {
        let is_fetched = |entry: &&Entry| entry.can_become_due() && provider.owns(entry);
        let entries = single.entries.iter().filter(is_fetched).cloned().collect();
        (*provider, provider.group(&single, entries).len())
    };
    PROVIDERS.iter().map(count).filter(|(_, requests)| *requests > 0).collect()
}
