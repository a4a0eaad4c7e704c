//! What a disk may hold after a power loss.

use proptest::prelude::*;

use super::*;

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
