//! What a log keeps beside its batches, from any bytes: read to an error or to what a plain walk finds.

use std::collections::BTreeMap;

use ottla::disk::DiskPath;
use ottla::epoch::{LeaderEpoch, ProducerEpoch, Sequence};
use ottla::id::{ProducerId, TopicName, TopicPartition};
use ottla::log::{
    CleanShutdown, CompletedTxn, Content, EpochCache, FileName, Marker, MarkerRules, MetaProperties, OffsetCheckpoint,
    OffsetIndex, OffsetIndexView, Outcome, PartitionMetadata, ProducerBatch, ProducerError, ProducerSnapshot,
    ProducerState, ProducerUndo, TimeIndex, TimeIndexView, TxnIndex, UnknownProducer, Verdict,
};
use ottla::offset::Offset;
use ottla::record::{Origin, ProducerStamp};
use ottla::time::Timestamp;

/// F6: an offset index of any bytes is refused, or answers as a walk over its entries does. The first 16 bytes are the
/// segment's base and what is looked up.
pub fn load_offset_index(data: &[u8]) {
    let Some((base, target, file)) = two_numbers(data) else { return };
    let (base, target) = (Offset::new(base), Offset::new(target));
    if let Ok(view) = OffsetIndexView::new(base, file) {
        view.lookup(target);
        view.next_at_or_after(target);
    }
    if let Ok(index) = OffsetIndex::load_preallocated(base, 1024, file) {
        assert!(file.starts_with(index.as_bytes()));
        assert!(file[index.as_bytes().len()..].iter().all(|byte| *byte == 0));
    }
    let Ok(mut index) = OffsetIndex::load(base, 1024, file) else { return };
    assert_eq!(index.as_bytes(), file);
    let entries: Vec<_> = index.entries().collect();
    assert!(entries.is_sorted_by(|a, b| a.offset < b.offset && a.position < b.position));
    for target in entries.iter().map(|entry| entry.offset).chain([target, base, Offset::MAX]) {
        let found = entries.iter().rfind(|entry| entry.offset <= target);
        assert_eq!(index.lookup(target), found.map_or((base, 0), |entry| (entry.offset, entry.position)));
        let next = entries.iter().find(|entry| entry.offset >= target).copied();
        assert_eq!(index.view().next_at_or_after(target), next);
    }
    index.truncate_to(target);
    let kept = entries.iter().filter(|entry| entry.offset < target).count();
    assert_eq!(index.as_bytes(), &file[..kept * OffsetIndex::ENTRY_BYTES]);
}

/// F7: as [`load_offset_index`], for a time index.
pub fn load_time_index(data: &[u8]) {
    let Some((base, target, file)) = two_numbers(data) else { return };
    let (base, time) = (Offset::new(base), Timestamp::from_millis(target as i64));
    if let Ok(view) = TimeIndexView::new(base, file) {
        view.lookup(time);
    }
    if let Ok(index) = TimeIndex::load_preallocated(base, 1024, file) {
        assert!(file.starts_with(index.as_bytes()));
        assert!(file[index.as_bytes().len()..].iter().all(|byte| *byte == 0));
    }
    let Ok(mut index) = TimeIndex::load(base, 1024, file) else { return };
    assert_eq!(index.as_bytes(), file);
    let entries: Vec<_> = index.entries().collect();
    assert!(entries.is_sorted_by(|a, b| a.timestamp < b.timestamp && a.offset <= b.offset));
    for time in entries.iter().map(|entry| entry.timestamp).chain([time, Timestamp::NONE]) {
        let found = entries.iter().rfind(|entry| entry.timestamp <= time);
        let expected = found.map_or((Timestamp::NONE, base), |entry| (entry.timestamp, entry.offset));
        assert_eq!(index.lookup(time), expected);
    }
    let cut = Offset::new(target);
    index.truncate_to(cut);
    let kept = entries.iter().filter(|entry| entry.offset < cut).count();
    assert_eq!(index.as_bytes(), &file[..kept * TimeIndex::ENTRY_BYTES]);
}

