//! What the test disk promises to a process; what it promises of power losses is in `images`.

mod images;

use std::collections::BTreeSet;

use super::*;
use crate::disk::{Disk, DiskError, DiskFile, EntryKind};

fn path(text: &str) -> DiskPath {
    DiskPath::parse(text).unwrap()
}

/// A file with these bytes, name and all synced.
fn synced(disk: &MemDisk, name: &str, bytes: &[u8]) -> MemFile {
    let file = disk.open(&path(name), OpenHow::Create).unwrap();
    file.write_full(0, bytes).unwrap();
    file.sync().unwrap();
    disk.sync_dir(&path(name).parent()).unwrap();
    file
}

fn kind<T: std::fmt::Debug>(result: Result<T, DiskError>) -> DiskErrorKind {
    result.unwrap_err().kind
}

/// What `name` holds in each image, once each.
fn contents_of(disk: &MemDisk, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    disk.images().map(|image| image.contents().remove(name)).collect()
}

#[test]
fn a_killed_process_loses_its_handles_and_locks_and_the_cache_stays() {
    let disk = MemDisk::new();
    let file = disk.open(&path("a"), OpenHow::Create).unwrap();
    file.write_full(0, b"x").unwrap();
    let lock = disk.lock(&path(".lock")).unwrap();
    assert_eq!(kind(disk.lock(&path(".lock"))), DiskErrorKind::AlreadyLocked);
    disk.kill();
    assert_eq!(kind(file.write_full(0, b"y")), DiskErrorKind::Stopped);
    assert_eq!(disk.contents()["a"], b"x");
    let again = disk.lock(&path(".lock")).unwrap();
    drop(lock);
    assert_eq!(kind(disk.lock(&path(".lock"))), DiskErrorKind::AlreadyLocked, "the dead lock frees nothing");
    drop(again);
    disk.lock(&path(".lock")).unwrap();
}

#[test]
fn each_call_is_a_place_to_stop() {
    for (applied, left) in [(Applied::Before, 0), (Applied::Partly(3), 3), (Applied::After, 5)] {
        let disk = MemDisk::new();
        let file = synced(&disk, "a", b"");
        disk.stop_at(disk.calls(), applied);
        assert_eq!(kind(file.write_at(0, &[b"abcde"])), DiskErrorKind::Stopped, "{applied:?}");
        assert!(disk.is_stopped());
        let calls = disk.calls();
        assert_eq!(kind(file.len()), DiskErrorKind::Stopped);
        assert_eq!(kind(disk.list(&DiskPath::root())), DiskErrorKind::Stopped);
        assert_eq!(disk.calls(), calls, "the dead make no calls");
        disk.kill();
        assert_eq!(disk.contents()["a"].len(), left, "{applied:?}");
        disk.list(&DiskPath::root()).unwrap();
    }
}

#[test]
fn each_call_is_a_place_to_fail() {
    let disk = MemDisk::new();
    let file = synced(&disk, "a", b"");
    let before = disk.digest();
    disk.fail_at(disk.calls(), DiskErrorKind::PermissionDenied, Fails::Once);
    disk.fail_at(disk.calls() + 2, DiskErrorKind::NoSpace, Fails::FromThenOn);
    assert_eq!(kind(file.write_at(0, &[b"x"])), DiskErrorKind::PermissionDenied);
    assert_eq!(disk.digest(), before, "a failed call does nothing");
    file.write_at(0, &[b"x"]).unwrap();
    assert_eq!(kind(file.write_at(0, &[b"x"])), DiskErrorKind::NoSpace);
    assert_eq!(kind(file.len()), DiskErrorKind::NoSpace);
    disk.plan_nothing();
    assert_eq!(file.len().unwrap(), 1);
}

#[test]
fn a_failed_sync_may_drop_what_it_was_to_write() {
    let run = |mode| {
        let disk = MemDisk::new();
        let file = synced(&disk, "a", b"old");
        disk.set_failed_sync(mode);
        file.write_full(0, b"new").unwrap();
        let eio = DiskErrorKind::Io { code: Some(5), message: "EIO".to_owned() };
        disk.fail_at(disk.calls(), eio, Fails::Once);
        file.sync().unwrap_err();
        let cached = disk.contents()["a"].clone();
        file.sync().unwrap();
        let images = contents_of(&disk, "a").into_iter().flatten().collect::<Vec<_>>();
        disk.evict();
        (cached, images, disk.contents()["a"].clone())
    };
    let due = |cached: &str, durable: &str| {
        let bytes = |text: &str| text.as_bytes().to_vec();
        (bytes(cached), vec![bytes(durable)], bytes(durable))
    };
    assert_eq!(run(FailedSync::Keeps), due("new", "new"));
    assert_eq!(run(FailedSync::Drops), due("new", "old"));
    assert_eq!(run(FailedSync::DropsAndEvicts), due("old", "old"));
}

