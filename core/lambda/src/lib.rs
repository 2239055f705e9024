//! Lambda: its Extensions API, and the cold start of the extension.
//!
//! The API and the fetch are slow and are called from Python, so each runs as a task, which Python waits for.

pub mod api;
pub mod fetch_task;
pub mod start;
pub mod task;
