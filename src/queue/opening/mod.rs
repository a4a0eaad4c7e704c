//! Opening a node on its directories, whoever had them last.
//!
//! The walk: each directory is locked and says whose it is (`identity`); the metadata is read (`metadata`) and its partition
//! hosted; then each partition that the metadata places here has its log opened, the controller decides who leads it, and
//! the node hosts it. What cannot be opened is left out and told; the others work.
//!
//! - May use: the node, `disk`, `controller`.
//! - Must not know: what the answers to the controller's questions are.
//! - Always true: nothing that is unknown is removed or renamed, only what the metadata knows to be deleted, and a snapshot that
//!   is broken while another says what it said; a directory that is missing does not come back empty if it had records.

mod error;
mod identity;
mod metadata;
mod missing;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use error::QueueOpenError;
pub use missing::MissingMetadata;
pub use report::OpeningReport;

use crate::broker::{Broker, ControlRole, Input, SpaceConfig, settings};
use crate::controller::{self, Candidate, Controller, Draw, SnapshotRules, Snapshots, Topic, Uuid};
use crate::coordinator::CoordinatorConfig;
use crate::disk::dirs::DirsError;
use crate::disk::{Disk, LogDir, OpenedLog};
use crate::epoch::LeaderEpoch;
use crate::id::{TopicId, TopicPartition};
use crate::log::LogConfig;
use crate::message::TopicConfig;
use crate::offset::Offset;
use crate::partition::{Durability, Found, PartitionConfig, PartitionFacts, Reign};
use crate::queue::builder::FlushScope;
use crate::queue::node::{Node, NodeOptions, NotOpened, found};
use crate::time::Timestamp;

use identity::Identity;
use metadata::Metadata;
pub(crate) use metadata::metadata_partition;

/// How a node is opened.
#[derive(Clone, Debug)]
pub(crate) struct OpeningOptions {
    /// What the directories are called, for people.
    pub(crate) names: Vec<String>,
    /// What the partitions may take of the disks.
    pub(crate) space: SpaceConfig,
    pub(crate) threads: usize,
    pub(crate) open_files_max: usize,
    pub(crate) upkeep_interval_ms: u64,
    /// What a flush makes durable.
    pub(crate) flush_scope: FlushScope,
    /// How many bytes of records consumers and the program may have, if that is bounded.
    pub(crate) consumer_memory_bytes_max: Option<u64>,
    pub(crate) snapshots: SnapshotRules,
    pub(crate) take_over: TakeOver,
}

#[cfg(test)]
impl OpeningOptions {
    /// For a test that has one directory and no upkeep.
    pub(crate) fn quiet() -> Self {
        Self {
            names: vec![String::new()],
            space: SpaceConfig::default(),
            threads: 1,
            open_files_max: 64,
            upkeep_interval_ms: u64::MAX,
            flush_scope: FlushScope::File,
            consumer_memory_bytes_max: None,
            snapshots: SnapshotRules::default(),
            take_over: TakeOver::IfCertain,
        }
    }
}

/// When partitions are taken over where there is no metadata.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TakeOver {
    /// If nothing says that it is missing.
    IfCertain,
    /// Whoever opens it says so.
    Confirmed,
}

/// A partition that is here, by its directory.
type Places = BTreeMap<TopicPartition, usize>;

/// A log that is open, and not hosted yet.
struct Waiting<D: Disk> {
    dir: usize,
    opened: OpenedLog<D>,
    topic_id: TopicId,
    config: PartitionConfig,
}

