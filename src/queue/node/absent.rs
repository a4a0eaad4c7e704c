//! Partitions that found no space when the node was opened or their topic was made: tried again now and then, and hosted once
//! there is some.
//!
//! The walk: whoever could not open them notes them. In each round of upkeep some are opened, outside the lock of the node, and the controller
//! is asked who leads them ([`Input::Lead`]); when it has said so ([`Output::Led`](crate::broker::Output::Led)), they are hosted.
//!
//! - Must not know: when a round is, and who may lead.
//! - Always true: one round is under way at a time; a directory that is full is asked once in a round; what is not open for
//!   another reason, or belongs to a topic that has gone, is not tried again.

use std::collections::{BTreeMap, BTreeSet};

use crate::broker::{Input, settings};
use crate::controller::{self, Opened};
use crate::disk::{Disk, OpenError, OpenedLog, Shutdown};
use crate::id::{TopicId, TopicPartition};
use crate::message::{RequestError, TopicConfig};
use crate::offset::Offset;
use crate::partition::{Found, PartitionConfig, PartitionFacts, Reign};
use crate::queue::node::outputs::Todo;
use crate::queue::node::{Node, NotOpened};

/// How many partitions of a directory one round tries at most.
const TRIES_MAX: usize = 16;

/// A partition that is to be tried again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Absent {
    pub(super) dir: usize,
    pub(super) topic_id: TopicId,
}

/// A partition whose log is open now, and of which nobody has said yet who leads it.
#[derive(Debug)]
pub(super) struct OpenedAgain<D: Disk> {
    absent: Absent,
    opened: OpenedLog<D>,
    config: PartitionConfig,
}

/// What of a partition's log is known to whoever is to lead it.
pub(crate) fn found(shutdown: Shutdown) -> Found {
    if matches!(shutdown, Shutdown::New | Shutdown::Clean) { Found::Whole } else { Found::Unsettled }
}

impl<D: Disk> Node<D> {
    /// Notes a partition that found no space.
    pub(crate) fn try_again(&self, dir: usize, partition: TopicPartition, topic_id: TopicId) {
        self.core.lock().absent.insert(partition, Absent { dir, topic_id });
    }

    /// What the controller has to know of a log that is open.
    pub(crate) fn as_opened(&self, dir: usize, partition: &TopicPartition, opened: &OpenedLog<D>) -> Opened {
        Opened {
            partition: partition.clone(),
            directory: self.options.directories[dir],
            last_epoch: opened.log.epochs().latest(),
            shutdown: match found(opened.report.shutdown) {
                Found::Whole => controller::Shutdown::Clean,
                Found::Unsettled => controller::Shutdown::Unclean,
            },
            last_producer_id: opened.log.producers().entries().map(|(id, _)| id).max(),
        }
    }

    /// Whether a round is to begin. If so, it has, and [`open_absent`](Self::open_absent) is to be called.
    pub(super) fn begins_round(&self) -> bool {
        let mut core = self.core.lock();
        let begins = !core.is_stopped && !core.absent.is_empty() && core.opened_again.is_empty();
        begins && !std::mem::replace(&mut core.is_trying_again, true)
    }

    /// Opens what may have found some space by now, and asks who leads it.
    pub(super) fn open_absent(&self) {
        let absent = self.core.lock().absent.clone();
        let (mut full, mut tries) = (BTreeSet::new(), BTreeMap::<usize, usize>::new());
        let mut led = Vec::new();
        for (partition, absent) in absent {
            let tried = tries.entry(absent.dir).or_default();
            if full.contains(&absent.dir) || *tried >= TRIES_MAX {
                continue;
            }
            *tried += 1;
            match self.open_again(&partition, absent) {
                Err(NotOpened::DiskFull(_)) => drop(full.insert(absent.dir)),
                outcome => {
                    let opened = self.opened_again(partition, absent.topic_id, outcome);
                    led.extend(opened);
                }
            }
        }
        if !led.is_empty() {
            self.give(Input::Lead { opened: led, date: self.clock.date() });
        }
        self.core.lock().is_trying_again = false;
    }

    /// Has whoever asks for a partition told why it is not here, unless its topic has gone.
    fn say_why(&self, partition: TopicPartition, topic_id: TopicId, why: &NotOpened) {
        let mut todo = Todo::default();
        {
            let mut core = self.core.lock();
            if core.is_of(&partition, topic_id) {
                let input = Input::Absent { partition, error: why.to_request_error() };
                core.give(self.clock.now(), input, &mut todo);
                self.was_given(&mut core);
            }
        }
        self.finish(todo);
    }

    /// `None` if its topic has gone.
    fn open_again(&self, partition: &TopicPartition, absent: Absent) -> Result<Option<OpenedAgain<D>>, NotOpened> {
        let topic_id = absent.topic_id;
        let pairs = self.with_image(|image| image.topic_config(partition.topic()).cloned().unwrap_or_default());
        let (config, _) = TopicConfig::read_pairs(&pairs);
        let mut dir = self.dirs[absent.dir].lock();
        if !self.core.lock().is_of(partition, topic_id) {
            return Ok(None);
        }
        let told = |error: &OpenError| NotOpened::log(error, partition, &self.name_of(absent.dir));
        let is_there = dir.partitions().map_err(|error| told(&OpenError::Dir(error)))?.contains(partition);
        if let Some(end) = dir.noted_end(partition).filter(|end| !is_there && *end > Offset::ZERO) {
            return Err(NotOpened::DirectoryMissing { end });
        }
        let opened = self.open_log_in(&mut dir, partition, settings::log_config(&config), Some(topic_id));
        let opened = opened.map_err(|error| told(&error))?;
        Ok(Some(OpenedAgain { absent, opened, config: settings::partition_config(&config) }))
    }

    /// Notes what has come of one. Answers what the controller is to be told of it.
    fn opened_again(
        &self,
        partition: TopicPartition,
        topic_id: TopicId,
        outcome: Result<Option<OpenedAgain<D>>, NotOpened>,
    ) -> Option<Opened> {
        let mut core = self.core.lock();
        core.absent.remove(&partition);
        match outcome {
            Ok(Some(again)) => {
                let opened = self.as_opened(again.absent.dir, &partition, &again.opened);
                core.opened_again.insert(partition, again);
                Some(opened)
            }
            Ok(None) => None,
            Err(why) => {
                drop(core);
                self.say_why(partition, topic_id, &why);
                None
            }
        }
    }

    /// Hosts what was opened again, unless the node is being closed meanwhile. If there was no space for the metadata that says
    /// who leads it, it is tried again once more.
    pub(super) fn host_again(
        &self,
        partition: TopicPartition,
        again: OpenedAgain<D>,
        led: Result<Reign, RequestError>,
    ) {
        let OpenedAgain { absent, opened, config } = again;
        let is_stopped = self.core.lock().is_stopped;
        match led {
            Ok(_) if is_stopped => {}
            Ok(reign) => {
                let facts = PartitionFacts {
                    partition,
                    topic_id: Some(absent.topic_id),
                    broker: self.options.broker,
                    found: found(opened.report.shutdown),
                };
                self.host(absent.dir, opened, facts, reign, config);
            }
            Err(error) => {
                // Its files are let go first, for they are opened anew.
                drop(opened);
                let why = NotOpened::not_led(error);
                if matches!(why, NotOpened::DiskFull(_)) {
                    self.core.lock().absent.insert(partition.clone(), absent);
                }
                self.say_why(partition, absent.topic_id, &why);
            }
        }
    }
}
