//! The bytes that ottla's builder makes of the oracle's description of a batch.

use ottla::epoch::{LeaderEpoch, ProducerEpoch, Sequence};
use ottla::id::ProducerId;
use ottla::offset::Offset;
use ottla::record::{Batch, BatchBuilder, BuildError, Codec, NewRecord, ProducerStamp};
use ottla::time::Timestamp;
use serde_json::Value;

/// The batch that `description`, the fields of the oracle's `make_batch`, asks for. `now` dates an empty one.
pub fn batch(description: &Value, now: i64) -> Result<Batch, BuildError> {
    let base = description["base_offset"].as_i64().unwrap_or(0);
    let mut builder = builder(description, now);
    let mut offset = base;
    for record in description["records"].as_array().expect("a list") {
        offset = record["offset"].as_i64().unwrap_or(offset);
        push(&mut builder, (offset - base) as u32, record)?;
        offset += 1;
    }
    let epoch = description["leader_epoch"].as_i64().unwrap_or(-1);
    let place = (Offset::new(base as u64), LeaderEpoch::from_i32(epoch as i32));
    Ok(builder.build()?.stamped(place.0, place.1).expect("small offsets"))
}

fn builder(description: &Value, now: i64) -> BatchBuilder {
    let int = |field: &str| description[field].as_i64();
    let mut builder = BatchBuilder::new(codec(description["codec"].as_str().unwrap_or("none")));
    if let Some(id) = int("producer_id").and_then(ProducerId::new) {
        let epoch = int("producer_epoch").and_then(|epoch| ProducerEpoch::new(epoch as i16));
        let base_sequence = int("base_sequence").and_then(|sequence| Sequence::new(sequence as i32));
        builder = builder.producer(ProducerStamp { id, epoch, base_sequence });
    }
    if description["transactional"] == true {
        builder = builder.transactional();
    }
    if let Some(at) = int("log_append_time") {
        builder = builder.log_append_time(Timestamp::from_millis(at));
    }
    if let Some(last) = int("last_offset") {
        builder = builder.last_offset_delta((last - int("base_offset").unwrap_or(0)) as u32);
        builder = builder.max_timestamp(Timestamp::from_millis(now));
    }
    builder
}

fn push(builder: &mut BatchBuilder, delta: u32, record: &Value) -> Result<(), BuildError> {
    let headers: Vec<(&str, Option<&[u8]>)> = record["headers"]
        .as_array()
        .map(|all| all.iter().map(|pair| (pair[0].as_str().expect("text"), text(&pair[1]))).collect())
        .unwrap_or_default();
    let timestamp = Timestamp::from_millis(record["timestamp"].as_i64().expect("a date"));
    let record = NewRecord { timestamp, key: text(&record["key"]), value: text(&record["value"]), headers: &headers };
    builder.push_at(delta, &record)
}

fn text(value: &Value) -> Option<&[u8]> {
    value.as_str().map(str::as_bytes)
}

/// The codec of this name.
pub fn codec(name: &str) -> Codec {
    match name {
        "none" => Codec::None,
        "gzip" => Codec::Gzip,
        "snappy" => Codec::Snappy,
        "lz4" => Codec::Lz4,
        "zstd" => Codec::Zstd,
        _ => panic!("no codec is called {name}"),
    }
}
