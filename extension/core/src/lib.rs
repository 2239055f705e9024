//! The extension's own core: fetches from AWS, and speaks Lambda's Extensions API. The store is keystart-core's.
//!
//! Both are slow and are called from Python, so each runs as a task of its own, which Python waits for.

pub mod configuration;
pub mod fetch;
pub mod ffi;
mod files;
pub mod lambda;
mod regions;
pub mod start;
pub mod task;
