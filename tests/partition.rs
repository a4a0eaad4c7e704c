//! A partition under random operations, with a late, full or broken disk: `tests/fuzz/partition.rs`, fed by a seed.
//! `PROPTEST_CASES` runs more. An input that fails is kept by its bytes, the settings and then three for each operation, as
//! a file in `fuzz/corpus/partition_ops`, from where `tests/fuzz_corpus.rs` runs it.

use proptest::collection::vec;
use proptest::prelude::*;

#[path = "fuzz/partition.rs"]
#[expect(unreachable_pub, reason = "the fuzz crate includes the same file")]
mod partition_ops;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_asker_is_answered_once_and_with_no_more_than_the_disk_has_done(
        options in any::<u8>(),
        ops in vec(any::<[u8; 3]>(), 1..160),
    ) {
        let input = [&[options], &*ops.concat()].concat();
        partition_ops::partition_ops(&input);
    }
}
