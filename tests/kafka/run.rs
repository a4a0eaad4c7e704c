//! One script, done to Kafka's log and to another; stops at the first difference.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::build;
use crate::compare::{
    self, BEGUN_BELOW_THE_START, END_KEPT, EPOCH_AT_THE_END, OPENS, ROLLED_BY_A_REFUSED_BATCH, Tally,
};
use crate::files;
use crate::kafka_log::KafkaLog;
use crate::oracle::Oracle;
use crate::script::{Op, Script};
use crate::subject::{Answer, Request, State, Subject};
use crate::world::World;

/// Where the two logs first differed.
#[derive(Clone, Debug)]
pub struct Disagreement {
    /// The index of the operation in the script.
    pub at: usize,
    /// The operation.
    pub op: String,
    /// What differs: what it is before the first colon, the two values behind it.
    pub what: String,
}

impl Disagreement {
    /// What kind of difference this is: the same for the same fault in another place.
    pub fn kind(&self) -> String {
        let verb = self.op.split(' ').next().unwrap_or_default();
        let what = self.what.split(':').next().unwrap_or_default();
        format!("{verb}/{}", what.split(|c: char| c.is_ascii_digit()).next().unwrap_or_default())
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after operation {} ({}): {}", self.at + 1, self.op, self.what)
    }
}

/// What was done in a run, for the reader who wants to know whether it met anything.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// How many operations both logs have done.
    pub ops: u64,
    /// How many of each verb were accepted, how many refused.
    pub verbs: BTreeMap<&'static str, (u64, u64)>,
    /// How many closes were compared byte for byte.
    pub compared: u64,
    pub meant: Tally,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.ops += other.ops;
        self.compared += other.compared;
        for (verb, (done, refused)) in &other.verbs {
            let sum = self.verbs.entry(verb).or_default();
            *sum = (sum.0 + done, sum.1 + refused);
        }
        for (name, count) in &other.meant {
            *self.meant.entry(name).or_default() += count;
        }
    }
}

/// A log under test in a folder: its maker, and where in the folder its partition lies.
pub trait Bench {
    type Log: Subject;
    fn log(&mut self, folder: &Path) -> Self::Log;
}

/// Does the script to Kafka's log and to `other`, in folders below `root`.
pub fn run<B: Bench>(script: &Script, oracle: &mut Oracle, bench: &mut B, root: &Path) -> Result<Counts, Disagreement> {
    let (theirs, ours) = (root.join("kafka"), root.join("ottla"));
    let mut pair = Pair {
        ottla: bench.log(&ours),
        kafka: KafkaLog::new(oracle, &root.display().to_string(), &theirs),
        folders: [theirs.join("t-0"), ours.join("t-0")],
        world: World::new(script.settings.clone()),
        counts: Counts::default(),
    };
    let done = pair.run_all(script);
    // Only to let go of the files.
    pair.kafka.perform(pair.world.now, &Request::Kill);
    match done {
        Err(found) if !found.what.starts_with(PARTED) => Err(found),
        _ => Ok(pair.counts),
    }
}

/// How what is said begins when both logs are right and can no more be compared.
pub const PARTED: &str = "parted";

struct Pair<'a, S> {
    kafka: KafkaLog<'a>,
    ottla: S,
    folders: [PathBuf; 2],
    world: World,
    counts: Counts,
}

