//! Rules of Kafka's log that the differential test (`tests/kafka/`) has found missing here, each by the script it left.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use ottla::disk::{HighWatermarkRule, LogFile, MemDisk, OpenOptions};
use ottla::epoch::{LeaderEpoch, ProducerEpoch, Sequence};
use ottla::id::{ProducerId, TopicPartition};
use ottla::log::{Cleanup, LogConfig, MarkerRules};
use ottla::offset::Offset;
use ottla::record::{
    Batch, BatchBuilder, Codec, NewRecord, Origin, ProducerStamp, TransactionMarker, TransactionResult,
};
use ottla::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_600_000_000_000);

fn later(ms: i64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() + ms)
}

fn builder(records: usize, timestamp: Timestamp) -> BatchBuilder {
    filled(BatchBuilder::new(Codec::None), records, timestamp)
}

fn filled(mut builder: BatchBuilder, records: usize, timestamp: Timestamp) -> BatchBuilder {
    for _ in 0..records {
        builder.push(&NewRecord::new(timestamp, Some(b"k"), Some(b"value"))).unwrap();
    }
    builder
}

fn plain(records: usize) -> Batch {
    builder(records, NOW).build().unwrap()
}

fn transactional(records: usize) -> Batch {
    let id = ProducerId::new(1).unwrap();
    let stamp = ProducerStamp { id, epoch: Some(ProducerEpoch::ZERO), base_sequence: Some(Sequence::ZERO) };
    filled(BatchBuilder::new(Codec::None).producer(stamp).transactional(), records, NOW).build().unwrap()
}

fn open(disk: &MemDisk, config: LogConfig) -> LogFile<MemDisk> {
    open_at(NOW, disk, config)
}

fn open_at(now: Timestamp, disk: &MemDisk, config: LogConfig) -> LogFile<MemDisk> {
    let options = OpenOptions { config, high_watermark: HighWatermarkRule::ByHand, ..OpenOptions::default() };
    LogFile::open(disk.clone(), &TopicPartition::parse("t-0").unwrap(), options, now).unwrap().0
}

fn bases(log: &LogFile<MemDisk>) -> Vec<u64> {
    log.log().segments().map(|segment| segment.base_offset.get()).collect()
}

#[test]
fn a_kill_keeps_the_batches_of_the_reign_before_the_latest() {
    let disk = MemDisk::new();
    let mut log = open(&disk, LogConfig::default());
    log.append(NOW, &plain(1)).unwrap();
    log.begin_epoch(LeaderEpoch::new(1)).unwrap();
    log.append(NOW, &plain(2)).unwrap();
    drop(log);
    assert_eq!(open(&disk, LogConfig::default()).log().log_end_offset(), Offset::new(3));
}

#[test]
fn the_last_stable_offset_is_never_below_the_log_start() {
    let mut log = open(&MemDisk::new(), LogConfig::default());
    log.append(NOW, &transactional(2)).unwrap();
    log.append(NOW, &plain(2)).unwrap();
    log.advance_high_watermark(Offset::new(4));
    log.trim_to(Offset::new(3)).unwrap();
    assert_eq!(log.log().last_stable_offset(), Offset::new(3));
}

#[test]
fn a_segment_keeps_the_index_interval_that_it_began_with() {
    let disk = MemDisk::new();
    let config = LogConfig { index_interval_bytes: 0, ..LogConfig::default() };
    let mut log = open(&disk, config.clone());
    log.configure(LogConfig { index_interval_bytes: 1 << 20, ..config }).unwrap();
    for _ in 0..3 {
        log.append(NOW, &plain(1)).unwrap();
    }
    log.roll(NOW).unwrap();
    for _ in 0..3 {
        log.append(NOW, &plain(1)).unwrap();
    }
    log.close().unwrap();
    let entries = |base: u64| disk.contents()[&format!("t-0/{base:020}.index")].len() / 8;
    assert_eq!((entries(0), entries(3)), (2, 0), "the new one holds from the next segment on");
}

