//! The controller: which topics there are, as records that are decided, appended and replayed.
//!
//! A cluster's metadata is a log like any other, the partition `__cluster_metadata-0`. [`records`] are what stands in it,
//! in Kafka's own bytes. A [`Replayer`] is fed its batches and has the [`Image`] that they amount to. The [`Controller`]
//! decides: what is asked of it becomes a [`Change`], the records of one batch, or an error, and nothing has happened yet.
//! The change is appended, and replayed like any other batch; when it is committed, everyone's image has it.
//!
//! - May use: the newtypes, `record` and `message`.
//! - Must not know: files, threads, clocks; logs and partitions, which are other machines.
//! - Always true: the same records give the same image, on every node; what a change was decided against is what it is
//!   replayed into; nothing is drawn but from the seed that was given.

mod adopt;
mod alter;
mod assign;
mod change;
mod create;
mod describe;
mod draw;
mod elect;
mod image;
mod lead;
mod place;
mod producer_ids;
pub mod records;
mod replayer;
mod snapshot;
mod start;
#[cfg(test)]
mod tests;
mod uuid;

use std::collections::{BTreeMap, VecDeque};

use crate::id::BrokerId;
use crate::offset::Offset;
use crate::record::Entry;

pub use adopt::{AdoptRefusal, Adopted, Adoption, Found};
pub use alter::AlterConfigError;
pub use assign::AssignmentError;
pub use change::Change;
pub use create::{AddPartitionsError, CreateTopicError, DeleteTopicError, METADATA_TOPIC};
pub use draw::Draw;
pub use elect::{Unclean, elect};
pub use image::{
    ConfigMap, ELIGIBLE_LEADER_REPLICAS, Image, LeaderRecovery, METADATA_VERSION, METADATA_VERSION_NEWEST,
    PartitionState, ReplayError, ReplayFault, Resource, ResourceType, Topic,
};
pub use lead::{LeadRefusal, Leading, Opened, Shutdown};
pub use place::{Candidate, Liveness, PlacementError, place};
pub use producer_ids::{ProducerIdBlock, ProducerIdsError};
pub use replayer::{Replayed, Replayer};
pub use snapshot::{
    BeginError, Begun, ChooseError, Ending, LogEnds, Reading, Snapshot, SnapshotError, SnapshotId, SnapshotRules,
    SnapshotSource, Snapshots, choose,
};
pub use uuid::Uuid;

/// What a topic is like if nobody says otherwise.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TopicDefaults {
    /// Kafka's `num.partitions`.
    pub partitions: u32,
    /// Kafka's `default.replication.factor`.
    pub replication_factor: u16,
}

impl Default for TopicDefaults {
    fn default() -> Self {
        Self { partitions: 1, replication_factor: 1 }
    }
}

/// Decides what becomes of the metadata, and has the image of it.
///
/// The walk of a change: `decide_..` gives it, [`Change::to_batch`] makes a batch of it, which is appended to the metadata
/// partition; [`Controller::on_appended`] is told the batch in its place, and [`Controller::on_committed`] how far it is
/// committed. In between the change counts for further decisions, and for nobody else.
///
/// ```
/// use ottla::controller::{Candidate, Controller, Draw, Replayer};
/// use ottla::id::{BrokerId, TopicName};
/// use ottla::message::NewTopic;
/// use ottla::offset::Offset;
/// use ottla::time::Timestamp;
///
/// let mut controller = Controller::new(Replayer::new())?;
/// controller.set_candidates([Candidate::active(BrokerId::new(1), Vec::new())]);
/// let name = TopicName::new("orders")?;
///
/// let change = controller.decide_create_topic(&NewTopic::new(name.clone()), &mut Draw::new(7))?;
/// let batch = change.to_batch(Timestamp::from_millis(1_700_000_000_000))?;
/// controller.on_appended(&batch.stamped(Offset::ZERO, None)?.into())?;
///
/// // The surprising case: it is decided and appended, and not there yet.
/// assert!(controller.image().topic(&name).is_none());
/// controller.on_committed(Offset::new(2));
/// assert!(controller.image().topic(&name).is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Controller {
    /// All that is committed.
    committed: Replayer,
    /// What was appended behind it, in order: the state after each batch.
    appended: VecDeque<Replayer>,
    candidates: BTreeMap<BrokerId, Candidate>,
    defaults: TopicDefaults,
}

