//! What the test disk promises.

use std::collections::BTreeSet;

use proptest::prelude::*;

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

fn names(disk: &MemDisk, model: NameModel) -> BTreeSet<Vec<String>> {
    let rules = ImageRules { names: model, ..ImageRules::default() };
    disk.images_by(&rules).map(|image| image.contents().into_keys().collect()).collect()
}

#[test]
fn what_is_synced_has_one_image() {
    let disk = MemDisk::new();
    synced(&disk, "a", b"there");
    let images: Vec<_> = disk.images().map(|image| image.contents()).collect();
    assert_eq!(images, [disk.contents()]);
    assert!(disk.unsynced().is_empty());
}

#[test]
fn an_unsynced_name_may_be_lost_with_all_its_synced_bytes() {
    let disk = MemDisk::new();
    let file = disk.open(&path("a"), OpenHow::Create).unwrap();
    file.write_full(0, b"x").unwrap();
    file.sync().unwrap();
    assert_eq!(contents_of(&disk, "a"), BTreeSet::from([None, Some(b"x".to_vec())]));
}

#[test]
fn an_unsynced_file_may_have_its_name_and_nothing_else() {
    let disk = MemDisk::new();
    disk.open(&path("a"), OpenHow::Create).unwrap().write_full(0, b"x").unwrap();
    disk.sync_dir(&DiskPath::root()).unwrap();
    let lost: [&[u8]; 3] = [b"", b"\0", b"x"];
    assert_eq!(contents_of(&disk, "a"), lost.into_iter().map(|bytes| Some(bytes.to_vec())).collect());
}

#[test]
fn pages_of_one_write_are_lost_one_by_one() {
    let disk = MemDisk::new();
    let file = synced(&disk, "a", &[1; 8192]);
    file.write_full(0, &[2; 8192]).unwrap();
    let rules = ImageRules { torn_within: 0, ..ImageRules::default() };
    let ends = |image: MemDisk| (image.contents()["a"][0], image.contents()["a"][8191]);
    let found: BTreeSet<_> = disk.images_by(&rules).map(ends).collect();
    assert_eq!(found, BTreeSet::from([(1, 1), (1, 2), (2, 1), (2, 2)]));
}

#[test]
fn a_write_is_torn_at_every_byte_near_its_ends() {
    let disk = MemDisk::new();
    let file = synced(&disk, "a", b"front");
    file.write_full(5, &[7; 40]).unwrap();
    let images = contents_of(&disk, "a");
    for cut in 0..40 {
        let torn = [b"front".to_vec(), vec![7; cut]].concat();
        assert!(images.contains(&Some(torn.clone())), "ends at {cut}");
        let zeros = [torn, vec![0; 40 - cut]].concat();
        assert!(images.contains(&Some(zeros)), "zeros from {cut}");
    }
    assert!(images.iter().flatten().all(|bytes| bytes.starts_with(b"front")));
    assert!(
        images.iter().flatten().any(|bytes| bytes.iter().any(|byte| ![0, 7].contains(byte) && *byte > 127)),
        "garbage"
    );
}

#[test]
fn borders_of_a_long_write_are_torn_where_the_test_says() {
    let disk = MemDisk::new();
    let file = synced(&disk, "a", b"");
    file.write_full(0, &[7; 4000]).unwrap();
    let with = |borders| {
        let rules = ImageRules { borders, torn_within: 3, ..ImageRules::default() };
        disk.images_by(&rules).map(|image| image.contents()["a"].len()).collect::<BTreeSet<_>>()
    };
    assert!(!with(vec![]).contains(&2000));
    assert!([1997, 2000, 2003].iter().all(|cut| with(vec![2000]).contains(cut)));
}

