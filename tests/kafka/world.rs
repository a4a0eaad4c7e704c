//! What a script's relative words mean at the moment: "the next sequence", "half way to the log end".
//!
//! The world learns from Kafka's answers alone, so that a script means the same whatever our log does with it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::rng::Rng;
use crate::script::{Codec, Date, Dated, Flaw, Isolation, Kind, Leader, Op, Settings, Verdict};
use crate::subject::{self, Answer, Opening, Origin, Producer, Request, State, number};

/// The first moment of every script: long past, as the oracle wants it.
pub const START: i64 = 1_600_000_000_000;

/// What both logs should look like.
pub struct World {
    pub now: i64,
    pub settings: Settings,
    pub state: State,
    /// Whether there have been records without a date.
    pub undated: bool,
    /// Whether a log has read its producers anew.
    pub reloaded: bool,
    /// Where the log ended then.
    pub reloaded_end: i64,
    /// Producers that only one log knows since then: others take their places.
    pub retired: BTreeSet<i64>,
    /// The last stable offset when both logs last agreed on it.
    pub stable: i64,
    /// Whether both logs agree on what is stable.
    pub settled: bool,
    epoch: i32,
    /// Whether this node leads, and has said so at its log end, as every new leader does first.
    pub leads: bool,
    coordinator_epoch: i64,
    producers: Vec<Writer>,
    /// Where the log has ended: places between batches.
    ends: BTreeSet<i64>,
    /// Where the last batch ends, or a place in front of that.
    data_end: i64,
    /// Where each batch of a producer went: (id, epoch, base sequence, last sequence) -> base offset.
    pub placed: BTreeMap<(i64, i64, i64, i64), i64>,
}

/// A producer, as it sees itself.
#[derive(Clone, Debug, Default)]
struct Writer {
    id: i64,
    epoch: i64,
    next: i64,
    sent: Vec<Vec<u8>>,
}

/// Makes bytes of a description (the fields of the oracle's `make_batch` and `make_marker`).
pub type Maker<'a> = dyn FnMut(&str, Value) -> Vec<u8> + 'a;

impl World {
    pub fn new(settings: Settings) -> Self {
        let producers = (0..7).map(|id| Writer { id, ..Writer::default() }).collect();
        let mut world = Self {
            now: START,
            settings,
            state: State::default(),
            undated: false,
            reloaded: false,
            reloaded_end: 0,
            stable: 0,
            retired: BTreeSet::new(),
            settled: true,
            epoch: 0,
            leads: false,
            coordinator_epoch: 3,
            producers,
            ends: BTreeSet::new(),
            data_end: 0,
            placed: BTreeMap::new(),
        };
        // One producer is about to wrap: an unknown one may begin anywhere.
        world.producers[6].next = i64::from(i32::MAX) - 12;
        world
    }

    /// The request to open the log as its last end left it.
    pub fn opening(&self, clean: bool) -> Request {
        Request::Open(Box::new(Opening {
            settings: self.settings.clone(),
            clean,
            recovery_point: self.recovery_segment(),
            log_start: self.state.log_start,
            high_watermark: self.state.high_watermark,
        }))
    }

    /// The base of the segment that holds the recovery point. Kafka reads all of that segment again, ottla only what was
    /// not flushed: with a recovery point at its base both read the same, and index it alike.
    fn recovery_segment(&self) -> i64 {
        let point = self.state.recovery_point;
        self.state.segments.iter().map(|(base, _)| *base).filter(|base| *base <= point).max().unwrap_or(point)
    }

    /// The logs have read their producers anew. Those that only one of them knows write no more: another takes the place.
    /// A transaction that only one of them knows to be open, or that began elsewhere, parts them for good.
    pub fn reloaded(&mut self, ottla: &State) -> Result<(), String> {
        (self.settled, self.reloaded, self.reloaded_end) = (false, true, self.state.log_end);
        let next = |known: &Producer| known.batches.last().map(|batch| batch[1]);
        let facts = |known: &Producer| (known.epoch, known.coordinator_epoch, known.transaction_from, next(known));
        for known in &self.state.producers {
            let ours = ottla.producers.iter().find(|ours| ours.id == known.id);
            if let Some(ours) = ours.filter(|ours| facts(ours) != facts(known)) {
                return Err(format!("{}: Kafka {known:?}, ottla {ours:?}", crate::run::PARTED));
            }
        }
        let open = |known: &Producer| known.transaction_from.is_some();
        if self.state.producers.iter().filter(|known| open(known)).count()
            < ottla.producers.iter().filter(|known| open(known)).count()
        {
            return Err(format!("{}: a transaction is open in ottla alone", crate::run::PARTED));
        }
        let ids = |state: &State| state.producers.iter().map(|producer| producer.id).collect::<BTreeSet<_>>();
        for id in ids(&self.state).symmetric_difference(&ids(ottla)) {
            self.retired.insert(*id);
            if let Some(writer) = self.producers.iter_mut().find(|writer| writer.id == *id) {
                *writer = Writer { id: id + 10, ..Writer::default() };
            }
        }
        Ok(())
    }

