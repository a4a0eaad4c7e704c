//! Kafka's side: one log of the oracle, spoken to in the words of `subject`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::oracle::{Oracle, Refusal};
use crate::script::{Cleanup, Clock, Settings};
use crate::subject::whole_batches;
use crate::subject::{Answer, Isolation, Opening, Origin, Producer, Request, State, Subject};

/// A log in the folder `directory`, under this name in the oracle.
pub struct KafkaLog<'a> {
    oracle: &'a mut Oracle,
    name: String,
    directory: PathBuf,
    now: i64,
}

impl<'a> KafkaLog<'a> {
    pub fn new(oracle: &'a mut Oracle, name: &str, directory: &Path) -> Self {
        Self { oracle, name: name.to_owned(), directory: directory.to_owned(), now: 0 }
    }

    /// Sets the clock.
    pub fn at(&mut self, now: i64) {
        self.now = now;
    }

    /// The bytes that Kafka's own builder makes of a description.
    pub fn made(&mut self, op: &str, mut description: Value) -> Vec<u8> {
        description["now"] = json!(self.now);
        let answer = self.oracle.told(op, description);
        decode_base64(text(&answer["batches"]))
    }

    fn ask(&mut self, op: &str, mut fields: Value) -> Result<Value, Refusal> {
        fields["log"] = json!(self.name);
        fields["now"] = json!(self.now);
        self.oracle.ask(op, fields)
    }

    fn open(&mut self, opening: &Opening) -> Result<Answer, Refusal> {
        let directory = self.directory.display().to_string();
        let fields = json!({
            "dir": directory, "config": config(&opening.settings), "log_start": opening.log_start,
            "recovery_point": opening.recovery_point, "clean_shutdown": opening.clean, "scheduler": "at_once",
            "producer_id_expiration_ms": PRODUCER_EXPIRATION_MS,
        });
        self.ask("open", fields)?;
        // As a broker does from its checkpoint file.
        self.ask("update_high_watermark", json!({ "to": opening.high_watermark }))?;
        Ok(Answer::Done)
    }

    fn answer(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let done = |_| Answer::Done;
        Ok(match request {
            Request::Open(opening) => self.open(opening)?,
            Request::Close => self.ask("close", json!({})).map(done)?,
            Request::Kill => self.ask("kill", json!({})).map(done)?,
            Request::Append { bytes, epoch, origin, transaction_version } => {
                let origin = match origin {
                    Origin::Client => "client",
                    Origin::Coordinator => "coordinator",
                };
                appended(&self.ask("append_leader", json!({
                    "batches": encode_base64(bytes), "leader_epoch": epoch, "origin": origin, "transaction_version": transaction_version,
                }))?)
            }
            Request::Replicate { bytes, epoch } => appended(
                &self.ask("append_follower", json!({ "batches": encode_base64(bytes), "leader_epoch": epoch }))?,
            ),
            Request::Read { from, bytes_max, isolation } => {
                let isolation = match isolation {
                    Isolation::LogEnd => "log_end",
                    Isolation::HighWatermark => "high_watermark",
                    Isolation::Committed => "txn_committed",
                };
                batches(&self.ask("read", json!({ "from": from, "max_bytes": bytes_max, "isolation": isolation }))?)
            }
            Request::AdvanceHighWatermark { to } => {
                self.ask("maybe_increment_high_watermark", json!({ "to": to })).map(done)?
            }
            Request::AssignEpoch { epoch } => {
                let end = int(&self.ask("state", json!({ "brief": true }))?["log_end"]);
                self.ask("assign_epoch_start", json!({ "epoch": epoch, "offset": end })).map(done)?
            }
            Request::TrimTo { to } => self.ask("increment_log_start", json!({ "to": to })).map(done)?,
            Request::TruncateTo { to } => {
                self.ask("truncate_to", json!({ "to": to }))?;
                self.ask("truncate_cleaner_checkpoint", json!({})).map(done)?
            }
            Request::StartAt { to } => {
                self.ask("truncate_fully_and_start_at", json!({ "to": to }))?;
                self.ask("truncate_cleaner_checkpoint", json!({})).map(done)?
            }
            Request::Roll => self.ask("roll", json!({})).map(done)?,
            Request::Flush => self.ask("flush", json!({})).map(done)?,
            Request::Retain => Answer::Deleted(int(&self.ask("delete_old_segments", json!({}))?["deleted"])),
            Request::Compact => compacted(&self.ask("clean", json!({}))?),
            Request::ExpireProducers => self.ask("remove_expired_producers", json!({})).map(done)?,
            Request::Configure(settings) => {
                self.ask("update_config", json!({ "config": config(settings) })).map(done)?
            }
            Request::OffsetForTimestamp { timestamp } => {
                let found = self.ask("offset_for_timestamp", json!({ "timestamp": timestamp }))?;
                let triple = || (int(&found["offset"]), int(&found["timestamp"]), found["leader_epoch"].as_i64());
                Answer::Found(found.get("offset").map(|_| triple()))
            }
            Request::EndOfEpoch { epoch } => {
                let cache = &self.ask("offset_for_leader_epoch", json!({ "epoch": epoch }))?["cache"];
                Answer::EpochEnd(int(&cache[0]), int(&cache[1]))
            }
        })
    }
}

