//! See `tests/fuzz/log_ops.rs`.

#![no_main]

#[path = "../../tests/fuzz/log_ops.rs"]
mod log_ops;

libfuzzer_sys::fuzz_target!(|data: &[u8]| log_ops::log_ops(data));