    /// What a leader does before all else, if it has not done so.
    pub fn election(&mut self) -> Option<Request> {
        let first = !std::mem::replace(&mut self.leads, true);
        first.then_some(Request::AssignEpoch { epoch: self.epoch })
    }

    /// The request of an operation that is one; closing, killing and the passing of time are not.
    pub fn request(&mut self, op: &Op, make: &mut Maker<'_>) -> Option<Request> {
        let state = &self.state;
        Some(match op {
            Op::Append { kind, producer, epoch, sequence, codec, records, salt, dated } => {
                self.undated |= *dated == Dated::Never;
                let mut batch = self.batch(*codec, *records, *salt, *dated);
                self.sign(&mut batch, *kind, *producer, *epoch, *sequence);
                self.lead(make("make_batch", batch), Origin::Client, 0)
            }
            Op::Again { producer, back } => {
                let sent = &self.producers[*producer].sent;
                let bytes = sent.len().checked_sub(back + 1).and_then(|index| sent.get(index))?;
                self.lead(bytes.clone(), Origin::Client, 0)
            }
            Op::Marker { producer, verdict, version, epoch, coordinator } => {
                let marker = self.marker(*producer, *verdict, *epoch, *coordinator);
                self.lead(make("make_marker", marker), Origin::Coordinator, *version as i16)
            }
            Op::Offsets { producer, epoch, records, salt } => {
                let mut batch = self.batch(Codec::None, *records, *salt, Dated::Now);
                self.sign(&mut batch, Kind::Transactional, *producer, *epoch, 0);
                // As Kafka's coordinators write them: each with sequence 0, which nobody looks at.
                batch["base_sequence"] = json!(0);
                self.lead(make("make_batch", batch), Origin::Coordinator, 0)
            }
            Op::Flawed { flaw, codec, salt } => {
                let bytes = self.flawed(*flaw, *codec, *salt, make);
                self.lead(bytes, Origin::Client, 0)
            }
            Op::Replicate { .. } | Op::ReplicateMarker { .. } => self.replicate(op, make),
            Op::Reign { by, leader } => {
                self.epoch += *by as i32;
                self.leads = false;
                match leader {
                    Leader::Here => return self.election(),
                    Leader::Elsewhere => return None,
                }
            }
            Op::Advance { permille } => {
                let target = state.high_watermark + (state.log_end - state.high_watermark) * permille / 1000;
                // It is always the log end of some replica, so never within a batch.
                let to = self.ends.range(..=target).next_back().copied()?;
                if to <= state.high_watermark {
                    return None;
                }
                Request::AdvanceHighWatermark { to }
            }
            Op::Read { permille, beyond, bytes, isolation } => {
                let way = state.log_end - state.log_start;
                let from = state.log_start + way * permille / 1000 + beyond;
                Request::Read { from, bytes_max: *bytes as i32, isolation: bound(*isolation) }
            }
            Op::ByDate { date, back } => Request::OffsetForTimestamp {
                timestamp: match date {
                    Date::Latest => -1,
                    Date::Earliest => -2,
                    Date::Max => -3,
                    Date::At => self.now - back,
                },
            },
            Op::ByEpoch { back } => Request::EndOfEpoch { epoch: (self.epoch - *back as i32).max(-1) },
            Op::Truncate { back } => Request::TruncateTo { to: (state.log_end - back).max(0) },
            Op::StartAt { ahead } => Request::StartAt { to: (state.log_end + ahead).max(0) },
            Op::Trim { permille, beyond } => {
                let way = state.high_watermark - state.log_start;
                Request::TrimTo { to: state.log_start + way * permille / 1000 + beyond }
            }
            Op::Roll {} => Request::Roll,
            Op::Retain {} => Request::Retain,
            // What is kept depends on the producers that are known, and how far it goes on what is stable.
            Op::Compact {} if !self.settled || !self.retired.is_empty() => return None,
            // `compare::ABORTED_BELOW_THE_START`: nothing that can be read, but other bytes.
            Op::Compact {} if state.segments.first().is_some_and(|(base, _)| *base < state.log_start) => return None,
            Op::Compact {} => Request::Compact,
            Op::Flush {} => Request::Flush,
            Op::Expire {} => Request::ExpireProducers,
            Op::Configure { settings } => {
                self.settings = settings.clone();
                Request::Configure(settings.clone())
            }
            Op::Tick { ms } => {
                self.now += ms;
                return None;
            }
            Op::Close {} | Op::Kill { .. } => return None,
        })
    }

