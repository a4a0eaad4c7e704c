//! The controller beside Kafka: its metadata log read, and said the same of it as Kafka's own tools.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::disallowed_methods, reason = "the golden directories are files")]

#[path = "controller/golden.rs"]
mod golden;
#[path = "controller/json.rs"]
mod json;

use ottla::controller::records::{MetadataRecord, QuorumRecord};
use serde_json::Value;

#[test]
fn every_record_of_kafkas_log_is_read_as_kafka_reads_it_and_written_in_its_bytes() {
    let (mut records, mut control) = (0, 0);
    let mut printed = golden::printed_records();
    for batch in golden::batches() {
        for record in batch.records(golden::limit()).unwrap().iter() {
            let record = record.unwrap();
            let theirs = printed.next().unwrap();
            if batch.is_control() {
                let (key, value) = (record.key.unwrap(), record.value.unwrap());
                let read = QuorumRecord::decode(key, value).unwrap();
                assert_eq!((&read.key()[..], &read.value()[..]), (key, value));
                control += 1;
                continue;
            }
            let value = record.value.unwrap();
            let read = MetadataRecord::decode(value).unwrap();
            let theirs: Value = serde_json::from_str(theirs.split_once("payload: ").unwrap().1).unwrap();
            assert_eq!(json::of(&read), theirs, "offset {}", record.offset);
            assert_eq!(read.to_bytes(), value, "offset {}", record.offset);
            records += 1;
        }
    }
    assert_eq!((records, control, printed.next()), (281, 2, None));
}
