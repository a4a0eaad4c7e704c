//! What is fuzzed: one plain function per target. `fuzz/fuzz_targets/` feeds each with bytes that a fuzzer makes up,
//! `tests/fuzz_corpus.rs` with the corpus that is kept in `fuzz/corpus/`.

pub mod cli;
pub mod controller;
pub mod disk;
pub mod log_leaves;
pub mod log_ops;
pub mod message;
pub mod open;
pub mod partition;
pub mod record;
pub mod timer;

/// A target's name and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("dump_any", cli::dump_any),
    ("metadata_records", controller::metadata_records),
    ("marks", disk::marks),
    ("sums", disk::sums),
    ("load_offset_index", log_leaves::load_offset_index),
    ("load_time_index", log_leaves::load_time_index),
    ("load_txn_index", log_leaves::load_txn_index),
    ("load_producer_snapshot", log_leaves::load_producer_snapshot),
    ("load_epoch_checkpoint", log_leaves::load_epoch_checkpoint),
    ("load_checkpoints", log_leaves::load_checkpoints),
    ("topic_name", log_leaves::topic_name),
    ("producer_state", log_leaves::producer_state),
    ("log_ops", log_ops::log_ops),
    ("message_configs", message::message_configs),
    ("committed_offsets", message::committed_offsets),
    ("open_dir", open::open_dir),
    ("partition_ops", partition::partition_ops),
    ("decode_batch_v2", record::decode_batch_v2),
    ("decode_legacy", record::decode_legacy),
    ("decompress", record::decompress),
    ("timing_wheel", timer::timing_wheel),
];
