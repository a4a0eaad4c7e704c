use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;
use crate::epoch::LeaderEpoch;
use crate::id::{BrokerId, TopicId, TopicPartition};
use crate::log::epochs::EpochCache;
use crate::offset::Offset;

fn offsets_of(entries: &[(&str, u64)]) -> OffsetCheckpoint {
    let entry = |(at, offset): &(&str, u64)| (TopicPartition::parse(at).unwrap(), Offset::new(*offset));
    OffsetCheckpoint { offsets: entries.iter().map(entry).collect() }
}

fn refused(text: &str) -> CheckpointError {
    OffsetCheckpoint::parse(text.as_bytes()).unwrap_err()
}

#[test]
fn chk_01_offsets_read_back_from_what_is_written() {
    let checkpoint = offsets_of(&[("t-0", 5), ("t-1", 7)]);
    assert_eq!(checkpoint.encode(), b"0\n2\nt 0 5\nt 1 7\n");
    assert_eq!(OffsetCheckpoint::parse(&checkpoint.encode()), Ok(checkpoint));
}

#[test]
fn chk_01_an_empty_file_and_one_with_a_version_only_have_no_entries() {
    for empty in ["", "0", "0\n", "0\r\n", "0\n0\n", "0\n0"] {
        assert_eq!(OffsetCheckpoint::parse(empty.as_bytes()), Ok(OffsetCheckpoint::default()), "{empty:?}");
    }
}

#[test]
fn chk_01_another_version_or_count_is_refused() {
    assert_eq!(refused("1\n0\n"), CheckpointError::Version { line: 1, found: 1, known: "0" });
    assert_eq!(refused("0\n2\nt 0 5\n"), CheckpointError::Count { expected: 2, found: 1 });
    assert_eq!(refused("0\n0\nt 0 5\n"), CheckpointError::Count { expected: 0, found: 1 });
    assert_eq!(refused("0\n-1\n"), CheckpointError::Count { expected: -1, found: 0 });
    let most = "9223372036854775807";
    assert_eq!(refused(&format!("0\n{most}\n")), CheckpointError::Count { expected: i64::MAX, found: 0 });
}

#[test]
fn any_white_space_separates_columns_and_lines_may_end_as_on_windows() {
    let read = OffsetCheckpoint::parse(b"0\r\n2\r\nt \t 0\x0b\x0c5\r\n  t  1 7  \r\n");
    assert_eq!(read, Ok(offsets_of(&[("t-0", 5), ("t-1", 7)])));
}

#[test]
fn a_line_that_is_no_entry_is_named() {
    let one = |line: &str| refused(&format!("0\n1\n{line}\n"));
    assert_eq!(one("t 0"), CheckpointError::Columns { line: 3, expected: 3, found: 2 });
    assert_eq!(one("t 0 1 2"), CheckpointError::Columns { line: 3, expected: 3, found: 4 });
    assert_eq!(one(""), CheckpointError::Columns { line: 3, expected: 3, found: 0 });
    let number = |expected, found: &str| CheckpointError::Number { line: 3, expected, found: found.to_owned() };
    assert_eq!(one("t x 1"), number("partition", "x"));
    assert_eq!(one("t -1 1"), number("partition", "-1"));
    assert_eq!(one("t 2147483648 1"), number("partition", "2147483648"));
    assert_eq!(one("t 0 -1"), number("offset", "-1"));
    assert_eq!(one("t 0 9223372036854775808"), number("offset", "9223372036854775808"));
    assert_eq!(one("t 0 5\0"), number("offset", "5\0"));
    assert!(matches!(one("a/b 0 1"), CheckpointError::Topic { line: 3, .. }));
    assert!(matches!(one("t\0 0 1"), CheckpointError::Topic { line: 3, .. }));
    let not_text = OffsetCheckpoint::parse(b"0\n1\nt\xff 0 1\n");
    assert_eq!(not_text, Err(CheckpointError::NotText { line: 3 }));
    assert_eq!(refused("\n"), CheckpointError::Columns { line: 1, expected: 1, found: 0 });
    let long = "9".repeat(1000);
    assert_eq!(one(&format!("t 0 {long}")), number("offset", &long[..64]));
}

#[test]
fn of_two_lines_for_one_partition_the_later_counts() {
    assert_eq!(OffsetCheckpoint::parse(b"0\n2\nt 0 5\nt 0 3\n"), Ok(offsets_of(&[("t-0", 3)])));
}

