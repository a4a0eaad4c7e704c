//! Whether two answers agree, and the list of where they are meant not to.

use std::collections::{BTreeMap, BTreeSet};

use crate::subject::{Answer, Isolation, Producer, Request, State, number, whole_batches};
use crate::world::World;

/// A difference that is meant: what it is, and why ottla is not as Kafka is.
#[derive(Debug)]
pub struct Meant {
    pub name: &'static str,
    pub what: &'static str,
    pub why: &'static str,
}

/// The differences that the random run meets, or is kept from because the logs would part for good. Those of damaged
/// files have tests of their own in `differential`.
pub const MEANT: [Meant; 15] = [
    ROLLED_BY_A_REFUSED_BATCH,
    LONGER_MEMORY,
    READS_ON,
    FEWER_ABORTED,
    STABLE_FROM_THE_LOG_START,
    EPOCHS_NEVER_FALL,
    REPLICATION_REFUSES_NO_PRODUCER,
    UNSTABLE_AFTER_A_TRUNCATION,
    FULL_INDEX,
    FOUND_BEHIND_THE_LOG_START,
    OPENS,
    END_KEPT,
    EPOCH_AT_THE_END,
    BEGUN_BELOW_THE_START,
    ABORTED_BELOW_THE_START,
];

pub const ROLLED_BY_A_REFUSED_BATCH: Meant = Meant {
    name: "rolled by a refused batch",
    what: "Kafka checks the producer after it has rolled the segment and noted the leader epoch, so a batch that it \
           refuses, or knows already, can leave both behind; ottla leaves the log as it was",
    why: "a refused batch leaves the log untouched. The harness then rolls ours, or notes the epoch, and goes on",
};

pub const LONGER_MEMORY: Meant = Meant {
    name: "longer memory",
    what: "after a truncation Kafka reloads its producers from a snapshot, which holds one batch of each, and none of \
           those that wrote only below the log start; ottla takes back what was cut and still knows the others. After \
           a kill each starts from its own snapshots. So one may know a duplicate where the other finds a gap",
    why: "both answers are right: no batch is lost or stored twice. Producers that only one knows write no more",
};

pub const READS_ON: Meant = Meant {
    name: "reads on",
    what: "Kafka's read ends with the segment it began in; ottla may go on into the next",
    why: "a reader gets what it asked for in fewer reads, and never less than Kafka gives",
};

pub const FEWER_ABORTED: Meant = Meant {
    name: "fewer aborted",
    what: "with a committed read Kafka names the aborted transactions up to the next entry of its offset index; ottla \
           only those that the batches it returns need",
    why: "a consumer needs no others, and knowing more changes nothing for it",
};

pub const STABLE_FROM_THE_LOG_START: Meant = Meant {
    name: "stable from the log start",
    what: "where a trim has cut into a batch of an open transaction, Kafka's last stable offset is that batch's base, \
           below the log start, and within a gap the place behind it; ottla's is the log start",
    why: "an offset that nobody may read is no end for readers. The harness raises Kafka's",
};

pub const EPOCHS_NEVER_FALL: Meant = Meant {
    name: "epochs never fall",
    what: "a batch of an earlier leader epoch than the log's latest makes Kafka forget the later ones; ottla refuses \
           it, from a leader as from a client",
    why: "epochs that fall with the offset break what truncation after a failover relies on. Not tried in random runs",
};

pub const REPLICATION_REFUSES_NO_PRODUCER: Meant = Meant {
    name: "replication refuses no producer",
    what: "a follower that is told of a plain batch of a producer whose transaction is open refuses it in Kafka, and \
           with it all that follows; ottla takes what its leader has",
    why: "what a leader has accepted is in the log already. Not tried in random runs: no leader accepts it",
};

pub const UNSTABLE_AFTER_A_TRUNCATION: Meant = Meant {
    name: "unstable after a truncation",
    what: "a reload of producers makes Kafka forget which ended transactions wait for the high watermark, and it may \
           keep the last stable offset of before; ottla takes back what was cut and forgets nothing",
    why: "what is stable does not depend on what was cut behind it. Ours is never the larger one",
};

