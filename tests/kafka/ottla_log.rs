//! Our side: `disk::LogFile` on the real file system, spoken to in the words of `subject`.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ottla::disk::{
    AppendFault, FetchError, FileDisk, HighWatermarkRule, LogFile, MARKS_FILE, OpenOptions, RecoveryReport, TimeQuery,
    TrimFault,
};
use ottla::epoch::LeaderEpoch;
use ottla::id::TopicPartition;
use ottla::log::{self, Appended, MarkerRules};
use ottla::offset::Offset;
use ottla::record::{self, Batch, BatchError};
use ottla::time::Timestamp;

use crate::oracle::Refusal;
use crate::ottla_words as words;
use crate::run::Bench;
use crate::subject::{Answer, Isolation, Opening, Origin, Request, State, Subject};

/// Makes our logs.
pub struct OttlaBench;

impl Bench for OttlaBench {
    type Log = OttlaLog;

    fn log(&mut self, folder: &Path) -> OttlaLog {
        OttlaLog::new(folder)
    }
}

/// The log of partition t-0 in a folder.
pub struct OttlaLog {
    folder: PathBuf,
    file: Option<LogFile<FileDisk>>,
    /// What the last opening found.
    pub report: Option<RecoveryReport>,
    /// Whether an opening after a kill knows our own flushed marks, which Kafka has not.
    pub keep_marks: bool,
}

impl Subject for OttlaLog {
    fn perform(&mut self, now: i64, request: &Request) -> Answer {
        // A panic is one more answer that Kafka does not give: its script is made short like any other's.
        let asked = catch_unwind(AssertUnwindSafe(|| self.answer(Timestamp::from_millis(now), request)));
        asked.unwrap_or_else(|_| Answer::Refused(words::nameless("panic", &"see above")))
    }

    fn state(&mut self) -> State {
        words::state(self.file.as_ref().expect("it is open").log())
    }
}

impl OttlaLog {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), file: None, report: None, keep_marks: false }
    }

    fn answer(&mut self, now: Timestamp, request: &Request) -> Answer {
        if matches!(request, Request::Close | Request::Kill) {
            self.date_files();
        }
        let answer = match request {
            Request::Open(opening) => self.open(opening, now),
            Request::Close => self.file.take().expect("it is open").close().map(|_| Answer::Done).map_err(disk),
            Request::Kill => {
                self.file = None;
                Ok(Answer::Done)
            }
            _ => ask(self.file.as_mut().expect("it is open"), now, request),
        };
        answer.unwrap_or_else(Answer::Refused)
    }

    fn open(&mut self, opening: &Opening, now: Timestamp) -> Result<Answer, Refusal> {
        fs::create_dir_all(&self.folder).unwrap();
        if !opening.clean && !self.keep_marks {
            self.know_what_kafka_knows(opening);
        }
        let disk = FileDisk::open(&self.folder).map_err(disk)?;
        let options = OpenOptions {
            config: words::config(&opening.settings),
            high_watermark: HighWatermarkRule::ByHand,
            ..OpenOptions::default()
        };
        let partition = TopicPartition::parse("t-0").unwrap();
        let opened = LogFile::open(disk, &partition, options, now);
        let (mut file, report) = opened.map_err(|error| words::nameless("open", &error))?;
        file.advance_high_watermark(Offset::new(opening.high_watermark as u64));
        (self.file, self.report) = (Some(file), Some(report));
        Ok(Answer::Done)
    }

    /// The system dates the files by its own clock: they get the dates of ours, as the oracle does with Kafka's.
    fn date_files(&self) {
        let log = self.file.as_ref().expect("it is open").log();
        for segment in log.segments() {
            let path = self.folder.join(format!("t-0/{:020}.log", segment.base_offset.get()));
            let millis = u64::try_from(segment.modified.as_millis()).expect("past 1970");
            let date = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
            fs::File::options().write(true).open(path).and_then(|file| file.set_modified(date)).unwrap();
        }
    }

    /// Kafka has no flushed marks, but checkpoints: without the one and with the other, both scan the same segments.
    fn know_what_kafka_knows(&self, opening: &Opening) {
        let _ = fs::remove_file(self.folder.join(MARKS_FILE));
        let files = [
            ("recovery-point-offset-checkpoint", opening.recovery_point),
            ("log-start-offset-checkpoint", opening.log_start),
            ("replication-offset-checkpoint", opening.high_watermark),
        ];
        for (name, offset) in files {
            fs::write(self.folder.join(name), format!("0\n1\nt 0 {offset}\n")).unwrap();
        }
    }
}

