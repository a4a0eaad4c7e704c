//! `partition.metadata`: whose log this is.

use crate::id::TopicId;
use crate::log::checkpoint::lines::{Line, lines, number};
use crate::log::checkpoint::{CheckpointError, cut};

/// The content of `partition.metadata`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PartitionMetadata {
    /// The id of the topic that the log is a partition of.
    pub topic_id: TopicId,
}

impl PartitionMetadata {
    /// Reads the file. Any version from 0 on is taken, as Kafka does.
    ///
    /// # Errors
    ///
    /// What is missing or wrong in one of its two lines.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let mut lines = lines(bytes);
        let (line, version) = value(lines.next(), 1, "version")?;
        let found = number(line, version, "version")?;
        if found < 0 {
            return Err(CheckpointError::Version { line, found, known: "0 and later" });
        }
        let (line, id) = value(lines.next(), 2, "topic_id")?;
        let topic_id = TopicId::parse(id).map_err(|source| CheckpointError::TopicId { line, source })?;
        Ok(Self { topic_id })
    }

    /// The content of the file. There is no line end behind the second line.
    pub fn encode(&self) -> Vec<u8> {
        format!("version: 0\ntopic_id: {}", self.topic_id).into_bytes()
    }
}

/// The number of the line and what stands behind `key: ` in it.
fn value<'a>(
    line: Option<Line<'a>>,
    number: usize,
    expected: &'static str,
) -> Result<(usize, &'a str), CheckpointError> {
    let text = line.map_or(Ok(""), |line| line.text())?;
    let behind = text.strip_prefix(expected).and_then(|rest| rest.strip_prefix(':'));
    // A colon alone separates nothing: Kafka asks for white space behind it.
    let value = behind.filter(|value| value.starts_with(char::is_whitespace)).map(str::trim);
    value.map(|value| (number, value)).ok_or_else(|| CheckpointError::Key { line: number, expected, found: cut(text) })
}
