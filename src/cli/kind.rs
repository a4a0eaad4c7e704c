//! What a file of a log directory holds, by its name.

use crate::cli::dump_index::IndexKind;
use crate::offset::Offset;

/// What a file holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FileKind {
    /// Batches, of the formats since 0.8.
    Batches { base_offset: Option<Offset> },
    /// Messages of the 0.7 format, whose first one stands at this position of the partition.
    Messages07 { base_position: u64 },
    /// An index of the segment that begins there.
    Index { kind: IndexKind, base_offset: Offset },
    /// The producers' state.
    Snapshot,
    /// Where each leader epoch begins.
    LeaderEpochs,
    /// An offset for each partition.
    Offsets,
    /// The topic's id.
    PartitionMetadata,
    /// Whose directory it is.
    MetaProperties,
    /// Left behind by a clean shutdown.
    CleanShutdown,
    /// Anything else.
    Other,
}

impl FileKind {
    /// What a file of this name holds. A name that ends as one of a file on its way in or out counts as the file's.
    pub(crate) fn of(name: &str) -> Self {
        let name = name.rsplit('/').next().unwrap_or(name);
        let name = [".deleted", ".cleaned", ".swap"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        match name {
            "leader-epoch-checkpoint" => Self::LeaderEpochs,
            "partition.metadata" => Self::PartitionMetadata,
            "meta.properties" => Self::MetaProperties,
            ".kafka_cleanshutdown" => Self::CleanShutdown,
            "recovery-point-offset-checkpoint"
            | "replication-offset-checkpoint"
            | "log-start-offset-checkpoint"
            | "cleaner-offset-checkpoint" => Self::Offsets,
            _ => Self::of_segment(name),
        }
    }

    fn of_segment(name: &str) -> Self {
        let Some((stem, ending)) = name.rsplit_once('.') else { return Self::Other };
        let number = offset(stem);
        let index = |kind| number.map_or(Self::Other, |base_offset| Self::Index { kind, base_offset });
        match ending {
            // A snapshot of cluster metadata is one too: `<offset>-<epoch>.checkpoint`.
            "log" | "checkpoint" => Self::Batches { base_offset: number },
            "kafka" => Self::Messages07 { base_position: number.map_or(0, Offset::get) },
            "index" => index(IndexKind::Offsets),
            "timeindex" => index(IndexKind::Times),
            "txnindex" => index(IndexKind::Transactions),
            "snapshot" if number.is_some() => Self::Snapshot,
            _ => Self::Other,
        }
    }
}

fn offset(digits: &str) -> Option<Offset> {
    let is_number = digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit());
    if is_number { Offset::from_i64(digits.parse().ok()?) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_inside() {
        let base_offset = Offset::new(208);
        for (name, kind) in [
            ("00000000000000000208.log", FileKind::Batches { base_offset: Some(base_offset) }),
            ("t-0/00000000000000000208.log.deleted", FileKind::Batches { base_offset: Some(base_offset) }),
            ("00000000000000000208-0000000001.checkpoint", FileKind::Batches { base_offset: None }),
            ("00000000000000000208.index.swap", FileKind::Index { kind: IndexKind::Offsets, base_offset }),
            ("00000000000000000208.snapshot", FileKind::Snapshot),
            ("00000000000000000208.kafka", FileKind::Messages07 { base_position: 208 }),
            ("cleaner-offset-checkpoint", FileKind::Offsets),
            ("99999999999999999999.index", FileKind::Other),
            (".lock", FileKind::Other),
            ("", FileKind::Other),
        ] {
            assert_eq!(FileKind::of(name), kind, "{name}");
        }
    }
}
