//! Opening a log on any directory.

use std::collections::BTreeMap;

use ottla::disk::{LogFile, MemDisk, OpenOptions};
use ottla::id::TopicPartition;
use ottla::log::Isolation;
use ottla::offset::Offset;
use ottla::record::DecompressLimit;
use ottla::time::Timestamp;

/// The files that bytes are made into.
const NAMES: [&str; 20] = [
    "t-0/00000000000000000000.log",
    "t-0/00000000000000000000.index",
    "t-0/00000000000000000000.timeindex",
    "t-0/00000000000000000000.txnindex",
    "t-0/00000000000000000000.snapshot",
    "t-0/00000000000000000000.sums",
    "t-0/00000000000000000008.log",
    "t-0/00000000000000000008.index",
    "t-0/00000000000000000008.timeindex",
    "t-0/00000000000000000008.txnindex",
    "t-0/00000000000000000008.snapshot",
    "t-0/00000000000000000008.log.swap",
    "t-0/00000000000000000000.log.cleaned",
    "t-0/leader-epoch-checkpoint",
    "t-0/partition.metadata",
    "recovery-point-offset-checkpoint",
    "log-start-offset-checkpoint",
    ".kafka_cleanshutdown",
    "ottla-flushed-marks",
    "t-0/00000000000000000106.snapshot",
];

/// A file that is nobody's.
const FOREIGN: &str = "t-0/notes.txt";

/// Whatever stands in a log directory: opening ends, opening again finds the same, what is not ours is not touched, and
/// what is served lies within the ends of the log. The bytes are `(name, length, content)` again and again.
pub fn open_dir(data: &[u8]) {
    let disk = MemDisk::from_contents(&directory(data));
    let partition = TopicPartition::parse("t-0").expect("a name");
    let now = Timestamp::from_millis(1_800_000_000_000);
    let open = || LogFile::open(disk.clone(), &partition, OpenOptions::default(), now);
    let Ok((mut first, _)) = open() else { return };
    let ends = |log: &LogFile<MemDisk>| (log.log().log_start_offset(), log.log().log_end_offset());
    let (start, end) = ends(&first);
    assert!(start <= end);
    let served = read_all(&mut first, start, end);
    drop(first);

    let (mut second, _) = open().expect("what opened once opens again");
    assert_eq!(ends(&second), (start, end), "a killed process changes nothing");
    assert_eq!(read_all(&mut second, start, end), served);
    second.close().expect("a disk in memory takes everything");

    let (mut third, report) = open().expect("what was closed opens");
    assert_eq!(ends(&third), (start, end), "{report}");
    assert_eq!(read_all(&mut third, start, end), served);
    assert_eq!(disk.contents().get(FOREIGN).map(Vec::as_slice), Some(&b"mine"[..]));
}

fn directory(mut data: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::from([(FOREIGN.to_owned(), b"mine".to_vec())]);
    while let [name, high, low, rest @ ..] = data {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (content, behind) = rest.split_at(length);
        files.insert(NAMES[usize::from(*name) % NAMES.len()].to_owned(), content.to_vec());
        data = behind;
    }
    files
}

/// How many records are served from each place that answers.
fn read_all(log: &mut LogFile<MemDisk>, start: Offset, end: Offset) -> Vec<(Offset, usize)> {
    let mut served = Vec::new();
    let mut from = start;
    while from < end {
        let Ok(fetched) = log.read(from, 1 << 20, Isolation::LogEnd) else { break };
        let Some(last) = fetched.batches.last() else { break };
        let next = last.next_offset();
        assert!(next > from && next <= end, "served past the end");
        for batch in &fetched.batches {
            let records = batch.records(DecompressLimit(1 << 20));
            served
                .push((batch.last_offset(), records.map_or(0, |records| records.iter().filter(Result::is_ok).count())));
        }
        from = next;
    }
    served
}
