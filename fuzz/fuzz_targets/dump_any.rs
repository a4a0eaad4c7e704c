//! See `tests/fuzz/cli.rs`.

#![no_main]

#[path = "../../tests/fuzz/cli.rs"]
mod cli;

libfuzzer_sys::fuzz_target!(|data: &[u8]| cli::dump_any(data));