/// F8: as [`load_offset_index`], for a transaction index: what a reader must know is what a walk finds.
pub fn load_txn_index(data: &[u8]) {
    let Some((base, target, file)) = two_numbers(data) else { return };
    let (base, target) = (Offset::new(base), Offset::new(target));
    let Ok(mut index) = TxnIndex::load(base, file) else { return };
    assert_eq!(index.as_bytes(), file);
    let entries = index.entries().to_vec();
    assert!(entries.is_sorted_by(|a, b| a.last_offset < b.last_offset));
    for upper in [target, target.advance(100), Offset::MAX] {
        let (found, complete) = index.collect(target, upper);
        let last = entries.iter().position(|entry| entry.last_stable_offset >= upper);
        assert_eq!(complete, last.is_some());
        let read = last.map_or(entries.len(), |last| last + 1);
        let touches = |entry: &_| touches(entry, target, upper);
        assert_eq!(found, entries[..read].iter().filter(|it| touches(it)).copied().collect::<Vec<_>>());
    }
    index.truncate_to(target);
    let kept = entries.iter().filter(|entry| entry.last_offset < target).count();
    assert_eq!(index.as_bytes(), &file[..kept * TxnIndex::ENTRY_BYTES]);
}

fn touches(entry: &ottla::log::AbortedTxn, from: Offset, upper: Offset) -> bool {
    entry.last_offset >= from && entry.first_offset < upper
}

/// F9: a producer snapshot of any bytes is refused, or reads back the same after it has been written again.
pub fn load_producer_snapshot(data: &[u8]) {
    let Ok(snapshot) = ProducerSnapshot::parse(data) else { return };
    assert_eq!(snapshot.to_bytes().len(), data.len());
    assert_eq!(ProducerSnapshot::parse(&snapshot.to_bytes()).as_ref(), Ok(&snapshot));
    let (never, now) = (u64::MAX, Timestamp::from_millis(0));
    let state = snapshot.clone().into_state(Offset::new(7), UnknownProducer::Accept, now, never);
    assert_eq!(ProducerSnapshot::encode(&state), snapshot.to_bytes());
    assert!(state.open_transactions().len() <= state.len());
}

/// F10: `leader-epoch-checkpoint` of any bytes is refused, or is in order and reads back the same.
pub fn load_epoch_checkpoint(data: &[u8]) {
    let Ok(cache) = EpochCache::parse(data) else { return };
    assert!(cache.entries().is_sorted_by(|a, b| a.epoch < b.epoch && a.start_offset < b.start_offset));
    for entry in cache.entries() {
        assert_eq!(cache.epoch_for(entry.start_offset), Some(entry.epoch));
    }
    assert_eq!(EpochCache::parse(&cache.encode()), Ok(cache));
}

/// F11: the other checkpoints of any bytes are refused, or read back the same after they have been written again.
pub fn load_checkpoints(data: &[u8]) {
    if let Ok(read) = OffsetCheckpoint::parse(data) {
        assert_eq!(OffsetCheckpoint::parse(&read.encode()), Ok(read));
    }
    if let Ok(read) = PartitionMetadata::parse(data) {
        assert_eq!(PartitionMetadata::parse(&read.encode()), Ok(read));
    }
    if let Ok(read) = MetaProperties::parse(data) {
        assert_eq!(MetaProperties::parse(&read.encode()), Ok(read));
    }
    let clean = CleanShutdown::parse(data);
    assert_eq!(CleanShutdown::parse(&clean.encode()), clean);
}

