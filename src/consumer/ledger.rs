//! Acknowledgements in any order: what a pool of workers has not done yet.
//!
//! Records of one partition are handed out in order and acknowledged in any. What may be committed is the lowest that is
//! not acknowledged: everything below it is done, whatever is done above it. Offsets that were never handed out, because
//! nothing stands there or only a control record, are not waited for.
//!
//! - May use: `offset`.
//! - Must not know: records, groups, time; when to hand a record out again is for others to say.
//! - Always true: memory is a row of ranges, as many as there are gaps among what is not acknowledged, and at most one for
//!   each record handed out.

use std::collections::BTreeMap;

use crate::offset::Offset;

/// What was handed out of one partition and is not acknowledged.
///
/// ```
/// use ottla::consumer::Ledger;
/// use ottla::offset::Offset;
///
/// let mut ledger = Ledger::new(Offset::new(10), 1000);
/// for offset in 10..13 {
///     ledger.hand_out(Offset::new(offset))?;
/// }
/// ledger.acknowledge(Offset::new(12));
/// assert_eq!(ledger.committable(), Offset::new(10), "10 and 11 are not done");
/// ledger.acknowledge(Offset::new(10));
/// ledger.acknowledge(Offset::new(11));
/// assert_eq!(ledger.committable(), Offset::new(13));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ledger {
    /// Ranges that were handed out and not acknowledged: where each begins, and where it ends (exclusive). No two touch.
    pending: BTreeMap<Offset, Offset>,
    /// The offset behind all that was handed out or passed over.
    next: Offset,
    outstanding: u64,
    outstanding_max: u64,
}

/// What came of an acknowledgement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Acknowledged {
    /// It counts.
    Now,
    /// The record was acknowledged before, or never handed out: nothing has changed.
    NotOutstanding,
}

/// Why a record may not be handed out.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{outstanding} records are not acknowledged, and no more may be")]
pub struct TooMany {
    /// How many are not acknowledged.
    pub outstanding: u64,
}

/// A record was to be handed out that lies in front of one that was handed out before.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("offset {found} is below {next}, up to where records were handed out")]
pub struct OutOfOrder {
    /// The offset.
    pub found: Offset,
    /// The smallest it could be.
    pub next: Offset,
}

/// Why a record was not noted as handed out. Nothing has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HandOutError {
    /// Too many are not acknowledged: wait.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// It comes too late.
    #[error(transparent)]
    OutOfOrder(#[from] OutOfOrder),
}

impl Ledger {
    /// Nothing was handed out, and the first record to be is not below `start`. At most `outstanding_max` records may be
    /// handed out and not acknowledged.
    pub const fn new(start: Offset, outstanding_max: u64) -> Self {
        Self { pending: BTreeMap::new(), next: start, outstanding: 0, outstanding_max }
    }

    /// Notes that the record at `offset` was handed out. Offsets rise; those in between are passed over.
    ///
    /// # Errors
    ///
    /// [`HandOutError`]. Nothing has changed then.
    pub fn hand_out(&mut self, offset: Offset) -> Result<(), HandOutError> {
        if offset < self.next {
            return Err(OutOfOrder { found: offset, next: self.next }.into());
        }
        if self.outstanding >= self.outstanding_max {
            return Err(TooMany { outstanding: self.outstanding }.into());
        }
        let behind = offset.advance(1);
        match self.pending.last_entry() {
            Some(mut last) if *last.get() == offset => *last.get_mut() = behind,
            _ => {
                self.pending.insert(offset, behind);
            }
        }
        self.next = behind;
        self.outstanding += 1;
        Ok(())
    }

    /// Notes that nothing below `offset` is still to be handed out: what lies there is not for applications.
    pub fn pass_over(&mut self, offset: Offset) {
        self.next = self.next.max(offset);
    }

    /// Notes that the record at `offset` is done.
    pub fn acknowledge(&mut self, offset: Offset) -> Acknowledged {
        let Some((start, end)) = self.range_of(offset) else { return Acknowledged::NotOutstanding };
        self.pending.remove(&start);
        if start < offset {
            self.pending.insert(start, offset);
        }
        let behind = offset.advance(1);
        if behind < end {
            self.pending.insert(behind, end);
        }
        self.outstanding -= 1;
        Acknowledged::Now
    }

    /// Notes that all records up to `offset` (exclusive) are done. Answers how many were not before.
    pub fn acknowledge_up_to(&mut self, offset: Offset) -> u64 {
        let mut done = 0;
        while let Some((start, end)) = self.pending.first_key_value().map(|(start, end)| (*start, *end)) {
            if start >= offset {
                break;
            }
            self.pending.remove(&start);
            if end > offset {
                self.pending.insert(offset, end);
            }
            done += end.min(offset).since(start).unwrap_or(0);
        }
        self.outstanding -= done;
        done
    }