/// `producer.id.expiration.ms` of every log here.
pub const PRODUCER_EXPIRATION_MS: i64 = 60_000;

impl Subject for KafkaLog<'_> {
    fn perform(&mut self, now: i64, request: &Request) -> Answer {
        self.now = now;
        self.answer(request).unwrap_or_else(Answer::Refused)
    }

    fn state(&mut self) -> State {
        let said = self.ask("state", json!({})).expect("the log is open");
        let log_start = int(&said["log_start"]);
        State {
            log_start,
            log_end: int(&said["log_end"]),
            high_watermark: int(&said["high_watermark"]),
            last_stable_offset: int(&said["last_stable_offset"]).max(log_start),
            recovery_point: int(&said["recovery_point"]),
            first_unstable: said["first_unstable_offset"].as_i64().map(|first| first.max(log_start)),
            segments: list(&said["segments"], |segment| (int(&segment["base"]), int(&segment["size"]))),
            epochs: list(&said["epochs"], |entry| (int(&entry[0]), int(&entry[1]))),
            producers: list(&said["producers"], producer),
        }
    }
}

fn producer(said: &Value) -> Producer {
    Producer {
        id: int(&said["id"]),
        epoch: int(&said["epoch"]),
        coordinator_epoch: int(&said["coordinator_epoch"]),
        last_timestamp: int(&said["last_timestamp"]),
        transaction_from: said["current_txn_first_offset"].as_i64(),
        batches: list(&said["batches"], |batch| std::array::from_fn(|index| int(&batch[index]))),
    }
}

fn appended(said: &Value) -> Answer {
    let field = |name: &str| int(&said[name]);
    Answer::Appended { first: field("first_offset"), last: field("last_offset"), append_time: field("log_append_time") }
}

/// Kafka may cut the last batch of a read in the middle; only whole ones count.
fn batches(said: &Value) -> Answer {
    let mut bytes = decode_base64(text(&said["batches"]));
    bytes.truncate(whole_batches(&bytes).iter().sum());
    let aborted = said["aborted"].as_array().map(|all| all.iter().map(|one| (int(&one[0]), int(&one[1]))).collect());
    Answer::Batches { bytes, aborted }
}

fn compacted(said: &Value) -> Answer {
    let cleaned = said["cleaned"] == json!(true);
    Answer::Compacted(cleaned.then(|| (int(&said["first_dirty"]), int(&said["end"]))))
}

/// The settings by Kafka's names.
fn config(settings: &Settings) -> Value {
    let policy = match settings.cleanup {
        Cleanup::Delete => "delete",
        Cleanup::Compact => "compact",
        Cleanup::Both => "compact,delete",
    };
    let clock = match settings.clock {
        Clock::Create => "CreateTime",
        Clock::Append => "LogAppendTime",
    };
    json!({
        "segment.bytes": settings.segment_bytes,
        "segment.ms": settings.segment_ms,
        "segment.index.bytes": settings.index_bytes,
        "index.interval.bytes": settings.index_interval,
        "max.message.bytes": settings.batch_max,
        "cleanup.policy": policy,
        "retention.ms": settings.retention_ms,
        "retention.bytes": settings.retention_bytes,
        "delete.retention.ms": settings.delete_retention_ms,
        "min.cleanable.dirty.ratio": settings.dirty_percent as f64 / 100.0,
        "min.compaction.lag.ms": settings.lag_min_ms,
        "max.compaction.lag.ms": settings.lag_max_ms,
        "message.timestamp.type": clock,
        "message.timestamp.before.max.ms": settings.before_max_ms,
        "compression.type": settings.compression.to_string(),
        "file.delete.delay.ms": 0,
    })
}

fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn list<T>(value: &Value, of: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().map(|all| all.iter().map(of).collect()).unwrap_or_default()
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub fn encode_base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

pub fn decode_base64(text: &str) -> Vec<u8> {
    let value = |digit: u8| DIGITS.iter().position(|known| *known == digit).expect("base64") as u32;
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    for chunk in text.trim_end_matches('=').as_bytes().chunks(4) {
        let group = chunk.iter().fold(0, |sum, digit| sum << 6 | value(*digit)) << (6 * (4 - chunk.len()));
        out.extend_from_slice(&group.to_be_bytes()[1..chunk.len()]);
    }
    out
}

#[test]
fn base64_is_that_of_everyone() {
    for (plain, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
        assert_eq!(encode_base64(plain.as_bytes()), encoded);
        assert_eq!(decode_base64(encoded), plain.as_bytes());
    }
}
