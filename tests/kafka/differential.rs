//! The differential test: Kafka's log and ours side by side, whatever is done to them.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::compare::MEANT;
use crate::java::Java;
use crate::kafka_log::KafkaLog;
use crate::oracle::Oracle;
use crate::ottla_log::OttlaBench;
use crate::rng::Rng;
use crate::run::{Bench, Counts, Disagreement, run};
use crate::script::{Op, Script};
use crate::shrink::shrink;
use crate::subject::{Answer, Request, State, Subject};

/// A number from the environment.
fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Runs scripts in fresh folders, one after the other.
struct Arena<B> {
    oracle: Oracle,
    bench: B,
    root: tempfile::TempDir,
    runs: u64,
}

impl<B: Bench> Arena<B> {
    fn new(java: &Java, bench: B) -> Self {
        Self { oracle: Oracle::start(java), bench, root: tempfile::tempdir().unwrap(), runs: 0 }
    }

    fn run(&mut self, script: &Script) -> Result<Counts, Disagreement> {
        self.runs += 1;
        let folder = self.root.path().join(self.runs.to_string());
        let done = run(script, &mut self.oracle, &mut self.bench, &folder);
        match std::env::var_os("OTTLA_ORACLE_KEEP") {
            Some(place) if done.is_err() => std::fs::rename(&folder, place).unwrap(),
            _ => std::fs::remove_dir_all(&folder).unwrap(),
        }
        done
    }

    /// Runs a script; of one that fails, makes a short one that fails in the same way.
    #[expect(clippy::result_large_err, reason = "a script that fails is what this is about")]
    fn run_or_shrink(&mut self, script: &Script) -> Result<Counts, (Script, Disagreement)> {
        let first = match self.run(script) {
            Ok(counts) => return Ok(counts),
            Err(first) => first,
        };
        let upto = Script {
            settings: script.settings.clone(),
            ops: script.ops[..script.ops.len().min(first.at + 1)].to_vec(),
        };
        let tries = setting("OTTLA_ORACLE_SHRINK", 600) as usize;
        let short = shrink(&upto, tries, |script| self.run(script).is_err_and(|found| found.kind() == first.kind()));
        let found = self.run(&short).err().unwrap_or(first);
        Err((short, found))
    }
}

/// A second Kafka in our place, to test the test: Kafka agrees with Kafka.
struct KafkaTwice {
    oracle: Rc<RefCell<Oracle>>,
    fault: fn(&Request, &mut Answer),
}

impl KafkaTwice {
    fn new(java: &Java, fault: fn(&Request, &mut Answer)) -> Self {
        Self { oracle: Rc::new(RefCell::new(Oracle::start(java))), fault }
    }
}

/// The second Kafka's log, whose answers pass through a fault.
struct SecondKafka {
    oracle: Rc<RefCell<Oracle>>,
    folder: PathBuf,
    now: i64,
    fault: fn(&Request, &mut Answer),
}

impl SecondKafka {
    fn with<T>(&self, ask: impl FnOnce(&mut KafkaLog<'_>) -> T) -> T {
        let mut oracle = self.oracle.borrow_mut();
        let mut log = KafkaLog::new(&mut oracle, &self.folder.display().to_string(), &self.folder);
        log.at(self.now);
        ask(&mut log)
    }
}

impl Bench for KafkaTwice {
    type Log = SecondKafka;

    fn log(&mut self, folder: &Path) -> SecondKafka {
        SecondKafka { oracle: Rc::clone(&self.oracle), folder: folder.to_owned(), now: 0, fault: self.fault }
    }
}

impl Subject for SecondKafka {
    fn perform(&mut self, now: i64, request: &Request) -> Answer {
        self.now = now;
        let mut answer = self.with(|log| log.perform(now, request));
        (self.fault)(request, &mut answer);
        answer
    }

    fn state(&mut self) -> State {
        self.with(|log| log.state())
    }
}

#[test]
#[ignore = "takes Java and Maven: .ci/run runs it where they are"]
fn our_log_does_what_kafkas_does() {
    let java = Java::ready();
    let mut arena = Arena::new(&java, OttlaBench);
    let mut all = Counts::default();
    let mut failures = Vec::new();
    for (name, script) in scripts() {
        match arena.run_or_shrink(&script) {
            Ok(counts) => all.add(&counts),
            Err((short, found)) => failures.push(format!("{name}, {found}\n\n{short}")),
        }
        if failures.len() == FAILURES_MAX || all.ops >= setting("OTTLA_ORACLE_TOTAL", 20_000) {
            break;
        }
    }
    println!("{all:?}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// So many scripts that fail are enough: each takes many runs to make short.
const FAILURES_MAX: usize = 8;

/// The script that the environment names, or one for each seed.
fn scripts() -> Box<dyn Iterator<Item = (String, Script)>> {
    if let Ok(path) = std::env::var("OTTLA_ORACLE_SCRIPT") {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let script = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        return Box::new(std::iter::once((path, script)));
    }
    let first = setting("OTTLA_ORACLE_SEED", 1);
    let length = setting("OTTLA_ORACLE_OPS", 500) as usize;
    let seeds = first..first + setting("OTTLA_ORACLE_SEEDS", 1_000_000);
    Box::new(seeds.map(move |seed| (format!("seed {seed}"), crate::generate::script(&mut Rng::new(seed), length))))
}

#[test]
#[ignore = "takes Java and Maven: .ci/run runs it where they are"]
fn kafka_agrees_with_itself() {
    let java = Java::ready();
    let mut arena = Arena::new(&java, KafkaTwice::new(&java, |_, _| {}));
    let mut all = Counts::default();
    let first = setting("OTTLA_ORACLE_SEED", 11);
    for seed in first..first + setting("OTTLA_ORACLE_SEEDS", 2) {
        let script = crate::generate::script(&mut Rng::new(seed), setting("OTTLA_ORACLE_OPS", 500) as usize);
        let counts = arena.run(&script);
        all.add(&counts.unwrap_or_else(|found| panic!("seed {seed}, {found}")));
    }
    println!("{all:?}");
}

#[test]
#[ignore = "takes Java and Maven: .ci/run runs it where they are"]
fn a_difference_is_found_and_its_script_made_short() {
    let java = Java::ready();
    let fault = |request: &Request, answer: &mut Answer| {
        if matches!(request, Request::Roll) {
            *answer = Answer::Deleted(1);
        }
    };
    let mut arena = Arena::new(&java, KafkaTwice::new(&java, fault));
    let mut script = crate::generate::script(&mut Rng::new(12), 20);
    script.ops.push(Op::Roll {});
    let (short, found) = arena.run_or_shrink(&script).expect_err("the fault is found");
    assert_eq!(short.ops, [Op::Roll {}], "{found}");
}

#[test]
fn every_meant_difference_says_why() {
    for meant in MEANT {
        assert!(!meant.name.is_empty() && meant.what.len() > 20 && meant.why.len() > 20, "{meant:?}");
    }
}
