//! The exec wrapper (contract §10): waits for the store, puts secrets into the environment, and becomes the runtime.
//!
//! It writes values only into that environment, and starts no shell. What it has in memory ends with exec.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind, Write};
use std::ops::RangeInclusive;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::panic;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use keystart_store::errors::{Code, Result};
use keystart_store::json::quote;
use keystart_store::log::{self, Level};
use keystart_store::{Form, Options, SecretBytes, Store, VERSION};

const FAILED: u8 = 1;
const WRONG_USE: u8 = 2;
// The exit codes of a shell.
const CANNOT_EXECUTE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// The most that Linux takes for one variable, its name, `=` and the NUL behind it: 32 pages of 4 KiB (execve(2)).
const MAX_VARIABLE: usize = 32 * 4096;

/// The seconds that --wait takes: an Init lasts 15 minutes at most.
const LONGEST_WAIT: RangeInclusive<u64> = 1..=900;
/// What a store says before its extension has begun: nothing, or how an earlier start ended.
const NOT_BEGUN: [Code; 3] = [Code::NotAttached, Code::PrefetchFailed, Code::NotReady];
const PAUSE: Duration = Duration::from_millis(10);

const HELP: &str = "\
usage: keystart-env [--wait SECONDS] PROGRAM [ARGUMENT]...

Waits for the secrets of Keystart, puts those that have `env:` in the configuration into the environment, and executes the
program. For AWS Lambda: set AWS_LAMBDA_EXEC_WRAPPER to the path of this file; Lambda gives it the runtime.

With --wait (1 to 900) it also waits for a store that does not exist yet. Use it to start another extension: Lambda starts
all extensions at once.

It reads KEYSTART_DIR, KEYSTART_TIMEOUT_MS, KEYSTART_LOG_LEVEL and AWS_LAMBDA_LOG_FORMAT as the extension and the readers do.
Exit codes, where the program was not executed: 1 no secrets, or one that no variable can hold; 2 wrong use; 126 the program
could not be executed; 127 it was not found.
";

fn main() -> ExitCode {
    panic::set_hook(Box::new(log::write_panic));
    let mut arguments = env::args_os().skip(1).peekable();
    let wait = arguments.next_if(|argument| argument == "--wait").map(|_| arguments.next());
    let wait = match wait.map(|seconds| parse_wait(seconds.as_deref())) {
        Some(None) => return refuse_use(),
        wait => wait.flatten(),
    };
    let program = match arguments.next() {
        Some(option) if option == "--help" => return print(HELP),
        Some(option) if option == "--version" => return print(&format!("keystart-env {VERSION}\n")),
        Some(program) if !program.as_bytes().starts_with(b"-") && !program.is_empty() => program,
        _ => return refuse_use(),
    };
    let secrets = match read_within(wait) {
        Ok(secrets) => secrets,
        Err(error) => {
            // Lambda starts all extensions at once, so the store may not exist yet.
            let is_early = error.code() == Code::NotAttached && wait.is_none();
            let hint = if is_early { " To start another extension, write --wait SECONDS before it." } else { "" };
            log::write(Level::Error, &format!("The runtime is not started: {}: {error}{hint}", error.code().name()));
            return ExitCode::from(FAILED);
        }
    };
    let set: Vec<&Assignment> = secrets.iter().filter(|assignment| assignment.is_due()).collect();
    let refused: Vec<String> = set.iter().filter_map(|assignment| assignment.refusal()).collect();
    if !refused.is_empty() {
        log::write(Level::Error, &format!("The runtime is not started:\n{}", refused.join("\n")));
        return ExitCode::from(FAILED);
    }
    log_variables(&secrets, &set);
    let variables =
        set.iter().filter_map(|assignment| Some((&assignment.variable, OsStr::from_bytes(assignment.bytes()?))));
    let error = Command::new(&program).args(arguments).envs(variables).exec();
    let (code, what) = match error.kind() {
        ErrorKind::NotFound => (NOT_FOUND, "it was not found".to_owned()),
        ErrorKind::ArgumentListTooLong => (CANNOT_EXECUTE, too_long(&set)),
        other => (CANNOT_EXECUTE, other.to_string()),
    };
    let program = quote(&program.to_string_lossy());
    log::write(Level::Error, &format!("The runtime {program} cannot be executed: {what}."));
    ExitCode::from(code)
}

fn refuse_use() -> ExitCode {
    let _nobody_to_tell = io::stderr().write_all(HELP.as_bytes());
    ExitCode::from(WRONG_USE)
}

/// Parses the seconds of --wait.
fn parse_wait(seconds: Option<&OsStr>) -> Option<Duration> {
    let text = seconds?.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok().filter(|seconds| LONGEST_WAIT.contains(seconds)).map(Duration::from_secs)
}

