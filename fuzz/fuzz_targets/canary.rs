//! F0: a panic planted behind six bytes. A fuzzer that does not find it within a minute is not looking.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if cfg!(fuzzing) && data.starts_with(b"ottla!") {
        panic!("the canary was found, as it should be");
    }
});
