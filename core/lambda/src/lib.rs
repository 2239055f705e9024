//! Lambda: its Extensions API, and the extension from its cold start to its end.
//!
//! Calls of the API and the fetch are slow. Each runs in the thread of the core and ends with an
//! event, which the process waits for.

pub mod api;
mod bell;
pub mod control;
pub mod events;
pub mod extension;
pub mod fetch_task;
pub mod runtime;
