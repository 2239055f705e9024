//! The account of the function, which only Lambda knows.

use std::sync::OnceLock;

use crate::arn::is_account;

static OF_FUNCTION: OnceLock<String> = OnceLock::new();

/// Notes the account that Lambda reports. Ignores anything that does not look like one.
pub fn note(account: &str) {
    if is_account(account) {
        // Lambda reports the same account each time.
        let _account = OF_FUNCTION.get_or_init(|| account.to_owned());
    }
}

/// Returns the account of the function, if Lambda has reported it.
pub(crate) fn of_function() -> Option<&'static str> {
    OF_FUNCTION.get().map(String::as_str)
}
