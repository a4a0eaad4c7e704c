//! A log on a disk in memory, and batches for it.

use ottla::disk::{Fetched, HighWatermarkRule, LogFile, MemDisk, OpenOptions, RecoveryReport};
use ottla::epoch::{LeaderEpoch, ProducerEpoch, Sequence};
use ottla::id::{ProducerId, TopicPartition};
use ottla::log::{Isolation, LogConfig};
use ottla::offset::Offset;
use ottla::record::{
    Batch, BatchBuilder, Codec, DecompressLimit, NewRecord, Origin, ProducerStamp, TransactionMarker, TransactionResult,
};
use ottla::time::Timestamp;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
pub(crate) const FIRST_LOG: &str = "t-0/00000000000000000000.log";

pub(crate) fn later(millis: i64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() + millis)
}

pub(crate) fn at(offset: u64) -> Offset {
    Offset::new(offset)
}

pub(crate) fn partition() -> TopicPartition {
    TopicPartition::parse("t-0").unwrap()
}

/// The path of a segment's file.
pub(crate) fn file(base: u64, kind: &str) -> String {
    format!("t-0/{base:020}.{kind}")
}

/// A batch of these values, dated now.
pub(crate) fn batch(values: &[&str]) -> Batch {
    batch_at(NOW, values)
}

pub(crate) fn batch_at(timestamp: Timestamp, values: &[&str]) -> Batch {
    fill(BatchBuilder::new(Codec::None), timestamp, values)
}

fn fill(mut builder: BatchBuilder, timestamp: Timestamp, values: &[&str]) -> Batch {
    for value in values {
        builder.push(&NewRecord::new(timestamp, Some(b"key"), Some(value.as_bytes()))).unwrap();
    }
    builder.build().unwrap()
}

/// One value of `len` bytes.
pub(crate) fn large(len: usize) -> Batch {
    batch(&[&"x".repeat(len)])
}

/// A batch that has its place, as a leader sends it.
pub(crate) fn placed(base: u64, epoch: u32, batch: &Batch) -> Batch {
    batch.stamped(at(base), Some(LeaderEpoch::new(epoch))).unwrap()
}

pub(crate) fn stamp(id: i64, epoch: i16, sequence: i32) -> ProducerStamp {
    ProducerStamp {
        id: ProducerId::new(id).unwrap(),
        epoch: ProducerEpoch::new(epoch),
        base_sequence: Sequence::new(sequence),
    }
}

/// A batch of `count` records of an idempotent producer.
pub(crate) fn idempotent(stamp: ProducerStamp, count: usize) -> Batch {
    fill(BatchBuilder::new(Codec::None).producer(stamp), NOW, &vec!["v"; count])
}

/// The same in a transaction.
pub(crate) fn transactional(stamp: ProducerStamp, count: usize) -> Batch {
    fill(BatchBuilder::new(Codec::None).producer(stamp).transactional(), NOW, &vec!["v"; count])
}

pub(crate) fn marker(id: i64, epoch: i16, result: TransactionResult, coordinator_epoch: i32) -> Batch {
    let marker = TransactionMarker { result, coordinator_epoch };
    marker.to_batch(ProducerId::new(id).unwrap(), ProducerEpoch::new(epoch).unwrap(), NOW).unwrap()
}

/// Small segments, an index entry for nearly every batch, nothing served from memory.
pub(crate) fn small() -> LogConfig {
    LogConfig { segment_bytes: 600, index_interval_bytes: 100, tail_cache_bytes: 0, ..LogConfig::default() }
}

pub(crate) fn options(config: LogConfig) -> OpenOptions {
    OpenOptions { config, ..OpenOptions::default() }
}

pub(crate) fn by_hand(config: LogConfig) -> OpenOptions {
    OpenOptions { high_watermark: HighWatermarkRule::ByHand, ..options(config) }
}

/// One log, with verbs.
pub(crate) struct Subject {
    pub(crate) disk: MemDisk,
    pub(crate) log: LogFile<MemDisk>,
    pub(crate) options: OpenOptions,
    pub(crate) report: RecoveryReport,
}

impl Subject {
    pub(crate) fn new(config: LogConfig) -> Self {
        Self::open(MemDisk::new(), options(config))
    }

    pub(crate) fn open(disk: MemDisk, options: OpenOptions) -> Self {
        let (log, report) = LogFile::open(disk.clone(), &partition(), options.clone(), NOW).unwrap();
        Self { disk, log, options, report }
    }

    pub(crate) fn close(self) -> (MemDisk, OpenOptions) {
        self.log.close().unwrap();
        (self.disk, self.options)
    }

    /// Closes, and opens again.
    pub(crate) fn reopen(self) -> Self {
        let (disk, options) = self.close();
        Self::open(disk, options)
    }

    /// The process dies, and the next one opens.
    pub(crate) fn kill(self) -> Self {
        self.disk.kill();
        let Self { disk, log, options, .. } = self;
        drop(log);
        Self::open(disk, options)
    }

    /// Appends batches of one record, `value 7` at offset 7, up to `end`.
    pub(crate) fn fill(&mut self, end: u64) {
        for number in self.end()..end {
            self.log.append(NOW, &batch(&[&format!("value {number}")])).unwrap();
        }
    }

    /// As a coordinator does.
    pub(crate) fn mark(&mut self, marker: &Batch) {
        self.log.append_from(NOW, marker, Origin::Coordinator, ottla::log::MarkerRules::default()).unwrap();
    }

    pub(crate) fn end(&self) -> u64 {
        self.log.log().log_end_offset().get()
    }

    pub(crate) fn start(&self) -> u64 {
        self.log.log().log_start_offset().get()
    }

    /// The bases of the segments.
    pub(crate) fn bases(&self) -> Vec<u64> {
        self.log.log().segments().map(|segment| segment.base_offset.get()).collect()
    }

    pub(crate) fn fetch(&mut self, from: u64, isolation: Isolation) -> Fetched {
        self.log.read(at(from), 1 << 20, isolation).unwrap()
    }

    /// The offsets that one read returns.
    pub(crate) fn offsets(&mut self, from: u64, isolation: Isolation) -> Vec<u64> {
        offsets_of(&self.fetch(from, isolation))
    }

    /// Whether `value 7` and so on stand at each offset from `from` to the end.
    pub(crate) fn assert_holds(&mut self, from: u64, end: u64) {
        assert_eq!(self.end(), end);
        for offset in from..end {
            let fetched = self.log.read(at(offset), 1, Isolation::LogEnd).unwrap();
            let records = fetched.batches[0].records(DecompressLimit::default()).unwrap();
            let record = records.iter().map(Result::unwrap).find(|record| record.offset.get() == offset).unwrap();
            assert_eq!(record.value.unwrap(), format!("value {offset}").as_bytes());
        }
    }
}

pub(crate) fn offsets_of(fetched: &Fetched) -> Vec<u64> {
    let mut offsets = Vec::new();
    for entry in &fetched.batches {
        let records = entry.records(DecompressLimit::default()).unwrap();
        offsets.extend(records.iter().map(|record| record.unwrap().offset.get()));
    }
    offsets
}
