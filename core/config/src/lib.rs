//! The one reader of configurations: finds one, reads it in every form, and reports everything that is wrong with it.
//!
//! It fetches nothing and knows no service. What the entries of a provider may say is an [`EntrySchema`].
//!
//! A secret may have been pasted into any place of a configuration, so a message repeats a text only if it is certainly
//! none ([`shown`]).

pub mod arn;
mod compiled;
mod document;
mod entries;
pub mod files;
mod find;
mod json;
mod pairs;
mod plan;
mod problem;
pub mod region;
mod schema;
mod settings;
pub mod shown;
mod square;
mod typed;
mod value;
mod variables;
mod yaml;

pub use compiled::InlineError;
pub use find::Reader;
pub use plan::{Entry, Link, Plan, Start};
pub use problem::{Origin, Problem};
pub use schema::{EntrySchema, Key, Keyword, Reference, Schemas};
