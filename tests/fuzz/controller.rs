//! Metadata records, and what a replay makes of any of them.

use bytes::Bytes;
use ottla::controller::records::{MetadataRecord, QuorumRecord};
use ottla::controller::{Controller, Image, Replayer, Snapshot, SnapshotId};
use ottla::epoch::LeaderEpoch;
use ottla::offset::Offset;
use ottla::record::{BatchBuilder, Codec, Entry, NewRecord};
use ottla::time::Timestamp;

/// Takes `data` for a snapshot, for a control record, and for metadata records, each behind two bytes with its length.
/// What is a record is written and read back; those that fit each other make an image, which is written and read back.
pub fn metadata_records(data: &[u8]) {
    snapshot(data);
    quorum_record(data);
    let mut image = Image::default();
    let mut replayer = Replayer::new();
    for (index, value) in values(data).enumerate() {
        let Ok(record) = MetadataRecord::decode(value) else { continue };
        assert_eq!(MetadataRecord::decode(&record.to_bytes()).as_ref(), Ok(&record));
        let before = image.clone();
        if image.replay(&record, Offset::new(index as u64)).is_err() {
            assert_eq!(image, before, "an error changes nothing");
        }
        // One that does not fit ends a log; here the others go on without it.
        let mut with = replayer.clone();
        if with.push(&entry(value, replayer.end())).is_ok() {
            replayer = with;
        }
    }
    image_reads_back(&image);
    if let Ok(controller) = Controller::new(replayer.clone()) {
        let _ = controller.decide_start();
        let replayed = replayer.finish().expect("the controller has taken it");
        image_reads_back(&replayed.image);
    }
}

fn values(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (value, rest) = rest.split_at(length);
        data = rest;
        Some(value)
    })
}

fn entry(value: &[u8], at: Offset) -> Entry {
    let mut batch = BatchBuilder::new(Codec::None);
    batch.push(&NewRecord::new(Timestamp::NONE, None, Some(value))).expect("one record fits");
    batch.build().expect("it has a record").stamped(at, None).expect("the offset is small").into()
}

/// Below the metadata version that has directories a snapshot names none, so it may lose some that should not be there.
fn image_reads_back(image: &Image) {
    if image.metadata_version().is_none_or(|version| version < 17) {
        return;
    }
    let bytes = Snapshot::write(image, LeaderEpoch::ZERO, Timestamp::NONE).expect("it fits");
    let read = Snapshot::parse(&bytes).expect("it was written just now");
    assert_eq!(read.image().as_ref(), Ok(image));
}

fn snapshot(data: &[u8]) {
    if let Ok(snapshot) = Snapshot::parse(&Bytes::copy_from_slice(data)) {
        let _ = snapshot.image();
    }
    if let Some(id) = std::str::from_utf8(data).ok().and_then(SnapshotId::parse) {
        assert_eq!(SnapshotId::parse(&id.to_string()), Some(id));
    }
}

fn quorum_record(data: &[u8]) {
    let (key, value) = data.split_at(data.len().min(4));
    if let Ok(record) = QuorumRecord::decode(key, value) {
        assert_eq!(QuorumRecord::decode(&record.key(), &record.value()), Ok(record));
    }
}