#[test]
fn a_compacted_log_rolls_before_its_compaction_is_due() {
    let config = LogConfig { max_compaction_lag_ms: 1000, ..LogConfig::default() };
    for (cleanup, expected) in [(Cleanup::Compact, vec![0, 1]), (Cleanup::Delete, vec![0])] {
        let mut log = open(&MemDisk::new(), LogConfig { cleanup, ..config.clone() });
        log.append(NOW, &plain(1)).unwrap();
        log.append(NOW, &builder(1, later(1001)).build().unwrap()).unwrap();
        assert_eq!(bases(&log), expected);
    }
}

#[test]
fn more_batches_at_once_than_an_index_has_room_for_are_replicated_all_the_same() {
    let config = LogConfig { index_interval_bytes: 0, segment_index_bytes: 24, ..LogConfig::default() };
    let mut log = open(&MemDisk::new(), config);
    let batches: Vec<Batch> = (0..10)
        .map(|index| builder(1, later(index)).build().unwrap())
        .enumerate()
        .map(|(offset, batch)| batch.stamped(Offset::new(offset as u64), Some(LeaderEpoch::ZERO)).unwrap())
        .collect();
    log.replicate(NOW, &batches, LeaderEpoch::ZERO).unwrap();
    assert_eq!(log.log().log_end_offset(), Offset::new(10));
}

#[test]
fn what_is_replicated_behind_a_gap_may_begin_a_segment() {
    let config = LogConfig { segment_bytes: 100, ..LogConfig::default() };
    let mut log = open(&MemDisk::new(), config);
    log.append(NOW, &plain(1)).unwrap();
    let behind = plain(1).stamped(Offset::new(9), Some(LeaderEpoch::ZERO)).unwrap();
    log.replicate(NOW, &[behind], LeaderEpoch::ZERO).unwrap();
    assert_eq!((bases(&log), log.log().log_end_offset()), (vec![0, 9], Offset::new(10)));
}

#[test]
fn an_aborted_transaction_is_still_known_after_a_kill_and_a_close() {
    let disk = MemDisk::new();
    let mut log = open(&disk, LogConfig::default());
    log.append(NOW, &transactional(2)).unwrap();
    log.roll(NOW).unwrap();
    log.append(NOW, &plain(1)).unwrap();
    let id = ProducerId::new(1).unwrap();
    let marker = TransactionMarker { result: TransactionResult::Abort, coordinator_epoch: 0 };
    let marker = marker.to_batch(id, ProducerEpoch::ZERO, NOW).unwrap();
    log.append_from(NOW, &marker, Origin::Coordinator, MarkerRules::SameEpoch).unwrap();
    log.flush().unwrap();
    drop(log);
    disk.put("t-0/00000000000000000002.log", [&disk.contents()["t-0/00000000000000000002.log"][..], &[0; 9]].concat())
        .unwrap();
    let mut log = open(&disk, LogConfig::default());
    log.append(NOW, &plain(1)).unwrap();
    log.close().unwrap();
    assert_eq!(disk.contents()["t-0/00000000000000000002.txnindex"].len(), 34);
}

#[test]
fn a_segment_that_begins_without_a_date_ages_from_its_opening_on() {
    let disk = MemDisk::new();
    let config = LogConfig { segment_ms: 5000, ..LogConfig::default() };
    let undated = builder(1, Timestamp::NONE).build().unwrap();
    open(&disk, config.clone()).append(NOW, &undated).unwrap();
    let mut log = open_at(later(60_000), &disk, config);
    log.append(later(65_000), &undated).unwrap();
    assert_eq!(bases(&log), [0]);
    log.append(later(65_001), &undated).unwrap();
    assert_eq!(bases(&log), [0, 2]);
}

#[test]
fn an_opening_after_a_kill_believes_where_a_reign_was_noted_to_begin() {
    let disk = MemDisk::new();
    let mut log = open(&disk, LogConfig::default());
    log.append(NOW, &plain(1)).unwrap();
    log.begin_epoch(LeaderEpoch::new(2)).unwrap();
    let behind_a_gap = plain(1).stamped(Offset::new(9), Some(LeaderEpoch::new(2))).unwrap();
    log.replicate(NOW, &[behind_a_gap], LeaderEpoch::new(2)).unwrap();
    let noted = log.log().epochs().clone();
    drop(log);
    assert_eq!(*open(&disk, LogConfig::default()).log().epochs(), noted);
}
