//! How a log is opened: what the caller chooses.

use crate::id::TopicId;
use crate::log::LogConfig;
use crate::record::DecompressLimit;

/// How to open a log.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The settings of the log.
    pub config: LogConfig,
    /// The topic's id; written if there is none yet, and compared if there is.
    pub topic_id: Option<TopicId>,
    /// Who moves the high watermark.
    pub high_watermark: HighWatermarkRule,
    /// The most files held open at a time.
    pub open_files_max: usize,
    /// How sealed segments are read.
    pub read_mode: ReadMode,
    /// The most bytes that the records of one batch may decompress to.
    pub decompress_limit: DecompressLimit,
    /// The most bytes that compaction takes for its map of keys, 24 for each: Kafka's `log.cleaner.dedupe.buffer.size`. A
    /// smaller one makes a log that is larger take several compactions.
    pub compaction_map_bytes: usize,
    /// How long a deleted file stays, as `.deleted`, for those who look at the directory from outside: Kafka's
    /// `file.delete.delay.ms`, which is 60000 there. 0, the default, deletes at once and gives its space back at once.
    pub file_delete_delay_ms: u64,
}

/// How the bytes of sealed segments are read. What may still be cut is never mapped.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ReadMode {
    /// Into memory of the reader's.
    #[default]
    Read,
    /// From a map of the file, a bounded number at a time. An I/O error then ends the process (SIGBUS) instead of being
    /// returned, and so does anybody who shortens the files meanwhile.
    Map,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            config: LogConfig::default(),
            topic_id: None,
            high_watermark: HighWatermarkRule::default(),
            open_files_max: 64,
            read_mode: ReadMode::default(),
            decompress_limit: DecompressLimit::default(),
            compaction_map_bytes: 128 << 20,
            file_delete_delay_ms: 0,
        }
    }
}

/// Who moves the high watermark.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum HighWatermarkRule {
    /// It follows what is written: there is no other replica.
    #[default]
    FollowWritten,
    /// It follows what is flushed: readers see only what survives a power loss.
    FollowFlushed,
    /// The caller does, by [`LogFile::advance_high_watermark`](crate::disk::LogFile::advance_high_watermark).
    ByHand,
}
