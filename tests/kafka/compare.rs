//! Whether two answers agree, and the list of where they are meant not to.

use std::collections::BTreeMap;

use crate::subject::{Answer, Producer, Request, State, number};
use crate::world::World;

/// A difference that is meant: what it is, and why ottla is not as Kafka is.
#[derive(Debug)]
pub struct Meant {
    pub name: &'static str,
    pub what: &'static str,
    pub why: &'static str,
}

/// The differences that the random run may meet. Those of damaged files have tests of their own in `differential`.
pub const MEANT: [Meant; 3] = [ROLLED_BY_A_REFUSED_BATCH, LONGER_MEMORY, READS_ON];

pub const ROLLED_BY_A_REFUSED_BATCH: Meant = Meant {
    name: "rolled by a refused batch",
    what: "Kafka checks the producer after it has rolled the segment and noted the leader epoch, so a batch that it \
           refuses, or knows already, can leave both behind; ottla leaves the log as it was",
    why: "a refused batch leaves the log untouched. The harness then rolls ours, or notes the epoch, and goes on",
};

pub const LONGER_MEMORY: Meant = Meant {
    name: "longer memory",
    what: "after a truncation Kafka reloads its producers from a snapshot, which holds one batch of each; ottla takes \
           back what was cut and still knows the others, so it answers a duplicate where Kafka finds a gap",
    why: "the answer is the right one: the batch is there, at the offsets that the answer names",
};

pub const READS_ON: Meant = Meant {
    name: "reads on",
    what: "Kafka's read ends with the segment it began in; ottla may go on into the next",
    why: "a reader gets what it asked for in fewer reads, and never less than Kafka gives",
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
        (Answer::Batches { bytes: theirs, aborted }, Answer::Batches { bytes: ours, aborted: our_aborted }) => {
            let longer = ours.len() > theirs.len() && !theirs.is_empty() && ours.starts_with(theirs);
            let same = theirs == ours && aborted == our_aborted;
            same || (longer && includes(our_aborted, aborted) && meant(&READS_ON, tally))
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

fn includes(more: &Option<Vec<(i64, i64)>>, all: &Option<Vec<(i64, i64)>>) -> bool {
    match (more, all) {
        (Some(more), Some(all)) => all.iter().all(|one| more.contains(one)),
        (more, all) => more.is_some() == all.is_some(),
    }
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

/// Compares what both logs say of themselves.
pub fn states(kafka: &State, ottla: &State) -> Result<(), String> {
    let same = |what: &str, theirs: &dyn PrintEq, ours: &dyn PrintEq| theirs.same_as(what, ours);
    same("log start", &kafka.log_start, &ottla.log_start)?;
    same("log end", &kafka.log_end, &ottla.log_end)?;
    same("high watermark", &kafka.high_watermark, &ottla.high_watermark)?;
    same("segments", &kafka.segments, &ottla.segments)?;
    same("first unstable offset", &kafka.first_unstable, &ottla.first_unstable)?;
    same("last stable offset", &kafka.last_stable_offset, &ottla.last_stable_offset)?;
    same("epochs", &kafka.epochs, &ottla.epochs)?;
    let ids = |state: &State| state.producers.iter().map(|producer| producer.id).collect::<Vec<_>>();
    same("producers", &ids(kafka), &ids(ottla))?;
    let pairs = kafka.producers.iter().zip(&ottla.producers);
    pairs.map(|(theirs, ours)| producers(theirs, ours)).collect()
}

/// All but the older batches must be the same; of those ottla may know more ([`LONGER_MEMORY`]).
fn producers(kafka: &Producer, ottla: &Producer) -> Result<(), String> {
    let known = &ottla.batches[ottla.batches.len().saturating_sub(kafka.batches.len())..];
    let cut = Producer { batches: known.to_vec(), ..ottla.clone() };
    // Both or none: an entry without batches wants sequence 0 next.
    let same = *kafka == cut && kafka.batches.is_empty() == ottla.batches.is_empty();
    if same { Ok(()) } else { Err(format!("producer: Kafka {kafka:?}, ottla {ottla:?}")) }
}

/// Values to compare and to show when they differ.
trait PrintEq {
    fn text(&self) -> String;

    fn same_as(&self, what: &str, ours: &dyn PrintEq) -> Result<(), String> {
        let (theirs, ours) = (self.text(), ours.text());
        if theirs == ours { Ok(()) } else { Err(format!("{what}: Kafka {theirs}, ottla {ours}")) }
    }
}

impl<T: std::fmt::Debug> PrintEq for T {
    fn text(&self) -> String {
        format!("{self:?}")
    }
}