/// F20: a name that is accepted stays in its directory, and names one thing only.
pub fn topic_name(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(name) = TopicName::new(text) {
        assert_eq!(name.as_str(), text);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)));
        assert!(!["", ".", ".."].contains(&text) && text.len() <= TopicName::BYTES_MAX);
        for partition in [0, text.len() as u32, i32::MAX as u32] {
            let at = TopicPartition::new(name.clone(), partition).expect("a partition in range");
            assert_eq!(TopicPartition::parse(&at.to_string()), Ok(at.clone()));
            let root = DiskPath::root();
            let path = root.join(&at.to_string()).expect("a checked name is no path of its own");
            assert_eq!((path.parent(), path.name()), (root, at.to_string().as_str()));
        }
    }
    if let Ok(at) = TopicPartition::parse(text) {
        assert_eq!(at.to_string(), text, "no two directories are one partition");
    }
    if let Some(file) = FileName::parse(text) {
        assert_eq!(file.to_string(), text, "no two files have one name");
    }
}

/// F15: any history of appends, expiries and truncations is judged as a plain walk over it judges. Each operation is
/// eight bytes.
pub fn producer_state(data: &[u8]) {
    let mut state = ProducerState::new(Offset::ZERO, UnknownProducer::Accept);
    let mut naive = Naive::default();
    let mut undos: Vec<(ProducerUndo, Naive)> = Vec::new();
    for op in data.as_chunks::<8>().0.iter().take(200) {
        match op[0] % 16 {
            0 => {
                let now = i64::from(op[1]);
                assert_eq!(state.expire(Timestamp::from_millis(now), 50), naive.expire(now, 50));
                undos.clear();
            }
            1 => {
                let high_watermark = Offset::new(u64::from(op[1]));
                state.marker_replicated(high_watermark);
                naive.ended.retain(|(_, marker)| *marker >= high_watermark.get());
                undos.clear();
            }
            2 => {
                if let Some((undo, before)) = undos.pop() {
                    state.undo(undo);
                    naive = before;
                }
            }
            _ => append(&mut state, &mut naive, &mut undos, op),
        }
        assert_eq!(state.first_unstable().map(Offset::get), naive.first_unstable());
        assert_eq!(state.len(), naive.producers.len());
    }
}

fn append(state: &mut ProducerState, naive: &mut Naive, undos: &mut Vec<(ProducerUndo, Naive)>, op: &[u8; 8]) {
    let (batch, origin) = naive.batch(op);
    let before = naive.clone();
    let expected = naive.append(&batch, origin);
    match state.check([batch], origin) {
        Ok(Verdict::Duplicate(known)) => {
            assert_eq!(Expected::Duplicate(known.base_offset().get(), known.last_offset.get()), expected);
            assert_eq!(*naive, before);
        }
        Ok(Verdict::Append(change)) => {
            let ended: Vec<_> = change.completed().iter().map(ended).collect();
            assert_eq!(Expected::Append(ended.first().copied()), expected, "{batch:?}");
            assert!(ended.len() <= 1);
            undos.push((state.apply(change), before));
        }
        Err(refused) => {
            assert_ne!(origin, Origin::Replication);
            assert_eq!(Expected::Refused(reason(&refused)), expected, "{batch:?}: {refused}");
            assert_eq!(*naive, before);
        }
    }
}

fn ended(txn: &CompletedTxn) -> (u64, u64) {
    (txn.first_offset.get(), txn.last_stable_offset.get())
}

