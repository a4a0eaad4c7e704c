//! Reads of a segment that is not what was written.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::disk::sums::{IndexSums, SumsBuilder};
use crate::disk::{Disk, DiskPath, MemDisk, OpenHow};
use crate::epoch::LeaderEpoch;
use crate::log::base_of;
use crate::log::{FileId, MaxTimestamp, SegmentFacts};
use crate::record::Header;
use crate::record::{BatchBuilder, Codec, NewRecord};
use crate::time::Timestamp;

/// The first offset of the segments here.
const BASE: u64 = 100;

/// A segment of batches of two records each, one behind the other, in leader epoch 1.
struct Segment {
    bytes: Vec<u8>,
    /// Where the batches begin.
    starts: Vec<u32>,
    epochs: EpochCache,
}

/// What vouches for the segment's bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum By {
    Sums,
    Nobody,
}

impl Segment {
    fn of(batches: u64, value_bytes: usize) -> Self {
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        for number in 0..batches {
            let mut builder = BatchBuilder::new(Codec::None);
            for record in 0..2 {
                let value = vec![b'a' + ((number * 2 + record) % 26) as u8; value_bytes];
                builder.push(&NewRecord::new(Timestamp::from_millis(1000), None, Some(&value))).unwrap();
            }
            let batch = builder.build().unwrap();
            let batch = batch.stamped(Offset::new(BASE + 2 * number), Some(LeaderEpoch::new(1))).unwrap();
            starts.push(bytes.len() as u32);
            bytes.extend_from_slice(&batch.to_bytes());
        }
        let mut epochs = EpochCache::new();
        epochs.assign(LeaderEpoch::new(1), Offset::new(BASE));
        Self { bytes, starts, epochs }
    }

    fn next(&self) -> u64 {
        BASE + 2 * self.starts.len() as u64
    }

    /// The bytes of the batch that has an offset.
    fn batch(&self, offset: u64) -> &[u8] {
        let at = ((offset - BASE) / 2) as usize;
        let end = self.starts.get(at + 1).map_or(self.bytes.len(), |end| *end as usize);
        &self.bytes[self.starts[at] as usize..end]
    }

    fn sums(&self) -> KnownSums {
        let mut builder = SumsBuilder::new();
        builder.push(&self.bytes).unwrap();
        let max = MaxTimestamp { timestamp: Timestamp::NONE, offset: Offset::ZERO };
        let facts = SegmentFacts { next_offset: Offset::new(self.next()), max, first_timestamp: Timestamp::NONE };
        KnownSums::new(builder.finish(facts, IndexSums::default()).unwrap())
    }

    /// Reads from each offset in turn, in a file of these bytes, with a hint of the batch `back` in front of it.
    fn read_all(&self, damaged: &[u8], by: By, back: usize, bytes_max: u32) -> Vec<Result<Vec<Entry>, ReadFault>> {
        let disk = MemDisk::new();
        disk.put("log", damaged).unwrap();
        let file = disk.open(&DiskPath::root().entry("log"), OpenHow::Read).unwrap();
        let pool = Pool::default();
        let mut sums = (by == By::Sums).then(|| self.sums());
        let read = |offset| {
            let at = (((offset - BASE) / 2) as usize).saturating_sub(back);
            let hint = match at {
                0 => Hint { position: 0, offset: Offset::new(BASE) },
                at => Hint { position: self.starts[at], offset: Offset::new(BASE + 2 * at as u64 + 1) },
            };
            let hint = if hint.offset.get() > offset { Hint { position: 0, offset: Offset::new(BASE) } } else { hint };
            let span = Span {
                file: FileId(0),
                segment: Offset::new(BASE),
                segment_next: Offset::new(self.next()),
                position: 0,
                end: self.bytes.len() as u32,
                from: Offset::new(offset),
                ceiling: Offset::MAX,
                bytes_max,
            };
            let source = Source { file: &file, map: None, pool: &pool };
            read_span(&source, &span, hint, &self.epochs, sums.as_mut())
        };
        (BASE..self.next()).map(read).collect()
    }

    /// The offsets that are not answered. Whatever is answered must be right and begin at the offset asked for.
    fn refused(&self, damaged: &[u8], by: By, back: usize, bytes_max: u32) -> BTreeSet<u64> {
        let mut refused = BTreeSet::new();
        for (offset, outcome) in (BASE..).zip(self.read_all(damaged, by, back, bytes_max)) {
            let Ok(entries) = outcome else {
                refused.insert(offset);
                continue;
            };
            let mut due = offset - (offset - BASE) % 2;
            assert!(!entries.is_empty(), "offset {offset}: nothing, in silence");
            for entry in entries {
                assert_eq!(base_of(&entry).get(), due, "offset {offset}: passed over in silence");
                assert!(entry.to_bytes() == self.batch(due), "offset {offset}: a wrong batch at {due}");
                due += 2;
            }
        }
        refused
    }