    /// Takes in what Kafka answered to a request and how its log looks now.
    pub fn learn(&mut self, op: &Op, request: &Request, answer: &Answer, state: State) {
        let end = self.state.log_end;
        if let Request::Append { bytes, .. } | Request::Replicate { bytes, .. } = request
            && let Answer::Appended { first, .. } = answer
            && *first == end
        {
            self.remember(op, bytes, *first);
        }
        if state.log_end < end {
            self.placed.retain(|_, base| *base < state.log_end);
            self.cut(state.log_end);
        } else if let Answer::Appended { first, .. } = answer
            && state.log_end > end
        {
            let gap = self.data_end..*first;
            self.ends.retain(|known| !gap.contains(known));
            self.data_end = state.log_end;
            self.ends.insert(state.log_end);
        }
        // Whoever opens a log does not lead yet.
        self.leads &= !matches!(request, Request::Open(_));
        self.state = state;
        for known in &self.state.producers {
            let writer = self.producers.iter_mut().find(|writer| writer.id == known.id);
            let Some(writer) = writer else { continue };
            writer.epoch = known.epoch;
            writer.next = known.batches.last().map_or(0, |[_, last, ..]| after(*last, 1));
        }
    }

    /// The log was cut. If that was within a batch, it ends in a gap: Kafka takes what lies in one for the place behind.
    fn cut(&mut self, to: i64) {
        self.ends.retain(|known| *known <= to);
        self.data_end = self.ends.last().copied().unwrap_or(0);
        if self.data_end < to {
            self.ends.pop_last();
        }
    }

    fn remember(&mut self, op: &Op, bytes: &[u8], first: i64) {
        let batch = |at, width| number(bytes, at, width);
        let (id, epoch, sequence, delta) = (batch(43, 8), batch(51, 2), batch(53, 4), batch(23, 4));
        if id < 0 || sequence < 0 {
            return;
        }
        self.placed.insert((id, epoch, sequence, after(sequence, delta)), first);
        if let Op::Append { producer, .. } = op {
            self.producers[*producer].sent.push(bytes.to_vec());
        }
    }

    fn lead(&self, bytes: Vec<u8>, origin: Origin, transaction_version: i16) -> Request {
        Request::Append { bytes, epoch: self.epoch, origin, transaction_version }
    }

    fn replicate(&self, op: &Op, make: &mut Maker<'_>) -> Request {
        let mut bytes = Vec::new();
        if let Op::ReplicateMarker { producer, verdict, epoch, gap } = op {
            let mut marker = self.marker(*producer, *verdict, *epoch, 0);
            marker["base_offset"] = json!((self.state.log_end + gap).max(0));
            marker["leader_epoch"] = json!(self.epoch);
            bytes = make("make_marker", marker);
        }
        if let Op::Replicate { batches, records, gap, epoch, kind, producer, codec, salt } = op {
            let mut at = (self.state.log_end + gap).max(0);
            let mut sequence = 0;
            // While a transaction is open, its producer writes nothing else: no leader would have let it.
            let id = self.producers[*producer].id;
            let is_open = self.state.producers.iter().any(|known| known.id == id && known.transaction_from.is_some());
            let kind = if is_open && *kind == Kind::Idempotent { Kind::Transactional } else { *kind };
            // A leader's epochs never fall: what ottla refuses, and Kafka forgets epochs for, is not tried here.
            let least = self.state.epochs.last().map_or(0, |(latest, _)| *latest);
            for index in 0..*batches {
                let mut batch = self.batch(*codec, *records, salt + index, Dated::Now);
                self.sign(&mut batch, kind, *producer, 0, sequence);
                batch["base_offset"] = json!(at);
                // Those before the last come from the reign before, if this is another.
                let of = i64::from(self.epoch) + if index + 1 < *batches { (*epoch).min(0) } else { *epoch };
                batch["leader_epoch"] = json!(of.max(least));
                bytes.extend(make("make_batch", batch));
                at += *records as i64;
                sequence += *records as i64;
            }
        }
        Request::Replicate { bytes, epoch: self.epoch }
    }

    /// Records whose keys come back often, some of them tombstones, some with headers.
    fn batch(&self, codec: Codec, records: u64, salt: u64, dated: Dated) -> Value {
        let mut rng = Rng::new(salt);
        let all: Vec<Value> = (0..records).map(|_| self.record(&mut rng, dated)).collect();
        json!({ "records": all, "codec": codec.to_string() })
    }

