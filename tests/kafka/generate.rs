//! Invents scripts: small segments, small indexes, few keys, few producers, so that everything happens often.

use crate::rng::Rng;
use crate::script::{
    Cleanup, Clock, Codec, Compression, Damage, Date, Dated, Flaw, Isolation, Kind, Leader, Op, Script, Settings,
    Verdict, Words,
};

/// A script of `length` operations.
pub fn script(rng: &mut Rng, length: usize) -> Script {
    let compacted = rng.chance(40);
    let mut settings = settings(rng, compacted);
    let opened = settings.clone();
    let mut ops = Vec::with_capacity(length);
    while ops.len() < length {
        ops.push(match rng.weighted(&WEIGHTS) {
            0 => lead(rng, compacted, Kind::Plain),
            1 => lead(rng, compacted, Kind::Idempotent),
            2 => lead(rng, compacted, Kind::Transactional),
            3 => marker(rng),
            4 => other(rng, compacted),
            5 => read(rng),
            6 => housekeeping(rng, compacted),
            7 => Op::Advance { permille: rng.pick(&[1000, 1000, 1000, 500, 0]) },
            8 => Op::Tick { ms: rng.pick(&[1, 50, 1000, 4000, 30_000]) },
            9 => replicate(rng, compacted, settings.index_bytes),
            10 => {
                settings = changed(rng, &settings, compacted);
                Op::Configure { settings: settings.clone() }
            }
            _ => end(rng),
        });
    }
    Script { settings: opened, ops }
}

const WEIGHTS: [u64; 12] = [16, 14, 14, 10, 8, 20, 13, 8, 5, 7, 1, 4];

fn settings(rng: &mut Rng, compacted: bool) -> Settings {
    let cleanup = if compacted { rng.pick(&[Cleanup::Compact, Cleanup::Both]) } else { Cleanup::Delete };
    Settings {
        segment_bytes: rng.pick(&[600, 1500, 4000]),
        segment_ms: rng.pick(&[5000, 100_000_000]),
        index_bytes: rng.pick(&[80, 120, 1200]),
        index_interval: rng.pick(&[0, 100, 700]),
        batch_max: rng.pick(&[500, 3000]),
        cleanup,
        retention_ms: rng.pick(&[-1, 3000, 20_000]),
        retention_bytes: rng.pick(&[-1, 6000]),
        delete_retention_ms: rng.pick(&[0, 2000]),
        dirty_percent: rng.pick(&[10, 50]),
        lag_min_ms: rng.pick(&[0, 0, 1000]),
        lag_max_ms: rng.pick(&[i64::MAX, i64::MAX, 10_000]),
        clock: rng.pick(&[Clock::Create, Clock::Create, Clock::Create, Clock::Append]),
        before_max_ms: rng.pick(&[i64::MAX, i64::MAX, 20_000]),
        compression: rng.pick(&[Compression::Producer, Compression::Producer, Compression::Uncompressed]),
    }
}

/// Other settings for a log that is open. Its indexes never get smaller: Kafka would not open such a log again.
fn changed(rng: &mut Rng, before: &Settings, compacted: bool) -> Settings {
    let new = settings(rng, compacted);
    Settings { index_bytes: new.index_bytes.max(before.index_bytes), ..new }
}

/// Compaction writes compressed batches anew, and no two compressors agree on every byte: there, none is used.
fn codec(rng: &mut Rng, compacted: bool) -> Codec {
    if compacted || rng.chance(50) { Codec::None } else { rng.pick(Codec::ALL) }
}

fn producer(rng: &mut Rng, kind: Kind) -> usize {
    match kind {
        Kind::Plain => 0,
        // Now and then the other kind's, which may have a transaction open.
        Kind::Idempotent if rng.chance(90) => rng.pick(&[4, 5, 6]),
        Kind::Idempotent | Kind::Transactional => rng.pick(&[1, 2]),
    }
}

fn lead(rng: &mut Rng, compacted: bool, kind: Kind) -> Op {
    let usual = rng.chance(88);
    let dated = if rng.chance(92) { Dated::Now } else { rng.pick(Dated::ALL) };
    Op::Append {
        kind,
        producer: producer(rng, kind),
        epoch: if usual { 0 } else { rng.pick(&[0, 0, -1, 1, 1]) },
        sequence: if usual { 0 } else { rng.pick(&[0, 0, 2, -1, -3]) },
        codec: codec(rng, compacted),
        records: rng.pick(&[1, 1, 2, 3, 5]),
        salt: rng.below(1 << 32),
        dated,
    }
}

