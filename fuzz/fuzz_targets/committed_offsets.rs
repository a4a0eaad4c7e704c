//! See `tests/fuzz/message.rs`.

#![no_main]

#[path = "../../tests/fuzz/message.rs"]
mod message;

libfuzzer_sys::fuzz_target!(|data: &[u8]| message::committed_offsets(data));