#[test]
fn a_length_may_be_old_or_new_without_the_data() {
    let disk = MemDisk::new();
    let file = synced(&disk, "a", b"abcdef");
    file.set_len(2).unwrap();
    file.write_full(2, b"XY").unwrap();
    let images = contents_of(&disk, "a");
    let due: [&[u8]; 5] = [b"abcdef", b"ab", b"abXY", b"abXYef", b"ab\0\0"];
    for bytes in due {
        assert!(images.contains(&Some(bytes.to_vec())), "{bytes:?} in {images:?}");
    }
}

#[test]
fn bytes_may_be_new_up_to_the_old_length() {
    let disk = MemDisk::new();
    let file = synced(&disk, "a", b"abc");
    file.write_full(2, b"XY").unwrap();
    let rules = ImageRules { torn_within: 0, ..ImageRules::default() };
    let found: BTreeSet<_> = disk.images_by(&rules).map(|image| image.contents()["a"].clone()).collect();
    let due: [&[u8]; 4] = [b"abc", b"abc\0", b"abX", b"abXY"];
    assert_eq!(found, due.into_iter().map(<[u8]>::to_vec).collect());
}

#[test]
fn a_rename_is_done_or_not_and_perhaps_leaves_both_names() {
    let disk = MemDisk::new();
    synced(&disk, "new", b"2");
    synced(&disk, "old", b"1");
    disk.rename(&path("new"), &path("old")).unwrap();
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&disk, NameModel::Journaled), BTreeSet::from([list(&["new", "old"]), list(&["old"])]));
    let images: BTreeSet<_> = disk.images().map(|image| image.contents().into_values().collect::<Vec<_>>()).collect();
    let both = vec![b"2".to_vec(), b"2".to_vec()];
    assert_eq!(images, BTreeSet::from([vec![b"2".to_vec(), b"1".to_vec()], vec![b"2".to_vec()], both]));
}

#[test]
fn a_journal_keeps_a_prefix_of_the_names_and_a_strict_disk_any() {
    let disk = MemDisk::new();
    for name in ["a", "b", "c"] {
        disk.open(&path(name), OpenHow::Create).unwrap();
    }
    assert_eq!(names(&disk, NameModel::Journaled).len(), 4);
    assert_eq!(names(&disk, NameModel::Strict).len(), 8);
}

#[test]
fn a_synced_directory_never_loses_a_rename_out_of_it() {
    let disk = MemDisk::new();
    disk.make_dir(&path("from")).unwrap();
    disk.make_dir(&path("to")).unwrap();
    disk.sync_dir(&DiskPath::root()).unwrap();
    synced(&disk, "from/a", b"x");
    disk.rename(&path("from/a"), &path("to/a")).unwrap();
    for dir in ["from", "to"] {
        let disk = disk.copy();
        disk.sync_dir(&path(dir)).unwrap();
        for image in disk.images() {
            assert!(image.contents().contains_key("to/a"), "{:?}", image.contents());
        }
    }
    disk.sync_dir(&path("to")).unwrap();
    disk.sync_dir(&path("from")).unwrap();
    let images: Vec<_> = disk.images().map(|image| image.contents()).collect();
    assert_eq!(images, [disk.contents()], "both are synced: the old name is gone for good");
}

#[test]
fn a_removed_file_may_come_back() {
    let disk = MemDisk::new();
    synced(&disk, "a", b"x");
    disk.remove(&path("a")).unwrap();
    assert_eq!(contents_of(&disk, "a"), BTreeSet::from([None, Some(b"x".to_vec())]));
    disk.sync_dir(&DiskPath::root()).unwrap();
    assert_eq!(contents_of(&disk, "a"), BTreeSet::from([None]));
}

#[test]
fn a_name_never_leads_to_half_a_file_that_was_synced_before_its_rename() {
    let disk = MemDisk::new();
    synced(&disk, "a", b"old");
    let file = disk.open(&path("a.tmp"), OpenHow::Create).unwrap();
    file.write_full(0, b"new").unwrap();
    file.sync().unwrap();
    disk.rename(&path("a.tmp"), &path("a")).unwrap();
    assert_eq!(contents_of(&disk, "a"), BTreeSet::from([Some(b"new".to_vec()), Some(b"old".to_vec())]));
}

