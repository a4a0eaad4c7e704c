//! What a queue tells of its work: spans of `tracing`, numbers of `metrics`. Without the feature of that name its half of this
//! file is empty, and nothing is looked at. The names stand in `telemetry.md`, and a test compares.
//!
//! - May use: the newtypes, `record`.
//! - Must not know: what is done with it, and who tells it.
//! - Always true: none of it is called with a lock of the node or of a lane held, for a listener may do anything.

use crate::id::TopicPartition;
#[cfg(feature = "metrics")]
use crate::queue::sync::Deadline;
use crate::record::{Batch, Entry};

/// What is being done, until it is dropped.
#[must_use = "a span ends when it is dropped"]
pub(crate) struct Span {
    #[cfg(feature = "tracing")]
    _entered: tracing::span::EnteredSpan,
}

/// A span of this level and name, with these fields.
macro_rules! span {
    ($level:ident, $name:literal $(, $field:ident = $value:expr)*) => {{
        #[cfg(not(feature = "tracing"))]
        let span = {
            $(let _ = &$value;)*
            Span {}
        };
        #[cfg(feature = "tracing")]
        let span = Span { _entered: tracing::span!(tracing::Level::$level, $name $(, $field = %$value)*).entered() };
        span
    }};
}

/// A queue is opened.
pub(crate) fn opening() -> Span {
    span!(INFO, "ottla.open")
}

/// A queue is closed in order.
pub(crate) fn closing() -> Span {
    span!(INFO, "ottla.close")
}

/// A batch is handed over to the node.
pub(crate) fn producing(partition: &TopicPartition, bytes: u32) -> Span {
    span!(TRACE, "ottla.produce", partition = partition, bytes = bytes)
}

/// A partition is flushed.
pub(crate) fn flushing(partition: &TopicPartition) -> Span {
    span!(DEBUG, "ottla.flush", partition = partition)
}

/// What a fetch was answered with is read from files.
pub(crate) fn reading(partition: &TopicPartition) -> Span {
    span!(DEBUG, "ottla.read", partition = partition)
}

/// Retention and the like looks after a partition.
pub(crate) fn looking_after(partition: &TopicPartition) -> Span {
    span!(DEBUG, "ottla.upkeep", partition = partition)
}

/// A partition is compacted.
pub(crate) fn compacting(partition: &TopicPartition) -> Span {
    span!(DEBUG, "ottla.compaction", partition = partition)
}

/// Measures how long something takes.
pub(crate) struct Stopwatch {
    #[cfg(feature = "metrics")]
    begun: Deadline,
}

impl Stopwatch {
    #[cfg_attr(feature = "metrics", expect(clippy::disallowed_methods, reason = "it measures, and decides nothing"))]
    pub(crate) fn start() -> Self {
        Self {
            #[cfg(feature = "metrics")]
            begun: Deadline::now(),
        }
    }

    fn note(&self, name: &'static str) {
        #[cfg(not(feature = "metrics"))]
        let _ = name;
        #[cfg(feature = "metrics")]
        metrics::histogram!(name).record(self.begun.elapsed().as_secs_f64());
    }
}

fn count(name: &'static str, by: u64) {
    #[cfg(not(feature = "metrics"))]
    let _ = (name, by);
    #[cfg(feature = "metrics")]
    metrics::counter!(name).increment(by);
}

/// A batch was acknowledged.
pub(crate) fn acknowledged(batch: &Batch) {
    count("ottla_records_in_total", u64::from(batch.record_count()));
    count("ottla_bytes_in_total", u64::from(batch.size()));
}

/// The node has refused a batch. Most are sent again.
pub(crate) fn refused() {
    count("ottla_refusals_total", 1);
}

/// Records were given up.
pub(crate) fn given_up(records: u64) {
    if records > 0 {
        count("ottla_send_errors_total", records);
    }
}

/// Somebody has waited for memory to send.
pub(crate) fn waited_for_memory(since: &Stopwatch) {
    count("ottla_memory_waits_total", 1);
    since.note("ottla_memory_wait_seconds");
}

/// Batches were handed out to a consumer.
pub(crate) fn handed_out(entries: &[Entry]) {
    if !cfg!(feature = "metrics") {
        return;
    }
    let (mut records, mut bytes) = (0, 0);
    for entry in entries {
        records += entry.as_batch().map_or(1, |batch| u64::from(batch.record_count()));
        bytes += u64::from(entry.size());
    }
    count("ottla_records_out_total", records);
    count("ottla_bytes_out_total", bytes);
}

/// Files were read for a fetch.
pub(crate) fn read_files(since: &Stopwatch) {
    count("ottla_file_reads_total", 1);
    since.note("ottla_file_read_seconds");
}

/// A flush has ended.
pub(crate) fn flushed(since: &Stopwatch, has_failed: bool) {
    count("ottla_flushes_total", 1);
    count("ottla_flush_errors_total", u64::from(has_failed));
    since.note("ottla_flush_seconds");
}

/// A partition has found no space and waits for some.
pub(crate) fn stalled() {
    count("ottla_stalls_total", 1);
}

/// A segment went to make room.
pub(crate) fn dropped(partition: &TopicPartition, bytes: u64) {
    count("ottla_dropped_segments_total", 1);
    count("ottla_dropped_bytes_total", bytes);
    #[cfg(not(feature = "tracing"))]
    let _ = partition;
    #[cfg(feature = "tracing")]
    tracing::warn!(name: "ottla.dropped", partition = %partition, bytes, "a segment went to make room");
}

/// A compaction has ended, and the partition is so many bytes smaller; or it has failed.
pub(crate) fn compacted(since: &Stopwatch, gone: Option<u64>) {
    count("ottla_compactions_total", 1);
    count("ottla_compaction_errors_total", u64::from(gone.is_none()));
    count("ottla_compacted_bytes_total", gone.unwrap_or(0));
    since.note("ottla_compaction_seconds");
}

/// A partition that is open, until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenPartition(());

impl OpenPartition {
    pub(crate) fn begin() -> Self {
        #[cfg(feature = "metrics")]
        metrics::gauge!("ottla_partitions").increment(1);
        Self(())
    }
}

impl Drop for OpenPartition {
    fn drop(&mut self) {
        #[cfg(feature = "metrics")]
        metrics::gauge!("ottla_partitions").decrement(1);
    }
}
