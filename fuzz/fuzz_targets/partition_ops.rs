//! See `tests/fuzz/partition.rs`.

#![no_main]

#[path = "../../tests/fuzz/partition.rs"]
mod partition;

libfuzzer_sys::fuzz_target!(|data: &[u8]| partition::partition_ops(data));