    fn range_of(&self, offset: Offset) -> Option<(Offset, Offset)> {
        let (start, end) = self.pending.range(..=offset).next_back()?;
        (offset < *end).then_some((*start, *end))
    }

    /// The offset to commit: all records below it are done. It never goes back.
    pub fn committable(&self) -> Offset {
        self.pending.first_key_value().map_or(self.next, |(lowest, _)| *lowest)
    }

    /// The smallest offset that may be handed out.
    pub const fn next_offset(&self) -> Offset {
        self.next
    }

    /// How many records were handed out and are not acknowledged.
    pub const fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// The records that were handed out and are not acknowledged, in order: to hand out again, after a crash of a worker.
    pub fn pending(&self) -> impl Iterator<Item = Offset> + '_ {
        let offsets = |(start, end): (&Offset, &Offset)| (start.get()..end.get()).map(Offset::new);
        self.pending.iter().flat_map(offsets)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn at(offset: u64) -> Offset {
        Offset::new(offset)
    }

    #[test]
    fn the_lowest_gap_is_committed_and_gaps_between_records_are_not_waited_for() {
        let mut ledger = Ledger::new(at(5), 100);
        assert_eq!(ledger.committable(), at(5));
        for offset in [7, 8, 20] {
            ledger.hand_out(at(offset)).unwrap();
        }
        assert_eq!(ledger.committable(), at(7), "nothing stands at 5 and 6");
        ledger.acknowledge(at(8));
        ledger.acknowledge(at(7));
        assert_eq!(ledger.committable(), at(20));
        ledger.acknowledge(at(20));
        assert_eq!(ledger.committable(), at(21));
        ledger.pass_over(at(30));
        assert_eq!(ledger.committable(), at(30));
    }

    #[test]
    fn no_more_is_handed_out_than_may_be_outstanding_and_never_backwards() {
        let mut ledger = Ledger::new(at(0), 2);
        ledger.hand_out(at(0)).unwrap();
        ledger.hand_out(at(1)).unwrap();
        assert_eq!(ledger.hand_out(at(2)), Err(TooMany { outstanding: 2 }.into()));
        ledger.acknowledge(at(1));
        assert_eq!(ledger.hand_out(at(1)), Err(OutOfOrder { found: at(1), next: at(2) }.into()));
        ledger.hand_out(at(2)).unwrap();
        assert_eq!(ledger.pending().collect::<Vec<_>>(), [at(0), at(2)]);
    }

    /// The same with a set of offsets.
    #[derive(Default)]
    struct Model {
        pending: BTreeSet<u64>,
        next: u64,
    }

    proptest! {
        #[test]
        fn a_ledger_is_a_set_of_offsets(steps in prop::collection::vec((0..6_u8, 0..40_u64), 1..300)) {
            let (mut ledger, mut model, mut before) = (Ledger::new(at(0), 30), Model::default(), at(0));
            for (kind, number) in steps {
                match kind {
                    0 | 1 => {
                        let offset = model.next + number.saturating_sub(30);
                        let taken = ledger.hand_out(at(offset)).is_ok();
                        prop_assert_eq!(taken, model.pending.len() < 30);
                        if taken {
                            model.pending.insert(offset);
                            model.next = offset + 1;
                        }
                    }
                    2 | 3 => {
                        let offset = model.next.saturating_sub(number);
                        let counts = ledger.acknowledge(at(offset)) == Acknowledged::Now;
                        prop_assert_eq!(counts, model.pending.remove(&offset));
                    }
                    4 => {
                        let offset = model.next.saturating_sub(number);
                        let left = model.pending.split_off(&offset);
                        prop_assert_eq!(ledger.acknowledge_up_to(at(offset)), model.pending.len() as u64);
                        model.pending = left;
                    }
                    _ => {
                        ledger.pass_over(at(number * 3));
                        model.next = model.next.max(number * 3);
                    }
                }
                prop_assert!(ledger.pending().map(Offset::get).eq(model.pending.iter().copied()));
                prop_assert_eq!(ledger.outstanding(), model.pending.len() as u64);
                let lowest = model.pending.first().copied().unwrap_or(model.next);
                prop_assert_eq!(ledger.committable(), at(lowest));
                prop_assert!(ledger.committable() >= before, "it went back");
                before = ledger.committable();
            }
        }
    }
}
