//! Reads the files of AWS profiles for the SDK, which would read any file, whole and without a time limit.

use std::env;
use std::path::{Path, PathBuf};

use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use keystart_config::files::FileError;
use keystart_config::shown::is_profile;
use rustix::io::Errno;

use crate::files::{self, reason};
use crate::refusal::Refusal;

const PROFILE: &str = "AWS_PROFILE";
const CONFIG: &str = "AWS_CONFIG_FILE";
const CREDENTIALS: &str = "AWS_SHARED_CREDENTIALS_FILE";
/// The variables of token files, which the SDK reads itself.
const TOKENS: [&str; 2] = ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"];
const TOKEN_KEY: &str = "web_identity_token_file";

/// The two files of profiles. A missing one is empty.
pub(super) struct Profiles {
    config: String,
    credentials: String,
}

impl Profiles {
    /// Reads both files.
    pub async fn read() -> Result<Self, Refusal> {
        let read = || {
            let config = read(CONFIG, "~/.aws/config")?;
            Ok(Self { config, credentials: read(CREDENTIALS, "~/.aws/credentials")? })
        };
        files::on_a_thread(read).await.unwrap_or_else(|| Err(wrong(CONFIG, &reason(FileError::System(Errno::IO)))))
    }

    /// Returns both in the SDK's type.
    pub fn files(&self) -> EnvConfigFiles {
        EnvConfigFiles::builder()
            .with_contents(EnvConfigFileKind::Config, &self.config)
            .with_contents(EnvConfigFileKind::Credentials, &self.credentials)
            .build()
    }

    /// Checks the token files that variables and profiles name. The SDK reads them later, on a thread.
    pub async fn check_tokens(&self) -> Result<(), Refusal> {
        let variables =
            TOKENS.iter().filter_map(|variable| Some(((*variable).to_owned(), env::var_os(variable)?.into())));
        let both = self.config.lines().chain(self.credentials.lines());
        let keys = both.filter_map(|line| line.split_once('=')).filter(|(key, _)| key.trim() == TOKEN_KEY);
        let keys = keys.map(|(key, path)| (format!("`{}` of an AWS profile", key.trim()), PathBuf::from(path.trim())));
        let named: Vec<(String, PathBuf)> = variables.chain(keys).collect();
        let check = || {
            for (source, path) in named {
                match files::read(&path) {
                    Err(FileError::System(_)) | Ok(_) => {} // the provider reports what it misses, if it needs it
                    Err(other) => return Err(wrong(&source, &reason(other))),
                }
            }
            Ok(())
        };
        files::on_a_thread(check).await.unwrap_or(Ok(()))
    }
}

/// Returns the profile in words: by its name if that may be shown.
pub(super) fn words(profile: &str) -> String {
    if is_profile(profile) { format!("the AWS profile {profile}") } else { "the AWS profile".to_owned() }
}

/// Returns a key of a profile in words.
pub(super) fn of_profile(key: &str, profile: &str) -> String {
    format!("`{key}` of {}", words(profile))
}

/// Returns the profile that the environment names.
pub(super) fn of_environment() -> String {
    env::var(PROFILE).ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned())
}

fn read(variable: &str, default: &str) -> Result<String, Refusal> {
    let named = env::var_os(variable);
    let path = PathBuf::from(named.as_ref().map_or(default.as_ref(), |path| path.as_os_str()));
    match files::read(&at_home(&path)) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| wrong(variable, "names a file that is not UTF-8")),
        // A missing file counts as empty, as in the SDK: Lambda's users may not even look into a home folder.
        Err(FileError::System(Errno::NOENT | Errno::NOTDIR)) => Ok(String::new()),
        Err(FileError::System(_)) if named.is_none() => Ok(String::new()),
        Err(other) => Err(wrong(if named.is_some() { variable } else { default }, &reason(other))),
    }
}

/// Returns the path with the home folder instead of `~`.
fn at_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), env::var_os("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path.to_owned(),
    }
}

fn wrong(source: &str, what: &str) -> Refusal {
    Refusal::new("InvalidFile", format!("{source} {what}. Correct or unset it."))
}
