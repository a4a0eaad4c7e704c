//! What must be read: an ordered map for each partition.

use std::collections::BTreeMap;

use ottla::id::TopicPartition;

/// A record: its key and its value.
pub(crate) type Content = (Vec<u8>, Option<Vec<u8>>);

/// What is around a record that stands in a batch alone.
const AROUND_MAX: u64 = 61 + 30;

/// What a partition has.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Each record that was ever appended. What was deleted stays here, and is not to be read.
    pub(crate) records: BTreeMap<u64, Content>,
    /// Nothing below was left by a deletion by hand.
    pub(crate) deleted_to: u64,
    /// What was appended below had gone with its segment before anybody could see it.
    pub(crate) unseen_to: u64,
}

impl Log {
    pub(crate) fn end(&self) -> u64 {
        self.records.last_key_value().map_or(0, |(last, _)| last + 1).max(self.unseen_to)
    }

    /// How many bytes the records from `offset` on take at most, with all that is around them.
    pub(crate) fn bytes_at_most(&self, offset: u64) -> u64 {
        let each = self.records.range(offset..).map(|(_, (key, value))| key.len() + value.as_ref().map_or(0, Vec::len));
        each.map(|bytes| bytes as u64 + AROUND_MAX).sum()
    }
}

/// All partitions.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    logs: BTreeMap<TopicPartition, Log>,
}

impl Truth {
    /// The topics, in order.
    pub(crate) fn topics(&self) -> Vec<String> {
        let mut names: Vec<_> = self.logs.keys().map(|partition| partition.topic().as_str().to_owned()).collect();
        names.dedup();
        names
    }

    pub(crate) fn has(&self, topic: &str) -> bool {
        self.topics().iter().any(|name| name == topic)
    }

    pub(crate) fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.logs.keys()
    }

    pub(crate) fn partitions_of(&self, topic: &str) -> Vec<TopicPartition> {
        self.logs.keys().filter(|partition| partition.topic().as_str() == topic).cloned().collect()
    }

    pub(crate) fn add(&mut self, partition: TopicPartition) {
        self.logs.insert(partition, Log::default());
    }

    pub(crate) fn remove(&mut self, topic: &str) {
        self.logs.retain(|partition, _| partition.topic().as_str() != topic);
    }

    pub(crate) fn log(&self, partition: &TopicPartition) -> &Log {
        &self.logs[partition]
    }

    pub(crate) fn log_mut(&mut self, partition: &TopicPartition) -> &mut Log {
        self.logs.get_mut(partition).unwrap()
    }
}