/// Opens a node on these disks, one for each log directory.
///
/// # Errors
///
/// [`QueueOpenError`]: nothing of it is open then.
pub(crate) fn open<D: Disk>(
    disks: Vec<D>,
    options: OpeningOptions,
    now: Timestamp,
) -> Result<(Arc<Node<D>>, OpeningReport), QueueOpenError> {
    let mut dirs = Vec::with_capacity(disks.len());
    for disk in disks {
        dirs.push(LogDir::open(disk)?);
    }
    if dirs.is_empty() {
        return Err(QueueOpenError::NoDirectory);
    }
    let said = identity::read(&dirs)?;
    let metadata_dir = match metadata_dir(&dirs)? {
        Some(dir) => dir,
        None => {
            if options.take_over == TakeOver::IfCertain
                && let Some(why) = missing::metadata_may_be_missing(&dirs, &said)?
            {
                return Err(QueueOpenError::MetadataMissing(why));
            }
            0
        }
    };
    // Not before it is known that these are to be opened.
    let (mut deletions_finished, mut deletions_left) = (0, Vec::new());
    for dir in &mut dirs {
        match dir.finish_deletions() {
            Ok(count) => deletions_finished += count,
            // They are tried again at the next opening.
            Err(error) => deletions_left.push(error.to_string()),
        }
    }
    let identity = identity::identify(&dirs, said, metadata_dir)?;
    let (dir, metadata) = metadata::open(dirs.remove(metadata_dir), now)?;
    dirs.insert(metadata_dir, dir);
    let snapshots = Snapshots::new(options.snapshots, metadata.snapshot);
    let node = start(dirs, &identity, &metadata, options)?;
    let mut report = OpeningReport {
        cluster_id: identity.cluster_id.clone(),
        node: identity.node,
        metadata: metadata.opened.report.clone(),
        snapshots_unreadable: metadata.broken.clone(),
        snapshot_cut_short: metadata.snapshot.filter(|_| metadata.is_cut_short),
        partitions: Vec::new(),
        adopted: Vec::new(),
        not_adopted: Vec::new(),
        failed: Vec::new(),
        unknown: Vec::new(),
        deletions_finished,
        deletions_left,
    };
    let (places, strays) = places(&node)?;
    report.unknown = strays;
    let opening = Opening { node: &node, identity: &identity, places: &places };
    let (is_blank, removed) = (metadata.is_blank, metadata.removed.clone());
    opening.host_metadata(metadata_dir, metadata, now)?;
    let places = opening.finish_removals(&removed, &mut report)?;
    let opening = Opening { places: &places, ..opening };
    // Not before: a snapshot does not tell what is still to be removed.
    if report.snapshot_cut_short.is_none() {
        node.give(Input::WriteSnapshots(Box::new(snapshots)));
    }
    if is_blank {
        opening.adopt(now, &mut report)?;
    }
    opening.host_all(now, &mut report)?;
    Ok((node, report))
}

/// The directory that has the metadata.
fn metadata_dir<D: Disk>(dirs: &[LogDir<D>]) -> Result<Option<usize>, QueueOpenError> {
    let partition = metadata_partition();
    let mut found = None;
    for (dir, opened) in dirs.iter().enumerate() {
        if opened.partitions()?.contains(&partition)
            && let Some(first) = found.replace(dir)
        {
            return Err(DirsError::Duplicate { partition, first, second: dir }.into());
        }
    }
    Ok(found)
}

/// Which partition has a directory where; and those directories whose files belong to another topic of the same name, which
/// was deleted: no partition is there.
fn places<D: Disk>(node: &Node<D>) -> Result<(Places, Vec<TopicPartition>), QueueOpenError> {
    let mut found: BTreeMap<TopicPartition, Vec<usize>> = BTreeMap::new();
    for dir in 0..node.dirs() {
        for partition in node.partitions_in(dir)? {
            found.entry(partition).or_default().push(dir);
        }
    }
    let (mut places, mut strays) = (Places::new(), Vec::new());
    for (partition, mut dirs) in found {
        if dirs.len() > 1 {
            let known = node.with_image(|image| image.topic(partition.topic()).map(Topic::id));
            // What cannot be read is told when its log is opened.
            let is_of_another = |dir: &usize| {
                let id = node.topic_id_of(*dir, &partition).ok().flatten();
                known.is_some() && id.is_some() && known != id
            };
            let others = dirs.iter().filter(|dir| is_of_another(dir)).count();
            strays.extend(std::iter::repeat_n(partition.clone(), others));
            dirs.retain(|dir| !is_of_another(dir));
        }
        match dirs[..] {
            [] => {}
            [dir] => drop(places.insert(partition, dir)),
            [first, second, ..] => return Err(DirsError::Duplicate { partition, first, second }.into()),
        }
    }
    Ok((places, strays))
}

fn start<D: Disk>(
    dirs: Vec<LogDir<D>>,
    identity: &Identity,
    metadata: &Metadata<D>,
    options: OpeningOptions,
) -> Result<Arc<Node<D>>, QueueOpenError> {
    let mut controller = Controller::new(metadata.replayer.clone())?;
    controller.set_candidates([Candidate::active(identity.node, identity.directories.clone())]);
    let seed = identity::random();
    let role = ControlRole {
        controller,
        draw: Draw::new(seed),
        broker: identity.node,
        cluster_id: identity.cluster_id.clone(),
        // A consumer that has been away for long, or will be, keeps its place: who reads is few here, and known.
        coordinator: CoordinatorConfig { retention_ms: None, ..CoordinatorConfig::default() },
    };
    let broker = Broker::controlling(role).bounded(options.space);
    let options = NodeOptions {
        broker: identity.node,
        directories: identity.directories.clone(),
        names: options.names,
        seed,
        threads: options.threads,
        open_files_max: options.open_files_max,
        upkeep_interval_ms: options.upkeep_interval_ms,
        flush_scope: options.flush_scope,
        consumer_memory_bytes_max: options.consumer_memory_bytes_max,
    };
    Ok(Node::start(broker, dirs, options)?)
}