fn reason(refused: &ProducerError) -> &'static str {
    match refused {
        ProducerError::ProducerFenced { .. } => "epoch",
        ProducerError::OutOfOrderSequence { .. } => "sequence",
        ProducerError::MissingSequence { .. } => "no sequence",
        ProducerError::OutsideTransaction { .. } => "transaction",
        ProducerError::CoordinatorFenced { .. } => "coordinator",
        ProducerError::UnknownProducer { .. } => panic!("not under this policy: {refused}"),
        _ => panic!("a reason that this target does not know: {refused}"),
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Expected {
    /// The offsets of the first time.
    Duplicate(u64, u64),
    /// The transaction that it ends, if any: where it began, and the last stable offset behind its marker.
    Append(Option<(u64, u64)>),
    Refused(&'static str),
}

/// What the rules of semantics.md, section 1.3, say, in the plainest way: signed numbers as in Kafka, and nothing that
/// has been accepted in an epoch is ever forgotten but by the rules.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Naive {
    producers: BTreeMap<i64, NaiveProducer>,
    /// First offset and marker of what has ended above the high watermark.
    ended: Vec<(u64, u64)>,
    end: u64,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct NaiveProducer {
    epoch: i16,
    coordinator: i32,
    /// First and last sequence, first and last offset.
    batches: Vec<(i64, i64, u64, u64)>,
    open: Option<u64>,
    last_timestamp: i64,
}

impl Naive {
    /// The batch that an operation asks for; half of the time one that goes on where its producer is.
    fn batch(&self, op: &[u8; 8]) -> (ProducerBatch, Origin) {
        let producer = i64::from(op[1] % 4);
        let known = self.producers.get(&producer);
        let near_the_end = [0, 1, 2, 3, i32::MAX - 2, i32::MAX - 1, i32::MAX, -1][usize::from(op[3] % 8)];
        let goes_on = known.and_then(|known| known.batches.last()).map(|last| next(last.1) as i32);
        let sequence = if op[3] >= 128 { goes_on.unwrap_or(0) } else { near_the_end };
        let again = known.and_then(|known| known.batches.iter().rev().nth(usize::from(op[3] % 7)));
        let (sequence, count) = match again {
            Some(again) if op[3] >= 224 => (again.0 as i32, again.3 - again.2 + 1),
            _ => (sequence, u64::from(op[4] % 4) + 1),
        };
        let epoch = known.filter(|_| op[2] >= 64).map_or(i16::from(op[2] % 4) - 1, |known| known.epoch);
        let origin = [Origin::Client, Origin::Client, Origin::Coordinator, Origin::Replication][usize::from(op[5] % 4)];
        let marker = Marker {
            outcome: if op[6] & 1 == 0 { Outcome::Commit } else { Outcome::Abort },
            coordinator_epoch: LeaderEpoch::from_i32(i32::from(op[6] % 3) - 1),
            timestamp: Timestamp::from_millis(i64::from(op[7])),
            rules: if op[6] & 4 == 0 { MarkerRules::SameEpoch } else { MarkerRules::NextEpoch },
        };
        let content = match op[0] % 16 {
            3..8 => Content::Plain,
            8..13 => Content::Transactional,
            13 => Content::OtherControl,
            _ => Content::Marker(marker),
        };
        let count = if matches!(content, Content::Marker(_)) { 1 } else { count };
        let batch = ProducerBatch {
            base_offset: Offset::new(self.end),
            last_offset: Offset::new(self.end + count - 1),
            max_timestamp: Timestamp::from_millis(i64::from(op[7])),
            producer: ProducerId::new(producer - i64::from(op[5] >= 240) * 4).map(|id| ProducerStamp {
                id,
                epoch: ProducerEpoch::new(epoch),
                base_sequence: Sequence::new(sequence),
            }),
            content,
        };
        (batch, origin)
    }

    fn append(&mut self, batch: &ProducerBatch, origin: Origin) -> Expected {
        let (first, last) = (batch.base_offset.get(), batch.last_offset.get());
        let Some(stamp) = batch.producer else {
            self.end = last + 1;
            return Expected::Append(None);
        };
        let epoch = stamp.epoch.map_or(-1, ProducerEpoch::get);
        let first_sequence = stamp.base_sequence.map_or(-1, |sequence| i64::from(sequence.get()));
        let last_sequence = (0..last - first).fold(first_sequence, |at, _| if at < 0 { -1 } else { next(at) });
        let unknown = NaiveProducer { epoch: -1, coordinator: -1, batches: Vec::new(), open: None, last_timestamp: -1 };
        let mut known = self.producers.get(&stamp.id.get()).cloned().unwrap_or(unknown);
        let mut ended = None;
        match batch.content {
            Content::Plain | Content::Transactional => {
                let window = &known.batches[known.batches.len().saturating_sub(5)..];
                let mut same = window.iter().filter(|it| it.0 >= 0 && (it.0, it.1) == (first_sequence, last_sequence));
                if let Some(same) = same.next().filter(|_| origin == Origin::Client && epoch == known.epoch) {
                    return Expected::Duplicate(same.2, same.3);
                }
                let is_transactional = batch.content == Content::Transactional;
                if let Some(refused) = known.refuses_data(epoch, first_sequence, is_transactional, origin) {
                    return Expected::Refused(refused);
                }
                known.enter(epoch);
                known.batches.push((first_sequence, last_sequence, first, last));
                known.last_timestamp = batch.max_timestamp.as_millis();
                if is_transactional && known.open.is_none() {
                    known.open = Some(first);
                }
            }
            Content::Marker(marker) => {
                let coordinator = marker.coordinator_epoch.map_or(-1, LeaderEpoch::as_i32);
                if let Some(refused) = known.refuses_marker(epoch, coordinator, marker.rules, origin) {
                    return Expected::Refused(refused);
                }
                known.enter(epoch);
                known.coordinator = coordinator;
                known.last_timestamp = marker.timestamp.as_millis();
                ended = known.open.take();
            }
            Content::OtherControl => {
                self.end = last + 1;
                return Expected::Append(None);
            }
        }
        self.producers.insert(stamp.id.get(), known);
        self.end = last + 1;
        let ended = ended.map(|begun| {
            self.ended.push((begun, first));
            (begun, self.producers.values().filter_map(|it| it.open).min().unwrap_or(first + 1))
        });
        Expected::Append(ended)
    }

    fn expire(&mut self, now: i64, idle_ms_max: i64) -> usize {
        let before = self.producers.len();
        self.producers.retain(|_, known| known.open.is_some() || now - known.last_timestamp < idle_ms_max);
        before - self.producers.len()
    }

    fn first_unstable(&self) -> Option<u64> {
        let open = self.producers.values().filter_map(|known| known.open);
        open.chain(self.ended.iter().map(|(first, _)| *first)).min()
    }
}

impl NaiveProducer {
    fn enter(&mut self, epoch: i16) {
        if epoch != self.epoch {
            self.batches.clear();
        }
        self.epoch = epoch;
    }

    fn refuses_data(&self, epoch: i16, sequence: i64, is_transactional: bool, origin: Origin) -> Option<&'static str> {
        if origin == Origin::Replication {
            return None;
        }
        if epoch < self.epoch {
            return Some("epoch");
        }
        if origin == Origin::Client {
            if sequence < 0 {
                return Some("no sequence");
            }
            let expected = match self.batches.last() {
                Some(last) if epoch == self.epoch && last.1 >= 0 => next(last.1),
                _ => 0,
            };
            if self.epoch != -1 && sequence != expected {
                return Some("sequence");
            }
        }
        (self.open.is_some() && !is_transactional).then_some("transaction")
    }

    fn refuses_marker(&self, epoch: i16, coordinator: i32, rules: MarkerRules, origin: Origin) -> Option<&'static str> {
        if origin == Origin::Replication {
            return None;
        }
        let again = epoch == self.epoch && self.open.is_none();
        let too_early = match rules {
            MarkerRules::SameEpoch => epoch < self.epoch,
            MarkerRules::NextEpoch => epoch <= self.epoch && !again,
        };
        if too_early {
            return Some("epoch");
        }
        (coordinator < self.coordinator).then_some("coordinator")
    }
}

/// The sequence behind `sequence`.
fn next(sequence: i64) -> i64 {
    if sequence == i64::from(i32::MAX) { 0 } else { sequence + 1 }
}

/// Two numbers at the front, and what is behind them.
fn two_numbers(bytes: &[u8]) -> Option<(u64, u64, &[u8])> {
    let (first, rest) = bytes.split_first_chunk()?;
    let (second, rest) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*first), u64::from_be_bytes(*second), rest))
}