impl<S: Subject> Pair<'_, S> {
    fn run_all(&mut self, script: &Script) -> Result<(), Disagreement> {
        let located = |at: usize, op: String| move |what| Disagreement { at, op, what };
        self.open(true).map_err(located(0, "open".into()))?;
        for (at, op) in script.ops.iter().enumerate() {
            self.step(op).map_err(located(at, op.to_string()))?;
            self.counts.ops += 1;
        }
        self.close().map_err(located(script.ops.len(), "close".into()))
    }

    fn step(&mut self, op: &Op) -> Result<(), String> {
        match op {
            Op::Close {} => {
                self.count(op, true);
                self.close()?;
                self.open(true)
            }
            Op::Kill { damage, amount, salt } => {
                self.count(op, true);
                self.both(&Request::Kill)?;
                for folder in &self.folders {
                    files::damage(folder, *damage, *amount, *salt, self.world.state.recovery_point);
                }
                self.open(false)
            }
            _ => self.ask(op),
        }
    }

    fn ask(&mut self, op: &Op) -> Result<(), String> {
        let (kafka, now) = (&mut self.kafka, self.world.now);
        kafka.at(now);
        let mut parting = Ok(());
        let mut make = |what: &str, description: Value| match made(kafka, now, what, &description) {
            Ok(bytes) => bytes,
            Err(two) => {
                parting = Err(format!("built: {description}"));
                two
            }
        };
        let request = self.world.request(op, &mut make);
        parting?;
        let Some(request) = request else { return Ok(()) };
        if matches!(request, Request::Append { .. })
            && let Some(election) = self.world.election()
        {
            self.perform(op, &election)?;
        }
        self.perform(op, &request)
    }

    fn perform(&mut self, op: &Op, request: &Request) -> Result<(), String> {
        let answer = self.both(request)?;
        let state = self.kafka.state();
        self.follow(request, &state)?;
        self.count(op, !matches!(answer, Answer::Refused(_)));
        self.world.learn(op, request, &answer, state);
        if matches!(request, Request::TruncateTo { .. } | Request::StartAt { .. }) {
            return self.reloaded();
        }
        self.same_state()
    }

    fn count(&mut self, op: &Op, accepted: bool) {
        let verb = self.counts.verbs.entry(op.word()).or_default();
        *if accepted { &mut verb.0 } else { &mut verb.1 } += 1;
    }

    /// Asks both and compares; Kafka's answer.
    fn both(&mut self, request: &Request) -> Result<Answer, String> {
        let theirs = self.kafka.perform(self.world.now, request);
        let ours = self.ottla.perform(self.world.now, request);
        if matches!((request, &theirs, &ours), (Request::Open(_), Answer::Refused(_), Answer::Done)) {
            *self.counts.meant.entry(OPENS.name).or_default() += 1;
            return Err(format!("{PARTED}: {theirs:?}"));
        }
        compare::answers(request, &theirs, &ours, &self.world, &mut self.counts.meant)?;
        Ok(theirs)
    }

    /// Does to our log what Kafka's did to itself on the way to a refusal or a duplicate.
    fn follow(&mut self, request: &Request, kafka: &State) -> Result<(), String> {
        let before = &self.world.state;
        if kafka.high_watermark > before.high_watermark && !matches!(request, Request::AdvanceHighWatermark { .. }) {
            // Within a gap, Kafka takes the place behind the gap for the same place.
            self.ottla.perform(self.world.now, &Request::AdvanceHighWatermark { to: kafka.high_watermark });
        }
        let is_append = matches!(request, Request::Append { .. } | Request::Replicate { .. });
        if !is_append || kafka.log_end != before.log_end {
            return Ok(());
        }
        let rolled = kafka.segments.last().map(|last| last.0) != before.segments.last().map(|last| last.0);
        let noted = kafka.epochs.last().filter(|latest| before.epochs.last() != Some(*latest));
        let noted = noted.map(|(epoch, _)| Request::AssignEpoch { epoch: *epoch as i32 });
        for also in noted.into_iter().chain(rolled.then_some(Request::Roll)) {
            let ours = self.ottla.perform(self.world.now, &also);
            if ours != Answer::Done {
                return Err(format!("{also:?} after a refusal: ottla {ours:?}"));
            }
            *self.counts.meant.entry(ROLLED_BY_A_REFUSED_BATCH.name).or_default() += 1;
            self.world.leads = false;
        }
        Ok(())
    }

    fn same_state(&mut self) -> Result<(), String> {
        compare::states(&mut self.world, &self.ottla.state(), &mut self.counts.meant)
    }

    /// Kafka has read its producers anew, without those that have expired: ours have to go too.
    fn reloaded(&mut self) -> Result<(), String> {
        self.both(&Request::ExpireProducers)?;
        self.world.state = self.kafka.state();
        self.world.reloaded(&self.ottla.state())?;
        self.same_state()
    }

    fn open(&mut self, clean: bool) -> Result<(), String> {
        let request = self.world.opening(clean);
        self.both(&request)?;
        let (theirs, ours) = (self.kafka.state().log_end, self.ottla.state().log_end);
        if clean && theirs < ours && ours == self.world.state.log_end {
            self.ottla.perform(self.world.now, &Request::TruncateTo { to: theirs });
            *self.counts.meant.entry(END_KEPT.name).or_default() += 1;
        }
        self.forget_epoch_at_the_end();
        self.world.learn(&Op::Close {}, &request, &Answer::Done, self.kafka.state());
        self.reloaded()
    }

    /// An opening of Kafka's forgets the epoch that begins at the log end.
    fn forget_epoch_at_the_end(&mut self) {
        let (theirs, ours) = (self.kafka.state(), self.ottla.state());
        let at_the_end = ours.epochs.last().is_some_and(|(_, start)| *start == ours.log_end);
        if at_the_end && theirs.epochs != ours.epochs {
            self.ottla.perform(self.world.now, &Request::TruncateTo { to: ours.log_end });
            *self.counts.meant.entry(EPOCH_AT_THE_END.name).or_default() += 1;
        }
    }

    fn close(&mut self) -> Result<(), String> {
        self.both(&Request::Close)?;
        // A clean close flushes all.
        self.world.state.recovery_point = self.world.state.log_end;
        self.counts.compared += 1;
        let [mut theirs, mut ours] = self.folders.each_ref().map(|folder| files::read(folder));
        if self.world.reloaded && files::forget_begun_below(&mut theirs, &mut ours, self.world.state.log_start) {
            *self.counts.meant.entry(BEGUN_BELOW_THE_START.name).or_default() += 1;
        }
        files::compare(&theirs, &ours)
    }
}

/// The bytes of a batch. Ours where it is compressed, so that Kafka reads what we compress; where it is not, both
/// builders must agree on every byte. What our builder leaves to others (markers, control batches) is Kafka's.
fn made(kafka: &mut KafkaLog<'_>, now: i64, what: &str, description: &Value) -> Result<Vec<u8>, Vec<u8>> {
    if what != "make_batch" || description["control"] == true {
        return Ok(kafka.made(what, description.clone()));
    }
    let ours = build::batch(description, now).map(|batch| batch.to_bytes().to_vec());
    if description["codec"].as_str().unwrap_or("none") != "none"
        && let Ok(bytes) = ours
    {
        return Ok(bytes);
    }
    let theirs = kafka.made(what, description.clone());
    if ours.as_ref() == Ok(&theirs) { Ok(theirs) } else { Err(theirs) }
}
