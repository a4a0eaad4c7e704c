//! `ottla topics`: which topics a log directory has, and what there is of each.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::cli::columns::columns;
use crate::cli::finding::{CliError, Finding};
use crate::cli::json::Object;
use crate::cli::log_view::Noted;
use crate::cli::metadata::Metadata;
use crate::cli::printer::text;
use crate::cli::survey::{Survey, partitions};
use crate::controller::{ConfigMap, METADATA_TOPIC, PartitionState};
use crate::id::{TopicId, TopicName, TopicPartition};
use crate::message::TopicConfig;

/// Lists the topics of a log directory, or describes one: partitions, offsets, segments, bytes, configuration.
///
/// Writes nothing, takes no lock, and may look beside a live queue. What the topics are is in the metadata; a directory
/// without any is listed by its partition directories, and standard error says so.
#[derive(Args, Clone, Debug)]
pub struct TopicsArgs {
    /// The log directory.
    dir: PathBuf,
    /// The topic to describe; without it all are listed.
    #[arg(value_parser = named_topic)]
    topic: Option<TopicName>,
    /// A JSON object per topic; of the topic described, one for it and one for each of its partitions.
    #[arg(long)]
    json: bool,
}

fn named_topic(text: &str) -> Result<TopicName, String> {
    TopicName::new(text).map_err(|error| error.to_string())
}

/// A topic, as far as it is known.
#[derive(Default)]
struct Listed {
    id: Option<TopicId>,
    config: ConfigMap,
    partitions: BTreeMap<u32, Part>,
}

/// A partition of a topic: what the metadata says of it, and what there is of it here.
#[derive(Default)]
struct Part {
    state: Option<PartitionState>,
    survey: Option<Survey>,
}

impl TopicsArgs {
    /// Prints them.
    ///
    /// # Errors
    ///
    /// [`CliError`] if the directory cannot be read, there is no such topic, or `out` fails. A single log that cannot be
    /// looked at is told to `note`, and so is that there is no metadata.
    pub fn run(&self, mut out: impl Write, note: &mut dyn FnMut(&dyn Display)) -> Result<Finding, CliError> {
        let mut looking = Looking { args: self, note, finding: Finding::Clean };
        let topics = looking.look()?;
        let finding = looking.finding;
        let done = match &self.topic {
            None => self.list(&topics, &mut out),
            Some(name) => {
                let topic = topics.get(name).ok_or_else(|| CliError::NoTopic { name: name.clone() })?;
                if self.json { json_described(name, topic, &mut out) } else { describe(name, topic, &mut out) }
            }
        };
        done.and_then(|()| out.flush()).map_err(CliError::Output)?;
        Ok(finding)
    }

    fn list(&self, topics: &BTreeMap<TopicName, Listed>, out: &mut impl Write) -> io::Result<()> {
        if self.json {
            return topics.iter().try_for_each(|(name, topic)| {
                json_topic(name, topic, out)?;
                writeln!(out)
            });
        }
        let mut rows = vec![["TOPIC", "PARTITIONS", "OFFSETS", "SEGMENTS", "BYTES"].map(str::to_owned)];
        rows.extend(topics.iter().map(|(name, topic)| {
            let [offsets, segments, bytes] = topic.sums();
            [name.to_string(), topic.partitions.len().to_string(), offsets, segments, bytes]
        }));
        columns(out, &rows)
    }
}

/// One look at a log directory.
struct Looking<'a> {
    args: &'a TopicsArgs,
    note: &'a mut dyn FnMut(&dyn Display),
    finding: Finding,
}

impl Looking<'_> {
    /// The topics there are; if one is to be described, only that one.
    fn look(&mut self) -> Result<BTreeMap<TopicName, Listed>, CliError> {
        let root = &self.args.dir;
        // The directories first: what has one by now stands in the metadata by then.
        let here = partitions(root)?;
        let noted = Noted::read(root)?;
        let mut topics = self.known(&here, &noted)?;
        for partition in here {
            let part = topics.entry(partition.topic().clone()).or_default();
            part.partitions.entry(partition.partition()).or_default();
        }
        if let Some(name) = &self.args.topic {
            topics.retain(|listed, _| listed == name);
        }
        for (name, topic) in &mut topics {
            for (number, part) in &mut topic.partitions {
                let Ok(partition) = TopicPartition::new(name.clone(), *number) else { continue };
                part.survey = self.survey(&partition, &noted);
            }
            // A directory that nobody knows, and without a log, is none of a partition.
            let is_one = |part: &Part| part.survey.as_ref().is_some_and(|survey| !survey.segments.is_empty());
            topic.partitions.retain(|_, part| part.state.is_some() || is_one(part));
        }
        topics.retain(|_, topic| topic.id.is_some() || !topic.partitions.is_empty());
        Ok(topics)
    }

    /// The topics that the metadata knows.
    fn known(&mut self, here: &[TopicPartition], noted: &Noted) -> Result<BTreeMap<TopicName, Listed>, CliError> {
        let dir = self.args.dir.display();
        let image = match Metadata::read(&self.args.dir, here, noted)? {
            Metadata::Image { image, broken } => {
                for fault in broken {
                    self.finding = self.finding.max(Finding::Damage);
                    (self.note)(&format_args!("{fault}; what was there before it says as much"));
                }
                image
            }
            Metadata::Missing => {
                (self.note)(&format_args!("{dir}: no metadata; topics are listed by their partition directories"));
                return Ok(BTreeMap::new());
            }
            Metadata::Unreadable(fault) => {
                self.finding = self.finding.max(Finding::Damage);
                let why = format_args!(
                    "{dir}: the metadata cannot be read, so topics are listed by their partition directories: {fault}"
                );
                (self.note)(&why);
                return Ok(BTreeMap::new());
            }
        };
        let topics = image.topics().map(|topic| {
            let known =
                |(number, state): (u32, &PartitionState)| (number, Part { state: Some(state.clone()), survey: None });
            let config = image.topic_config(topic.name()).cloned().unwrap_or_default();
            let listed = Listed { id: Some(topic.id()), config, partitions: topic.partitions().map(known).collect() };
            (topic.name().clone(), listed)
        });
        Ok(topics.collect())
    }

    fn survey(&mut self, partition: &TopicPartition, noted: &Noted) -> Option<Survey> {
        match Survey::of_partition(&self.args.dir, partition, noted) {
            Ok(survey) => {
                if let Some(damage) = survey.as_ref().and_then(|survey| survey.damage.as_ref()) {
                    self.finding = self.finding.max(Finding::Damage);
                    (self.note)(&format_args!("DAMAGED {damage}"));
                }
                survey
            }
            Err(error) => {
                self.finding = Finding::Unreadable;
                (self.note)(&error);
                None
            }
        }
    }
}

