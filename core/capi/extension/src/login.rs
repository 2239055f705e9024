//! Checks what boto3 reads for a login, with the core's messages.

use keystart_core::{Out, guard, keystart_bytes, keystart_error};
use keystart_lambda::runtime::alone;
use keystart_providers::check_login;

/// Checks the variables and files that a person's login reads, before boto3 reads them. `code` and
/// `problem` say what is wrong; both are empty if nothing is. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_login_check(
    problem: *mut keystart_bytes,
    code: *mut keystart_bytes,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (problem, code) = (Out::new(problem)?, Out::new(code)?);
            let (found, reason) = match alone(check_login())? {
                Ok(()) => (String::new(), String::new()),
                Err(refused) => (refused.code, refused.message),
            };
            code.put(keystart_bytes::give(found.as_bytes()));
            problem.put(keystart_bytes::give(reason.as_bytes()));
            Ok(())
        })
    }
}
