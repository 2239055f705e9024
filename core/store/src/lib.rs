//! The store that `contract/contract.md` describes: publishes and reads it. It fetches nothing.
//!
//! Comments name clauses of the contract by their number, as in "contract 6.2.7".

pub mod control;
pub mod crash;
pub mod errors;
mod failpoint;
mod failures;
mod files;
mod folder;
mod freshness;
#[cfg(fuzzing)] // as cargo-fuzz builds it
pub mod fuzzing;
mod inventory;
pub mod json;
pub mod log;
pub mod manifest;
pub mod name;
pub mod options;
pub mod publish;
pub mod secret;
mod state;
pub mod store;
pub mod text;
pub mod time;

pub use errors::{Code, Error, Result};
pub use failures::{Failure, Failures};
pub use options::Options;
pub use publish::{Draft, RefreshResult, Watch, Writer, fingerprint};
pub use secret::SecretBytes;
pub use store::attempt::{Attempt, Next, Outcome, Readiness};
pub use store::{Form, Store};

/// The version of this library. A binding refuses a version that it was not built for.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