fn print(text: &str) -> ExitCode {
    if io::stdout().write_all(text.as_bytes()).is_ok() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

/// A variable that the configuration assigns a secret to.
struct Assignment {
    variable: String,
    secret: String,
    overwrite: bool,
    /// The value, or the reason why an optional secret could not be fetched.
    value: std::result::Result<Arc<SecretBytes>, String>,
}

/// Reads all secrets that go into a variable. With a wait it reads again and again until it has them
/// or the time is over, because the extension may not have begun yet: until then the store does not
/// exist, or is what an earlier start left (contract 10.7).
fn read_within(wait: Option<Duration>) -> Result<Vec<Assignment>> {
    let Some(wait) = wait else { return read(None) };
    let end = Instant::now() + wait;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match read(Some(left)) {
            Err(error) if !left.is_zero() && NOT_BEGUN.contains(&error.code()) => thread::sleep(left.min(PAUSE)),
            other => return other,
        }
    }
}

/// Reads all secrets that go into a variable, from one generation (contract 10.1).
fn read(wait: Option<Duration>) -> Result<Vec<Assignment>> {
    let variable = |name| env::var_os(name).map(OsString::into_vec);
    let (root, timeout) = (variable("KEYSTART_DIR"), variable("KEYSTART_TIMEOUT_MS"));
    let timeout_ms = wait.map(|wait| wait.as_secs_f64() * 1000.0);
    let (env_dir, env_timeout) = (root.as_deref(), timeout.as_deref());
    let options = Options { env_dir, env_timeout, timeout_ms, ..Options::default() };
    let mut snapshot = Store::open(&options)?.snapshot()?;
    loop {
        match read_from(&snapshot) {
            Err(error) if error.code() == Code::SnapshotExpired => snapshot = snapshot.renewed()?,
            other => return other,
        }
    }
}

fn read_from(snapshot: &Store) -> Result<Vec<Assignment>> {
    let mut all = Vec::new();
    for (variable, target) in snapshot.variables()? {
        let value = match snapshot.read(&target.secret, Form::Bytes) {
            Err(error) if error.code() == Code::SecretUnavailable => Err(error.message().to_owned()),
            other => Ok(other?),
        };
        all.push(Assignment { variable, secret: target.secret, overwrite: target.overwrite, value });
    }
    Ok(all)
}

impl Assignment {
    fn bytes(&self) -> Option<&[u8]> {
        self.value.as_ref().ok().map(|value| value.as_bytes())
    }

    /// Returns whether the variable is to be set, and logs why not (contract 10.3, 10.4).
    fn is_due(&self) -> bool {
        let Self { variable, secret, .. } = self;
        if let Err(why) = &self.value {
            log::write(Level::Warn, &format!("{variable} is not set by Keystart: {why}"));
        } else if env::var_os(variable).is_some() && !self.overwrite {
            let text = format!(
                "{variable} is set already and stays as it is; the secret \"{secret}\" does not go there. Remove the variable \
                 from the function, or let env_overwrite: true replace it."
            );
            log::write(Level::Warn, &text);
        } else {
            return true;
        }
        false
    }

    /// Returns why no variable can hold the value (contract 10.2).
    fn refusal(&self) -> Option<String> {
        let Self { variable, secret, .. } = self;
        let value = self.bytes()?;
        if value.contains(&0) {
            return Some(format!(
                "The secret \"{secret}\" holds a NUL byte, which no variable can: {variable} cannot be set. Remove its env: \
                 and read it as bytes."
            ));
        }
        let length = variable.len() + "=".len() + value.len() + "\0".len();
        (length > MAX_VARIABLE).then(|| {
            format!(
                "The secret \"{secret}\" is too long for a variable: {variable} would take {length} bytes, and Linux allows \
                 {MAX_VARIABLE}. Remove its env: and read it by its name."
            )
        })
    }
}

/// Logs the names of the variables that are set.
fn log_variables(secrets: &[Assignment], set: &[&Assignment]) {
    if secrets.is_empty() {
        let text = "No secret asks for a variable, so keystart-env sets none. Write env: at one, or unset \
                    AWS_LAMBDA_EXEC_WRAPPER.";
        log::write(Level::Warn, text);
    } else if !set.is_empty() {
        let names: Vec<&str> = set.iter().map(|assignment| assignment.variable.as_str()).collect();
        log::write(Level::Info, &format!("set from secrets: {}", names.join(", ")));
    }
}

fn too_long(set: &[&Assignment]) -> String {
    let size = |assignment: &&&Assignment| assignment.bytes().map_or(0, <[u8]>::len);
    let most = set.iter().max_by_key(size).map_or_else(String::new, |longest| {
        format!("; the longest secret among them is \"{}\" in {}", longest.secret, longest.variable)
    });
    format!("all variables and arguments together are longer than Linux takes{most}")
}