#[test]
fn a_full_disk_takes_what_fits_and_more_when_space_returns() {
    let disk = MemDisk::new();
    let file = synced(&disk, "a", &[1; 60]);
    let other = synced(&disk, "b", &[1; 30]);
    disk.set_capacity(Some(100));
    assert_eq!(disk.free_space().unwrap(), 10);
    assert_eq!(file.write_at(60, &[&[2; 20]]).unwrap(), 10, "the front of it");
    assert_eq!(kind(file.write_at(70, &[&[2; 10]])), DiskErrorKind::NoSpace);
    assert_eq!(file.write_at(0, &[&[3; 20]]).unwrap(), 20, "these bytes have their room");
    assert_eq!(kind(disk.open(&path("c"), OpenHow::Create)), DiskErrorKind::NoSpace);
    assert_eq!(kind(disk.make_dir(&path("d"))), DiskErrorKind::NoSpace);
    assert_eq!(kind(file.reserve(71)), DiskErrorKind::NoSpace);
    disk.remove(&path("b")).unwrap();
    assert_eq!(disk.free_space().unwrap(), 0, "an open file keeps its space");
    drop(other);
    assert_eq!(disk.free_space().unwrap(), 30);
    file.reserve(100).unwrap();
    assert_eq!((disk.free_space().unwrap(), file.len().unwrap()), (0, 70));
    assert_eq!(file.write_at(70, &[&[2; 30]]).unwrap(), 30, "what is reserved is there");
    file.set_len(50).unwrap();
    assert_eq!(disk.free_space().unwrap(), 50);
}

#[test]
fn delayed_allocation_says_so_at_the_sync() {
    let disk = MemDisk::new();
    let file = synced(&disk, "a", b"");
    disk.set_capacity(Some(10));
    disk.set_allocation(Allocation::AtSync);
    assert_eq!(file.write_at(0, &[&[1; 20]]).unwrap(), 20);
    assert_eq!(kind(file.sync()), DiskErrorKind::NoSpace);
    disk.set_capacity(Some(20));
    file.sync().unwrap();
}

#[test]
fn short_transfers_move_something_and_the_loops_do_the_rest() {
    let disk = MemDisk::new();
    disk.set_transfers(Transfers::Short(3));
    let file = disk.open(&path("a"), OpenHow::Create).unwrap();
    let bytes: Vec<u8> = (0..200).collect();
    assert!(file.write_at(0, &[&bytes]).unwrap() < 200);
    file.write_full(0, &bytes).unwrap();
    let mut into = vec![0; 300];
    assert!((1..200).contains(&file.read_at(0, &mut into).unwrap()));
    assert_eq!(file.read_full(0, &mut into).unwrap(), 200);
    assert_eq!(into[..200], bytes);
}

#[test]
fn a_bad_page_cannot_be_read_and_all_others_can() {
    let disk = MemDisk::new();
    let file = synced(&disk, "a", &[1; 3 * 4096]);
    disk.break_page("a", 1).unwrap();
    let mut into = [0; 10];
    assert_eq!(file.read_at(4086, &mut into).unwrap(), 10);
    for position in [4087, 4096, 8191] {
        assert!(matches!(kind(file.read_at(position, &mut into)), DiskErrorKind::Io { code: Some(5), .. }));
    }
    assert_eq!(file.read_at(8192, &mut into).unwrap(), 10);
    disk.mend_pages("a").unwrap();
    assert_eq!(file.read_at(4096, &mut into).unwrap(), 10);
}

#[test]
fn rot_is_in_the_cache_and_on_the_disk() {
    let disk = MemDisk::new();
    disk.put("p/a", *b"abc").unwrap();
    let before = disk.digest();
    disk.flip_bit("p/a", 1, 0).unwrap();
    assert_ne!(disk.digest(), before);
    disk.corrupt("p/a", 2, b"XYZ").unwrap();
    assert_eq!(contents_of(&disk, "p/a"), BTreeSet::from([Some(b"acX".to_vec())]));
    disk.truncate("p/a", 1).unwrap();
    assert_eq!(disk.contents()["p/a"], b"a");
    disk.flip_bit("p/a", 9, 0).unwrap();
    disk.vanish("p").unwrap();
    assert!(disk.contents().is_empty());
    assert_eq!(kind(disk.flip_bit("p/a", 0, 0)), DiskErrorKind::NotFound);
    assert_eq!(kind(disk.put("../a", [])), DiskErrorKind::NotFound);
}

