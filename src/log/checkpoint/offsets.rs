//! The four files of a log directory that hold an offset for each partition.

use std::collections::BTreeMap;

use crate::id::{TopicName, TopicPartition};
use crate::log::checkpoint::lines::{encode, entries};
use crate::log::checkpoint::{CheckpointError, cut};
use crate::offset::Offset;

/// An offset for each partition: the content of `recovery-point-offset-checkpoint`, `replication-offset-checkpoint`
/// (high watermarks), `log-start-offset-checkpoint` or `cleaner-offset-checkpoint` (first offset not yet compacted).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OffsetCheckpoint {
    /// The offset of each partition.
    pub offsets: BTreeMap<TopicPartition, Offset>,
}

impl OffsetCheckpoint {
    /// Reads one of the files. Of two lines for one partition the later counts, as in Kafka.
    ///
    /// # Errors
    ///
    /// The first line that is no topic, partition and offset.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let mut offsets = BTreeMap::new();
        for row in entries::<3>(bytes)? {
            let row = row?;
            let name = row.columns[0];
            let topic = TopicName::new(name).map_err(|source| CheckpointError::Topic { line: row.line, source })?;
            let partition = row.read(1, "partition", |number| u32::try_from(number).ok())?;
            let partition = TopicPartition::new(topic, partition).map_err(|_| CheckpointError::Number {
                line: row.line,
                expected: "partition",
                found: cut(row.columns[1]),
            })?;
            offsets.insert(partition, row.read(2, "offset", Offset::from_i64)?);
        }
        Ok(Self { offsets })
    }

    /// The content of the file.
    pub fn encode(&self) -> Vec<u8> {
        let row = |(at, offset): (&TopicPartition, &Offset)| format!("{} {} {offset}", at.topic(), at.partition());
        encode(self.offsets.iter().map(row))
    }
}
