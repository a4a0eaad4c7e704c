//! Sequences: given, given back, and begun anew under another epoch (semantics.md, section 14).

use crate::epoch::{ProducerEpoch, Sequence};
use crate::message::{ProducerIdentity, RequestError};
use crate::producer::lane::{Certainty, Lane};
use crate::producer::outcome::{Known, Outcome, SendError};
use crate::record::ProducerStamp;

impl Lane {
    /// Tells who writes. Nothing is sent before; who is known already stays.
    pub fn identify(&mut self, identity: ProducerIdentity) {
        if self.identity.is_none() {
            self.no_space = None;
            self.begin_as(Some(identity));
        }
    }

    /// Nobody says yet who writes. If that is for want of space, so is what is not delivered in time.
    pub fn not_identified(&mut self, error: &RequestError) {
        if self.needs_identity() {
            self.no_space = error.is_for_space().then(|| error.detail.clone());
        }
    }

    /// Whether there is something to send and nobody to send it as: ask for a producer id.
    pub fn needs_identity(&self) -> bool {
        self.identity.is_none() && !self.is_idle()
    }

    pub(super) fn stamp(&self, base_sequence: Sequence) -> Option<ProducerStamp> {
        let ProducerIdentity { id, epoch } = self.identity?;
        Some(ProducerStamp { id, epoch: Some(epoch), base_sequence: Some(base_sequence) })
    }

    /// Begins the next epoch: what is not acknowledged gets sequences from 0 on. After the last epoch another producer id
    /// is needed.
    ///
    /// It does so in this lane only. A log knows of a producer's epoch what it was sent, so other partitions may stay with
    /// theirs; without transactions nobody compares them.
    pub(super) fn begin_epoch(&mut self) {
        let next = self.identity.and_then(|ProducerIdentity { id, epoch }| {
            let epoch = ProducerEpoch::new(epoch.get().checked_add(1)?)?;
            Some(ProducerIdentity { id, epoch })
        });
        self.begin_as(next);
    }

    pub(super) fn begin_as(&mut self, identity: Option<ProducerIdentity>) {
        self.identity = identity;
        self.certainty = Certainty::Known;
        self.acknowledged = Sequence::ZERO;
        let mut sequence = Sequence::ZERO;
        for batch in &mut self.sent {
            batch.base_sequence = sequence;
            sequence = sequence.advance(batch.tickets.count);
        }
        self.next_sequence = sequence;
    }

    /// Notes that the broker has all up to `end`. An answer that comes late does not take back what a later one said.
    pub(super) fn has_acknowledged(&mut self, end: Sequence) {
        if self.ahead_of(end) < self.ahead_of(self.acknowledged) {
            self.acknowledged = end;
        }
    }

    /// How many records the next sequence is ahead of this one.
    pub(super) fn ahead_of(&self, sequence: Sequence) -> i32 {
        self.next_sequence.get().wrapping_sub(sequence.get()) & i32::MAX
    }

    /// Takes out a batch that will not be sent again. If it was surely not written, those behind it move up; if it may have
    /// been, nothing new is sent until their answers have told.
    pub(super) fn give_up(&mut self, index: usize, known: Known, why: SendError, out: &mut Vec<Outcome>) {
        let Some(batch) = self.sent.remove(index) else { return };
        self.bytes = self.bytes.saturating_sub(batch.bytes);
        out.push(Outcome { tickets: batch.tickets, result: Err(why) });
        match known {
            Known::NotWritten => {
                for later in self.sent.iter_mut().skip(index) {
                    later.base_sequence = later.base_sequence.retreat(batch.tickets.count);
                }
                self.next_sequence = self.next_sequence.retreat(batch.tickets.count);
            }
            // Without one behind it whose answer could tell, the place it had is not taken by another either.
            Known::Unknown => self.certainty = Certainty::InDoubt,
        }
        self.settle();
    }

    /// After the last answer: if a batch behind the one in doubt was acknowledged, that one was too. If none was, nobody
    /// knows what the broker expects, and a new epoch makes it expect 0.
    pub(super) fn settle(&mut self) {
        if self.certainty == Certainty::Known || !self.sent.is_empty() {
            return;
        }
        if self.acknowledged == self.next_sequence {
            self.certainty = Certainty::Known;
        } else {
            self.begin_epoch();
        }
    }
}
