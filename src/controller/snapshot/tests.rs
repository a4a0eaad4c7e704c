//! Names, the choice among snapshots, and what is refused of their bytes.

use super::*;
use crate::controller::records::{FeatureLevelRecord, TopicRecord};
use crate::controller::uuid::Uuid;

fn id(end: u64, epoch: u32) -> SnapshotId {
    SnapshotId { end: Offset::new(end), epoch: LeaderEpoch::new(epoch) }
}

fn log(start: u64, end: u64, epoch: u32) -> LogEnds {
    let last_epoch = (start < end).then(|| LeaderEpoch::new(epoch));
    LogEnds { log_start_offset: Offset::new(start), log_end_offset: Offset::new(end), last_epoch }
}

#[test]
fn a_name_reads_back_and_all_else_is_none() {
    let name = "00000000000000000413-0000000001.checkpoint";
    assert_eq!(SnapshotId::parse(name), Some(id(413, 1)));
    assert_eq!(id(413, 1).to_string(), name);
    for other in [
        "40-1.checkpoint",
        "00000000000000000413-0000000001.checkpoint.part",
        "00000000000000000413-0000000001.checkpoint.deleted",
        "bootstrap.checkpoint",
        "0000000000000000+413-0000000001.checkpoint",
        "99999999999999999999-0000000001.checkpoint",
        "00000000000000000413-9999999999.checkpoint",
    ] {
        assert_eq!(SnapshotId::parse(other), None, "{other}");
    }
}

#[test]
fn the_newest_snapshot_counts_and_the_log_behind_it() {
    let front_missing = Err(ChooseError::FrontMissing { log_start_offset: Offset::new(5) });
    let diverged = Err(ChooseError::Diverged { snapshot: id(12, 1), log_end_offset: Offset::new(9) });
    let table = [
        (vec![], log(0, 0, 0), Ok(Reading::WholeLog)),
        (vec![], log(0, 9, 1), Ok(Reading::WholeLog)),
        (vec![id(0, 0)], log(0, 9, 1), Ok(Reading::WholeLog)),
        (vec![], log(5, 9, 1), front_missing),
        (vec![id(0, 0)], log(5, 9, 1), front_missing),
        (vec![id(4, 1)], log(5, 9, 1), front_missing),
        (vec![id(5, 1)], log(5, 9, 1), Ok(Reading::Behind(id(5, 1)))),
        (vec![id(8, 1), id(3, 1)], log(0, 9, 1), Ok(Reading::Behind(id(8, 1)))),
        (vec![id(8, 1)], log(8, 8, 0), Ok(Reading::Behind(id(8, 1)))),
        (vec![id(8, 1)], log(0, 0, 0), Ok(Reading::Instead(id(8, 1)))),
        (vec![id(12, 1)], log(0, 9, 1), Ok(Reading::Instead(id(12, 1)))),
        (vec![id(4, 2)], log(0, 9, 1), Ok(Reading::Instead(id(4, 2)))),
        (vec![id(12, 1)], log(0, 9, 2), diverged),
    ];
    for (snapshots, log, expected) in table {
        assert_eq!(choose(snapshots.clone(), log), expected, "{snapshots:?} {log:?}");
    }
}

fn image(topics: u32) -> Image {
    let mut image = Image::default();
    let version = FeatureLevelRecord { name: "metadata.version".to_owned(), feature_level: 30, ..Default::default() };
    image.replay(&version.into(), Offset::ZERO).unwrap();
    for number in 1..=topics {
        let topic_id = Uuid::from_bytes(u128::from(number).to_be_bytes());
        let topic = TopicRecord { name: format!("{number:0>200}"), topic_id, ..Default::default() };
        image.replay(&topic.into(), Offset::ZERO).unwrap();
    }
    image
}

fn written(image: &Image) -> Bytes {
    Snapshot::write(image, LeaderEpoch::new(3), Timestamp::from_millis(1_795_000_000_000)).unwrap()
}

fn batches(bytes: &Bytes) -> Vec<Batch> {
    let (mut rest, mut batches) = (bytes.clone(), Vec::new());
    while !rest.is_empty() {
        let batch = Batch::parse(&rest).unwrap();
        rest = rest.slice(batch.size() as usize..);
        batches.push(batch);
    }
    batches
}

fn joined(batches: &[Batch]) -> Bytes {
    batches.iter().flat_map(|batch| batch.to_bytes()).collect()
}

#[test]
fn an_image_reads_back_from_its_snapshot() {
    for topics in [0, 1, 20_000] {
        let image = image(topics);
        let bytes = written(&image);
        let read = Snapshot::parse(&bytes).unwrap();
        assert_eq!(read.image().unwrap(), image);
        assert_eq!((read.ending, read.last_contained_log_timestamp.as_millis()), (Ending::Footer, 1_795_000_000_000));
    }
    assert_eq!(Snapshot::parse(&written(&Image::default())).unwrap().image(), Ok(Image::default()));
}

#[test]
fn the_batches_of_a_snapshot_have_offsets_of_their_own_and_a_bounded_size() {
    let batches = batches(&written(&image(20_000)));
    assert!(batches.len() > 4);
    let mut next = Offset::ZERO;
    for batch in &batches {
        assert_eq!((batch.base_offset(), batch.leader_epoch()), (next, Some(LeaderEpoch::new(3))));
        assert!(batch.size() as usize <= BATCH_BYTES + 61);
        next = batch.next_offset();
    }
    assert!(batches[0].is_control() && batches[batches.len() - 1].is_control());
}