fn ask(file: &mut LogFile<FileDisk>, now: Timestamp, request: &Request) -> Result<Answer, Refusal> {
    let offset = |to: i64| Offset::from_i64(to).ok_or_else(|| words::refusal(1, &"a negative offset"));
    Ok(match request {
        Request::Open(_) | Request::Close | Request::Kill => unreachable!("these concern the file as a whole"),
        Request::Append { bytes, origin, transaction_version, .. } => {
            append(file, now, &parse(bytes)?, *origin, *transaction_version)?
        }
        Request::Replicate { bytes, epoch } => {
            let appended = file.replicate(now, &parse(bytes)?, reign(*epoch)).map_err(append_fault)?;
            appended.map_or(NOTHING, answer)
        }
        Request::Read { from, bytes_max, isolation } => read(file, offset(*from)?, *bytes_max, *isolation)?,
        Request::AdvanceHighWatermark { to } => {
            file.advance_high_watermark(offset(*to)?);
            Answer::Done
        }
        Request::AssignEpoch { epoch } => file.begin_epoch(reign(*epoch)).map(done).map_err(disk)?,
        Request::TrimTo { to } => file.trim_to(offset(*to)?).map(|_| Answer::Done).map_err(|fault| match fault {
            TrimFault::Trim(error) => words::refusal(1, &error),
            other => words::nameless("trim", &other),
        })?,
        Request::TruncateTo { to } => file
            .truncate_to(offset(*to)?, now)
            .map(|_| Answer::Done)
            .map_err(|error| words::nameless("truncate", &error))?,
        Request::StartAt { to } => {
            let started = file.truncate_fully_and_start_at(offset(*to)?, now);
            started.map(done).map_err(|error| words::nameless("truncate", &error))?
        }
        Request::Roll => file.roll(now).map(|_| Answer::Done).map_err(disk)?,
        Request::Flush => file.flush().map(|_| Answer::Done).map_err(disk)?,
        Request::Retain => Answer::Deleted(file.retain(now).map_err(disk)?.len() as i64),
        Request::Compact => {
            let report = file.compact(now).map_err(|error| words::nameless("compact", &error))?;
            Answer::Compacted(report.range.map(|range| (range.start.as_i64(), range.end.as_i64())))
        }
        Request::ExpireProducers => {
            file.expire_producers(now);
            Answer::Done
        }
        Request::Configure(settings) => {
            file.configure(words::config(settings)).map(done).map_err(|error| words::nameless("configure", &error))?
        }
        Request::OffsetForTimestamp { timestamp } => search(file, *timestamp)?,
        Request::EndOfEpoch { epoch } => {
            let end = file.log().epochs().end_offset_for(LeaderEpoch::from_i32(*epoch), file.log().log_end_offset());
            end.map_or(Answer::EpochEnd(-1, -1), |(epoch, end)| Answer::EpochEnd(epoch.as_i32().into(), end.as_i64()))
        }
    })
}

/// What Kafka says when there was nothing to append.
const NOTHING: Answer = Answer::Appended { first: -1, last: -1, append_time: -1 };

fn append(
    file: &mut LogFile<FileDisk>,
    now: Timestamp,
    batches: &[Batch],
    origin: Origin,
    transaction_version: i16,
) -> Result<Answer, Refusal> {
    let batch = match batches {
        [] => return Ok(NOTHING),
        [batch] => batch,
        // Our own call takes one: Kafka's takes bytes, and refuses more.
        _ => return Err(words::refusal(87, &"more than one batch")),
    };
    let markers = if transaction_version == 2 { MarkerRules::NextEpoch } else { MarkerRules::SameEpoch };
    let appended = match origin {
        Origin::Client => file.append(now, batch),
        Origin::Coordinator => file.append_from(now, batch, record::Origin::Coordinator, markers),
    };
    appended.map(answer).map_err(append_fault)
}

