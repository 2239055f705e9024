//! Checks a person's login, with the core's messages.

use keystart_core::{Out, guard, keystart_bytes, keystart_error, text_or_none};
use keystart_lambda::runtime::alone;
use keystart_providers::check_login;

use crate::fetch::{keystart_login, login_of};

/// Checks the credentials of a login; if `login` is NULL, the variables and files that boto3 reads
/// for one, before it reads them. If `profile` is NULL, the environment names the profile. `code`
/// and `problem` say what is wrong; both are empty if nothing is. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_login_check(
    login: *const keystart_login,
    profile: *const u8,
    profile_len: usize,
    problem: *mut keystart_bytes,
    code: *mut keystart_bytes,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (problem, code) = (Out::new(problem)?, Out::new(code)?);
            let checked = match login_of(login)? {
                Some(login) => login.check(),
                None => alone(check_login(text_or_none(profile, profile_len, "profile")?))?,
            };
            let (found, reason) = match checked {
                Ok(()) => (String::new(), String::new()),
                Err(refused) => (refused.code, refused.message),
            };
            code.put(keystart_bytes::text(&found));
            problem.put(keystart_bytes::text(&reason));
            Ok(())
        })
    }
}