#[test]
fn what_is_no_snapshot_is_refused_and_a_missing_footer_is_told() {
    let bytes = written(&image(2));
    let parts = batches(&bytes);
    let without_footer = Snapshot::parse(&joined(&parts[..2])).unwrap();
    assert_eq!((without_footer.ending, without_footer.records.len()), (Ending::Missing, 3));
    assert_eq!(Snapshot::parse(&Bytes::new()), Err(SnapshotError::NoHeader));
    assert_eq!(Snapshot::parse(&joined(&parts[1..])), Err(SnapshotError::NoHeader));
    let twice = joined(&[&parts[..], &parts[1..]].concat());
    assert_eq!(Snapshot::parse(&twice), Err(SnapshotError::BehindFooter { position: bytes.len() }));
    for position in 0..bytes.len() {
        let cut = Snapshot::parse(&bytes.slice(..position));
        assert!(cut.is_err() || cut.is_ok_and(|cut| cut.ending == Ending::Missing), "cut at {position}");
        let mut turned = bytes.to_vec();
        turned[position] ^= 0x40;
        let read = Snapshot::parse(&Bytes::from(turned));
        // Base offsets and epochs lie outside the checksum, and mean nothing here.
        assert!(read.is_err() || read == Snapshot::parse(&bytes), "turned at {position}");
    }
}

/// What is begun with, and which snapshots are passed over, if each file has what is said of it.
fn begun(files: &[(SnapshotId, Bytes)], log: LogEnds) -> Result<(Reading, Ending, Vec<SnapshotId>), BeginError<()>> {
    let read = |id| files.iter().find(|(other, _)| *other == id).map(|(_, bytes)| bytes.clone()).ok_or(());
    let begun = Begun::with(files.iter().map(|(id, _)| *id), log, read)?;
    Ok((begun.reading, begun.ending, begun.broken.into_iter().map(|(id, _)| id).collect()))
}

#[test]
fn what_is_broken_is_passed_over_as_far_as_the_log_has_it_too() {
    let whole = written(&image(2));
    let cut = || joined(&batches(&whole)[..2]);
    let (sound, cut, bad) = (|at| (at, whole.clone()), |at| (at, cut()), |at| (at, Bytes::from_static(b"no snapshot")));
    let (first, second, ahead) = (id(4, 1), id(8, 1), id(12, 1));
    let behind = |at, ending, broken: &[SnapshotId]| Ok((Reading::Behind(at), ending, broken.to_vec()));
    let instead = |ending| Ok((Reading::Instead(ahead), ending, vec![]));
    let whole_log = |broken: &[SnapshotId]| Ok((Reading::WholeLog, Ending::Footer, broken.to_vec()));
    let no_header = |id| Err(BeginError::Snapshot { id, error: SnapshotError::NoHeader });
    let no_batch = |at: SnapshotId| match Snapshot::parse(&Bytes::from_static(b"no snapshot")) {
        Err(error) => Err(BeginError::Snapshot { id: at, error }),
        Ok(_) => unreachable!("it is none"),
    };
    let missing = Err(BeginError::Choose(ChooseError::FrontMissing { log_start_offset: Offset::new(5) }));
    let table = [
        (vec![], log(0, 9, 1), whole_log(&[])),
        (vec![sound(first), sound(second)], log(0, 9, 1), behind(second, Ending::Footer, &[])),
        (vec![sound(first), bad(second)], log(2, 9, 1), behind(first, Ending::Footer, &[second])),
        (vec![sound(first), cut(second)], log(2, 9, 1), behind(first, Ending::Footer, &[second])),
        (vec![bad(first), bad(second)], log(0, 9, 1), whole_log(&[second, first])),
        // The log does not reach back to the one before.
        (vec![sound(first), bad(second)], log(5, 9, 1), no_batch(second)),
        (vec![sound(first), cut(second)], log(5, 9, 1), behind(second, Ending::Missing, &[])),
        (vec![bad(first), cut(second)], log(2, 9, 1), behind(second, Ending::Missing, &[])),
        (vec![cut(first), bad(second)], log(2, 9, 1), behind(first, Ending::Missing, &[second])),
        (vec![(second, Bytes::new())], log(2, 9, 1), no_header(second)),
        // The log ends in front of the newest: what that had is nowhere else.
        (vec![sound(second), sound(ahead)], log(0, 9, 1), instead(Ending::Footer)),
        (vec![sound(second), cut(ahead)], log(0, 9, 1), instead(Ending::Missing)),
        (vec![sound(second), bad(ahead)], log(0, 9, 1), no_batch(ahead)),
        (vec![sound(id(4, 2)), bad(second)], log(0, 9, 1), no_batch(second)),
        (vec![], log(5, 9, 1), missing),
    ];
    for (files, log, expected) in table {
        assert_eq!(begun(&files, log), expected, "{log:?} {:?}", files.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    }
    let unread = Begun::with([first], log(0, 9, 1), |_| Err(()));
    assert!(matches!(unread, Err(BeginError::Read(()))), "{unread:?}");
}
