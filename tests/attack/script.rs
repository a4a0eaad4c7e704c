//! What a workload does, step by step.

use crate::random::Random;

/// One step of a workload. Numbers are shares of what there is, so that every step means something whatever came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A client's batch, of an idempotent producer if one is named.
    Append {
        producer: Option<u8>,
        records: u8,
    },
    /// A batch of a transaction, opening it if need be.
    Transactional {
        producer: u8,
        records: u8,
    },
    /// The end of a producer's transaction.
    Marker {
        producer: u8,
        commit: bool,
    },
    /// Batches told by a leader, in one append, perhaps with a gap in front.
    Replicate {
        batches: u8,
        gap: u8,
    },
    /// A new reign.
    Epoch,
    Flush,
    Roll,
    /// Cuts off that many offsets.
    Truncate {
        back: u8,
    },
    /// Begins anew, so far behind the end.
    Restart {
        ahead: u8,
    },
    /// Moves the log start to that share (of 8) of the way to the high watermark.
    Trim {
        eighths: u8,
    },
    /// Removes what retention by size lets go.
    Retain,
    /// Moves the high watermark to that share (of 8) of the way to the end.
    Advance {
        eighths: u8,
    },
    /// Closes and opens again.
    Close,
    /// Dies without closing, and opens again.
    Die,
}

/// `count` steps from a seed.
pub(crate) fn script(seed: u64, count: usize) -> Vec<Step> {
    let mut random = Random::new(seed);
    (0..count).map(|_| step(&mut random)).collect()
}

fn step(random: &mut Random) -> Step {
    let mut small = |end: u64| random.below(end) as u8;
    let producer = small(3);
    match small(64) {
        0..=9 => Step::Append { producer: None, records: 1 + small(3) },
        10..=16 => Step::Append { producer: Some(producer), records: 1 + small(3) },
        17..=23 => Step::Transactional { producer, records: 1 + small(2) },
        24..=27 => Step::Marker { producer, commit: small(2) == 0 },
        28..=32 => Step::Replicate { batches: 1 + small(3), gap: small(8) / 6 },
        33..=34 => Step::Epoch,
        35..=42 => Step::Flush,
        43..=45 => Step::Roll,
        46..=48 => Step::Truncate { back: 1 + small(12) },
        49 => Step::Restart { ahead: small(8) },
        50..=52 => Step::Trim { eighths: 1 + small(7) },
        53..=54 => Step::Retain,
        55..=58 => Step::Advance { eighths: 1 + small(8) },
        59..=60 => Step::Close,
        _ => Step::Die,
    }
}
