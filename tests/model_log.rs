//! A log under random operations beside a plain list of what it must hold: `tests/fuzz/log_ops.rs`, fed by a seed.
//! `PROPTEST_CASES` runs more. An input that fails is kept by its bytes, the options and then three for each operation, as a
//! file in `fuzz/corpus/log_ops`, from where `tests/fuzz_corpus.rs` runs it.

use proptest::collection::vec;
use proptest::prelude::*;

#[path = "fuzz/log_ops.rs"]
#[expect(unreachable_pub, reason = "the fuzz crate includes the same file")]
mod log_ops;

/// Three bytes: which operation, and two numbers. A disk call fails in one of eight.
fn op() -> impl Strategy<Value = [u8; 3]> {
    (0..32u8, prop::bool::weighted(0.125), any::<u8>(), any::<u8>())
        .prop_map(|(op, fails, a, b)| [op | if fails { 0x80 } else { 0 }, a, b])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_is_what_a_list_of_its_records_says(options in any::<u8>(), ops in vec(op(), 1..64)) {
        let input = [&[options], &*ops.concat()].concat();
        log_ops::log_ops(&input);
    }
}
