//! Batches that one side builds and the other side reads, for every codec.

use bytes::Bytes;
use ottla::record::{Batch, DecompressLimit, Record};
use serde_json::{Value, json};

use crate::build;
use crate::java::Java;
use crate::kafka_log::KafkaLog;
use crate::oracle::Oracle;
use crate::rng::Rng;
use crate::script::{Codec, Words};
use crate::tools;

/// Batches as descriptions: small and large, of every kind of key, value and header.
fn descriptions(codec: Codec) -> Vec<Value> {
    let mut rng = Rng::new(7);
    let mut noise = |length: usize| -> String { (0..length).map(|_| char::from(32 + rng.below(95) as u8)).collect() };
    let plain = |value: Value| json!({ "key": "k", "value": value, "timestamp": 1_600_000_000_000_i64, "headers": [] });
    let odd = json!([
        { "key": null, "value": null, "timestamp": -1, "headers": [] },
        { "key": "", "value": "", "timestamp": 5, "headers": [["", null], ["h", ""], ["h", "2"]] },
        { "key": "k", "value": "v", "timestamp": 1_700_000_000_000_i64, "headers": [["ä", "ö"]] },
        { "key": "k", "value": "w", "timestamp": 1_500_000_000_000_i64, "headers": [] },
    ]);
    let large = json!([plain(json!("a".repeat(300_000))), plain(json!(noise(150_000))), plain(json!("b"))]);
    let many: Vec<Value> = (0..500).map(|index| plain(json!(format!("value {index}")))).collect();
    let of = |records: Value| json!({ "records": records, "codec": codec.to_string() });
    let mut signed = of(odd.clone());
    signed["producer_id"] = json!(9);
    signed["producer_epoch"] = json!(2);
    signed["base_sequence"] = json!(2_147_483_646);
    signed["transactional"] = json!(true);
    vec![of(odd), of(large), of(json!(many)), signed]
}

#[test]
#[ignore = "takes Java and Maven: .ci/run runs it where they are"]
fn kafka_reads_every_record_of_the_batches_we_build() {
    let java = Java::ready();
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for (file, codec) in Codec::ALL.iter().enumerate() {
        let mut bytes = Vec::new();
        for mut description in descriptions(*codec) {
            description["base_offset"] = json!(expected.len() * 1000);
            let batch = build::batch(&description, 0).expect("the test runs with all features");
            bytes.extend_from_slice(&batch.to_bytes());
            expected.push(description);
        }
        std::fs::write(folder.path().join(format!("{file}.log")), bytes).unwrap();
    }
    let read = tools::batches(&java, folder.path());
    assert_eq!(read.len(), expected.len());
    for (read, expected) in read.iter().zip(&expected) {
        assert_eq!(read["valid"], true);
        assert_eq!(read["compression"], expected["codec"]);
        assert_eq!(read["producer_id"], *expected.get("producer_id").unwrap_or(&json!(-1)));
        assert_eq!(records(read, &read["base_offset"]), records(expected, &expected["base_offset"]));
    }
}

/// Offset, timestamp, key, value and headers of each record.
fn records(batch: &Value, base: &Value) -> Vec<Value> {
    let base = base.as_i64().expect("an offset");
    let all = batch["records"].as_array().expect("a list");
    let row = |(index, record): (usize, &Value)| {
        let offset = record["offset"].as_i64().unwrap_or(base + index as i64);
        json!([offset, record["timestamp"], record["key"], record["value"], record["headers"]])
    };
    all.iter().enumerate().map(row).collect()
}

#[test]
#[ignore = "takes Java and Maven: .ci/run runs it where they are"]
fn we_read_every_record_of_the_batches_kafka_builds() {
    let java = Java::ready();
    let folder = tempfile::tempdir().unwrap();
    let mut oracle = Oracle::start(&java);
    let mut kafka = KafkaLog::new(&mut oracle, "log", folder.path());
    for description in Codec::ALL.iter().flat_map(|codec| descriptions(*codec)) {
        let bytes = Bytes::from(kafka.made("make_batch", description.clone()));
        let batch = Batch::parse(&bytes).unwrap();
        let records = batch.records(DecompressLimit::default()).unwrap();
        let read: Vec<Value> = records.iter().map(|record| row(&record.unwrap())).collect();
        assert_eq!(read, self::records(&description, &json!(0)), "{}", description["codec"]);
    }
}

fn row(record: &Record<'_>) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: Vec<_> = record.headers.iter().map(|(name, value)| json!([name, value.map(text)])).collect();
    json!([record.offset.get(), record.timestamp.as_millis(), record.key.map(text), record.value.map(text), headers])
}