#[test]
fn many_pages_are_sampled_and_one_seed_gives_one_row_of_images() {
    let disk = MemDisk::new();
    let file = synced(&disk, "a", &[1; 16 * 4096]);
    file.write_full(0, &[2; 16 * 4096]).unwrap();
    let walk = |seed| {
        let rules = ImageRules { seed, torn_within: 2, ..ImageRules::default() };
        disk.images_by(&rules).map(|image| image.digest()).collect::<Vec<_>>()
    };
    let first = walk(1);
    assert!(first.len() > 100 && first.len() < 1000, "{}", first.len());
    assert_eq!(first, walk(1));
    assert_ne!(first, walk(2));
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), first.len(), "each image once");
    assert_eq!(disk.images().next().unwrap().digest(), {
        disk.crash(&Choice::nothing());
        disk.digest()
    });
}

#[test]
fn a_crash_in_place_is_the_image_of_its_choice() {
    let disk = MemDisk::new();
    let file = synced(&disk, "a", b"x");
    file.write_full(1, b"y").unwrap();
    let image = disk.image(&Choice::everything());
    disk.crash(&Choice::everything());
    assert_eq!(disk.contents(), image.contents());
    assert_eq!(disk.contents()["a"], b"xy");
    assert_eq!(kind(file.len()), DiskErrorKind::Stopped, "its handle is of the process that died");
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

/// One thing that a process may do to one of two files of three pages each.
#[derive(Clone, Debug)]
enum Step {
    Write { file: usize, position: u64, len: usize, with: u8 },
    SetLen { file: usize, len: u64 },
    Sync { file: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2usize, 0..9000u64, 1..5000usize, 1..=255u8)
            .prop_map(|(file, position, len, with)| Step::Write { file, position, len, with }),
        1 => (0..2usize, 0..12_000u64).prop_map(|(file, len)| Step::SetLen { file, len }),
        2 => (0..2usize).prop_map(|file| Step::Sync { file }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Bytes that nobody touched since they were synced are in every image; and each byte of an image is one that
    /// stood there at the last sync or was written since, or a zero, or garbage behind a tear.
    #[test]
    fn a_synced_byte_is_in_every_image(steps in prop::collection::vec(step(), 1..12)) {
        let disk = MemDisk::new();
        let names = ["a", "b"];
        let files = names.map(|name| synced(&disk, name, b""));
        let mut synced = [Vec::new(), Vec::new()];
        // From where on a file may differ from its synced bytes, per byte.
        let mut touched = [BTreeSet::new(), BTreeSet::new()];
        for step in steps {
            match step {
                Step::Write { file, position, len, with } => {
                    files[file].write_full(position, &vec![with; len]).unwrap();
                    touched[file].extend(position..position + len as u64);
                }
                Step::SetLen { file, len } => {
                    files[file].set_len(len).unwrap();
                    touched[file].extend(len..20_000);
                }
                Step::Sync { file } => {
                    files[file].sync().unwrap();
                    synced[file] = disk.contents()[names[file]].clone();
                    touched[file].clear();
                }
            }
        }
        let rules = ImageRules { torn_within: 1, random: 16, exhaustive_max: 64, ..ImageRules::default() };
        for image in disk.images_by(&rules) {
            for (file, name) in names.iter().enumerate() {
                let found = &image.contents()[*name];
                for (at, byte) in synced[file].iter().enumerate() {
                    if !touched[file].contains(&(at as u64)) {
                        prop_assert_eq!(found.get(at), Some(byte), "{} at {}", name, at);
                    }
                }
            }
            prop_assert_eq!(image.images().count(), 1);
        }
        let all: Vec<_> = disk.images_by(&rules).map(|image| image.digest()).collect();
        prop_assert!(all.contains(&disk.digest()), "one image has lost nothing");
    }
}
