//! See `tests/fuzz/log_leaves.rs`.

#![no_main]

#[path = "../../tests/fuzz/log_leaves.rs"]
mod log_leaves;

libfuzzer_sys::fuzz_target!(|data: &[u8]| log_leaves::producer_state(data));
