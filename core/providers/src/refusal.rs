//! Why a request got no value, and whether a retry can help.

use keystart_store::Failure;

/// Why a request got no value: the service's code and message, with what to do if that is known.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The service's word, or ours.
    pub code: String,
    /// A sentence or two, with what to do at the end.
    pub message: String,
    pub(crate) retry: Retry,
}

/// Whether a retry can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The answer would be the same.
    Never,
    /// The connection or the service failed.
    Failed,
    /// The service has had too many requests.
    Throttled,
}

impl Refusal {
    /// Returns a final refusal. `message` is a sentence that says what to do.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), retry: Retry::Never }
    }

    /// Returns the refusal of a request that may be sent again.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Refuses an answer about something that was not asked for, which may be another secret's value.
    pub(crate) fn other(action: &str, what: &str) -> Self {
        let reason = format!("The endpoint answered {action} with another {what}. Check AWS_ENDPOINT_URL.");
        Self::new("InvalidAnswer", reason)
    }

    pub(crate) fn is_retryable(&self) -> bool {
        self.retry != Retry::Never
    }

    pub(crate) fn to_failure(&self) -> Failure {
        Failure::new(&self.code, self.message.clone())
    }
}