impl Controller {
    /// Goes on from what was replayed, all of which counts as committed.
    ///
    /// # Errors
    ///
    /// As [`Replayer::finish`]: a log that could not be replayed is not written on.
    pub fn new(replayer: Replayer) -> Result<Self, ReplayError> {
        replayer.check()?;
        Ok(Self { committed: replayer, ..Self::default() })
    }

    /// Says what a topic is like if nobody says otherwise.
    pub fn set_defaults(&mut self, defaults: TopicDefaults) {
        self.defaults = defaults;
    }

    /// Says which brokers there are.
    pub fn set_candidates(&mut self, candidates: impl IntoIterator<Item = Candidate>) {
        self.candidates = candidates.into_iter().map(|candidate| (candidate.id, candidate)).collect();
    }

    /// What is committed. A clone is cheap and does not change.
    pub fn image(&self) -> &Image {
        self.committed.image()
    }

    /// What will be committed if all that was appended is: what decisions are made against.
    pub fn latest(&self) -> &Image {
        self.latest_state().image()
    }

    /// The offset behind the last batch that was appended.
    pub fn end(&self) -> Offset {
        self.latest_state().end()
    }

    /// Where what is committed ends.
    pub fn committed_end(&self) -> Offset {
        self.committed.end()
    }

    /// What a snapshot of all that is committed would be; `None` if nothing has come since the last, or a transaction is
    /// open.
    pub fn snapshot_source(&self) -> Option<SnapshotSource> {
        SnapshotSource::of(&self.committed)
    }

    /// Replays a batch that was appended to the metadata partition, in its place.
    ///
    /// # Errors
    ///
    /// [`ReplayError`] if it does not fit; nothing has changed then. That is a batch of somebody else, or one whose change
    /// was decided before another one was appended.
    pub fn on_appended(&mut self, entry: &Entry) -> Result<(), ReplayError> {
        let mut state = self.latest_state().clone();
        state.push(entry)?;
        // One that a snapshot has stood for is nothing new.
        if state.end() > self.end() {
            self.appended.push_back(state);
        }
        Ok(())
    }

    /// Whatever lies below `high_watermark` is committed.
    pub fn on_committed(&mut self, high_watermark: Offset) {
        while self.appended.front().is_some_and(|state| state.end() <= high_watermark)
            && let Some(state) = self.appended.pop_front()
        {
            self.committed = state;
        }
        self.check();
    }

    /// What was appended from `end` on is gone: its append failed, or another leader's took its place.
    pub fn on_truncated(&mut self, end: Offset) {
        while self.appended.back().is_some_and(|state| state.end() > end) {
            self.appended.pop_back();
        }
        self.check();
    }

    fn latest_state(&self) -> &Replayer {
        self.appended.back().unwrap_or(&self.committed)
    }

    fn open_transaction(&self) -> Option<Offset> {
        self.latest_state().open_transaction()
    }

    fn candidates(&self) -> &BTreeMap<BrokerId, Candidate> {
        &self.candidates
    }

    fn defaults(&self) -> TopicDefaults {
        self.defaults
    }

    fn may_lead(&self, id: BrokerId) -> bool {
        self.candidates.get(&id).is_some_and(|candidate| candidate.liveness == Liveness::Active)
    }

    fn check(&self) {
        assert!(self.appended.iter().map(Replayer::end).is_sorted(), "appended batches stand in order");
        assert!(self.appended.front().is_none_or(|first| first.end() > self.committed.end()), "committed and appended");
    }
}