    fn record(&self, rng: &mut Rng, dated: Dated) -> Value {
        let back = rng.within(0, 300);
        let timestamp = match dated {
            Dated::Now => self.now - back,
            Dated::Old => self.now - 10_000 - back,
            Dated::Never => -1,
            Dated::Soon => self.now + 300_000 + back,
            Dated::TooLate => self.now + 3_600_001 + back,
            Dated::TooEarly => self.now - self.settings.before_max_ms.min(START / 2) - 1 - back,
        };
        let length = rng.below(100) as usize;
        let value = if rng.chance(15) { Value::Null } else { json!("v".repeat(length)) };
        let key = format!("k{}", rng.below(12));
        let headers = if rng.chance(10) { json!([["h", "1"], ["h", null], ["", ""]]) } else { json!([]) };
        json!({ "key": key, "value": value, "timestamp": timestamp, "headers": headers })
    }

    /// Puts the producer's fields on a batch.
    fn sign(&self, batch: &mut Value, kind: Kind, producer: usize, epoch: i64, sequence: i64) {
        if kind == Kind::Plain {
            return;
        }
        let writer = &self.producers[producer];
        let base = if epoch > 0 { sequence } else { writer.next + sequence };
        batch["producer_id"] = json!(writer.id);
        batch["producer_epoch"] = json!((writer.epoch + epoch).max(0));
        batch["base_sequence"] = json!(base.rem_euclid(1 << 31));
        batch["transactional"] = json!(kind == Kind::Transactional);
    }

    fn marker(&self, producer: usize, verdict: Verdict, epoch: i64, coordinator: i64) -> Value {
        let writer = &self.producers[producer];
        json!({
            "type": verdict.to_string(), "producer_id": writer.id, "producer_epoch": (writer.epoch + epoch).max(0),
            "coordinator_epoch": self.coordinator_epoch + coordinator, "timestamp": self.now, "leader_epoch": -1,
        })
    }

    fn flawed(&self, flaw: Flaw, codec: Codec, salt: u64, make: &mut Maker<'_>) -> Vec<u8> {
        let mut batch = self.batch(codec, 3, salt, Dated::Now);
        match flaw {
            Flaw::TooLarge => batch["records"][0]["value"] = json!("x".repeat(self.settings.batch_max as usize)),
            Flaw::Empty => batch = json!({ "records": [], "last_offset": 2 }),
            Flaw::BaseOffset => batch["base_offset"] = json!(5),
            Flaw::Control => batch["control"] = json!(true),
            Flaw::NullKey => batch["records"][1]["key"] = Value::Null,
            Flaw::AppendTimeBit => {
                // Kafka believes the batch's date and keeps the records': they should be the same.
                for record in batch["records"].as_array_mut().expect("a list") {
                    record["timestamp"] = json!(self.now);
                }
                batch["timestamp_type"] = json!("log_append");
                batch["log_append_time"] = json!(self.now);
            }
            Flaw::NoSequence => {
                (batch["producer_id"], batch["producer_epoch"], batch["base_sequence"]) =
                    (json!(77), json!(0), json!(0));
            }
            Flaw::Delta => batch["records"][2]["offset"] = json!(4),
            Flaw::Checksum | Flaw::Count | Flaw::TwoBatches | Flaw::Cut | Flaw::RecordsShort => {}
        }
        if flaw == Flaw::Control {
            // A key that is none of a control record's, or it would not be built.
            batch = json!({ "type": "commit", "producer_id": 77, "producer_epoch": 0, "coordinator_epoch": 0 });
            return make("make_marker", batch);
        }
        let mut bytes = make("make_batch", batch);
        match flaw {
            Flaw::Checksum => *bytes.last_mut().expect("a header at least") ^= 1,
            Flaw::TwoBatches => bytes.extend(bytes.clone()),
            Flaw::Cut => bytes.truncate(bytes.len() - 5),
            // The header says that there is a record less than there is, or one more.
            Flaw::Count => bytes = patched(bytes, 57, 2),
            Flaw::RecordsShort => bytes = patched(patched(bytes, 23, 3), 57, 4),
            Flaw::NoSequence => bytes = without_sequence(bytes),
            _ => {}
        }
        bytes
    }
}

/// A batch whose header says "no sequence", which no builder makes for a producer's batch.
fn without_sequence(bytes: Vec<u8>) -> Vec<u8> {
    patched(bytes, 53, -1)
}

/// A batch with another number at a place of its header, and the checksum that goes with it.
fn patched(mut bytes: Vec<u8>, at: usize, number: i32) -> Vec<u8> {
    bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes[21..]) as u32;
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// The sequence `count` later; after the largest comes 0.
fn after(sequence: i64, count: i64) -> i64 {
    (sequence + count).rem_euclid(1 << 31)
}

fn bound(isolation: Isolation) -> subject::Isolation {
    match isolation {
        Isolation::LogEnd => subject::Isolation::LogEnd,
        Isolation::HighWatermark => subject::Isolation::HighWatermark,
        Isolation::Committed => subject::Isolation::Committed,
    }
}
