//! What the disk and the other replicas report, and what follows from it.

use crate::id::BrokerId;
use crate::log::{Health, OpFailure, OpSeq, SyncId};
use crate::offset::Offset;
use crate::partition::role::Role;
use crate::partition::{Durability, Effect, Partition};

/// How many produces and fetches one call answers at most: then it leaves [`Effect::Again`].
const ANSWERS_MAX: usize = 256;

impl Partition {
    /// All ops up to `last` are performed.
    pub fn done(&mut self, last: OpSeq, out: &mut Vec<Effect>) {
        self.with_log(out, |log, out| log.done(last, out));
        self.proceed(out);
    }

    /// The op `op`, and so every op behind it, was not performed. Without space the log stalls: who waits goes on waiting
    /// until the driver has tried again. Anything else poisons it: every produce that waits is told what is not known.
    pub fn failed(&mut self, op: OpSeq, why: OpFailure, out: &mut Vec<Effect>) {
        self.log.failed(op, why);
        self.end_if_poisoned(out);
    }

    /// The flush `id` has succeeded.
    pub fn synced(&mut self, id: SyncId, out: &mut Vec<Effect>) {
        self.with_log(out, |log, out| log.synced(id, out));
        self.mark_reign(out);
        self.proceed(out);
    }

    /// The flush `id` has failed, which poisons the log.
    pub fn sync_failed(&mut self, id: SyncId, why: &str, out: &mut Vec<Effect>) {
        self.log.sync_failed(id, why);
        self.end_if_poisoned(out);
    }

    /// A flushed mark could not be written, for another reason than that there is no space. What it says and what the
    /// files say must not part, so the log is poisoned.
    pub fn mark_failed(&mut self, why: &str, out: &mut Vec<Effect>) {
        self.log.give_up(format!("the flushed mark could not be written: {why}"));
        self.end_if_poisoned(out);
    }

    /// What the driver has begun beside the log can neither be ended nor undone, so the log is poisoned.
    pub fn give_up(&mut self, why: String, out: &mut Vec<Effect>) {
        self.log.give_up(why);
        self.end_if_poisoned(out);
    }

    /// Another replica has all up to `end`: as the topic's [`durability`](crate::partition::PartitionConfig::durability)
    /// wants it. What is no replica is not heard.
    pub fn acknowledged(&mut self, replica: BrokerId, end: Offset, out: &mut Vec<Effect>) {
        if let Role::Leader(leader) = &mut self.role
            && leader.acknowledge(replica, end)
        {
            self.proceed(out);
        }
    }

    /// Goes on with what is due, in the order: what was held is appended, produces are answered, then fetches. At most a few
    /// hundred in one call; [`Effect::Again`] asks for the next. Calling it without need does nothing.
    pub fn proceed(&mut self, out: &mut Vec<Effect>) {
        self.advance_high_watermark();
        let mut left = ANSWERS_MAX;
        self.admit_held(&mut left, out);
        self.finish_produces(&mut left, out);
        self.serve_fetches(&mut left, out);
        self.maybe_flush(out);
        self.is_behind = left == 0;
        if self.is_behind {
            out.push(Effect::Again);
        }
        self.check();
    }

    fn end_if_poisoned(&mut self, out: &mut Vec<Effect>) {
        if matches!(self.log.health(), Health::Poisoned { .. }) {
            self.fetches.end_all();
        }
        self.proceed(out);
    }

    /// The high watermark is what all replicas that are waited for have acknowledged, this node's disk among them; with too
    /// few in sync it stays (semantics 8.5). It never goes back.
    fn advance_high_watermark(&mut self) {
        let Role::Leader(leader) = &self.role else { return };
        let in_sync = leader.in_sync(self.config.min_insync_replicas);
        if in_sync.committed < in_sync.needed {
            return;
        }
        let own = match self.config.durability {
            Durability::Written => self.log.written(),
            Durability::Flushed => self.log.flushed(),
        };
        let committed = self.log.batch_floor(leader.committed(own));
        if committed > self.log.high_watermark() {
            self.log.advance_high_watermark(committed);
        }
    }
}