fn answer(appended: Appended) -> Answer {
    Answer::Appended {
        first: appended.base_offset.as_i64(),
        last: appended.last_offset.as_i64(),
        append_time: appended.append_time.map_or(-1, Timestamp::as_millis),
    }
}

fn append_fault(fault: AppendFault) -> Refusal {
    match fault {
        AppendFault::Check(error) => words::check_refusal(&error),
        AppendFault::Log(error) => words::append_refusal(&error),
        other => words::nameless("append", &other),
    }
}

/// The batches at the front of `bytes`; what is cut off at the end is left out, as Kafka does.
fn parse(bytes: &[u8]) -> Result<Vec<Batch>, Refusal> {
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut batches = Vec::new();
    while !rest.is_empty() {
        match Batch::parse(&rest) {
            Ok(batch) => {
                rest = rest.slice(batch.size() as usize..);
                batches.push(batch);
            }
            Err(BatchError::Incomplete { .. }) => break,
            Err(error) => return Err(words::batch_refusal(&error)),
        }
    }
    Ok(batches)
}

fn read(file: &mut LogFile<FileDisk>, from: Offset, bytes_max: i32, isolation: Isolation) -> Result<Answer, Refusal> {
    let bound = match isolation {
        Isolation::LogEnd => log::Isolation::LogEnd,
        Isolation::HighWatermark => log::Isolation::HighWatermark,
        Isolation::Committed => log::Isolation::ReadCommitted,
    };
    let fetched = file.read(from, bytes_max as u32, bound).map_err(fetch_fault)?;
    let bytes = fetched.batches.iter().flat_map(|entry| entry.to_bytes().to_vec()).collect();
    let aborted = fetched.aborted.iter().map(|txn| (txn.producer_id.get(), txn.first_offset.as_i64())).collect();
    Ok(Answer::Batches { bytes, aborted: (isolation == Isolation::Committed).then_some(aborted) })
}

/// As a leader answers ListOffsets: earliest and latest come from the ends, in the reign that begins there.
fn search(file: &mut LogFile<FileDisk>, timestamp: i64) -> Result<Answer, Refusal> {
    let log = file.log();
    let query = match timestamp {
        LATEST => {
            let latest = log.epochs().latest().map(|epoch| i64::from(epoch.as_i32()));
            return Ok(Answer::Found(Some((log.log_end_offset().as_i64(), -1, latest))));
        }
        EARLIEST => {
            let start = log.log_start_offset();
            let first = log.epochs().first().filter(|first| first.start_offset <= start);
            let epoch = first.map(|first| i64::from(first.epoch.as_i32()));
            return Ok(Answer::Found(Some((start.as_i64(), -1, epoch))));
        }
        MAX => TimeQuery::Newest,
        at => TimeQuery::At(Timestamp::from_millis(at)),
    };
    let found = file.offset_for_timestamp(query).map_err(fetch_fault)?;
    let epoch = |found: Option<LeaderEpoch>| found.map(|epoch| i64::from(epoch.as_i32()));
    Ok(Answer::Found(found.map(|it| (it.offset.as_i64(), it.timestamp.as_millis(), epoch(it.leader_epoch)))))
}

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX: i64 = -3;

fn fetch_fault(error: FetchError) -> Refusal {
    match error {
        FetchError::Range(error) => words::refusal(1, &error),
        other => words::nameless("read", &other),
    }
}

fn reign(epoch: i32) -> LeaderEpoch {
    LeaderEpoch::from_i32(epoch).expect("the world's epochs are none of Kafka's -1")
}

fn done((): ()) -> Answer {
    Answer::Done
}

fn disk(error: ottla::disk::DiskError) -> Refusal {
    words::nameless("disk", &error)
}
