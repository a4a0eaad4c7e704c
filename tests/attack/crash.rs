//! The process stops at every call, and every image that a power loss may leave is opened (S1-S4, S14-S16).
//!
//! What must hold of each: the content is the state after some step, at or behind the last one that was flushed
//! (I-S1, I-S2); opening again changes nothing, and a crash inside the opening leaves the same choice (I-S3); offsets,
//! epochs, producers and aborted transactions are those of the content (I-S4, I-S6, I-S7, I-S8); nothing is left over
//! (I-S13).

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use ottla::disk::mem::{Applied, Choice, ImageRules};
use ottla::disk::{HighWatermarkRule, LogFile, MemDisk, RecoveryReport};
use ottla::log::{FileName, Log};
use ottla::offset::Offset;

use crate::model::{Side, State};
use crate::random::Random;
use crate::script::{Step, script};
use crate::world::{NOW, World, options, partition};

/// What a reopened log may hold: the content of one of these states, and the log start of one of those.
struct Allowed<'a> {
    history: &'a [State],
    contents: RangeInclusive<usize>,
    starts: RangeInclusive<usize>,
}

impl Allowed<'_> {
    fn check(&self, found: &State) -> Result<(), String> {
        let candidates = self.history[self.contents.clone()].iter().rev();
        let starts = self.history[self.starts.clone()].iter().any(|state| state.start == found.start);
        if !starts {
            return Err(format!("nothing had the log start {}", found.start));
        }
        let mut why = "no state has this content".to_owned();
        for state in candidates {
            if state.rows_from(found.start) != found.rows {
                continue;
            }
            let ends = [state.end.max(found.start), state.rows_end().max(found.start)];
            if !ends.contains(&found.end) {
                why = format!("the log ends at {}, not at one of {ends:?}", found.end);
                continue;
            }
            match differing(state, found) {
                None => return Ok(()),
                Some(side) => why = side,
            }
        }
        Err(why)
    }
}

/// What differs beside the batches.
fn differing(state: &State, found: &State) -> Option<String> {
    let (expected, side) = (state.side.as_ref()?, found.side.as_ref()?);
    let since = |side: &Side| {
        side.aborted.iter().filter(|txn| txn.last_offset.get() >= found.start).copied().collect::<Vec<_>>()
    };
    if since(expected) != since(side) {
        return Some(format!("aborted transactions are {:?}, should be {:?}", side.aborted, expected.aborted));
    }
    let here = |id: &i64| found.rows.iter().any(|row| row.producer == Some(*id));
    let known = |side: &Side| side.producers.iter().filter(|row| here(&row.0)).copied().collect::<Vec<_>>();
    if known(expected) != known(side) {
        return Some(format!("producers are {:?}, should be {:?}", known(side), known(expected)));
    }
    None
}

/// One run of a script without any fault: what each step leaves, and when.
struct Rehearsal {
    steps: Vec<Step>,
    rule: HighWatermarkRule,
    history: Vec<State>,
    /// The number of the last state after the opening, and then after each step.
    after: Vec<usize>,
    /// The last of them of which all was flushed.
    flushed: Vec<usize>,
    calls: u64,
}

impl Rehearsal {
    fn of(seed: u64, count: usize) -> Self {
        let rules = [HighWatermarkRule::FollowWritten, HighWatermarkRule::FollowFlushed, HighWatermarkRule::ByHand];
        let rule = rules[seed as usize % 3];
        let steps = script(seed, count);
        let mut world = World::new(MemDisk::new(), options(rule));
        world.open().unwrap();
        let (mut after, mut flushed) = (vec![0], vec![0]);
        for (number, step) in steps.iter().enumerate() {
            world.perform(*step).unwrap_or_else(|fault| panic!("seed {seed}, step {number} {step:?}: {fault:?}"));
            let at = world.history.len() - 1;
            if seed == trace() {
                println!("{number} {step:?}: state {at}, {} calls", world.disk.calls());
            }
            let log = world.log().log();
            let all = log.flushed() == log.log_end_offset();
            after.push(at);
            flushed.push(if all { at } else { flushed[number] });
        }
        let expected = world.state().clone();
        let found = State::read(world.log()).unwrap();
        assert_eq!(found.rows, expected.rows_from(expected.start), "seed {seed}: what the log says while it is open");
        let calls = world.disk.calls();
        Self { steps, rule, history: world.history, after, flushed, calls }
    }