    fn flipped(&self, byte: usize, bit: usize) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[byte] ^= 1 << bit;
        bytes
    }
}

#[test]
fn a_corrupt_batch_costs_itself_wherever_the_walk_begins() {
    let segment = Segment::of(6, 10);
    for at in [0, 2, 5] {
        let (start, size) = (segment.starts[at] as usize, segment.batch(BASE + 2 * at as u64).len());
        let own = BTreeSet::from([BASE + 2 * at as u64, BASE + 2 * at as u64 + 1]);
        // All but base offset and leader epoch, which no checksum of a batch covers: length, magic, and what is summed up.
        for byte in (8..12).chain(16..size) {
            for (by, back) in [(By::Sums, 0), (By::Sums, 2), (By::Nobody, 0), (By::Nobody, 1), (By::Nobody, 3)] {
                for (bit, bytes_max) in [(byte % 8, 1), (7 - byte % 8, 1 << 20)] {
                    let damaged = segment.flipped(start + byte, bit);
                    let refused = segment.refused(&damaged, by, back, bytes_max);
                    assert_eq!(refused, own, "byte {byte} of batch {at}, {by:?}, hint {back} back");
                }
            }
        }
    }
}

#[test]
fn a_wrong_base_offset_or_epoch_is_never_served_and_costs_its_batch_where_there_are_sums() {
    let segment = Segment::of(6, 10);
    for at in [0, 3, 5] {
        let own = BTreeSet::from([BASE + 2 * at, BASE + 2 * at + 1]);
        for byte in (0..8).chain(12..16) {
            for (bit, back) in (0..8).flat_map(|bit| [(bit, 0), (bit, 1), (bit, 4)]) {
                let damaged = segment.flipped(segment.starts[at as usize] as usize + byte, bit);
                let what = format!("byte {byte} bit {bit} of batch {at}, hint {back} back");
                assert_eq!(segment.refused(&damaged, By::Sums, back, 1), own, "{what}");
                assert!(segment.refused(&damaged, By::Nobody, back, 1).is_superset(&own), "{what}");
            }
        }
    }
}

#[test]
fn a_bad_block_costs_no_batch_that_begins_in_another() {
    let segment = Segment::of(100, 1000);
    let block = |offset: u64| segment.starts[((offset - BASE) / 2) as usize] / crate::disk::sums::BLOCK_BYTES;
    // The last byte of the base offset, in the second of four blocks.
    let at = segment.starts.iter().position(|start| *start > 90_000).unwrap();
    let byte = segment.starts[at] as usize + 7;
    let damaged = segment.flipped(byte, 0);
    let own: BTreeSet<u64> = (BASE..segment.next()).skip(2 * at).take(2).collect();
    // Another bit: nobody can say any more which they are.
    let mut worse = damaged.clone();
    worse[byte + 8] ^= 4;
    let all: BTreeSet<u64> = (BASE..segment.next()).filter(|offset| block(*offset) == 1).collect();
    for (back, bytes_max) in [(0, 1), (3, 1), (3, 1 << 20), (60, 4000)] {
        let what = format!("hint {back} back, {bytes_max} bytes");
        assert_eq!(segment.refused(&damaged, By::Sums, back, bytes_max), own, "{what}");
        assert_eq!(segment.refused(&worse, By::Sums, back, bytes_max), all, "{what}");
    }
}

#[test]
fn a_file_that_was_cut_says_so_at_the_batch_it_ends_in_and_serves_what_is_whole() {
    let segment = Segment::of(6, 10);
    for cut in 0..segment.bytes.len() {
        let at = segment.starts.partition_point(|start| *start as usize <= cut) - 1;
        let first = BASE + 2 * at as u64;
        for (by, back) in [(By::Sums, 0), (By::Sums, 3), (By::Nobody, 0), (By::Nobody, 3)] {
            for (offset, outcome) in (BASE..).zip(segment.read_all(&segment.bytes[..cut], by, back, 1)) {
                let what = format!("cut to {cut}, offset {offset}, {by:?}, hint {back} back");
                match outcome {
                    Ok(entries) => {
                        assert!(offset < first, "{what}");
                        assert!(entries[0].to_bytes() == segment.batch(offset), "{what}");
                    }
                    Err(ReadFault::Corrupt { position, why: Why::Torn { .. }, offset: due, .. }) => {
                        assert!(offset >= first, "{what}");
                        assert_eq!((position, due.get()), (segment.starts[at], first), "{what}");
                    }
                    Err(fault) => panic!("{what}: {fault}"),
                }
            }
        }
    }
}

