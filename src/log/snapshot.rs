//! The producer snapshot: what a log knows of its producers, as a file.
//!
//! Taken when a segment rolls, named after the end of what it covers, so that a restart need not read the whole log
//! (format.md, section 7). Of each producer only the last batch survives.
//!
//! - May use: `epoch`, `id`, `offset`, `time`, `record` for the checksum, and its sibling `producers`.
//! - Must not know: files, and which snapshot is the right one.
//! - Always true: what has been parsed names each producer once, and each open transaction once.

use std::collections::{BTreeMap, BTreeSet};

use crate::epoch::{LeaderEpoch, ProducerEpoch, Sequence};
use crate::id::ProducerId;
use crate::log::producers::{BatchMeta, ProducerEntry, ProducerState, UnknownProducer};
use crate::offset::Offset;
use crate::record::crc32c;
use crate::time::Timestamp;

/// What a producer snapshot tells.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ProducerSnapshot {
    entries: BTreeMap<ProducerId, ProducerEntry>,
}

/// Why bytes are no producer snapshot. Kafka deletes such a file and tries the one before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The header is cut off.
    #[error("a snapshot of {found} bytes lacks part of its header of {header} bytes", header = ProducerSnapshot::HEADER_BYTES)]
    Short {
        /// How many bytes there are.
        found: usize,
    },
    /// The version is not known.
    #[error("snapshot version {found}, known is {known}", known = ProducerSnapshot::VERSION)]
    Version {
        /// The version found.
        found: i16,
    },
    /// The bytes do not match their checksum.
    #[error("snapshot checksum is {computed:#010x}, its header says {stored:#010x}")]
    Corrupt {
        /// What the header says.
        stored: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// The count of entries does not fit the length.
    #[error("a snapshot of {count} entries has {found} bytes of them, {bytes} each", bytes = ProducerSnapshot::ENTRY_BYTES)]
    Count {
        /// The count field.
        count: i32,
        /// How many bytes follow the header.
        found: usize,
    },
    /// A field of an entry has a value that it cannot have.
    #[error("entry {entry} of the snapshot: {field} is {found}")]
    Field {
        /// Which entry, from zero.
        entry: usize,
        /// Which field.
        field: &'static str,
        /// Its value.
        found: i64,
    },
    /// Two entries are of one producer.
    #[error("entry {entry} of the snapshot is the second of producer {producer_id}")]
    SecondEntry {
        /// Which entry, from zero.
        entry: usize,
        /// Whose.
        producer_id: ProducerId,
    },
    /// Two transactions begin at one offset.
    #[error("entry {entry} of the snapshot is the second with a transaction from offset {first_offset}")]
    SecondTransaction {
        /// Which entry, from zero.
        entry: usize,
        /// Where the transaction begins.
        first_offset: Offset,
    },
}

impl ProducerSnapshot {
    /// The version written here, and the only one read.
    pub const VERSION: i16 = 1;
    /// Version, checksum, count.
    pub const HEADER_BYTES: usize = 10;
    /// The size of an entry.
    pub const ENTRY_BYTES: usize = 46;
    /// Where the bytes begin that the checksum covers.
    const CHECKED_FROM: usize = 6;

    /// Reads a snapshot.
    ///
    /// # Errors
    ///
    /// The first thing that no snapshot has.
    pub fn parse(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let Some((&[v0, v1, c0, c1, c2, c3, n0, n1, n2, n3], rest)) = bytes.split_first_chunk() else {
            return Err(SnapshotError::Short { found: bytes.len() });
        };
        let version = i16::from_be_bytes([v0, v1]);
        if version != Self::VERSION {
            return Err(SnapshotError::Version { found: version });
        }
        let stored = u32::from_be_bytes([c0, c1, c2, c3]);
        let computed = crc32c(&bytes[Self::CHECKED_FROM..]);
        if computed != stored {
            return Err(SnapshotError::Corrupt { stored, computed });
        }
        let count = i32::from_be_bytes([n0, n1, n2, n3]);
        let (entries, left_over) = rest.as_chunks();
        if usize::try_from(count) != Ok(entries.len()) || !left_over.is_empty() {
            return Err(SnapshotError::Count { count, found: rest.len() });
        }
        Self::of_entries(entries)
    }

    fn of_entries(bytes: &[[u8; Self::ENTRY_BYTES]]) -> Result<Self, SnapshotError> {
        let mut entries = BTreeMap::new();
        let mut transactions = BTreeSet::new();
        for (at, bytes) in bytes.iter().enumerate() {
            let (producer_id, entry) = decode(at, bytes)?;
            if let Some(first_offset) = entry.open_transaction().filter(|first| !transactions.insert(*first)) {
                return Err(SnapshotError::SecondTransaction { entry: at, first_offset });
            }
            if entries.insert(producer_id, entry).is_some() {
                return Err(SnapshotError::SecondEntry { entry: at, producer_id });
            }
        }
        Ok(Self { entries })
    }