#[test]
fn many_lines_are_read() {
    let mut text = String::from("0\n200000\n");
    for at in 0..200_000 {
        text.push_str(&format!("{at} {at}\n"));
    }
    let cache = EpochCache::parse(text.as_bytes()).unwrap();
    assert_eq!(cache.entries().len(), 200_000);
    assert_eq!(cache.latest(), Some(LeaderEpoch::new(199_999)));
    assert_eq!(cache.encode(), text.into_bytes());
}

#[test]
fn an_epoch_out_of_its_range_is_refused() {
    let one = |line: &str| EpochCache::parse(format!("0\n1\n{line}\n").as_bytes()).unwrap_err();
    let number = |expected, found: &str| CheckpointError::Number { line: 3, expected, found: found.to_owned() };
    assert_eq!(one("-1 0"), number("leader epoch", "-1"));
    assert_eq!(one("2147483648 0"), number("leader epoch", "2147483648"));
    assert_eq!(one("1 -5"), number("offset", "-5"));
    assert_eq!(one("1 2 3"), CheckpointError::Columns { line: 3, expected: 2, found: 3 });
}

#[test]
fn partition_metadata_has_two_lines_and_no_line_end_behind_them() {
    let text = b"version: 0\ntopic_id: GJqqK7cSSLaRwpsTaENk3w";
    let metadata = PartitionMetadata::parse(text).unwrap();
    assert_eq!(metadata.topic_id, TopicId::parse("GJqqK7cSSLaRwpsTaENk3w").unwrap());
    assert_eq!(metadata.encode(), text);
    let later = PartitionMetadata::parse(b"version:  7\r\ntopic_id:\tGJqqK7cSSLaRwpsTaENk3w\r\n");
    assert_eq!(later, Ok(metadata), "a later version, and white space as it may be");
}

#[test]
fn partition_metadata_that_names_no_topic_is_refused() {
    let read = |text: &str| PartitionMetadata::parse(text.as_bytes()).unwrap_err();
    let key = |line, expected, found: &str| CheckpointError::Key { line, expected, found: found.to_owned() };
    assert_eq!(read(""), key(1, "version", ""));
    assert_eq!(read("version:0\n"), key(1, "version", "version:0"));
    assert_eq!(read("version: 0\n"), key(2, "topic_id", ""));
    assert_eq!(read("version: 0\nid: x"), key(2, "topic_id", "id: x"));
    assert_eq!(read("version: -1\n"), CheckpointError::Version { line: 1, found: -1, known: "0 and later" });
    assert!(matches!(read("version: x\n"), CheckpointError::Number { line: 1, .. }));
    assert!(matches!(read("version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA"), CheckpointError::TopicId { line: 2, .. }));
}

#[test]
fn an_unreadable_clean_shutdown_file_still_says_that_it_was_clean() {
    let epoch = |text: &[u8]| CleanShutdown::parse(text).broker_epoch;
    assert_eq!(epoch(b"{\"version\":0,\"brokerEpoch\":194}"), Some(194));
    assert_eq!(epoch(b" { \"brokerEpoch\" : 7 , \"version\" : 0 }\n"), Some(7));
    for unknown in [&b""[..], b"{}", b"\xff", b"{\"version\":0,\"brokerEpoch\":-1}", b"{\"brokerEpoch\":x}", b"[1]"] {
        assert_eq!(epoch(unknown), None, "{unknown:?}");
    }
    let clean = CleanShutdown { broker_epoch: Some(194) };
    assert_eq!(clean.encode(), b"{\"version\":0,\"brokerEpoch\":194}");
    assert_eq!(CleanShutdown::default().encode(), b"{\"version\":0,\"brokerEpoch\":-1}");
}

const META: &str = "#\n#Sun Nov 22 06:26:54 UTC 2026\nnode.id=1\ndirectory.id=B5tzdvoUPaDXa0TaUi_-HQ\nversion=1\n\
                    cluster.id=AAAAAAAAQACAAAAAAAAAAQ\n";

#[test]
fn meta_properties_of_both_versions_are_read() {
    let meta = MetaProperties::parse(META.as_bytes()).unwrap();
    assert_eq!(meta.version, MetaVersion::V1);
    assert_eq!(meta.node_id, Some(BrokerId::new(1)));
    assert_eq!(meta.cluster_id.as_deref(), Some("AAAAAAAAQACAAAAAAAAAAQ"));
    assert_eq!(meta.directory_id.map(|id| id.to_string()).as_deref(), Some("B5tzdvoUPaDXa0TaUi_-HQ"));
    assert_eq!(String::from_utf8(meta.encode()).unwrap(), META.replace("#Sun Nov 22 06:26:54 UTC 2026\n", ""));
    let old = MetaProperties::parse(b"broker.id=3\ncolour=blue\n").unwrap();
    assert_eq!((old.version, old.node_id, old.cluster_id.clone()), (MetaVersion::V0, Some(BrokerId::new(3)), None));
    assert_eq!(old.other["colour"], "blue", "what is not known is kept");
    assert_eq!(MetaProperties::parse(&old.encode()), Ok(old));
}