#[test]
fn a_read_behind_the_last_batch_goes_no_further_back_than_the_index_says() {
    let segment = Segment::of(300, 100);
    let disk = MemDisk::new();
    disk.put("log", segment.bytes.clone()).unwrap();
    let file = disk.open(&DiskPath::root().entry("log"), OpenHow::Read).unwrap();
    let span = Span {
        file: FileId(0),
        segment: Offset::new(BASE),
        segment_next: Offset::new(segment.next() + 50),
        position: 0,
        end: segment.bytes.len() as u32,
        from: Offset::new(segment.next()),
        ceiling: Offset::MAX,
        bytes_max: 1,
    };
    let hint = Hint { position: segment.starts[290], offset: Offset::new(BASE + 581) };
    let source = Source { file: &file, map: None, pool: &Pool::default() };
    let before = disk.calls();
    let found = read_span(&source, &span, hint, &segment.epochs, None).unwrap();
    assert!(found.is_empty());
    let calls = disk.calls() - before;
    assert!(calls <= 3, "{calls} calls");
    // An index that says what is not so is not gone by.
    let hint = Hint { offset: Offset::new(BASE + 400), ..hint };
    assert!(read_span(&source, &span, hint, &segment.epochs, None).unwrap().is_empty());
    assert!(disk.calls() - before > 6);
}

#[test]
fn what_the_sums_vouch_for_is_not_held_against_the_epochs() {
    let mut segment = Segment::of(6, 10);
    segment.epochs.assign(LeaderEpoch::new(2), Offset::new(BASE + 4));
    assert_eq!(segment.refused(&segment.bytes, By::Sums, 1, 1), BTreeSet::new());
    let behind: BTreeSet<u64> = (BASE + 4..segment.next()).collect();
    assert_eq!(segment.refused(&segment.bytes, By::Nobody, 1, 1), behind);
    // A block that differs vouches for nothing.
    let damaged = segment.flipped(segment.starts[5] as usize + 70, 0);
    assert_eq!(segment.refused(&damaged, By::Sums, 1, 1), behind);
}

/// What somebody does to a file.
#[derive(Clone, Debug)]
enum Harm {
    Put(usize, Vec<u8>),
    Zero(usize, usize),
    /// Bytes of the segment itself, elsewhere: they look most like what is due.
    Copy(usize, usize, usize),
    Cut(usize),
}

fn harm() -> impl Strategy<Value = Harm> {
    let at = || 0..2000_usize;
    prop_oneof![
        3 => (at(), prop::collection::vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Harm::Put(at, bytes)),
        2 => (at(), 1..300_usize).prop_map(|(at, count)| Harm::Zero(at, count)),
        3 => (at(), at(), 1..300_usize).prop_map(|(from, to, count)| Harm::Copy(from, to, count)),
        1 => at().prop_map(Harm::Cut),
    ]
}

impl Harm {
    fn to(&self, bytes: &mut Vec<u8>, whole: &[u8]) {
        let (at, with) = match self {
            Self::Put(at, with) => (*at, with.clone()),
            Self::Zero(at, count) => (*at, vec![0; *count]),
            Self::Copy(from, to, count) => {
                let from = (*from).min(whole.len());
                (*to, whole[from..whole.len().min(from + count)].to_vec())
            }
            Self::Cut(len) => return bytes.truncate(*len),
        };
        for (byte, with) in bytes.iter_mut().skip(at).zip(with) {
            *byte = with;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_is_done_to_a_file_no_record_is_served_that_was_never_written(
        harms in prop::collection::vec(harm(), 1..4),
        back in 0..8_usize,
        bytes_max in prop::sample::select(vec![1, 300, 1 << 20]),
    ) {
        let segment = Segment::of(20, 10);
        let written: BTreeSet<&[u8]> =
            (0..20).map(|number| &segment.batch(BASE + 2 * number)[Header::CHECKED_FROM..]).collect();
        let mut damaged = segment.bytes.clone();
        for harm in &harms {
            harm.to(&mut damaged, &segment.bytes);
        }
        for by in [By::Sums, By::Nobody] {
            for entries in segment.read_all(&damaged, by, back, bytes_max).into_iter().flatten() {
                let mut next = 0;
                for entry in entries {
                    prop_assert!(written.contains(&entry.to_bytes()[Header::CHECKED_FROM..]));
                    prop_assert!(base_of(&entry).get() >= next, "offsets go back");
                    next = entry.next_offset().get();
                }
            }
        }
    }
}