pub const FULL_INDEX: Meant = Meant {
    name: "full index",
    what: "Kafka looks for room in the indexes once for each append, so one of several batches can overfill them: it \
           fails after the bytes are written, and the log end stays behind them; ottla leaves the entry out",
    why: "an index may lack an entry, a log may not lack its end. Not tried in random runs",
};

pub const FOUND_BEHIND_THE_LOG_START: Meant = Meant {
    name: "found behind the log start",
    what: "Kafka's search by date ends in the first segment that has such a date, though all of it may lie below the log \
           start, or have no date but that of its file, or nothing, and finds nothing; its search for the latest date \
           may find a record below the log start; ottla goes on to the readable records that have one",
    why: "the record is there. Kafka finds it too once retention has removed the segment",
};

pub const OPENS: Meant = Meant {
    name: "opens",
    what: "where recovery finds more index entries than the index has room for, Kafka does not open the log any more",
    why: "an index may lack an entry; a log must open. The script ends there",
};

pub const END_KEPT: Meant = Meant {
    name: "end kept",
    what: "a truncation into a batch lets the log end behind what is left; when it is opened again Kafka ends it at its \
           last batch, and gives the offsets in between once more; ottla ends it where it ended",
    why: "an offset is given once. The harness cuts ours, to go on",
};

pub const EPOCH_AT_THE_END: Meant = Meant {
    name: "epoch at the end",
    what: "an opening lets Kafka forget a leader epoch that begins at the log end; ottla keeps it",
    why: "whoever has noted it leads, also before the first batch. The harness lets ours forget it, to go on",
};

pub const BEGUN_BELOW_THE_START: Meant = Meant {
    name: "begun below the start",
    what: "before a reload Kafka throws away the snapshots of producers at the log start and below: a transaction that \
           began there begins for it with the first batch that is left; ottla knows where it began",
    why: "what a snapshot says stays true. Above the log start readers see the same",
};

pub const ABORTED_BELOW_THE_START: Meant = Meant {
    name: "aborted below the start",
    what: "compaction of a segment that the log start lies in: Kafka does not look up transactions that were aborted \
           below the log start, keeps their records and gives up their markers; ottla drops the records",
    why: "records that were aborted do not count, and nobody reads there. Not tried in random runs",
};

/// How often each meant difference was met.
pub type Tally = BTreeMap<&'static str, u64>;

/// Compares what both logs answered to one request.
pub fn answers(
    request: &Request,
    kafka: &Answer,
    ottla: &Answer,
    world: &World,
    tally: &mut Tally,
) -> Result<(), String> {
    let agree = match (kafka, ottla) {
        (Answer::Refused(theirs), Answer::Refused(ours)) => match (theirs.code, ours.code) {
            (None, None) => theirs.name == ours.name,
            (theirs, ours) => theirs == ours,
        },
        (Answer::Refused(theirs), Answer::Appended { first, .. }) if theirs.code == Some(OUT_OF_ORDER) => {
            is_known_duplicate(request, *first, world) && meant(&LONGER_MEMORY, tally)
        }
        (Answer::Appended { first, .. }, Answer::Refused(ours)) if ours.code == Some(OUT_OF_ORDER) => {
            world.reloaded && is_known_duplicate(request, *first, world) && meant(&LONGER_MEMORY, tally)
        }
        (Answer::Batches { bytes: theirs, .. }, Answer::Batches { bytes: ours, .. })
            if is_committed(request) && !world.settled =>
        {
            theirs.starts_with(ours) || ours.starts_with(theirs)
        }
        (Answer::Batches { bytes: theirs, aborted }, Answer::Batches { bytes: ours, aborted: our_aborted }) => {
            let longer = ours.len() > theirs.len() && !theirs.is_empty() && ours.starts_with(theirs);
            let same = theirs == ours || (longer && meant(&READS_ON, tally));
            let mut enough = || needed(theirs, aborted) == needed(theirs, our_aborted) && meant(&FEWER_ABORTED, tally);
            same && (aborted == our_aborted || enough() || begun_below(aborted, our_aborted, world, tally))
        }
        (Answer::Appended { first, last, .. }, Answer::Appended { first: our_first, last: our_last, .. })
            if kafka != ottla =>
        {
            // Of a batch that it has read from a snapshot, Kafka knows only the date of its producer's last one.
            let is_again = *last < world.state.log_end;
            (first, last) == (our_first, our_last) && is_again && meant(&LONGER_MEMORY, tally)
        }
        // The latest date of all may be that of a record below the log start.
        (Answer::Found(Some((offset, ..))), Answer::Found(_)) if *offset < world.state.log_start => {
            meant(&FOUND_BEHIND_THE_LOG_START, tally)
        }
        (Answer::Found(None), Answer::Found(Some((offset, ..)))) => {
            let State { log_start, segments, .. } = &world.state;
            let trimmed = segments.first().is_some_and(|(base, _)| base < log_start);
            let undated = world.undated || segments.iter().any(|(_, size)| *size == 0);
            offset >= log_start && (trimmed || undated) && meant(&FOUND_BEHIND_THE_LOG_START, tally)
        }
        (theirs, ours) => theirs == ours,
    };
    if agree { Ok(()) } else { Err(format!("{}: Kafka {kafka:?}, ottla {ottla:?}", brief(request))) }
}