    /// The file that holds `state` as it is now; its name is [`ProducerState::end`].
    pub fn encode(state: &ProducerState) -> Vec<u8> {
        encode(state.entries())
    }

    /// As [`Self::encode`], unless the last snapshot, taken at `last`, covers as much.
    pub fn encode_after(state: &ProducerState, last: Option<Offset>) -> Option<Vec<u8>> {
        last.is_none_or(|last| last < state.end()).then(|| Self::encode(state))
    }

    /// The file that holds this snapshot.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self.entries())
    }

    /// Each producer, by id.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (ProducerId, &ProducerEntry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    /// The state of a log that ends at `end`, the offset in the file's name, without the producers that have been idle
    /// for `idle_ms_max`.
    pub fn into_state(
        self,
        end: Offset,
        unknown_producer: UnknownProducer,
        now: Timestamp,
        idle_ms_max: u64,
    ) -> ProducerState {
        let mut state = ProducerState::new(end, unknown_producer);
        for (id, entry) in self.entries {
            state.load(id, entry);
        }
        state.expire(now, idle_ms_max);
        state
    }
}

fn encode<'a>(entries: impl ExactSizeIterator<Item = (ProducerId, &'a ProducerEntry)>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ProducerSnapshot::HEADER_BYTES + entries.len() * ProducerSnapshot::ENTRY_BYTES);
    bytes.extend_from_slice(&ProducerSnapshot::VERSION.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    // 2^31 entries would take 100 GB here and 400 in memory.
    bytes.extend_from_slice(&(entries.len() as i32).to_be_bytes());
    for (id, entry) in entries {
        encode_entry(&mut bytes, id, entry);
    }
    let crc = crc32c(&bytes[ProducerSnapshot::CHECKED_FROM..]);
    bytes[2..ProducerSnapshot::CHECKED_FROM].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn encode_entry(bytes: &mut Vec<u8>, id: ProducerId, entry: &ProducerEntry) {
    let last = entry.batches().last();
    let offset_or_none = |offset: Option<Offset>| offset.map_or(-1, Offset::as_i64).to_be_bytes();
    bytes.extend_from_slice(&id.get().to_be_bytes());
    bytes.extend_from_slice(&entry.epoch().map_or(-1, ProducerEpoch::get).to_be_bytes());
    bytes.extend_from_slice(&entry.last_sequence().map_or(-1, Sequence::get).to_be_bytes());
    bytes.extend_from_slice(&offset_or_none(last.map(|batch| batch.last_offset)));
    bytes.extend_from_slice(&last.map_or(0, |batch| batch.offset_delta).to_be_bytes());
    bytes.extend_from_slice(&entry.last_timestamp().as_millis().to_be_bytes());
    bytes.extend_from_slice(&entry.coordinator_epoch().map_or(-1, LeaderEpoch::as_i32).to_be_bytes());
    bytes.extend_from_slice(&offset_or_none(entry.open_transaction()));
}

fn decode(
    entry: usize,
    bytes: &[u8; ProducerSnapshot::ENTRY_BYTES],
) -> Result<(ProducerId, ProducerEntry), SnapshotError> {
    let wrong = |field, found| SnapshotError::Field { entry, field, found };
    let id = i64::from_be_bytes(field(bytes, 0));
    let producer_id = ProducerId::new(id).ok_or(wrong("the producer id", id))?;
    let timestamp = Timestamp::from_millis(i64::from_be_bytes(field(bytes, 26)));
    let producer = ProducerEntry::new(
        ProducerEpoch::new(i16::from_be_bytes(field(bytes, 8))),
        LeaderEpoch::from_i32(i32::from_be_bytes(field(bytes, 34))),
        timestamp,
        last_batch(bytes, timestamp).map_err(|delta| wrong("the offset delta", delta))?,
    );
    let open = Offset::from_i64(i64::from_be_bytes(field(bytes, 38)));
    Ok((producer_id, open.into_iter().fold(producer, ProducerEntry::with_open_transaction)))
}

/// The last batch of an entry, if it has one; else its offset delta, if that is none.
fn last_batch(bytes: &[u8; ProducerSnapshot::ENTRY_BYTES], timestamp: Timestamp) -> Result<Option<BatchMeta>, i64> {
    let Some(last_offset) = Offset::from_i64(i64::from_be_bytes(field(bytes, 14))) else { return Ok(None) };
    let delta = i32::from_be_bytes(field(bytes, 22));
    let offset_delta = u32::try_from(delta).map_err(|_| i64::from(delta))?;
    if u64::from(offset_delta) > last_offset.get() {
        return Err(i64::from(delta));
    }
    let last_sequence = Sequence::new(i32::from_be_bytes(field(bytes, 10)));
    Ok(Some(BatchMeta { last_sequence, last_offset, offset_delta, timestamp }))
}

/// The `N` bytes at `at`, which the caller knows to lie within the entry.
fn field<const N: usize>(bytes: &[u8; ProducerSnapshot::ENTRY_BYTES], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

#[cfg(test)]
mod tests;
