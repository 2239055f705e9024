//! state.rs returns the same verdict on a document, however it is written, and reads back what it writes.

#![no_main]

use keystart_store::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzzing::state(bytes));