/// One opening, once the node has been started.
struct Opening<'a, D: Disk> {
    node: &'a Arc<Node<D>>,
    identity: &'a Identity,
    places: &'a Places,
}

impl<D: Disk> Opening<'_, D> {
    fn host_metadata(&self, dir: usize, metadata: Metadata<D>, now: Timestamp) -> Result<(), QueueOpenError> {
        let found = found(metadata.opened.report.shutdown);
        let latest = metadata.last_epoch.unwrap_or(LeaderEpoch::ZERO);
        let used_up = || QueueOpenError::MetadataDamaged("the leader epochs are used up".to_owned());
        let epoch = if found == Found::Whole { latest } else { latest.next().ok_or_else(used_up)? };
        let facts =
            PartitionFacts { partition: metadata_partition(), topic_id: None, broker: self.identity.node, found };
        let config = PartitionConfig { durability: Durability::Flushed, ..PartitionConfig::default() };
        self.node.host(dir, metadata.opened, facts, Reign::alone(self.identity.node, epoch), config);
        self.node.give(Input::Start { date: now });
        let started = self.node.wait_for_some(|core| core.take_started()).map_err(QueueOpenError::Stopped)?;
        started.map_err(QueueOpenError::NotStarted)
    }

    /// Deletes the partitions of topics that the metadata has removed: whoever had the node before was on the way to it. Answers
    /// which partitions are here then.
    fn finish_removals(
        &self,
        removed: &BTreeSet<TopicId>,
        report: &mut OpeningReport,
    ) -> Result<Places, QueueOpenError> {
        let mut left = self.places.clone();
        if removed.is_empty() {
            return Ok(left);
        }
        // Or a power loss could take back the removal, and not what was deleted because of it.
        self.node.wait_for_flush(&metadata_partition()).map_err(QueueOpenError::Stopped)?;
        for (partition, dir) in self.places {
            let is_removed = matches!(self.node.topic_id_of(*dir, partition), Ok(Some(id)) if removed.contains(&id));
            if is_removed && *partition != metadata_partition() {
                self.node.delete_log(*dir, partition)?;
                left.remove(partition);
                report.deletions_finished += 1;
            }
        }
        Ok(left)
    }

    /// There never was any metadata: the partitions that are here are taken over.
    fn adopt(&self, now: Timestamp, report: &mut OpeningReport) -> Result<(), QueueOpenError> {
        let mut found = Vec::new();
        for (partition, dir) in self.places.iter().filter(|(partition, _)| **partition != metadata_partition()) {
            match self.node.topic_id_of(*dir, partition) {
                Ok(topic_id) => found.push(controller::Found {
                    partition: partition.clone(),
                    topic_id,
                    directory: self.identity.directories[*dir],
                    // Its epochs are known once its log is open; the controller then leads it in a later one.
                    last_epoch: None,
                }),
                Err(why) => self.fail(partition.clone(), NotOpened::Log(why), report),
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        self.node.give(Input::Adopt { found, date: now });
        let (result, refused) = self.node.wait_for_some(|core| core.take_adopted()).map_err(QueueOpenError::Stopped)?;
        let adopted = result.map_err(|error| QueueOpenError::Stopped(error.to_string()))?;
        report.adopted = adopted.into_iter().map(|adopted| adopted.partition).collect();
        report.not_adopted = refused;
        Ok(())
    }

    /// Opens and hosts every partition that the metadata places here.
    fn host_all(&self, now: Timestamp, report: &mut OpeningReport) -> Result<(), QueueOpenError> {
        let mut waiting = BTreeMap::new();
        for wanted in self.wanted(report) {
            match self.open_one(&wanted) {
                Ok(one) => {
                    report.partitions.push(one.opened.report.clone());
                    waiting.insert(wanted.partition, one);
                }
                Err(why) => self.fail_for_now(wanted.dir, wanted.topic_id, wanted.partition, why, report),
            }
        }
        if waiting.is_empty() {
            return Ok(());
        }
        let opened =
            waiting.iter().map(|(partition, one)| self.node.as_opened(one.dir, partition, &one.opened)).collect();
        self.node.give(Input::Lead { opened, date: now });
        let count = waiting.len();
        let led = self.node.wait_for_some(|core| core.take_led(count)).map_err(QueueOpenError::Stopped)?;
        for (partition, result) in led {
            let Some(one) = waiting.remove(&partition) else { continue };
            match result {
                Ok(reign) => self.host(&partition, one, reign),
                Err(error) => {
                    let why = NotOpened::not_led(error);
                    self.fail_for_now(one.dir, one.topic_id, partition, why, report);
                }
            }
        }
        for (partition, why) in self.node.take_not_hosted() {
            self.fail(partition, NotOpened::Log(why), report);
        }
        Ok(())
    }

    /// A partition is not open; if it is for want of space, it is tried again later.
    fn fail_for_now(
        &self,
        dir: usize,
        topic_id: TopicId,
        partition: TopicPartition,
        why: NotOpened,
        report: &mut OpeningReport,
    ) {
        let is_for_now = matches!(why, NotOpened::DiskFull(_));
        self.fail(partition.clone(), why, report);
        if is_for_now {
            self.node.try_again(dir, partition, topic_id);
        }
    }

    /// A partition is not open: it is reported, and told to whoever asks for it.
    fn fail(&self, partition: TopicPartition, why: NotOpened, report: &mut OpeningReport) {
        self.node.give(Input::Absent { partition: partition.clone(), error: why.to_request_error() });
        report.failed.push((partition, why));
    }

    /// The partitions that the metadata places here. What is here and not known to it is told.
    fn wanted(&self, report: &mut OpeningReport) -> Vec<Wanted> {
        let (wanted, elsewhere) = self.node.with_image(|image| {
            let mut wanted = Vec::new();
            let mut elsewhere = Vec::new();
            for topic in image.topics() {
                let pairs = image.topic_config(topic.name()).cloned().unwrap_or_default();
                let (config, _) = TopicConfig::read_pairs(&pairs);
                for (number, state) in topic.partitions() {
                    let Ok(partition) = TopicPartition::new(topic.name().clone(), number) else { continue };
                    if !state.replicas.contains(&self.identity.node) {
                        continue;
                    }
                    let directory = state.directory_of(self.identity.node);
                    match self.place(&partition, directory) {
                        Some(dir) => wanted.push(Wanted {
                            partition,
                            dir,
                            topic_id: topic.id(),
                            log: settings::log_config(&config),
                            config: settings::partition_config(&config),
                        }),
                        None => elsewhere.push(partition),
                    }
                }
            }
            (wanted, elsewhere)
        });
        for partition in elsewhere {
            self.fail(partition, NotOpened::DirectoryNotGiven, report);
        }
        let known = |partition: &&TopicPartition| wanted.iter().any(|one| one.partition == **partition);
        let is_ours = |partition: &&TopicPartition| **partition != metadata_partition() && !known(partition);
        report.unknown.extend(self.places.keys().filter(is_ours).cloned());
        report.unknown.retain(|unknown| !report.not_adopted.iter().any(|(partition, _)| partition == unknown));
        wanted
    }

    /// Where a partition is, or is to be made. One whose directory is not here is not made anew: it would be empty.
    fn place(&self, partition: &TopicPartition, directory: Option<Uuid>) -> Option<usize> {
        if let Some(dir) = self.places.get(partition) {
            return Some(*dir);
        }
        match directory.filter(|id| !id.is_reserved()) {
            Some(id) => self.identity.directories.iter().position(|known| *known == id),
            None => Some(0),
        }
    }

    fn open_one(&self, wanted: &Wanted) -> Result<Waiting<D>, NotOpened> {
        let Wanted { partition, dir, topic_id, log, config } = wanted;
        if !self.places.contains_key(partition)
            && let Some(end) = self.node.noted_end(*dir, partition).filter(|end| *end > Offset::ZERO)
        {
            return Err(NotOpened::DirectoryMissing { end });
        }
        let opened = self.node.open_log(*dir, partition, log.clone(), Some(*topic_id))?;
        Ok(Waiting { dir: *dir, opened, topic_id: *topic_id, config: *config })
    }

    fn host(&self, partition: &TopicPartition, one: Waiting<D>, reign: Reign) {
        let facts = PartitionFacts {
            partition: partition.clone(),
            topic_id: Some(one.topic_id),
            broker: self.identity.node,
            found: found(one.opened.report.shutdown),
        };
        self.node.host(one.dir, one.opened, facts, reign, one.config);
    }
}

/// A partition that is to be here.
struct Wanted {
    partition: TopicPartition,
    dir: usize,
    topic_id: TopicId,
    log: LogConfig,
    config: PartitionConfig,
}