#[test]
fn contents_make_the_same_disk_again() {
    let disk = MemDisk::new();
    synced(&disk, "a", b"1");
    disk.make_dir(&path("empty")).unwrap();
    disk.put("p/q/b", *b"2").unwrap();
    let again = MemDisk::from_contents(&disk.contents());
    assert_eq!(again.contents(), disk.contents());
    assert_eq!(again.digest(), disk.digest());
    assert_eq!(again.images().count(), 1, "all of it is durable");
}

#[test]
fn a_read_only_disk_changes_nothing() {
    let disk = MemDisk::new();
    let file = synced(&disk, "a", b"x");
    disk.set_access(Access::ReadOnly);
    let (before, writes) = (disk.digest(), disk.writes());
    assert_eq!(kind(file.write_at(0, &[b"y"])), DiskErrorKind::ReadOnly);
    assert_eq!(kind(disk.open(&path("a"), OpenHow::Write)), DiskErrorKind::ReadOnly);
    assert_eq!(kind(disk.open(&path("b"), OpenHow::Create)), DiskErrorKind::ReadOnly);
    assert_eq!(kind(disk.lock(&path(".lock"))), DiskErrorKind::ReadOnly);
    assert_eq!(kind(disk.remove(&path("a"))), DiskErrorKind::ReadOnly);
    assert_eq!(disk.open(&path("a"), OpenHow::Read).unwrap().len().unwrap(), 1);
    assert_eq!((disk.digest(), disk.writes()), (before, writes));
}

#[test]
fn a_write_has_the_date_of_the_test() {
    let disk = MemDisk::new();
    disk.set_now(Timestamp::from_millis(7));
    let file = disk.open(&path("a"), OpenHow::Create).unwrap();
    disk.set_now(Timestamp::from_millis(9));
    let modified = || match disk.list(&DiskPath::root()).unwrap()[0].kind {
        EntryKind::File { modified, .. } => modified.as_millis(),
        EntryKind::Dir | EntryKind::Symlink | EntryKind::Other => unreachable!(),
    };
    assert_eq!(modified(), 7);
    file.write_full(0, b"x").unwrap();
    assert_eq!(modified(), 9);
    file.set_modified(Timestamp::from_millis(3)).unwrap();
    assert_eq!(modified(), 3);
}

#[test]
fn what_is_no_file_is_refused() {
    let disk = MemDisk::new();
    disk.put_foreign("link", EntryKind::Symlink).unwrap();
    disk.put_foreign("pipe", EntryKind::Other).unwrap();
    disk.make_dir(&path("dir")).unwrap();
    for how in [OpenHow::Read, OpenHow::Write, OpenHow::Create, OpenHow::Replace] {
        assert_eq!(kind(disk.open(&path("link"), how)), DiskErrorKind::SymlinkRefused);
        assert_eq!(kind(disk.open(&path("pipe"), how)), DiskErrorKind::NotRegularFile);
        assert_eq!(kind(disk.open(&path("dir"), how)), DiskErrorKind::NotRegularFile);
        assert_eq!(kind(disk.open(&path("link/a"), how)), DiskErrorKind::SymlinkRefused);
    }
}

#[test]
fn whoever_has_a_replaced_file_open_keeps_its_bytes() {
    let disk = MemDisk::new();
    let old = synced(&disk, "a", b"old");
    let new = disk.open(&path("a"), OpenHow::Replace).unwrap();
    assert_eq!((new.len().unwrap(), old.len().unwrap()), (0, 3));
}

#[test]
fn a_sync_of_all_makes_every_byte_and_every_name_durable() {
    let disk = MemDisk::new();
    let (dir, path) = (DiskPath::parse("t-0").unwrap(), DiskPath::parse("t-0/one").unwrap());
    disk.make_dir(&dir).unwrap();
    disk.open(&path, OpenHow::Create).unwrap().write_full(0, b"one").unwrap();
    disk.open(&DiskPath::parse("two").unwrap(), OpenHow::Create).unwrap().write_full(0, b"two").unwrap();
    disk.rename(&DiskPath::parse("two").unwrap(), &DiskPath::parse("t-0/three").unwrap()).unwrap();
    assert!(disk.image(&Choice::nothing()).contents().is_empty());
    disk.sync_all().unwrap();
    assert_eq!(disk.image(&Choice::nothing()).contents(), disk.contents());
    // A full disk does nothing, and loses nothing.
    disk.set_allocation(Allocation::AtSync);
    disk.set_capacity(Some(4));
    disk.open(&path, OpenHow::Write).unwrap().write_full(3, b" and more").unwrap();
    assert_eq!(disk.sync_all().unwrap_err().kind, DiskErrorKind::NoSpace);
    assert_eq!(disk.image(&Choice::nothing()).contents()["t-0/one"], b"one");
    disk.set_capacity(None);
    disk.sync_all().unwrap();
    assert_eq!(disk.image(&Choice::nothing()).contents()["t-0/one"], b"one and more");
}