const OUT_OF_ORDER: i64 = 45;

fn meant(which: &Meant, tally: &mut Tally) -> bool {
    *tally.entry(which.name).or_default() += 1;
    true
}

/// Whether the log does hold this very batch at the offset that was answered.
fn is_known_duplicate(request: &Request, first: i64, world: &World) -> bool {
    let Request::Append { bytes, .. } = request else { return false };
    let (id, epoch, sequence) = (number(bytes, 43, 8), number(bytes, 51, 2), number(bytes, 53, 4));
    let last = (sequence + number(bytes, 23, 4)).rem_euclid(1 << 31);
    world.placed.get(&(id, epoch, sequence, last)) == Some(&first)
}

fn is_committed(request: &Request) -> bool {
    matches!(request, Request::Read { isolation: Isolation::Committed, .. })
}

/// Of the aborted transactions those that begin within the batches.
fn needed(batches: &[u8], aborted: &Option<Vec<(i64, i64)>>) -> Option<BTreeSet<(i64, i64)>> {
    let end = last_offset(batches);
    aborted.as_ref().map(|all| all.iter().copied().filter(|(_, first)| *first <= end).collect())
}

/// Whether all that differs is where transactions began ([`BEGUN_BELOW_THE_START`]); of one that has no batch left, or
/// none in reach, Kafka knows nothing.
fn begun_below(
    kafka: &Option<Vec<(i64, i64)>>,
    ottla: &Option<Vec<(i64, i64)>>,
    world: &World,
    tally: &mut Tally,
) -> bool {
    let (Some(theirs), Some(ours)) = (kafka, ottla) else { return false };
    let only = |one: &[(i64, i64)], other: &[(i64, i64)]| -> Vec<(i64, i64)> {
        one.iter().copied().filter(|aborted| !other.contains(aborted)).collect()
    };
    let (only_theirs, only_ours) = (only(theirs, ours), only(ours, theirs));
    world.reloaded
        && only_ours.iter().all(|(_, first)| *first < world.state.log_start)
        && only_theirs.iter().all(|(id, _)| only_ours.iter().any(|(our_id, _)| id == our_id))
        && meant(&BEGUN_BELOW_THE_START, tally)
}

/// The last offset of the last of these batches.
fn last_offset(bytes: &[u8]) -> i64 {
    let sizes = whole_batches(bytes);
    let Some(last) = sizes.last() else { return -1 };
    let at = sizes.iter().sum::<usize>() - last;
    number(bytes, at, 8) + number(bytes, at + 23, 4)
}

/// A request in a line: bytes only by their outline.
fn brief(request: &Request) -> String {
    match request {
        Request::Append { bytes, epoch, origin, transaction_version } => {
            format!(
                "append as {origin:?} in epoch {epoch}, transaction version {transaction_version}, {}",
                fields(bytes)
            )
        }
        Request::Replicate { bytes, epoch } => format!("replicate in epoch {epoch}, {}", fields(bytes)),
        other => format!("{other:?}"),
    }
}

