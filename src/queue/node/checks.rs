//! Batches are checked before a node gets them, outside of its lock: each byte is looked at.

use bytes::Bytes;

use crate::broker::Body;
use crate::log::{Cleanup, LogConfig};
use crate::message::{Answer, PartitionAnswer, Produce, ProducePartition, Produced, RequestError, Response};
use crate::record::{Batch, Checked, DecompressLimit, Origin, Rules};
use crate::time::Timestamp;

/// The rules of a topic for what clients send.
pub(super) fn rules(config: &LogConfig) -> Rules {
    Rules {
        origin: Origin::Client,
        max_batch_bytes: config.max_message_bytes,
        compacted: matches!(config.cleanup, Cleanup::Compact | Cleanup::CompactAndDelete),
        timestamp_type: config.timestamp_type,
        timestamp_before_max_ms: config.timestamp_before_max_ms,
        timestamp_after_max_ms: config.timestamp_after_max_ms,
        codec: config.codec,
        level: None,
        decompress_limit: DecompressLimit::default(),
    }
}

/// What of a produce passes, and what is refused at once: the place in the request, and the answer for it.
#[derive(Debug)]
pub(super) struct CheckedProduce {
    pub(super) produce: Produce<Checked>,
    pub(super) refused: Vec<(usize, PartitionAnswer<Produced>)>,
}

impl CheckedProduce {
    /// The same with batches whose bytes somebody else owns.
    pub(super) fn kept(mut self, keep: impl Fn(Bytes) -> Bytes) -> Self {
        let partitions = std::mem::take(&mut self.produce.partitions);
        let kept = |part: ProducePartition<Checked>| ProducePartition { batch: part.batch.kept(&keep), ..part };
        self.produce.partitions = partitions.into_iter().map(kept).collect();
        self
    }
}

/// Checks each batch by the rules of its topic.
pub(super) fn check(
    request: Produce<Batch>,
    date: Timestamp,
    rules_of: impl Fn(&ProducePartition<Batch>) -> Rules,
) -> CheckedProduce {
    let mut refused = Vec::new();
    let mut partitions = Vec::with_capacity(request.partitions.len());
    for (place, part) in request.partitions.into_iter().enumerate() {
        match part.batch.check(&rules_of(&part), date) {
            Ok(batch) => {
                let (partition, expected_offset) = (part.partition, part.expected_offset);
                partitions.push(ProducePartition { partition, batch, expected_offset });
            }
            Err(error) => refused.push((place, Answer::refused(part.partition, RequestError::from(&error)))),
        }
    }
    let produce =
        Produce { acks: request.acks, durability: request.durability, timeout_ms: request.timeout_ms, partitions };
    CheckedProduce { produce, refused }
}

/// Puts the refusals back in their places.
pub(super) fn merge(response: Response<Body>, refused: Vec<(usize, PartitionAnswer<Produced>)>) -> Response<Body> {
    let Response::Produce(mut answers) = response else { return response };
    for (place, answer) in refused {
        answers.insert(place.min(answers.len()), answer);
    }
    Response::Produce(answers)
}
