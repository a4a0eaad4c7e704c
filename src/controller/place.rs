//! Placement: which brokers hold which partition (semantics.md, section 9.4).
//!
//! Brokers stand in racks, racks in a row. Each partition begins one rack further than the one before; its leader is the
//! next unfenced broker from there on, and the other replicas go rack by rack. A rack hands out its brokers in turn,
//! beginning one further for each partition, the unfenced ones first. When there were as many partitions as there are
//! unfenced brokers, the rows are shuffled, so that not always the same ones follow each other.
//!
//! - May use: `id`, and its sibling `draw`.
//! - Must not know: topics; what is placed already.
//! - Always true: no broker holds a partition twice; no fenced one is its leader; the same seed gives the same placement.

use std::collections::BTreeMap;

use crate::controller::draw::Draw;
use crate::controller::uuid::Uuid;
use crate::id::BrokerId;

/// A broker that partitions may be placed on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Candidate {
    /// The broker.
    pub id: BrokerId,
    /// Where it stands; brokers without a rack share one.
    pub rack: Option<String>,
    /// Whether it may lead.
    pub liveness: Liveness,
    /// Its log directories that take new partitions; empty if they are not known here.
    pub directories: Vec<Uuid>,
}

impl Candidate {
    /// A broker that may lead, in no rack, with these directories.
    pub fn active(id: BrokerId, directories: Vec<Uuid>) -> Self {
        Self { id, rack: None, liveness: Liveness::Active, directories }
    }
}

/// Whether a broker may lead.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Liveness {
    /// It may.
    Active,
    /// It has not been heard of, or is going down.
    Fenced,
}

/// Why there is no placement: Kafka's `INVALID_REPLICATION_FACTOR`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// Nobody would hold it.
    #[error("a replication factor of 0")]
    NoReplicas,
    /// More replicas than there are brokers. Ask for fewer, or wait for more brokers.
    #[error("a replication factor of {asked}, but there are {brokers} brokers")]
    TooFewBrokers {
        /// How many replicas were asked for.
        asked: u16,
        /// How many brokers there are.
        brokers: usize,
    },
    /// No broker may lead at the moment.
    #[error("all {brokers} brokers are fenced")]
    AllFenced {
        /// How many brokers there are.
        brokers: usize,
    },
}

/// Places `partitions` partitions of `replication_factor` replicas each. The first of each row leads.
///
/// # Errors
///
/// [`PlacementError`].
pub fn place(
    candidates: &[Candidate],
    partitions: u32,
    replication_factor: u16,
    draw: &mut Draw,
) -> Result<Vec<Vec<BrokerId>>, PlacementError> {
    let brokers = candidates.len();
    if replication_factor == 0 {
        return Err(PlacementError::NoReplicas);
    }
    if usize::from(replication_factor) > brokers {
        return Err(PlacementError::TooFewBrokers { asked: replication_factor, brokers });
    }
    if candidates.iter().all(|candidate| candidate.liveness == Liveness::Fenced) {
        return Err(PlacementError::AllFenced { brokers });
    }
    let mut racks = Racks::new(candidates, draw);
    Ok((0..partitions).map(|_| racks.next_partition(replication_factor, draw)).collect())
}

/// Brokers that are handed out in turn.
#[derive(Debug, Default)]
struct Row {
    brokers: Vec<BrokerId>,
    /// Who is first for this partition.
    first: usize,
    /// How many were handed out for it.
    taken: usize,
}

impl Row {
    fn take(&mut self) -> Option<BrokerId> {
        if self.taken == self.brokers.len() {
            return None;
        }
        self.taken += 1;
        self.brokers.get((self.first + self.taken - 1) % self.brokers.len()).copied()
    }

    fn turn(&mut self) {
        self.taken = 0;
        self.first = (self.first + 1) % self.brokers.len().max(1);
    }
}

#[derive(Debug, Default)]
struct Rack {
    active: Row,
    fenced: Row,
}

impl Rack {
    fn take(&mut self) -> Option<BrokerId> {
        self.active.take().or_else(|| self.fenced.take())
    }
}

#[derive(Debug)]
struct Racks {
    racks: Vec<Rack>,
    active: usize,
    /// The rack that the next partition begins with.
    first: usize,
    /// How many partitions were placed since the last shuffle.
    placed: usize,
}

impl Racks {
    fn new(candidates: &[Candidate], draw: &mut Draw) -> Self {
        let mut racks: BTreeMap<Option<&str>, Rack> = BTreeMap::new();
        for candidate in candidates {
            let rack = racks.entry(candidate.rack.as_deref()).or_default();
            match candidate.liveness {
                Liveness::Active => rack.active.brokers.push(candidate.id),
                Liveness::Fenced => rack.fenced.brokers.push(candidate.id),
            }
        }
        let mut racks: Vec<Rack> = racks.into_values().collect();
        racks.iter_mut().flat_map(|rack| [&mut rack.active, &mut rack.fenced]).for_each(|row| row.brokers.sort());
        let active = racks.iter().map(|rack| rack.active.brokers.len()).sum();
        let mut racks = Self { first: draw.below(racks.len()), racks, active, placed: 0 };
        racks.shuffle(draw);
        racks
    }

    fn shuffle(&mut self, draw: &mut Draw) {
        draw.shuffle(&mut self.racks);
        for rack in &mut self.racks {
            draw.shuffle(&mut rack.active.brokers);
            draw.shuffle(&mut rack.fenced.brokers);
        }
        self.placed = 0;
    }

    /// The replicas of one partition. There are enough brokers, and one of them may lead.
    fn next_partition(&mut self, replication_factor: u16, draw: &mut Draw) -> Vec<BrokerId> {
        if self.placed == self.active && self.active > 1 {
            self.shuffle(draw);
        }
        let row: Vec<usize> = (0..self.racks.len()).map(|step| (self.first + step) % self.racks.len()).collect();
        let mut replicas = Vec::with_capacity(replication_factor.into());
        let leader = row.iter().find_map(|rack| Some((*rack, self.racks[*rack].active.take()?)));
        let Some((mut led, leader)) = leader.map(|(rack, id)| (Some(rack), id)) else { return replicas };
        replicas.push(leader);
        for rack in row.iter().cycle() {
            if replicas.len() == usize::from(replication_factor) {
                break;
            }
            // The leader's rack has given one already, so it is left out once.
            if led == Some(*rack) {
                led = None;
            } else {
                replicas.extend(self.racks[*rack].take());
            }
        }
        self.turn();
        replicas
    }

    fn turn(&mut self) {
        self.racks.iter_mut().flat_map(|rack| [&mut rack.active, &mut rack.fenced]).for_each(Row::turn);
        self.first = (self.first + 1) % self.racks.len();
        self.placed += 1;
    }
}