#[test]
fn meta_properties_that_lack_or_garble_a_property_are_refused() {
    let read = |text: &str| MetaProperties::parse(text.as_bytes()).unwrap_err();
    let property = |key, found: &str| CheckpointError::Property { key, found: found.to_owned() };
    assert_eq!(read("version=1\ncluster.id=c\n"), CheckpointError::MissingProperty { expected: "node.id" });
    assert_eq!(read("version=1\nnode.id=1\n"), CheckpointError::MissingProperty { expected: "cluster.id" });
    assert_eq!(read("version=2\n"), property("version", "2"));
    assert_eq!(read("version=1\nnode.id=-1\n"), property("node.id", "-1"));
    assert_eq!(read("broker.id=1 x\n"), property("broker.id", "1 x"));
    for reserved in ["AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAQ", "AAAAAAAAAAAAAAAAAAAAYw", "short"] {
        let text = format!("directory.id={reserved}\n");
        assert_eq!(read(&text), CheckpointError::DirectoryId { found: reserved.to_owned() });
    }
    assert_eq!(read("a=1\nb=\\u00zz\n"), CheckpointError::Escape { line: 2 });
    assert_eq!(read("b=\\ud800\n"), CheckpointError::Escape { line: 1 });
}

#[test]
fn properties_are_read_as_java_reads_them() {
    type Read = &'static [(&'static str, &'static str)];
    let table: [(&[u8], Read); 12] = [
        (b"a=1\rb:2\r\nc 3", &[("a", "1"), ("b", "2"), ("c", "3")]),
        (b"  a \t=  1 \n\n \n", &[("a", "1 ")]),
        (b"# x=1\n   ! y=2\na=#1\n", &[("a", "#1")]),
        (b"a = : 1\n", &[("a", ": 1")]),
        (b"a=one \\\n   two\\\r\n three\n", &[("a", "one twothree")]),
        (b"a=1\\\\\nb=2\n", &[("a", "1\\"), ("b", "2")]),
        (b"a\\ b\\=c\\:d=e\n", &[("a b=c:d", "e")]),
        (b"a=\\t\\n\\r\\f\\q\\u0041\\u00e9\n", &[("a", "\t\n\r\x0cqA\u{e9}")]),
        (b"a=\xe9\n", &[("a", "\u{e9}")]),
        (b"a\n=v\n", &[("a", ""), ("", "v")]),
        (b"a=1\na=2\n", &[("a", "2")]),
        (b"a=1\\", &[("a", "1")]),
    ];
    for (text, expected) in table {
        let expected: BTreeMap<String, String> =
            expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(properties::parse(text), Ok(expected), "{}", text.escape_ascii());
    }
}

#[test]
fn a_property_is_written_as_java_writes_it() {
    let mut text = String::new();
    properties::push(&mut text, "a b", "  c:d=e #!\\\t\u{e9}\u{1f600}");
    assert_eq!(text, "a\\ b=\\  c\\:d\\=e \\#\\!\\\\\\t\\u00E9\\uD83D\\uDE00\n");
}

fn any_text() -> impl Strategy<Value = String> {
    vec(prop_oneof![any::<char>(), "[ \t\n=:#!\\\\u0-9a-z]".prop_map(|it| it.chars().next().unwrap())], 0..12)
        .prop_map(|letters| letters.into_iter().collect())
}

proptest! {
    #[test]
    fn offsets_read_back(entries in btree_map(("[a-zA-Z0-9._-]{1,9}", 0u32..1 << 31), 0u64..1 << 63, 0..9)) {
        let mut checkpoint = OffsetCheckpoint::default();
        for ((topic, partition), offset) in entries {
            if let Ok(at) = TopicPartition::parse(&format!("{topic}-{partition}")) {
                checkpoint.offsets.insert(at, Offset::new(offset));
            }
        }
        prop_assert_eq!(OffsetCheckpoint::parse(&checkpoint.encode()), Ok(checkpoint));
    }

    #[test]
    fn properties_read_back(entries in btree_map(any_text(), any_text(), 0..6)) {
        let mut text = String::new();
        for (key, value) in &entries {
            properties::push(&mut text, key, value);
        }
        prop_assert_eq!(properties::parse(text.as_bytes()), Ok(entries));
    }
}
