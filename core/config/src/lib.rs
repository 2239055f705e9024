//! The one reader of configurations. It finds a configuration, reads it in every form, and reports
//! everything that is wrong.
//!
//! It fetches nothing and knows no service. An [`EntrySchema`] says what the entries of a provider may hold.
//!
//! Any place of a configuration may hold a pasted secret. So a message repeats a text only if it is
//! certainly no secret ([`shown`]).

pub mod account;
pub mod arn;
mod compiled;
mod deadline;
mod document;
mod entries;
pub mod files;
mod find;
mod freshness;
mod hints;
mod json;
mod members;
mod misplaced;
mod pairs;
mod plan;
mod problem;
mod reader;
mod references;
pub mod region;
mod schema;
mod settings;
pub mod shown;
mod square;
mod typed;
mod value;
mod variables;
mod warnings;
mod yaml;

pub use compiled::InlineError;
pub use members::Selection;
pub use plan::{Entry, Label, Link, Plan, SnapStart, Start};
pub use problem::{Origin, Problem};
pub use reader::Reader;
pub use references::Values;
pub use schema::{EntrySchema, Key, Keyword, Reference, Schemas};