/// The fields of the first batch that say most.
fn fields(bytes: &[u8]) -> String {
    if bytes.len() < 61 {
        return format!("{} bytes", bytes.len());
    }
    let [id, epoch, sequence] = [(43, 8), (51, 2), (53, 4)].map(|(at, width)| number(bytes, at, width));
    let bits = bytes[22];
    format!("{} producer {id} epoch {epoch} sequence {sequence} attributes {bits:#x}", crate::subject::Outline(bytes))
}

/// Compares what both logs say of themselves. What is stable may be ours alone to know after a reload, until both agree
/// again: `settled` says whether they did before, and afterwards whether they do.
pub fn states(world: &mut World, ottla: &State, tally: &mut Tally) -> Result<(), String> {
    let World { state: kafka, settled, stable, reloaded, reloaded_end, retired, .. } = world;
    same("log start", &kafka.log_start, &ottla.log_start)?;
    same("log end", &kafka.log_end, &ottla.log_end)?;
    same("high watermark", &kafka.high_watermark, &ottla.high_watermark)?;
    same("segments", &kafka.segments, &ottla.segments)?;
    same("epochs", &kafka.epochs, &ottla.epochs)?;
    let active = |state: &State| -> Vec<Producer> {
        state.producers.iter().filter(|producer| !retired.contains(&producer.id)).cloned().collect()
    };
    let (theirs, ours) = (active(kafka), active(ottla));
    let ids = |all: &[Producer]| all.iter().map(|producer| producer.id).collect::<Vec<_>>();
    same("producers", &ids(&theirs), &ids(&ours))?;
    theirs.iter().zip(&ours).try_for_each(|(theirs, ours)| producers(theirs, ours, *reloaded))?;
    let unstable = |state: &State| (state.first_unstable, state.last_stable_offset);
    *settled |= unstable(kafka) == unstable(ottla) && kafka.high_watermark >= *reloaded_end;
    if *settled {
        *stable = kafka.last_stable_offset;
    }
    // Kafka may have forgotten that a transaction is stable, but never is one that was not before.
    let believable = ottla.last_stable_offset <= kafka.last_stable_offset.max((*stable).min(kafka.high_watermark));
    let from_the_start = ottla.first_unstable == Some(ottla.log_start) && kafka.first_unstable.is_some();
    if (!*settled || from_the_start) && believable {
        meant(&UNSTABLE_AFTER_A_TRUNCATION, tally);
        return Ok(());
    }
    same("first unstable and last stable offset", &unstable(kafka), &unstable(ottla))
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, kafka: &T, ottla: &T) -> Result<(), String> {
    if kafka == ottla { Ok(()) } else { Err(format!("{what}: Kafka {kafka:?}, ottla {ottla:?}")) }
}

/// All but the older batches must be the same; of those one may know more after a reload ([`LONGER_MEMORY`]).
fn producers(kafka: &Producer, ottla: &Producer, reloaded: bool) -> Result<(), String> {
    let shared = kafka.batches.len().min(ottla.batches.len());
    let latest = |producer: &Producer| producer.batches[producer.batches.len() - shared..].to_vec();
    // A snapshot has one date for the producer and its last batch.
    let alike = |(theirs, ours): (&[i64; 5], &[i64; 5])| theirs[..4] == ours[..4] && (reloaded || theirs[4] == ours[4]);
    let without_batches = |producer: &Producer| Producer { batches: Vec::new(), ..producer.clone() };
    let same = without_batches(kafka) == without_batches(ottla)
        && (reloaded || kafka.batches.len() == ottla.batches.len())
        && latest(kafka).iter().zip(&latest(ottla)).all(alike)
        // Both or none: an entry without batches wants sequence 0 next.
        && kafka.batches.is_empty() == ottla.batches.is_empty();
    if same { Ok(()) } else { Err(format!("producer: Kafka {kafka:?}, ottla {ottla:?}")) }
}