impl Listed {
    fn sum(&self, what: impl Fn(&Survey) -> u64) -> u64 {
        self.partitions.values().filter_map(|part| part.survey.as_ref()).map(what).sum()
    }

    /// Offsets, segments and bytes of all partitions, as text.
    fn sums(&self) -> [String; 3] {
        let segments = self.sum(|survey| survey.segments.len() as u64);
        [self.sum(Survey::offsets), segments, self.sum(Survey::bytes)].map(|sum| sum.to_string())
    }
}

fn describe(name: &TopicName, topic: &Listed, out: &mut impl Write) -> io::Result<()> {
    match topic.id {
        Some(id) => writeln!(out, "topic {name}, id {id}")?,
        None if name.as_str() == METADATA_TOPIC => writeln!(out, "topic {name}, the metadata itself")?,
        None => writeln!(out, "topic {name}, unknown to the metadata")?,
    }
    for (key, value) in &topic.config {
        write!(out, "  ")?;
        text(out, key.as_bytes())?;
        write!(out, " = ")?;
        text(out, value.as_bytes())?;
        writeln!(out)?;
    }
    for refused in TopicConfig::read_pairs(&topic.config).1 {
        writeln!(out, "  not in force here: {refused}")?;
    }
    if topic.id.is_some() {
        let others = if topic.config.is_empty() {
            "every setting is the default"
        } else {
            "all other settings are the defaults"
        };
        writeln!(out, "  {others}")?;
    }
    let heads = ["PARTITION", "LOG START", "LOG END", "SEGMENTS", "BYTES", "ON DISK", "LEADER", "EPOCH"];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(topic.partitions.iter().map(|(number, part)| part.row(*number)));
    columns(out, &rows)
}

impl Part {
    fn row(&self, number: u32) -> [String; 8] {
        let none = || "-".to_owned();
        let of_log = |what: fn(&Survey) -> u64| self.survey.as_ref().map_or_else(none, |one| what(one).to_string());
        let leader = self.state.as_ref().and_then(|state| state.leader);
        [
            number.to_string(),
            of_log(|one| one.log_start_offset.get()),
            of_log(|one| one.log_end_offset.get()),
            of_log(|one| one.segments.len() as u64),
            of_log(Survey::bytes),
            of_log(|one| one.disk_bytes),
            leader.map_or_else(none, |leader| leader.get().to_string()),
            self.state.as_ref().map_or_else(none, |state| state.leader_epoch.get().to_string()),
        ]
    }
}

fn json_topic(name: &TopicName, topic: &Listed, out: &mut impl Write) -> io::Result<()> {
    let id = topic.id.map(|id| id.to_string());
    let mut object = Object::begin(out)?;
    object.field("topic", name.as_str())?.field("id", id.as_deref())?.field("partitions", topic.partitions.len())?;
    object.field("offsets", topic.sum(Survey::offsets))?;
    object.field("segments", topic.sum(|survey| survey.segments.len() as u64))?;
    object.field("bytes", topic.sum(Survey::bytes))?.field("disk_bytes", topic.sum(|survey| survey.disk_bytes))?;
    let mut config = Object::begin(object.name("configuration")?)?;
    for (key, value) in &topic.config {
        config.field(key, value.as_str())?;
    }
    config.end()?;
    object.end()
}

fn json_described(name: &TopicName, topic: &Listed, out: &mut impl Write) -> io::Result<()> {
    json_topic(name, topic, out)?;
    writeln!(out)?;
    for (number, part) in &topic.partitions {
        let (survey, state) = (part.survey.as_ref(), part.state.as_ref());
        let of_log = |what: fn(&Survey) -> u64| survey.map(what);
        let mut object = Object::begin(out)?;
        object.field("topic", name.as_str())?.field("partition", *number)?;
        object.field("log_start_offset", of_log(|one| one.log_start_offset.get()))?;
        object.field("log_end_offset", of_log(|one| one.log_end_offset.get()))?;
        object.field("segments", of_log(|one| one.segments.len() as u64))?;
        object.field("bytes", of_log(Survey::bytes))?.field("disk_bytes", of_log(|one| one.disk_bytes))?;
        object.field("leader", state.and_then(|state| state.leader).map(|leader| leader.get()))?;
        object.field("leader_epoch", state.map(|state| state.leader_epoch.get()))?;
        object.field("damage", survey.and_then(|survey| survey.damage.as_deref()))?;
        object.end()?;
        writeln!(out)?;
    }
    Ok(())
}
