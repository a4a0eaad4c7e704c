//! Random histories of producers.

use proptest::prelude::*;

use super::*;

/// One batch of a random history: who, what, and how it departs from what would be right.
#[derive(Clone, Debug)]
struct Step {
    producer: i64,
    kind: u8,
    epoch: i16,
    sequence: i32,
    count: u64,
    coordinator: i32,
    origin: Origin,
}

fn any_step() -> impl Strategy<Value = Step> {
    let origin = prop_oneof![3 => Just(Origin::Client), 1 => Just(Origin::Coordinator), 1 => Just(Origin::Replication)];
    let sequence = prop_oneof![4 => 0..9i32, 1 => i32::MAX - 3..=i32::MAX, 1 => Just(-1)];
    (1..4i64, 0..8u8, -1..3i16, sequence, 1..4u64, -1..2i32, origin).prop_map(
        |(producer, kind, epoch, sequence, count, coordinator, origin)| Step {
            producer,
            kind,
            epoch,
            sequence,
            count,
            coordinator,
            origin,
        },
    )
}

impl Step {
    fn batch(&self, base: u64, known: Option<&ProducerEntry>) -> ProducerBatch {
        // Half of the time what goes on rightly, so that histories get long.
        let goes_on = known.filter(|_| self.kind.is_multiple_of(2) && self.sequence >= 0);
        let epoch = goes_on.and_then(ProducerEntry::epoch).map_or(self.epoch, ProducerEpoch::get);
        let sequence = goes_on.map_or(self.sequence, |entry| entry.next_sequence().get());
        let outcome = if self.sequence % 2 == 0 { Outcome::Commit } else { Outcome::Abort };
        let batch = match self.kind {
            0..3 => data(epoch, sequence, base, self.count),
            3..6 => transactional(epoch, sequence, base, self.count),
            6 => marker(outcome, epoch, self.coordinator, base),
            _ => next_epoch(marker(outcome, epoch, self.coordinator, base)),
        };
        of(self.producer, batch)
    }
}

proptest! {
    /// Undone in reverse order, every append leaves the very state it was made on; what is refused changes nothing.
    #[test]
    fn what_was_applied_can_be_taken_back(
        steps in proptest::collection::vec((any_step(), 1..4usize), 0..60),
    ) {
        let mut state = state();
        let mut history = Vec::new();
        let mut base = 0;
        let mut steps = steps.into_iter().peekable();
        while let Some((first, together)) = steps.next() {
            let mut batches = Vec::new();
            let origin = first.origin;
            for step in std::iter::once(first).chain(steps.by_ref().take(together - 1).map(|(step, _)| step)) {
                let batch = step.batch(base, state.entry(id(step.producer)));
                base = batch.last_offset.get() + 1;
                batches.push(batch);
            }
            let before = state.clone();
            match state.check(batches, origin) {
                Ok(Verdict::Append(change)) => history.push((before, state.apply(change))),
                Ok(Verdict::Duplicate(_)) => prop_assert_eq!(origin, Origin::Client),
                Err(_) => prop_assert_ne!(origin, Origin::Replication),
            }
        }
        while let Some((before, undo)) = history.pop() {
            state.undo(undo);
            prop_assert_eq!(&state, &before);
        }
    }

    /// Appended together or one by one, from a log, batches lead to one state.
    #[test]
    fn batches_replicated_together_do_as_those_replicated_one_by_one(
        steps in proptest::collection::vec(any_step(), 1..30), before in 0..20usize,
    ) {
        let (mut alone, mut together, mut completed) = (state(), state(), Vec::new());
        let mut batches = Vec::new();
        let mut base = 0;
        for (at, step) in steps.into_iter().enumerate() {
            let batch = step.batch(base, alone.entry(id(step.producer)));
            base = batch.last_offset.get() + 1;
            let ended = alone.append_from(batch, Origin::Replication).unwrap();
            if at < before {
                together.append_from(batch, Origin::Replication).unwrap();
            } else {
                completed.extend(ended);
                batches.push(batch);
            }
        }
        let Ok(Verdict::Append(change)) = together.check(batches, Origin::Replication) else { panic!("refused") };
        prop_assert_eq!(change.completed(), completed);
        together.apply(change);
        prop_assert_eq!(together, alone);
    }
}