fn marker(rng: &mut Rng) -> Op {
    let version = rng.pick(&[0, 1, 2, 2]);
    let usual = i64::from(version == 2);
    Op::Marker {
        producer: rng.pick(&[1, 2, 3]),
        verdict: rng.pick(Verdict::ALL),
        version,
        epoch: if rng.chance(85) { usual } else { rng.pick(&[-1, 0, 1, 2]) },
        coordinator: if rng.chance(90) { 0 } else { rng.pick(&[-1, 1]) },
    }
}

fn other(rng: &mut Rng, compacted: bool) -> Op {
    match rng.below(10) {
        0..=3 => Op::Again { producer: 1 + rng.below(6) as usize, back: rng.below(7) as usize },
        4..=5 => Op::Offsets { producer: 3, epoch: 0, records: 2, salt: rng.below(1 << 32) },
        6..=7 => Op::Flawed { flaw: rng.pick(Flaw::ALL), codec: codec(rng, compacted), salt: rng.below(1 << 32) },
        _ => Op::Reign { by: rng.pick(&[1, 1, 3]), leader: rng.pick(Leader::ALL) },
    }
}

fn read(rng: &mut Rng) -> Op {
    match rng.below(10) {
        0 => Op::Read {
            permille: rng.pick(&[0, 1000]),
            beyond: rng.pick(&[-1, 0, 1]),
            bytes: 300,
            isolation: rng.pick(Isolation::ALL),
        },
        1..=6 => Op::Read {
            permille: rng.within(0, 1000),
            beyond: 0,
            bytes: rng.pick(&[1, 300, 700, 5000]),
            isolation: rng.pick(Isolation::ALL),
        },
        7..=8 => Op::ByDate {
            date: rng.pick(&[Date::Earliest, Date::Latest, Date::Max, Date::At, Date::At, Date::At]),
            back: rng.within(-400, 6000),
        },
        _ => Op::ByEpoch { back: rng.within(-1, 5) },
    }
}

fn replicate(rng: &mut Rng, compacted: bool, index_bytes: i64) -> Op {
    let gap = if rng.chance(80) { 0 } else { rng.pick(&[5, 1, -1, -2]) };
    let records = rng.pick(&[1, 2, 4]);
    if rng.chance(20) {
        return Op::ReplicateMarker { producer: rng.pick(&[1, 2, 3]), verdict: rng.pick(Verdict::ALL), epoch: 0, gap };
    }
    let kind = rng.pick(Kind::ALL);
    Op::Replicate {
        // Several at once could overfill a small index, which Kafka does not survive.
        batches: if index_bytes > 120 && gap == 0 { rng.pick(&[1, 1, 2, 3]) } else { 1 },
        records,
        // What is too large for a segment leaves its epoch behind in Kafka: at the log end, where ours can follow.
        gap: if records < 4 { gap } else { gap.min(0) },
        epoch: if rng.chance(85) { 0 } else { rng.pick(&[-1, 1]) },
        kind,
        producer: producer(rng, kind),
        codec: codec(rng, compacted),
        salt: rng.below(1 << 32),
    }
}

fn housekeeping(rng: &mut Rng, compacted: bool) -> Op {
    match rng.below(100) {
        0..=11 => Op::Roll {},
        12..=24 => Op::Retain {},
        25..=37 => Op::Flush {},
        38..=50 => Op::Truncate { back: rng.within(0, 12) },
        51 => Op::StartAt { ahead: rng.pick(&[0, 3, 1000]) },
        52..=63 => Op::Trim { permille: rng.within(0, 1000), beyond: if rng.chance(95) { 0 } else { 1 } },
        64..=66 => Op::Expire {},
        _ if compacted => Op::Compact {},
        _ => Op::Retain {},
    }
}

fn end(rng: &mut Rng) -> Op {
    if rng.chance(45) {
        return Op::Close {};
    }
    let damage = if rng.chance(40) { Damage::None } else { rng.pick(Damage::ALL) };
    Op::Kill { damage, amount: rng.within(0, 1000), salt: rng.below(1 << 32) }
}