    /// Runs the script until the disk stops. Answers how many steps were done, counting the opening.
    fn run_until_stopped(&self, disk: &MemDisk) -> usize {
        let mut world = World::new(disk.clone(), options(self.rule));
        if world.open().is_err() {
            return 0;
        }
        let failed = self.steps.iter().position(|step| world.perform(*step).is_err());
        1 + failed.unwrap_or(self.steps.len())
    }

    /// What a power loss may leave when `done` steps were done and the next was under way.
    fn after_power_loss(&self, done: usize) -> Allowed<'_> {
        let last = self.after[done.min(self.after.len() - 1)];
        let before = done.saturating_sub(1);
        Allowed { history: &self.history, contents: self.flushed[before]..=last, starts: self.after[before]..=last }
    }

    /// What a kill may leave.
    fn after_kill(&self, done: usize) -> Allowed<'_> {
        let power = self.after_power_loss(done);
        Allowed { contents: power.starts.clone(), ..power }
    }
}

/// The seed whose steps are printed: `TRACE_SEED`.
fn trace() -> u64 {
    std::env::var("TRACE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(u64::MAX)
}

fn open(disk: &MemDisk, rule: HighWatermarkRule, context: &dyn Fn() -> String) -> (LogFile<MemDisk>, RecoveryReport) {
    let opened = LogFile::open(disk.clone(), &partition(), options(rule), NOW);
    opened.unwrap_or_else(|error| {
        panic!("{}: cannot open: {error}; {:?}", context(), changed(&MemDisk::new(), disk));
    })
}

/// Opens the image and checks all that must hold. Answers what it holds.
fn check_image(image: &MemDisk, rule: HighWatermarkRule, allowed: &Allowed<'_>, context: &dyn Fn() -> String) -> State {
    let (mut log, report) = open(image, rule, context);
    assert!(report.corrupt.is_empty(), "{}: {report}", context());
    let found = State::read(&mut log).unwrap_or_else(|error| panic!("{}: {error}; {report}", context()));
    if let Err(why) = allowed.check(&found) {
        panic!(
            "{}: {why}; {report}\nfound {found:#?}\nlast allowed {:#?}",
            context(),
            allowed.history[*allowed.contents.end()]
        );
    }
    check_offsets(log.log(), &found, context);
    drop(log);
    check_files(image, &found, context);
    let before = image.copy();
    let (mut log, again) = open(image, rule, context);
    assert_eq!(State::read(&mut log).unwrap(), found, "{}: opened again: {again}", context());
    drop(log);
    if image.digest() != before.digest() {
        panic!("{}: opening again has changed {:?}: {again}", context(), changed(&before, image));
    }
    found
}

/// Which files differ, with their lengths.
fn changed(before: &MemDisk, after: &MemDisk) -> Vec<String> {
    let (before, after) = (before.contents(), after.contents());
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differs = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    let len = |found: Option<&Vec<u8>>| found.map_or("none".to_owned(), |bytes| bytes.len().to_string());
    differs.map(|name| format!("{name}: {} -> {}", len(before.get(name)), len(after.get(name)))).collect()
}

/// I-S4 and I-S6.
fn check_offsets(log: &Log, found: &State, context: &dyn Fn() -> String) {
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    assert!(start <= log.high_watermark() && log.high_watermark() <= end, "{}", context());
    assert!(log.flushed() <= end && log.last_stable_offset() <= log.high_watermark(), "{}", context());
    for pair in found.rows.windows(2) {
        assert!(pair[0].last < pair[1].base && pair[0].epoch <= pair[1].epoch, "{}: {pair:?}", context());
    }
    for pair in log.epochs().entries().windows(2) {
        assert!(pair[0].epoch < pair[1].epoch && pair[0].start_offset <= pair[1].start_offset, "{}", context());
    }
    for entry in log.epochs().entries() {
        assert!(start <= entry.start_offset && entry.start_offset <= end, "{}: {entry:?}", context());
    }
    for row in &found.rows {
        let epoch = log.epochs().epoch_for(Offset::new(row.base.max(found.start))).map(|epoch| epoch.get());
        assert_eq!(epoch, row.epoch, "{}: the epoch of {row:?}, {:?}, start {start}", context(), log.epochs());
    }
}

/// I-S13: every file belongs to a segment, or is one of the few beside them.
fn check_files(image: &MemDisk, found: &State, context: &dyn Fn() -> String) {
    let contents = image.contents();
    let mut logs = BTreeSet::new();
    for name in contents.keys().filter_map(|path| path.strip_prefix("t-0/")) {
        if let Some(FileName::Log(base)) = FileName::parse(name) {
            logs.insert(base);
        }
    }
    for name in contents.keys().filter_map(|path| path.strip_prefix("t-0/")) {
        let parsed = FileName::parse(name).unwrap_or_else(|| panic!("{}: {name} is left over", context()));
        match parsed {
            FileName::Log(_) | FileName::LeaderEpochs | FileName::PartitionMetadata => {}
            FileName::Snapshot(offset) => assert!(offset.get() <= found.end, "{}: {name}", context()),
            FileName::OffsetIndex(base)
            | FileName::TimeIndex(base)
            | FileName::TxnIndex(base)
            | FileName::Sums(base)
            | FileName::Replaces(base) => {
                assert!(logs.contains(&base), "{}: {name} has no segment", context());
            }
        }
    }
}

/// After a recovery life goes on: what is appended, flushed and closed is there afterwards.
fn check_life_goes_on(image: &MemDisk, rule: HighWatermarkRule, found: &State, context: &dyn Fn() -> String) {
    let mut world = World::new(image.clone(), options(rule));
    world.history = vec![State { side: None, ..found.clone() }];
    world.open().unwrap();
    for step in
        [Step::Append { producer: None, records: 2 }, Step::Flush, Step::Append { producer: Some(7), records: 1 }]
    {
        world.perform(step).unwrap_or_else(|fault| panic!("{}: {step:?}: {fault:?}", context()));
    }
    let expected = world.state().clone();
    let flushed = image.image(&Choice::nothing());
    let (mut log, report) = open(&flushed, rule, context);
    let kept = State::read(&mut log).unwrap_or_else(|error| panic!("{}: {error}; {report}", context()));
    let whole = expected.rows_from(expected.start);
    let but_last = &whole[..whole.len() - 1];
    assert!(
        kept.rows == whole || kept.rows == but_last,
        "{}: flushed after going on, {report}\nexpected {whole:#?}\nfound {kept:#?}\nfrom {:?}",
        context(),
        changed(&MemDisk::new(), image)
    );
    drop(log);
    world.perform(Step::Close).unwrap_or_else(|fault| panic!("{}: close: {fault:?}", context()));
    let expected = world.state().clone();
    let now = State::read(world.log()).unwrap_or_else(|error| panic!("{}: after going on: {error}", context()));
    assert_eq!(now.rows, expected.rows_from(expected.start), "{}: after going on", context());
}

#[derive(Default, Debug)]
struct Counts {
    calls: u64,
    kills: u64,
    images: u64,
    inside_recovery: u64,
    gone_on: u64,
}

fn rules(seed: u64) -> ImageRules {
    ImageRules { exhaustive_max: 24, random: 6, torn_within: 1, seed, ..ImageRules::default() }
}

/// So many images of crashes inside a recovery are enough for one life.
const INSIDE_RECOVERY_MAX: u64 = 12_000;

/// The first deep recoveries are crashed at every call, further ones now and then.
fn crash_everywhere(seed: u64, count: usize, counts: &mut Counts) {
    let rehearsal = Rehearsal::of(seed, count);
    counts.calls += rehearsal.calls;
    let mut random = Random::new(seed);
    let mut seen = BTreeSet::new();
    let inside = counts.inside_recovery;
    for call in 0..rehearsal.calls {
        for applied in [Applied::Partly(1 + random.below(60) as usize), Applied::After] {
            let disk = MemDisk::new();
            disk.stop_at(call, applied);
            let done = rehearsal.run_until_stopped(&disk);
            let context = |what: &str| format!("seed {seed}, call {call} {applied:?}, {done} steps done, {what}");
            let killed = disk.copy();
            let context_killed = || context("killed");
            let found = check_image(&killed, rehearsal.rule, &rehearsal.after_kill(done), &context_killed);
            check_life_goes_on(&disk.copy(), rehearsal.rule, &found, &context_killed);
            counts.kills += 1;
            if matches!(applied, Applied::Partly(_)) {
                continue;
            }
            let allowed = rehearsal.after_power_loss(done);
            for (number, image) in disk.images_by(&rules(seed ^ call)).enumerate() {
                if !seen.insert((image.digest(), *allowed.contents.start(), *allowed.contents.end())) {
                    continue;
                }
                counts.images += 1;
                let context = || context(&format!("image {number}"));
                if random.below(160) == 0 && counts.inside_recovery - inside < INSIDE_RECOVERY_MAX {
                    crash_inside(&image, &rehearsal, &allowed, &context, 1, &mut random, counts);
                }
                let found = check_image(&image, rehearsal.rule, &allowed, &context);
                if random.below(16) == 0 {
                    check_life_goes_on(&image, rehearsal.rule, &found, &context);
                    counts.gone_on += 1;
                }
            }
        }
    }
}

/// Crashes the opening of `image` after each of its calls; a few of what that leaves are crashed again.
fn crash_inside(
    image: &MemDisk,
    rehearsal: &Rehearsal,
    allowed: &Allowed<'_>,
    context: &dyn Fn() -> String,
    depth: u32,
    random: &mut Random,
    counts: &mut Counts,
) {
    let whole = image.copy();
    drop(open(&whole, rehearsal.rule, context));
    for call in 0..whole.calls() {
        let disk = image.copy();
        disk.stop_at(call, Applied::After);
        let _ = LogFile::open(disk.clone(), &partition(), options(rehearsal.rule), NOW);
        let rules = ImageRules { exhaustive_max: 8, random: 2, torn_within: 0, seed: call, ..ImageRules::default() };
        let context = || format!("{}, recovery stopped after its call {call} at depth {depth}", context());
        for inner in disk.images_by(&rules) {
            counts.inside_recovery += 1;
            if depth < 3 && random.below(64) == 0 {
                crash_inside(&inner, rehearsal, allowed, &context, depth + 1, random, counts);
            }
            check_image(&inner, rehearsal.rule, allowed, &context);
        }
    }
}

/// `ATTACK_SEEDS` (as `0..12`) instead of the usual ones.
fn seeds() -> std::ops::Range<u64> {
    let given = std::env::var("ATTACK_SEEDS").ok();
    let parsed = given.as_deref().and_then(|text| text.split_once("..")).map(|(from, to)| (from.parse(), to.parse()));
    match parsed {
        Some((Ok(from), Ok(to))) => from..to,
        _ => 0..12,
    }
}

#[test]
fn a_crash_anywhere_in_a_short_life_leaves_a_state_that_was() {
    let mut counts = Counts::default();
    crash_everywhere(3, 6, &mut counts);
    println!("{counts:?}");
}

#[test]
#[ignore = "takes minutes, about 7,000 images and some seconds for each seed: .ci/run runs it, in release"]
fn a_crash_anywhere_keeps_all_that_was_flushed_and_leaves_a_state_that_was() {
    let mut counts = Counts::default();
    for seed in seeds() {
        crash_everywhere(seed, 24, &mut counts);
        println!("up to seed {seed}: {counts:?}");
    }
}
